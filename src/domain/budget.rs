//! What a good request spends. It is asked last and in one order, so that nothing spent is ever given back.

use std::borrow::Cow;
use std::time::Duration;

use super::decision::{DenyReason, Subject};
use super::time::Timestamp;

/// What there may be too much of, in the order in which it is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charge {
    /// One of the token's concurrent connections.
    Connection,
    /// The token's own rate.
    Rate,
    /// The account's calls of the day.
    Quota,
}

/// What came of asking for a charge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spent {
    /// Paid, or there is nothing to pay.
    Paid,
    Refused {
        /// When it would be paid again, where that can be said.
        retry_after: Option<Duration>,
    },
    /// The store must be asked first. What was paid before stays paid when it is asked again.
    Unknown,
}

/// One request's purse. In a dry run it says what would come of a charge, and spends nothing.
pub trait Budget {
    fn spend(&mut self, charge: Charge, subject: &Subject<'_>, now: Timestamp) -> Spent;

    /// The charge with its figures, for a human; after `spend`.
    fn tell(&self, charge: Charge, subject: &Subject<'_>, now: Timestamp) -> Cow<'static, str>;
}

impl Charge {
    pub const ALL: [Self; 3] = [Self::Connection, Self::Rate, Self::Quota];

    /// The rule's name in a connection test.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connections",
            Self::Rate => "rate",
            Self::Quota => "quota",
        }
    }

    #[must_use]
    pub const fn reason(self) -> DenyReason {
        match self {
            Self::Connection => DenyReason::TooManyConnections,
            Self::Rate => DenyReason::RateLimited,
            Self::Quota => DenyReason::QuotaExceeded,
        }
    }
}

/// For whom nothing is metered: Keyward's own callers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unmetered;

impl Budget for Unmetered {
    fn spend(&mut self, _: Charge, _: &Subject<'_>, _: Timestamp) -> Spent {
        Spent::Paid
    }

    fn tell(&self, _: Charge, _: &Subject<'_>, _: Timestamp) -> Cow<'static, str> {
        Cow::Borrowed("nothing is metered")
    }
}
