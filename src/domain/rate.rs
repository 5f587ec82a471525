//! How often a token may be used: so many calls in a span, and how many of them at once.

use std::num::NonZeroU32;
use std::time::Duration;

use super::field::Rule;
use super::limits;

/// Calls per span; after a pause up to `burst` of them at once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RateLimit {
    pub calls: NonZeroU32,
    /// Whole milliseconds, at least one.
    pub per: Duration,
    pub burst: NonZeroU32,
}

impl RateLimit {
    /// The limit, and each value that breaks a rule by its name. A burst of 0 is as many as `calls`.
    pub fn new(calls: u32, per: Duration, burst: u32) -> Result<Self, Vec<(&'static str, Rule)>> {
        let counted = NonZeroU32::new(calls).filter(|calls| calls.get() <= limits::RATE_CALLS);
        let at_once = NonZeroU32::new(burst).or(counted);
        let mut wrong = Vec::new();
        if counted.is_none() {
            wrong.push(("calls", format!("must be 1 to {}", limits::RATE_CALLS)));
        }
        if !limits::RATE_PER.contains(&per) {
            wrong.push(("per", "must be 1 ms to 1 day".into()));
        }
        if burst > limits::RATE_CALLS {
            let most = limits::RATE_CALLS;
            wrong.push(("burst", format!("must be at most {most}; 0: as calls")));
        }
        if let (Some(calls), Some(burst), []) = (counted, at_once, &wrong[..])
            && per
                .checked_mul(burst.get())
                .is_none_or(|span| span / calls.get() > limits::RATE_REFILL)
        {
            let days = limits::RATE_REFILL.as_secs() / 86_400;
            wrong.push((
                "burst",
                format!("must be as many calls as come in {days} days, or fewer"),
            ));
        }
        match (counted, at_once) {
            (Some(calls), Some(burst)) if wrong.is_empty() => Ok(Self { calls, per, burst }),
            _ => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_limit_has_calls_a_span_and_a_burst_within_their_bounds() {
        let day = Duration::from_secs(86_400);
        let (most, ms) = (limits::RATE_CALLS, Duration::from_millis(1));
        for (calls, per, burst) in [
            (1, ms, 1),
            (most, day, most),
            (100, SECOND, 0),
            (1, day, 366),
        ] {
            assert!(RateLimit::new(calls, per, burst).is_ok(), "{calls} {burst}");
        }
        for (calls, per, burst, wrong) in [
            (0, SECOND, 1, "calls"),
            (0, SECOND, 0, "calls"),
            (most + 1, SECOND, 0, "calls"),
            (1, Duration::ZERO, 0, "per"),
            (1, day + ms, 0, "per"),
            (1, SECOND, most + 1, "burst"),
            (1, day, 367, "burst"),
        ] {
            let named = RateLimit::new(calls, per, burst).unwrap_err();
            assert_eq!(named.len(), 1, "{named:?}");
            assert_eq!(named[0].0, wrong);
        }
        let all = RateLimit::new(0, Duration::ZERO, most + 1).unwrap_err();
        assert_eq!(all.len(), 3, "all that is wrong is named at once");
    }

    #[test]
    fn without_a_burst_all_calls_of_a_span_may_come_at_once() {
        assert_eq!(RateLimit::new(100, SECOND, 0).unwrap().burst.get(), 100);
        assert_eq!(RateLimit::new(100, SECOND, 20).unwrap().burst.get(), 20);
    }
}
