//! What a decision needs of a token, wherever the token is kept: its stored form and the directory's entry both give this view.

use std::num::NonZeroU32;

use super::account::Policy;
use super::grant::Grants;
use super::id::{AccountId, TokenId};
use super::network::Network;
use super::rate::RateLimit;
use super::secret::{Life, SecretState};
use super::time::Timestamp;
use super::token::{Access, TokenState};

/// A token as decisions see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credential<'a> {
    pub id: TokenId,
    pub access: Access,
    /// Empty: all that its principal may do, or every application grant where principals do not bound tokens.
    pub grants: &'a Grants,
    /// Empty: any.
    pub networks: &'a [Network],
    pub rate_limit: Option<RateLimit>,
    /// The token's own bound; see [`Credential::max_connections`].
    pub max_connections: Option<NonZeroU32>,
    pub inactive: bool,
    pub expire_time: Option<Timestamp>,
    /// An operator token's one account; `None` reaches all.
    pub scope: Option<&'a AccountId>,
}

impl Credential<'_> {
    #[must_use]
    pub fn state(&self, now: Timestamp) -> TokenState {
        match self.expire_time {
            Some(end) if now >= end => TokenState::Expired,
            _ if self.inactive => TokenState::Inactive,
            _ => TokenState::Active,
        }
    }

    /// The state of one of its secrets: no old secret outlives the token.
    #[must_use]
    pub fn secret_state(&self, secret: Life, now: Timestamp) -> Option<SecretState> {
        match secret.state(now)? {
            SecretState::Retiring { good_until } => {
                let good_until = self.bounded(good_until);
                Some(if now < good_until {
                    SecretState::Retiring { good_until }
                } else {
                    SecretState::Superseded
                })
            }
            state => Some(state),
        }
    }

    /// How many connections it may hold at once: the smaller of its own bound and its account's.
    #[must_use]
    pub fn max_connections(&self, policy: &Policy) -> Option<u32> {
        let own = self.max_connections.map(NonZeroU32::get);
        let bounds = [own, policy.max_connections_per_token];
        bounds.into_iter().flatten().min()
    }

    /// An end that is no later than the token's own.
    #[must_use]
    pub fn bounded(&self, end: Timestamp) -> Timestamp {
        self.expire_time.map_or(end, |expiry| end.min(expiry))
    }
}
