//! Why a change or a question is refused: one closed list, mapped to gRPC in one place (`api::status`).

use std::fmt;

use super::usage::OldSecretInUse;
use crate::domain::field::{Violation, repeated};
use crate::domain::operator::Lack;
use crate::domain::refusal::Refusal;
use crate::store::StoreError;
use crate::store::seal::Corrupt;

/// The kinds of things that an id may name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Account,
    Principal,
    Role,
    Token,
}

/// Violations that the sentence about them spells out.
const SAID: usize = 3;

/// Why the registry did not do what it was asked; `Display` is the sentence that the caller reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// Fields that break a rule, all that were found.
    Invalid(Vec<Violation>),
    /// No such thing, or none that the operator may see.
    NotFound(Kind, String),
    AlreadyExists(Kind, String),
    /// The request id was used with another payload.
    RequestIdReused,
    /// The state of `subject` forbids it.
    Refused {
        refusal: Refusal,
        subject: String,
    },
    /// The account has as many tokens as its policy allows.
    TokenLimit {
        account: String,
        limit: u32,
    },
    EtagMismatch {
        subject: String,
    },
    /// The operator would hand out what it does not hold.
    Lacks(Lack),
    /// Only a system-wide operator may; what.
    SystemWideOnly(&'static str),
    /// CompleteRekey was asked for only if the old secrets were idle.
    OldSecretInUse(OldSecretInUse),
    /// Lines of the log after the one named are kept no more; the oldest that is.
    EventsSwept {
        oldest: u64,
    },
    /// The log has not come to the sequence named; the last that it can have come to.
    SequenceNotReached {
        newest: u64,
    },
    Store(StoreError),
}

impl Error {
    pub(crate) fn invalid(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, rule)])
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Corrupt> for Error {
    fn from(corrupt: Corrupt) -> Self {
        Self::Store(corrupt.into())
    }
}

impl Kind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Principal => "principal",
            Self::Role => "role",
            Self::Token => "token",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(violations) => {
                let first = violations.iter().take(SAID).map(ToString::to_string);
                f.write_str(&first.collect::<Vec<_>>().join("; "))?;
                match violations.len().saturating_sub(SAID) {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
            Self::NotFound(kind, id) => {
                write!(f, "there is no {} {:?}", kind.name(), repeated(id))
            }
            Self::AlreadyExists(kind, id) => {
                write!(f, "there is a {} {:?} already", kind.name(), repeated(id))
            }
            Self::RequestIdReused => f.write_str("request_id was used before with another payload"),
            Self::Refused { refusal, subject } => write!(f, "{subject}: {}", refusal.describe().1),
            Self::TokenLimit { account, limit } => {
                write!(
                    f,
                    "account {account} has as many tokens as its policy allows: {limit}, dead ones included"
                )
            }
            Self::EtagMismatch { subject } => write!(
                f,
                "{subject} has changed since: its etag is another one now"
            ),
            Self::Lacks(Lack::Grant(grant)) => {
                write!(f, "you cannot hand out {grant}, which you do not hold")
            }
            Self::Lacks(Lack::Scope) => {
                f.write_str("you cannot hand out a wider scope than your own")
            }
            Self::Lacks(Lack::FullAccess) => {
                f.write_str("you cannot hand out full access with a read-only token")
            }
            Self::SystemWideOnly(what) => write!(f, "only a system-wide operator may {what}"),
            Self::OldSecretInUse(in_use) => in_use.fmt(f),
            Self::EventsSwept { oldest } => write!(
                f,
                "lines after after_sequence are kept no more; the oldest one kept is {oldest}"
            ),
            Self::SequenceNotReached { newest } => write!(
                f,
                "the log has not come to after_sequence; it is at most at {newest}"
            ),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}
