//! Events: what the audit log tells of a change.

use std::collections::BTreeMap;

use super::id::AccountId;

/// What happened. The numbers are the contract's `EventType`, on the wire and on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum EventKind {
    TokenCreated = 1,
    TokenImported = 2,
    TokenUpdated = 3,
    TokenRekeyed = 4,
    RekeyActivated = 5,
    RekeyCompleted = 6,
    RekeyCancelled = 7,
    TokenDeactivated = 8,
    TokenReactivated = 9,
    TokenDeleted = 10,
    TokenExpiring = 11,
    TokenExpired = 12,
    SupersededSecretUsed = 13,
    AccountCreated = 20,
    AccountUpdated = 21,
    AccountKeyCreated = 22,
    PrincipalCreated = 30,
    PrincipalUpdated = 31,
    RoleCreated = 40,
    RoleUpdated = 41,
    RoleDeleted = 42,
    OperatorDenied = 50,
    ConnectionCut = 60,
    EventsSwept = 70,
}

/// Who caused it, and in which call.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    /// A token id, or `keyward` for what the service does by itself.
    pub actor: String,
    pub address: String,
    pub call_id: String,
}

impl Origin {
    /// What the service does by itself.
    #[must_use]
    pub fn keyward() -> Self {
        Self {
            actor: "keyward".into(),
            ..Self::default()
        }
    }
}

/// An event as the change that causes it writes it; the committer gives it its place in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    pub kind: EventKind,
    pub account: AccountId,
    /// The id of the token, principal, role or account that it is about.
    pub subject: String,
    pub origin: Origin,
    /// Never a secret.
    pub details: BTreeMap<String, String>,
}
