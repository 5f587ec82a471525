//! One request's purse: what it may spend, and what it has paid already when it is decided again.

use std::borrow::Cow;

use super::Meter;
use super::quota::{Answered, Figures};
use crate::domain::budget::{Budget, Charge, Spent};
use crate::domain::decision::Subject;
use crate::domain::time::Timestamp;

/// Pays for one request out of the meter.
#[derive(Debug)]
pub struct Purse<'a> {
    meter: &'a Meter,
    /// Calls that the request counts for.
    cost: u64,
    /// Nothing is taken.
    dry_run: bool,
    figures: Option<Figures>,
    waits_for: Option<Answered>,
}

impl<'a> Purse<'a> {
    #[must_use]
    pub fn new(meter: &'a Meter, cost: u64, dry_run: bool) -> Self {
        Self {
            meter,
            cost,
            dry_run,
            figures: None,
            waits_for: None,
        }
    }

    /// The account's day as the request left it, where it has a limit and came to be known.
    #[must_use]
    pub fn figures(&self) -> Option<Figures> {
        self.figures
    }

    /// What to wait for before the request is decided again.
    pub fn take_wait(&mut self) -> Option<Answered> {
        self.waits_for.take()
    }

    fn quota(&mut self, subject: &Subject<'_>, now: Timestamp) -> Spent {
        let Some(limit) = subject.account.policy.daily_calls else {
            return Spent::Paid;
        };
        let (quotas, account) = (&self.meter.quotas, &subject.account.id);
        let (spent, figures, wait) = if self.dry_run {
            quotas.peek(account, limit, self.cost, now)
        } else {
            quotas.spend(account, limit, self.cost, now)
        };
        self.figures = figures;
        self.waits_for = wait;
        spent
    }
}

impl Budget for Purse<'_> {
    fn spend(&mut self, charge: Charge, subject: &Subject<'_>, now: Timestamp) -> Spent {
        match charge {
            Charge::Connection | Charge::Rate => Spent::Paid,
            Charge::Quota => self.quota(subject, now),
        }
    }

    fn tell(&self, charge: Charge, subject: &Subject<'_>, _: Timestamp) -> Cow<'static, str> {
        match (charge, subject.account.policy.daily_calls, self.figures) {
            (Charge::Connection | Charge::Rate, ..) => "there is no limit".into(),
            (Charge::Quota, None, _) => "the account has no limit of daily calls".into(),
            (Charge::Quota, Some(limit), None) => {
                format!("the account has {limit} calls a day, and this costs {}", self.cost).into()
            }
            (Charge::Quota, Some(limit), Some(figures)) => format!(
                "{} of the account's {limit} calls of the day remain, and this costs {}; they are back at {}",
                figures.remaining, self.cost, figures.reset_time
            )
            .into(),
        }
    }
}
