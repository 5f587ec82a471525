//! One request's purse: what it may spend, and what it has paid already when it is decided again.

use std::borrow::Cow;
use std::time::Duration;

use super::Meter;
use super::quota::{Answered, Figures};
use crate::domain::budget::{Budget, Charge, Spent};
use crate::domain::decision::Subject;
use crate::domain::rate::RateLimit;
use crate::domain::time::Timestamp;

/// Pays for one request out of the meter.
#[derive(Debug)]
pub struct Purse<'a> {
    meter: &'a Meter,
    /// Calls that the request counts for.
    cost: u64,
    /// Nothing is taken.
    dry_run: bool,
    /// When the request came, by the clock that nobody sets.
    steady: Duration,
    /// The rate has been paid; it is not paid again when the request is decided again.
    rate_paid: bool,
    figures: Option<Figures>,
    waits_for: Option<Answered>,
}

impl<'a> Purse<'a> {
    #[must_use]
    pub fn new(meter: &'a Meter, cost: u64, dry_run: bool, steady: Duration) -> Self {
        Self {
            meter,
            cost,
            dry_run,
            steady,
            rate_paid: false,
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

    fn rate(&mut self, subject: &Subject<'_>) -> Spent {
        let (rates, id) = (&self.meter.rates, subject.token.id);
        match subject.token.rate_limit {
            None => Spent::Paid,
            Some(_) if self.rate_paid => Spent::Paid,
            Some(limit) if self.dry_run => rates.peek(id, limit, self.cost, self.steady),
            Some(limit) => {
                let spent = rates.spend(id, limit, self.cost, self.steady);
                self.rate_paid = spent == Spent::Paid;
                spent
            }
        }
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
            Charge::Connection => Spent::Paid,
            Charge::Rate => self.rate(subject),
            Charge::Quota => self.quota(subject, now),
        }
    }

    fn tell(&self, charge: Charge, subject: &Subject<'_>, _: Timestamp) -> Cow<'static, str> {
        match charge {
            Charge::Connection => "a validation holds no connection".into(),
            Charge::Rate => self.tell_rate(subject.token.rate_limit),
            Charge::Quota => self.tell_quota(subject.account.policy.daily_calls),
        }
    }
}

impl Purse<'_> {
    fn tell_rate(&self, limit: Option<RateLimit>) -> Cow<'static, str> {
        let Some(limit) = limit else {
            return "the token has no rate limit".into();
        };
        format!(
            "the token may be used {} times in {:?}, {} of them at once, and this costs {}",
            limit.calls, limit.per, limit.burst, self.cost
        )
        .into()
    }

    fn tell_quota(&self, limit: Option<u64>) -> Cow<'static, str> {
        let cost = self.cost;
        match (limit, self.figures) {
            (None, _) => "the account has no limit of daily calls".into(),
            (Some(limit), None) => {
                format!("the account has {limit} calls a day, and this costs {cost}").into()
            }
            (Some(limit), Some(Figures { remaining, reset_time, .. })) => format!(
                "{remaining} of the account's {limit} calls of the day remain, and this costs {cost}; they are back at {reset_time}"
            )
            .into(),
        }
    }
}
