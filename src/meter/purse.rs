//! One request's purse: what it may spend, and what it has paid already when it is decided again.

use std::borrow::Cow;

use super::Meter;
use super::quota::{Answered, Figures};
use super::slots::{Slot, Taken, Ticket};
use crate::clock::Clock;
use crate::domain::budget::{Budget, Charge, Spent};
use crate::domain::decision::Subject;
use crate::domain::rate::RateLimit;
use crate::domain::time::Timestamp;

/// Pays for one request out of the meter. What it has paid for a connection is given back with it, unless it is taken out.
#[derive(Debug)]
pub struct Purse<'a> {
    meter: &'a Meter,
    clock: &'a dyn Clock,
    bill: Bill,
}

/// What one request is to pay and what it has paid: its purse while it waits, without the meter.
#[derive(Debug)]
pub struct Bill {
    /// Calls that the request counts for.
    cost: u64,
    /// Nothing is taken.
    dry_run: bool,
    connection: Connection,
    /// The rate has been paid; it is not paid again when the request is decided again.
    rate_paid: bool,
    figures: Option<Figures>,
    waits_for: Option<Wait>,
}

/// How far the request has come with its connection.
#[derive(Debug)]
enum Connection {
    /// It holds none.
    None,
    Wanted,
    Paid(Slot),
    /// The store says that all are held.
    Refused,
}

#[derive(Debug)]
enum Wait {
    Slot(Ticket),
    Calls(Answered),
}

/// What the store did not lease in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unleased {
    Slot,
    Calls,
}

impl<'a> Purse<'a> {
    /// For a request that holds no connection.
    #[must_use]
    pub fn new(meter: &'a Meter, cost: u64, dry_run: bool, clock: &'a dyn Clock) -> Self {
        let bill = Bill {
            cost,
            dry_run,
            connection: Connection::None,
            rate_paid: false,
            figures: None,
            waits_for: None,
        };
        Self::resumed(meter, bill, clock)
    }

    /// The purse of a request that waited.
    #[must_use]
    pub fn resumed(meter: &'a Meter, bill: Bill, clock: &'a dyn Clock) -> Self {
        Self { meter, clock, bill }
    }

    /// What is kept of the purse while its request waits.
    #[must_use]
    pub fn into_bill(self) -> Bill {
        self.bill
    }

    /// The same for a request that holds a connection of its token from its answer on.
    #[must_use]
    pub fn for_connection(mut self) -> Self {
        self.bill.connection = Connection::Wanted;
        self
    }

    /// The account's day as the request left it, where it has a limit and came to be known.
    #[must_use]
    pub fn figures(&self) -> Option<Figures> {
        self.bill.figures
    }

    /// The connection that was paid for.
    pub fn take_slot(&mut self) -> Option<Slot> {
        match std::mem::replace(&mut self.bill.connection, Connection::None) {
            Connection::Paid(slot) => Some(slot),
            Connection::None | Connection::Wanted | Connection::Refused => None,
        }
    }

    /// What the request waits for, where it does.
    #[must_use]
    pub fn lacks(&self) -> Option<Unleased> {
        self.bill.waits_for.as_ref().map(Wait::lacks)
    }

    /// Waits for the store, after which the request is to be decided again.
    pub async fn wait(&mut self) -> Result<(), Unleased> {
        match &mut self.bill.waits_for {
            None => return Err(Unleased::Calls),
            Some(Wait::Calls(answer)) => {
                let answered = answer.clone().answered().await;
                answered.map_err(|_| Unleased::Calls)?;
            }
            Some(Wait::Slot(ticket)) => {
                let handed = ticket.answered().await.map_err(|_| Unleased::Slot)?;
                self.bill.connection = handed.map_or(Connection::Refused, Connection::Paid);
            }
        }
        self.bill.waits_for = None;
        Ok(())
    }

    fn connection(&mut self, subject: &Subject<'_>) -> Spent {
        const REFUSED: Spent = Spent::Refused { retry_after: None };
        match self.bill.connection {
            Connection::None | Connection::Paid(_) => return Spent::Paid,
            Connection::Refused => return REFUSED,
            Connection::Wanted => {}
        }
        let limit = subject.token.max_connections(&subject.account.policy);
        match self.meter.slots.take(subject.token.id, limit) {
            Taken::Slot(slot) => {
                self.bill.connection = Connection::Paid(slot);
                Spent::Paid
            }
            Taken::Refused => {
                self.bill.connection = Connection::Refused;
                REFUSED
            }
            Taken::Wait(ticket) => {
                self.bill.waits_for = Some(Wait::Slot(ticket));
                Spent::Unknown
            }
        }
    }

    fn rate(&mut self, subject: &Subject<'_>) -> Spent {
        let (rates, id) = (&self.meter.rates, subject.token.id);
        match subject.token.rate_limit {
            None => Spent::Paid,
            Some(_) if self.bill.rate_paid => Spent::Paid,
            Some(limit) if self.bill.dry_run => {
                rates.peek(id, limit, self.bill.cost, self.clock.steady())
            }
            Some(limit) => {
                let spent = rates.spend(id, limit, self.bill.cost, self.clock.steady());
                self.bill.rate_paid = spent == Spent::Paid;
                spent
            }
        }
    }

    fn quota(&mut self, subject: &Subject<'_>, now: Timestamp) -> Spent {
        let Some(limit) = subject.account.policy.daily_calls else {
            return Spent::Paid;
        };
        let (quotas, account) = (&self.meter.quotas, &subject.account.id);
        let (spent, figures, wait) = if self.bill.dry_run {
            quotas.peek(account, limit, self.bill.cost, now)
        } else {
            quotas.spend(account, limit, self.bill.cost, now)
        };
        self.bill.figures = figures;
        self.bill.waits_for = wait.map(Wait::Calls);
        spent
    }
}

impl Budget for Purse<'_> {
    fn spend(&mut self, charge: Charge, subject: &Subject<'_>, now: Timestamp) -> Spent {
        match charge {
            Charge::Connection => self.connection(subject),
            Charge::Rate => self.rate(subject),
            Charge::Quota => self.quota(subject, now),
        }
    }

    fn tell(&self, charge: Charge, subject: &Subject<'_>, _: Timestamp) -> Cow<'static, str> {
        match charge {
            Charge::Connection => self.tell_connections(subject),
            Charge::Rate => self.tell_rate(subject.token.rate_limit),
            Charge::Quota => self.tell_quota(subject.account.policy.daily_calls),
        }
    }
}

impl Purse<'_> {
    fn tell_connections(&self, subject: &Subject<'_>) -> Cow<'static, str> {
        match subject.token.max_connections(&subject.account.policy) {
            None => "the token has no limit of connections".into(),
            Some(limit) => format!(
                "{} of the token's {limit} connections are held",
                self.meter.slots.held(subject.token.id)
            )
            .into(),
        }
    }

    fn tell_rate(&self, limit: Option<RateLimit>) -> Cow<'static, str> {
        let Some(limit) = limit else {
            return "the token has no rate limit".into();
        };
        format!(
            "the token may be used {} times in {:?}, {} of them at once, and this costs {}",
            limit.calls, limit.per, limit.burst, self.bill.cost
        )
        .into()
    }

    fn tell_quota(&self, limit: Option<u64>) -> Cow<'static, str> {
        let cost = self.bill.cost;
        match (limit, self.bill.figures) {
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

impl Wait {
    fn lacks(&self) -> Unleased {
        match self {
            Self::Slot(_) => Unleased::Slot,
            Self::Calls(_) => Unleased::Calls,
        }
    }
}
