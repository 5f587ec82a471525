//! Daily calls: what this node has leased of each account's day and not handed out yet.
//!
//! A call is admitted only from a lease in hand, and a lease is in hand only once the store has it. So whatever crashes or
//! races, no call is one too many; what a crash takes with it is the lease in hand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use papaya::HashMap;
use tokio::sync::{Notify, watch};

use crate::domain::budget::Spent;
use crate::domain::id::AccountId;
use crate::domain::time::{Day, Timestamp};

/// A hundredth of the day's limit may be in hand, for large limits.
const PART_IN_HAND: u64 = 100;
/// Calls that may be in hand where a hundredth is less.
const LEAST_IN_HAND: u64 = 8;
/// The next lease is fetched when this part of what may be in hand is left: late, for each is a commit, and early enough for
/// the calls that come meanwhile.
const LOW: u64 = 4;
/// What of the day's rest one lease takes at the most: others may want some.
const PART_OF_REST: u64 = 4;
/// A clock that goes back by less is not believed to be in the day before: cores read it one after the other.
const WAVER: Duration = Duration::from_secs(60);

/// Calls that may be leased and not handed out: what a crash wastes at the most.
#[must_use]
pub fn most_in_hand(limit: u64) -> u64 {
    (limit / PART_IN_HAND).max(LEAST_IN_HAND)
}

/// The day's calls, as an answer tells them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figures {
    pub limit: u64,
    /// Leased by nobody, or leased by this node and not handed out.
    pub remaining: u64,
    /// When they are back.
    pub reset_time: Timestamp,
}

/// A lease that the store is to be asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub account: AccountId,
    pub day: Day,
    /// The account's limit, as whoever asked knew it.
    limit: u64,
    /// Calls in hand when it was made; there may be fewer by now.
    in_hand: u64,
    /// What the call that waits costs; 0 where none waits.
    need: u64,
    /// Calls that were leased for one that has gone away. They are not in hand any more: the store is to have them back.
    pub give_back: u64,
}

/// A lease as the store has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    pub calls: u64,
    /// Calls of the day that are leased by anybody, this lease included.
    pub taken: u64,
}

impl Request {
    /// How many calls to lease of a day of which `taken` are. It shrinks as the day's rest does.
    #[must_use]
    pub fn size(&self, limit: u64, taken: u64) -> u64 {
        let rest = limit.saturating_sub(taken);
        let missing = self.need.saturating_sub(self.in_hand);
        if missing > rest {
            return 0;
        }
        let room = most_in_hand(limit).saturating_sub(self.in_hand);
        room.min(rest.div_ceil(PART_OF_REST)).max(missing)
    }
}

/// All accounts whose daily calls were asked for since the start.
#[derive(Debug, Default)]
pub struct Quotas {
    ledgers: HashMap<AccountId, Arc<Ledger>>,
    wanted: Mutex<Wanted>,
    filled: Notify,
}

/// Requests that wait for the store.
#[derive(Debug, Default)]
struct Wanted {
    requests: VecDeque<Request>,
    /// No more are to come.
    closed: bool,
}

/// One account's day on this node.
#[derive(Debug, Default)]
struct Ledger {
    state: Mutex<State>,
    settled: watch::Sender<Settled>,
}

/// How often the store has answered, and whether the last time with an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Settled {
    times: u64,
    failed: bool,
}

#[derive(Debug, Default)]
struct State {
    day: Day,
    /// The account's limit at the last call.
    limit: u64,
    /// Calls of the day leased by anybody, as of this node's last lease; `None` before the first, and once the limit was lowered.
    taken: Option<u64>,
    in_hand: u64,
    /// The store has been asked for a lease.
    asked: bool,
}

/// Waits for the store's answer to the request that was open when this was made.
#[derive(Clone, Debug)]
pub struct Answered {
    heard: watch::Receiver<Settled>,
    seen: u64,
}

/// The store could not be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failed;

impl Answered {
    pub async fn answered(mut self) -> Result<(), Failed> {
        let settled = self.heard.wait_for(|settled| settled.times > self.seen);
        match settled.await {
            Ok(settled) if !settled.failed => Ok(()),
            _ => Err(Failed),
        }
    }
}

impl Quotas {
    /// Admits a call of a cost, or says why not. Where only the store knows, a lease has been asked for.
    pub fn spend(
        &self,
        account: &AccountId,
        limit: u64,
        cost: u64,
        now: Timestamp,
    ) -> (Spent, Option<Figures>, Option<Answered>) {
        self.ask(account, limit, cost, now, true)
    }

    /// What `spend` would say, as far as this node knows. It leases nothing for the call: whoever only looks would have the whole
    /// day in hand, for a crash to waste and no other node to use.
    pub fn peek(
        &self,
        account: &AccountId,
        limit: u64,
        cost: u64,
        now: Timestamp,
    ) -> (Spent, Option<Figures>, Option<Answered>) {
        self.ask(account, limit, cost, now, false)
    }

    /// The day's figures, where this node knows them.
    #[must_use]
    pub fn figures(&self, account: &AccountId, limit: u64, now: Timestamp) -> Option<Figures> {
        let ledgers = self.ledgers.pin();
        let mut state = ledgers.get(account)?.lock();
        state.turn(now);
        state.figures(limit)
    }

    /// Waits until leases are wanted, and takes the requests; `None` at the end.
    pub async fn wanted(&self) -> Option<Vec<Request>> {
        loop {
            {
                let mut queue = self.queue();
                if !queue.requests.is_empty() {
                    return Some(queue.requests.drain(..).collect());
                }
                if queue.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// No calls come any more: once the requests that wait are answered, `wanted` ends.
    pub fn close(&self) {
        self.queue().closed = true;
        self.filled.notify_one();
    }

    /// The store's answer to a request; `None` where it could not be asked.
    pub fn settle(&self, request: &Request, lease: Option<Lease>) {
        let Some(ledger) = self.ledger(&request.account) else {
            return;
        };
        let mut state = ledger.lock();
        state.asked = false;
        if let Some(lease) = lease
            && state.day == request.day
        {
            state.in_hand += lease.calls;
            // Who asked under a higher limit may have been answered before others leased as much as that one allowed.
            if request.limit <= state.limit {
                state.taken = Some(lease.taken);
            }
        }
        // Whoever waited for a costly call may have gone away. Whoever waits now is told below, and is not taken from.
        let waits = ledger.settled.receiver_count() > 0;
        let left_over = (!waits).then(|| state.leave_over(request)).flatten();
        drop(state);
        if let Some(request) = left_over {
            self.want(request);
        }
        ledger.settled.send_modify(|settled| {
            settled.times += 1;
            settled.failed = lease.is_none();
        });
    }

    /// Takes what is in hand out of it, to be given back to the store: by account and day. For the end.
    #[must_use]
    pub fn unspent(&self) -> Vec<(AccountId, Day, u64)> {
        let ledgers = self.ledgers.pin();
        let left = ledgers.iter().map(|(account, ledger)| {
            let mut state = ledger.lock();
            (
                account.clone(),
                state.day,
                std::mem::take(&mut state.in_hand),
            )
        });
        left.filter(|(_, _, calls)| *calls > 0).collect()
    }

    fn ask(
        &self,
        account: &AccountId,
        limit: u64,
        cost: u64,
        now: Timestamp,
        take: bool,
    ) -> (Spent, Option<Figures>, Option<Answered>) {
        let ledgers = self.ledgers.pin();
        let ledger = match ledgers.get(account) {
            Some(ledger) => ledger,
            None => ledgers.get_or_insert_with(account.clone(), Arc::default),
        };
        let mut state = ledger.lock();
        state.turn(now);
        state.come_under(limit);
        let spent = state.spend(limit, cost, now, take);
        let unknown = spent == Spent::Unknown;
        let wanted = (unknown || state.runs_low(limit)) && !state.asked;
        let request = wanted.then(|| {
            state.asked = true;
            Request {
                account: account.clone(),
                day: state.day,
                limit,
                in_hand: state.in_hand,
                need: if unknown && take { cost } else { 0 },
                give_back: 0,
            }
        });
        let answered = unknown.then(|| {
            let heard = ledger.settled.subscribe();
            let seen = heard.borrow().times;
            Answered { heard, seen }
        });
        let figures = state.figures(limit);
        drop(state);
        if let Some(request) = request {
            self.want(request);
        }
        (spent, figures, answered)
    }

    fn want(&self, request: Request) {
        self.queue().requests.push_back(request);
        self.filled.notify_one();
    }

    fn ledger(&self, account: &AccountId) -> Option<Arc<Ledger>> {
        self.ledgers.pin().get(account).cloned()
    }

    fn queue(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Goes over to the day that it is. What was in hand of another day is good for nothing.
    fn turn(&mut self, now: Timestamp) {
        let day = Day::of(now);
        let wavers = day < self.day && self.day.start().since(now) < WAVER;
        if day != self.day && !wavers {
            *self = Self {
                day,
                asked: self.asked,
                ..Self::default()
            };
        }
    }

    /// Under a lower limit the calls in hand may be too many: others have leased since, up to the limit of then.
    fn come_under(&mut self, limit: u64) {
        if limit < self.limit {
            self.taken = None;
        }
        self.limit = limit;
    }

    fn spend(&mut self, limit: u64, cost: u64, now: Timestamp, take: bool) -> Spent {
        let refused = Spent::Refused {
            retry_after: Some(self.day.end().since(now)),
        };
        if cost > limit {
            return refused;
        }
        match self.taken {
            None => Spent::Unknown,
            Some(taken) if limit.saturating_sub(taken - self.in_hand) < cost => refused,
            Some(_) if !take => Spent::Paid,
            Some(_) if self.in_hand < cost => Spent::Unknown,
            Some(_) => {
                self.in_hand -= cost;
                Spent::Paid
            }
        }
    }

    /// Takes out of hand what is more than may be in it, after a request; a request that gives it back. Until it is settled,
    /// what is left of the day is not known.
    fn leave_over(&mut self, settled: &Request) -> Option<Request> {
        let most = most_in_hand(settled.limit);
        let give_back = self.in_hand.saturating_sub(most);
        (give_back > 0).then(|| {
            self.in_hand = most;
            self.taken = None;
            self.asked = true;
            Request {
                account: settled.account.clone(),
                day: self.day,
                limit: settled.limit,
                in_hand: most,
                need: 0,
                give_back,
            }
        })
    }

    /// The next lease is fetched before the last one has run out.
    fn runs_low(&self, limit: u64) -> bool {
        self.taken.is_some_and(|taken| taken < limit) && self.in_hand <= most_in_hand(limit) / LOW
    }

    fn figures(&self, limit: u64) -> Option<Figures> {
        Some(Figures {
            limit,
            remaining: match self.taken {
                Some(taken) => limit.saturating_sub(taken - self.in_hand),
                // Of no calls none remain, whatever the store has.
                None if limit == 0 => 0,
                None => return None,
            },
            reset_time: self.day.end(),
        })
    }
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;
