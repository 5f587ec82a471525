//! A token's own rate: so many calls in a span, by GCRA. In memory alone: a restart begins with a full burst.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use papaya::HashMap;

use crate::domain::budget::Spent;
use crate::domain::id::TokenId;
use crate::domain::rate::RateLimit;

/// The tokens whose rate was asked for lately. Times are monotonic, since an instant of the process's own choice: a wall clock
/// that leaps must lock nobody out.
#[derive(Debug, Default)]
pub struct Rates {
    buckets: HashMap<TokenId, Arc<Bucket>>,
}

/// How much of its burst a token has used up: when it would be whole again, and of what limit.
#[derive(Debug, Default)]
struct Bucket(Mutex<State>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    limit: Option<RateLimit>,
    /// GCRA's theoretical arrival time.
    arrival: Option<Nanos>,
    /// It was whole and has been forgotten: there may be another one by now.
    forgotten: bool,
}

impl Rates {
    /// Lets a call of a cost in, or says when it would be. A cost above the burst is never let in.
    pub fn spend(&self, token: TokenId, limit: RateLimit, cost: u64, now: Duration) -> Spent {
        loop {
            let bucket = self.bucket(token);
            let mut state = bucket.lock();
            if state.forgotten {
                continue;
            }
            let (spent, arrival) = state.under(limit).ask(cost, now);
            *state = State {
                arrival,
                ..state.under(limit)
            };
            return spent;
        }
    }

    /// What `spend` would say.
    #[must_use]
    pub fn peek(&self, token: TokenId, limit: RateLimit, cost: u64, now: Duration) -> Spent {
        let buckets = self.buckets.pin();
        let state = buckets.get(&token).map(|bucket| *bucket.lock());
        state.unwrap_or_default().under(limit).ask(cost, now).0
    }

    /// Forgets the tokens whose burst is whole again.
    pub fn forget_whole(&self, now: Duration) {
        self.buckets.pin().retain(|_, bucket| {
            let mut state = bucket.lock();
            state.forgotten = state.arrival.is_none_or(|end| Duration::from(end) <= now);
            !state.forgotten
        });
    }

    fn bucket(&self, token: TokenId) -> Arc<Bucket> {
        let buckets = self.buckets.pin();
        match buckets.get(&token) {
            Some(bucket) => Arc::clone(bucket),
            None => Arc::clone(buckets.get_or_insert_with(token, Arc::default)),
        }
    }
}

impl Bucket {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The state for a limit: a new limit begins with a full burst.
    fn under(self, limit: RateLimit) -> Self {
        if self.limit == Some(limit) {
            self
        } else {
            Self {
                limit: Some(limit),
                arrival: None,
                forgotten: false,
            }
        }
    }

    /// The library's answer, and what it would leave.
    fn ask(self, cost: u64, now: Duration) -> (Spent, Option<Nanos>) {
        let never = (Spent::Refused { retry_after: None }, self.arrival);
        let (Some(limit), Ok(cost)) = (self.limit, u32::try_from(cost)) else {
            return never;
        };
        let Some(quota) = quota(limit) else {
            return never;
        };
        // Beyond the burst the library's times would run over.
        if cost > limit.burst.get() {
            return never;
        }
        let limiter = Limiter::new(quota, Kept(self.arrival.into()), At::default());
        limiter.clock().0.set(now);
        let cost = NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN);
        let spent = match limiter.check_n(cost) {
            Err(_) => Spent::Refused { retry_after: None },
            Ok(Ok(())) => Spent::Paid,
            Ok(Err(until)) => Spent::Refused {
                retry_after: Some(whole_millis(until.wait_time_from(now))),
            },
        };
        (spent, limiter.into_state_store().0.get())
    }
}

/// The limit in the library's words.
fn quota(limit: RateLimit) -> Option<Quota> {
    let every = limit.per.as_nanos() / u128::from(limit.calls.get());
    let every = Duration::from_nanos(u64::try_from(every).ok()?.max(1));
    Some(Quota::with_period(every)?.allow_burst(limit.burst))
}

/// Decisions count in milliseconds: at the end of this wait, and not before, the call is let in.
fn whole_millis(wait: Duration) -> Duration {
    let millis = wait.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// The library, for the length of one question.
type Limiter = RateLimiter<NotKeyed, Kept, At, NoOpMiddleware<Duration>>;

/// The library's state for the length of one question.
struct Kept(Cell<Option<Nanos>>);

impl StateStore for Kept {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (answer, arrival) = measure(self.0.get())?;
        self.0.set(Some(arrival));
        Ok(answer)
    }
}

/// The instant of one question. Zero while the library takes it for its start, so that times mean the same every time.
#[derive(Default)]
struct At(Cell<Duration>);

impl Clock for At {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limits;

    const SECOND: Duration = Duration::from_secs(1);
    const NOW: Duration = Duration::from_secs(1_000);

    fn token() -> TokenId {
        TokenId::parse("0123456789ABCDEFGHIJKL").unwrap()
    }

    fn limit(calls: u32, per: Duration, burst: u32) -> RateLimit {
        RateLimit::new(calls, per, burst).unwrap()
    }

    fn refused(millis: u64) -> Spent {
        Spent::Refused {
            retry_after: Some(Duration::from_millis(millis)),
        }
    }

    #[test]
    fn a_burst_is_let_in_and_then_one_call_at_a_time() {
        let (rates, limit) = (Rates::default(), limit(10, SECOND, 3));
        let spend = |now| rates.spend(token(), limit, 1, now);
        assert_eq!([NOW; 3].map(spend), [Spent::Paid; 3]);
        assert_eq!(spend(NOW), refused(100));
        let early = NOW + Duration::from_millis(99);
        assert_eq!(spend(early), refused(1), "to the millisecond");
        let due = NOW + Duration::from_millis(100);
        assert_eq!((spend(due), spend(due)), (Spent::Paid, refused(100)));
        assert_eq!(
            [NOW + SECOND; 3].map(spend),
            [Spent::Paid; 3],
            "whole again"
        );
    }

    #[test]
    fn whoever_waits_as_told_is_let_in_and_not_a_millisecond_before() {
        for (calls, per) in [(3, 1_000), (7, 60_000), (1, 1), (1_000_000, 1_000)] {
            let (rates, limit) = (
                Rates::default(),
                limit(calls, Duration::from_millis(per), 2),
            );
            let spend = |now| rates.spend(token(), limit, 2, now);
            assert_eq!(spend(NOW), Spent::Paid);
            let Spent::Refused {
                retry_after: Some(wait),
            } = spend(NOW)
            else {
                panic!("a burst is used up");
            };
            let before = NOW + wait - Duration::from_millis(1);
            assert_ne!(rates.peek(token(), limit, 2, before), Spent::Paid);
            assert_eq!(spend(NOW + wait), Spent::Paid, "{calls} in {per} ms");
        }
    }

    #[test]
    fn a_cost_is_paid_whole_and_never_beyond_the_burst() {
        let (rates, limit) = (Rates::default(), limit(10, SECOND, 5));
        assert_eq!(rates.spend(token(), limit, 4, NOW), Spent::Paid);
        assert_eq!(rates.spend(token(), limit, 2, NOW), refused(100));
        assert_eq!(
            rates.spend(token(), limit, 1, NOW),
            Spent::Paid,
            "refused ones take nothing"
        );
        let never = Spent::Refused { retry_after: None };
        for cost in [6, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(rates.spend(token(), limit, cost, NOW), never, "{cost}");
        }
    }

    #[test]
    fn no_cost_is_so_large_that_it_counts_as_a_small_one() {
        let day = Duration::from_secs(86_400);
        let never = Spent::Refused { retry_after: None };
        for (per, burst) in [(day, 1), (day, 366), (SECOND * 5, 1)] {
            let (rates, limit) = (Rates::default(), limit(1, per, burst));
            let span = u128::from(u64::MAX) / per.as_nanos();
            let costs = [1, 2].map(|times| u64::try_from(span * times + 2).unwrap());
            for cost in costs.into_iter().chain([u64::from(u32::MAX)]) {
                assert_eq!(rates.spend(token(), limit, cost, NOW), never, "{cost}");
                assert_eq!(rates.peek(token(), limit, cost, NOW), never, "{cost}");
            }
        }
    }

    #[test]
    fn looking_takes_nothing() {
        let (rates, limit) = (Rates::default(), limit(1, SECOND, 1));
        for _ in 0..3 {
            assert_eq!(rates.peek(token(), limit, 1, NOW), Spent::Paid);
        }
        assert_eq!(rates.spend(token(), limit, 1, NOW), Spent::Paid);
        assert_eq!(rates.peek(token(), limit, 1, NOW), refused(1_000));
    }

    #[test]
    fn a_changed_limit_begins_with_a_full_burst() {
        let (rates, slow, fast) = (Rates::default(), limit(1, SECOND, 1), limit(2, SECOND, 1));
        assert_eq!(rates.spend(token(), slow, 1, NOW), Spent::Paid);
        assert_eq!(rates.spend(token(), fast, 1, NOW), Spent::Paid);
        assert_eq!(rates.spend(token(), fast, 1, NOW), refused(500));
    }

    #[test]
    fn a_token_is_forgotten_once_its_burst_is_whole_and_no_sooner() {
        let (rates, limit) = (Rates::default(), limit(10, SECOND, 3));
        assert_eq!(rates.spend(token(), limit, 2, NOW), Spent::Paid);
        rates.forget_whole(NOW + Duration::from_millis(199));
        assert_eq!(rates.buckets.len(), 1);
        rates.forget_whole(NOW + Duration::from_millis(200));
        assert_eq!(rates.buckets.len(), 0);
    }

    #[test]
    fn the_largest_and_the_smallest_limits_are_kept() {
        let (most, day) = (limits::RATE_CALLS, Duration::from_secs(86_400));
        for (calls, per, burst) in [
            (1, day, 366),
            (most, day, most),
            (most, Duration::from_millis(1), most),
        ] {
            let (rates, limit) = (Rates::default(), limit(calls, per, burst));
            let cost = u64::from(burst);
            assert_eq!(rates.spend(token(), limit, cost, NOW), Spent::Paid);
            assert_ne!(rates.spend(token(), limit, cost, NOW), Spent::Paid);
        }
    }

    #[test]
    fn callers_at_once_get_the_burst_and_no_more() {
        let (rates, limit) = (Rates::default(), limit(1, SECOND, 1_000));
        let let_in = || {
            (0..500)
                .filter(|_| rates.spend(token(), limit, 1, NOW) == Spent::Paid)
                .count()
        };
        let all: usize = std::thread::scope(|threads| {
            let callers: Vec<_> = (0..8).map(|_| threads.spawn(let_in)).collect();
            callers
                .into_iter()
                .map(|caller| caller.join().unwrap())
                .sum()
        });
        assert_eq!(all, 1_000);
    }
}
