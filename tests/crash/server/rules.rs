//! What one token must be: the contract's rules for its secrets and states, as far as the load makes use of them.

use std::collections::BTreeMap;
use std::time::Duration;

use keyward::api::proto::{self, DenyReason, EventType, SecretState, TokenState};

/// Rekeys of one token: a token keeps eight secrets, and none shall be forgotten.
pub(super) const REKEYS: u32 = 6;
/// Long enough to outlive every run.
pub(super) const GRACE: Duration = Duration::from_secs(24 * 3600);
const RETIRING: usize = 3;

/// A change of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Rekey {
        at_once: bool,
        graceful: bool,
        request_id: String,
    },
    /// The first use of a pending secret, complete when it has become the current one.
    Use,
    Complete,
    Cancel,
    Describe(String),
    Deactivate,
    Reactivate,
    Delete,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Pending {
        graceful: bool,
    },
    Current,
    Retiring,
    Superseded,
    /// A pending secret that was replaced or taken back.
    Dropped,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct State {
    pub(super) description: String,
    pub(super) inactive: bool,
    /// It was deactivated at some time: what made it is not answered again.
    pub(super) ever_inactive: bool,
    /// By version.
    pub(super) secrets: BTreeMap<u32, Place>,
}

/// What GetToken shows of a state.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Shown {
    description: String,
    inactive: bool,
    secrets: BTreeMap<u32, SecretState>,
}

impl State {
    pub(super) fn first() -> Self {
        Self {
            description: String::new(),
            inactive: false,
            ever_inactive: false,
            secrets: [(1, Place::Current)].into(),
        }
    }

    pub(super) fn newest(&self) -> u32 {
        *self.secrets.keys().last().expect("there is always one")
    }

    pub(super) fn pending(&self) -> Option<u32> {
        let is_pending = |place: &Place| matches!(place, Place::Pending { .. });
        self.version_of(is_pending)
    }

    pub(super) fn retires_more(&self) -> bool {
        self.retiring() < RETIRING
    }

    pub(super) fn retiring(&self) -> usize {
        let all = self.secrets.values();
        all.filter(|place| **place == Place::Retiring).count()
    }

    /// The state after a change; `None` where the token is gone.
    pub(super) fn after(&self, change: &Change) -> Option<Self> {
        let mut next = self.clone();
        match change {
            Change::Rekey {
                at_once, graceful, ..
            } => {
                next.replace(
                    |place| matches!(place, Place::Pending { .. }),
                    Place::Dropped,
                );
                let version = next.newest() + 1;
                if *at_once {
                    next.retire(*graceful);
                    next.secrets.insert(version, Place::Current);
                } else {
                    let graceful = *graceful;
                    next.secrets.insert(version, Place::Pending { graceful });
                }
            }
            Change::Use => {
                let version = next.pending().expect("only what is pending is used");
                let graceful = next.secrets[&version] == Place::Pending { graceful: true };
                next.retire(graceful);
                next.secrets.insert(version, Place::Current);
            }
            Change::Complete => next.replace(|place| *place == Place::Retiring, Place::Superseded),
            Change::Cancel => {
                next.replace(
                    |place| matches!(place, Place::Pending { .. }),
                    Place::Dropped,
                );
            }
            Change::Describe(text) => next.description.clone_from(text),
            Change::Deactivate => (next.inactive, next.ever_inactive) = (true, true),
            Change::Reactivate => next.inactive = false,
            Change::Delete => return None,
        }
        Some(next)
    }

    pub(super) fn shown(&self) -> Shown {
        let listed = |(version, place): (&u32, &Place)| {
            let state = match place {
                Place::Pending { .. } => SecretState::Pending,
                Place::Current => SecretState::Current,
                Place::Retiring => SecretState::Retiring,
                Place::Superseded | Place::Dropped => return None,
            };
            Some((*version, state))
        };
        Shown {
            description: self.description.clone(),
            inactive: self.inactive,
            secrets: self.secrets.iter().filter_map(listed).collect(),
        }
    }

    fn version_of(&self, wanted: impl Fn(&Place) -> bool) -> Option<u32> {
        let found = self.secrets.iter().find(|(_, place)| wanted(place));
        found.map(|(version, _)| *version)
    }

    fn retire(&mut self, graceful: bool) {
        let end = if graceful {
            Place::Retiring
        } else {
            Place::Superseded
        };
        self.replace(
            |place| matches!(place, Place::Current | Place::Retiring),
            end,
        );
    }

    fn replace(&mut self, old: impl Fn(&Place) -> bool, new: Place) {
        for place in self.secrets.values_mut().filter(|place| old(place)) {
            *place = new;
        }
    }
}

impl Shown {
    pub(super) fn of(token: &proto::Token) -> Self {
        let secrets = token.secrets.iter();
        Self {
            description: token.description.clone(),
            inactive: token.state() == TokenState::Inactive,
            secrets: secrets
                .map(|secret| (secret.version, secret.state()))
                .collect(),
        }
    }
}

impl Change {
    /// What the audit log says of it.
    pub(super) fn event(&self) -> EventType {
        match self {
            Self::Rekey { .. } => EventType::TokenRekeyed,
            Self::Use => EventType::RekeyActivated,
            Self::Complete => EventType::RekeyCompleted,
            Self::Cancel => EventType::RekeyCancelled,
            Self::Describe(_) => EventType::TokenUpdated,
            Self::Deactivate => EventType::TokenDeactivated,
            Self::Reactivate => EventType::TokenReactivated,
            Self::Delete => EventType::TokenDeleted,
        }
    }
}

/// What a secret of such a token is answered with.
pub(super) fn decision(state: Option<&State>, version: u32) -> DenyReason {
    let Some(state) = state else {
        return DenyReason::Unknown;
    };
    match state.secrets[&version] {
        Place::Dropped => DenyReason::Unknown,
        Place::Superseded => DenyReason::Superseded,
        _ if state.inactive => DenyReason::Inactive,
        _ => DenyReason::Unspecified,
    }
}
