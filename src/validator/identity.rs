//! Whose credentials were presented: held still in the directory for the length of one answer, looked at, or kept for longer.

use std::fmt;
use std::sync::Arc;

use crate::directory::{Current, Found, Member, Profile, Seat};
use crate::domain::account::Account;
use crate::domain::credential::Credential;
use crate::domain::decision::{self, Subject};
use crate::domain::grant::Grants;
use crate::domain::id::{AccountId, PrincipalId, TokenId};
use crate::domain::limits;
use crate::domain::secret::{KeyId, Life, SecretState};
use crate::domain::time::Timestamp;
use crate::domain::token::Access;
use crate::meter::usage::Whose;

/// A token whose secret was presented, in its place in the directory: not to be held across an await, nor while anything else is
/// validated.
#[derive(Debug)]
pub struct Matched<'d> {
    found: Found<'d>,
    account: Current<Account>,
    member: Option<Current<Member>>,
    secret: Matching,
}

/// Which of the token's secrets it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Matching {
    pub(super) version: u32,
    pub(super) key: KeyId,
    pub(super) life: Life,
}

/// A token whose secret was presented.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    pub credential: Credential<'a>,
    pub name: &'a str,
    pub account: &'a Arc<Account>,
    pub member: Option<&'a Arc<Member>>,
    /// Which of the token's secrets it was.
    pub secret_version: u32,
    secret: Life,
    seat: Option<&'a Arc<Seat>>,
    profile: &'a Arc<Profile>,
}

/// The same as it was at one moment, for as long as it is wanted.
#[derive(Clone, Debug)]
pub struct Kept {
    id: TokenId,
    access: Access,
    inactive: bool,
    expire_time: Option<Timestamp>,
    name: Box<str>,
    account: Arc<Account>,
    member: Option<Arc<Member>>,
    secret_version: u32,
    secret: Life,
    seat: Option<Arc<Seat>>,
    profile: Arc<Profile>,
}

impl<'d> Matched<'d> {
    /// `None` before its account is known.
    pub(super) fn new(found: Found<'d>, secret: Matching) -> Option<Self> {
        let account = found.tenant().account()?;
        let member = found.seat().and_then(|seat| seat.member());
        Some(Self {
            account,
            member,
            secret,
            found,
        })
    }

    #[must_use]
    pub fn identity(&self) -> Identity<'_> {
        Identity {
            credential: self.found.credential(),
            name: self.found.name(),
            account: &self.account,
            member: self.member.as_deref(),
            secret_version: self.secret.version,
            secret: self.secret.life,
            seat: self.found.seat(),
            profile: self.found.profile(),
        }
    }

    /// The token's entry, beside which it is counted.
    pub(super) fn found(&self) -> &Found<'d> {
        &self.found
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            credential: self.found.credential(),
            secret: self.secret.life,
            account: &self.account,
            standing: self.member.as_ref().map(|member| member.standing()),
        }
    }

    pub(super) fn secret(&self) -> Matching {
        self.secret
    }
}

impl<'a> Identity<'a> {
    #[must_use]
    pub fn id(&self) -> TokenId {
        self.credential.id
    }

    #[must_use]
    pub fn account_id(&self) -> &'a AccountId {
        &self.account.id
    }

    #[must_use]
    pub fn principal(&self) -> Option<&'a PrincipalId> {
        self.seat.map(|seat| seat.id())
    }

    #[must_use]
    pub fn principal_name(&self) -> &'a str {
        let member = self.member;
        member.map_or("", |member| &member.principal.display_name)
    }

    /// For whom its use is counted.
    #[must_use]
    pub fn whose(&self) -> Whose<'a> {
        Whose {
            id: self.id(),
            account: self.account_id(),
            grants: self.credential.grants,
        }
    }

    /// The end of the secret presented, where it is retiring.
    #[must_use]
    pub fn secret_good_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.credential.secret_state(self.secret, now) {
            Some(SecretState::Retiring { good_until }) => Some(good_until),
            _ => None,
        }
    }

    /// When it ends by the passing of time alone, where it does.
    #[must_use]
    pub fn good_until(&self, now: Timestamp) -> Option<Timestamp> {
        let secret = match self.credential.secret_state(self.secret, now) {
            Some(SecretState::Retiring { good_until }) => Some(good_until),
            Some(SecretState::Pending) => Some(self.secret.create_time.after(limits::PENDING_KEPT)),
            Some(SecretState::Current | SecretState::Superseded) | None => None,
        };
        [secret, self.credential.expire_time]
            .into_iter()
            .flatten()
            .min()
    }

    /// What the token may do, within its principal's roles.
    #[must_use]
    pub fn effective_grants(&self) -> Grants {
        decision::effective_grants(&Subject {
            credential: self.credential,
            secret: self.secret,
            account: self.account,
            standing: self.member.map(|member| member.standing()),
        })
    }

    #[must_use]
    pub fn keep(&self) -> Kept {
        Kept {
            id: self.credential.id,
            access: self.credential.access,
            inactive: self.credential.inactive,
            expire_time: self.credential.expire_time,
            name: self.name.into(),
            account: Arc::clone(self.account),
            member: self.member.cloned(),
            secret_version: self.secret_version,
            secret: self.secret,
            seat: self.seat.cloned(),
            profile: Arc::clone(self.profile),
        }
    }
}

impl Kept {
    #[must_use]
    pub fn id(&self) -> TokenId {
        self.id
    }

    #[must_use]
    pub fn identity(&self) -> Identity<'_> {
        let profile = &self.profile;
        Identity {
            credential: profile.credential(self.id, self.access, self.inactive, self.expire_time),
            name: &self.name,
            account: &self.account,
            member: self.member.as_ref(),
            secret_version: self.secret_version,
            secret: self.secret,
            seat: self.seat.as_ref(),
            profile,
        }
    }
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("id", &self.credential.id)
            .field("account", &self.account.id)
            .field("secret_version", &self.secret_version)
            .finish_non_exhaustive()
    }
}
