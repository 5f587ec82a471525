//! Tokens: the credential, its states, and the life of its secrets.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::credential::Credential;
use super::grant::Grants;
use super::id::{AccountId, PrincipalId, TokenId};
use super::limits;
use super::network::Network;
use super::rate::RateLimit;
use super::refusal::Refusal;
use super::secret::{Place, Secret, SecretState};
use super::time::Timestamp;

/// A credential with a stable public id. It outlives its secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    pub id: TokenId,
    pub account: AccountId,
    pub name: String,
    pub description: String,
    pub principal: Option<PrincipalId>,
    pub access: Access,
    /// Empty: all that its principal may do, or every application grant where principals do not bound tokens.
    pub grants: Grants,
    /// Empty: any.
    pub networks: Vec<Network>,
    pub rate_limit: Option<RateLimit>,
    /// The token's own bound; see [`Credential::max_connections`].
    pub max_connections: Option<NonZeroU32>,
    pub inactive: bool,
    /// How often it was deactivated: a kept answer from before is not given again.
    pub deactivations: u32,
    pub expire_time: Option<Timestamp>,
    pub create_time: Timestamp,
    pub created_by: String,
    pub update_time: Timestamp,
    pub rekey_time: Option<Timestamp>,
    /// By version, oldest first.
    pub secrets: Vec<Secret>,
    /// The newest version ever issued: a cancelled one's number is not used again.
    pub last_version: u32,
    pub labels: BTreeMap<String, String>,
    pub generation: u64,
    /// An operator token's one account; `None` reaches all.
    pub scope: Option<AccountId>,
    pub imported: bool,
    /// The user name that goes with an imported text in Basic.
    pub foreign_id: Option<String>,
}

/// A read-only token passes the action `read` and no other, whatever its grants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Access {
    #[default]
    Full,
    ReadOnly,
}

/// What follows from a token's expiry and from whether it was deactivated; never stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenState {
    Active,
    Inactive,
    /// Outranks inactive, and is for good.
    Expired,
}

/// When a rekey's new secret takes over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Activation {
    #[default]
    AtOnce,
    OnFirstUse,
}

impl Token {
    /// A new token with its first secret, made as that was: it may do all that its principal may, from anywhere, and does not
    /// expire.
    #[must_use]
    pub fn new(
        id: TokenId,
        account: AccountId,
        name: String,
        created_by: String,
        first: Secret,
    ) -> Self {
        Self {
            id,
            account,
            name,
            description: String::new(),
            principal: None,
            access: Access::Full,
            grants: Grants::default(),
            networks: Vec::new(),
            rate_limit: None,
            max_connections: None,
            inactive: false,
            deactivations: 0,
            expire_time: None,
            create_time: first.create_time,
            created_by,
            update_time: first.create_time,
            rekey_time: None,
            last_version: first.version,
            secrets: vec![first],
            labels: BTreeMap::new(),
            generation: 1,
            scope: None,
            imported: false,
            foreign_id: None,
        }
    }

    /// What decisions need of it.
    #[must_use]
    pub fn credential(&self) -> Credential<'_> {
        Credential {
            id: self.id,
            access: self.access,
            grants: &self.grants,
            networks: &self.networks,
            rate_limit: self.rate_limit,
            max_connections: self.max_connections,
            inactive: self.inactive,
            expire_time: self.expire_time,
            scope: self.scope.as_ref(),
        }
    }

    #[must_use]
    pub fn state(&self, now: Timestamp) -> TokenState {
        self.credential().state(now)
    }

    #[must_use]
    pub fn etag(&self) -> String {
        super::etag(self.create_time, self.generation)
    }

    /// The state of one of its secrets: no old secret outlives the token.
    #[must_use]
    pub fn secret_state(&self, secret: &Secret, now: Timestamp) -> Option<SecretState> {
        self.credential().secret_state(secret.life(), now)
    }

    /// The version that the next secret gets.
    #[must_use]
    pub fn next_version(&self) -> u32 {
        self.last_version + 1
    }

    /// Records a change of configuration.
    pub fn touch(&mut self, now: Timestamp) {
        self.update_time = now;
        self.generation += 1;
    }

    /// Gives the token a new secret. Every older one ends at the earliest of its own end, the grace and the token's expiry;
    /// on first use, only once the new one is used. A second rekey replaces a pending secret.
    pub fn rekey(
        &mut self,
        mut secret: Secret,
        grace: Duration,
        activation: Activation,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if self.state(now) == TokenState::Expired {
            return Err(Refusal::TokenExpired);
        }
        if !grace.is_zero() && self.retiring(now).count() >= limits::RETIRING_SECRETS {
            return Err(Refusal::TooManyRetiringSecrets);
        }
        self.secrets
            .retain(|old| !matches!(old.place, Place::Pending { .. }));
        secret.place = match activation {
            Activation::AtOnce => {
                self.retire(grace, now);
                Place::Current
            }
            Activation::OnFirstUse => Place::Pending { grace },
        };
        self.last_version = secret.version;
        self.secrets.push(secret);
        self.forget(now);
        self.rekey_time = Some(now);
        Ok(())
    }

    /// The pending secret was used: it takes over, and the older ones' grace begins. False when there is nothing to do.
    pub fn activate_pending(&mut self, version: u32, now: Timestamp) -> bool {
        let pending = self.secrets.iter().position(|secret| {
            secret.version == version
                && matches!(secret.place, Place::Pending { .. })
                && secret.state(now).is_some()
        });
        let Some(at) = pending else { return false };
        let Place::Pending { grace } = self.secrets[at].place else {
            return false;
        };
        self.retire(grace, now);
        self.secrets[at].place = Place::Current;
        self.forget(now);
        true
    }

    /// Ends the grace of every old secret now.
    pub fn complete_rekey(&mut self, now: Timestamp) -> Result<(), Refusal> {
        if self.retiring(now).next().is_none() {
            let pending = self.pending(now).is_some();
            return Err(if pending {
                Refusal::RekeyPending
            } else {
                Refusal::NoRetiringSecret
            });
        }
        for secret in &mut self.secrets {
            if let Place::Old { good_until } = &mut secret.place {
                *good_until = (*good_until).min(now);
            }
        }
        Ok(())
    }

    /// Drops the pending secret and keeps the current one.
    pub fn cancel_rekey(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let version = self.pending(now).ok_or(Refusal::NoPendingSecret)?.version;
        self.secrets.retain(|secret| secret.version != version);
        Ok(())
    }

    /// An expired token is not resumed. True when the token was inactive.
    pub fn reactivate(&mut self, now: Timestamp) -> Result<bool, Refusal> {
        if self.state(now) == TokenState::Expired {
            return Err(Refusal::TokenExpired);
        }
        Ok(std::mem::replace(&mut self.inactive, false))
    }

    /// May it be deleted? Only an inactive or expired one.
    pub fn deletable(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.state(now) == TokenState::Active {
            Err(Refusal::TokenActive)
        } else {
            Ok(())
        }
    }

    /// When the secret that the newest one replaced stops; `None` while the newest one waits for its first use, and before any
    /// rekey.
    #[must_use]
    pub fn replaced_good_until(&self) -> Option<Timestamp> {
        let (newest, older) = self.secrets.split_last()?;
        let end = older.iter().rev().find_map(|secret| match secret.place {
            Place::Old { good_until } => Some(good_until),
            Place::Pending { .. } | Place::Current => None,
        })?;
        (newest.place == Place::Current).then(|| self.bounded(end))
    }

    /// The version of the secret that is to be used; a pending one is not yet that.
    #[must_use]
    pub fn current_version(&self) -> u32 {
        let current = self
            .secrets
            .iter()
            .rfind(|secret| secret.place == Place::Current);
        current.map_or(self.last_version, |secret| secret.version)
    }

    fn retire(&mut self, grace: Duration, now: Timestamp) {
        let end = self.bounded(now.after(grace));
        for secret in &mut self.secrets {
            match &mut secret.place {
                place @ Place::Current => *place = Place::Old { good_until: end },
                Place::Old { good_until } => *good_until = (*good_until).min(end),
                Place::Pending { .. } => {}
            }
        }
    }

    /// Drops what is not kept any more, and the oldest superseded secrets beyond the bound.
    fn forget(&mut self, now: Timestamp) {
        self.secrets.retain(|secret| secret.state(now).is_some());
        while self.secrets.len() > limits::SECRETS_OF_TOKEN {
            let oldest = self
                .secrets
                .iter()
                .position(|secret| secret.state(now) == Some(SecretState::Superseded));
            let Some(oldest) = oldest else { return };
            self.secrets.remove(oldest);
        }
    }

    /// The old secrets that are in their grace.
    pub fn retiring(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        self.secrets.iter().filter(move |secret| {
            matches!(
                self.secret_state(secret, now),
                Some(SecretState::Retiring { .. })
            )
        })
    }

    fn pending(&self, now: Timestamp) -> Option<&Secret> {
        self.secrets
            .iter()
            .find(|secret| secret.state(now) == Some(SecretState::Pending))
    }

    fn bounded(&self, end: Timestamp) -> Timestamp {
        self.credential().bounded(end)
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
pub(super) mod tests;
