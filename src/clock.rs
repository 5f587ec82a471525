//! The time that decisions are made by: the wall clock, but never earlier than a floor that a clock set back cannot move.
//!
//! The floor is kept in the store. It advances only by time that has passed on the monotonic clock, so that a wall clock
//! that leaps into a far year does not carry the floor there.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::time::Timestamp;

/// A source of time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time by which decisions are made.
    fn now(&self) -> Timestamp;

    /// Time that has passed since an instant of the clock's own choice, whatever is done to the wall clock.
    fn steady(&self) -> Duration;

    /// What is kept in the store so that a restart does not go back behind it.
    fn floor(&self) -> Timestamp;

    /// The store's floor, as it was found when it was opened. Never lowers it.
    fn raise_floor(&self, kept: Timestamp);
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    /// What the floor was when this clock started, in milliseconds.
    base: AtomicI64,
}

impl SystemClock {
    #[must_use]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            base: AtomicI64::new(0),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        wall().max(self.floor())
    }

    fn steady(&self) -> Duration {
        self.started.elapsed()
    }

    fn floor(&self) -> Timestamp {
        Timestamp::from_millis(self.base.load(Ordering::Relaxed)).after(self.started.elapsed())
    }

    fn raise_floor(&self, kept: Timestamp) {
        let passed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.base
            .fetch_max(kept.as_millis().saturating_sub(passed), Ordering::Relaxed);
    }
}

/// The wall clock alone.
#[must_use]
pub fn wall() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::default().after(since)
}

/// A clock that tests set.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self(AtomicI64::new(time.as_millis()))
    }

    pub fn set(&self, time: Timestamp) {
        self.0.store(time.as_millis(), Ordering::SeqCst);
    }

    pub fn advance(&self, span: std::time::Duration) {
        self.set(self.now().after(span));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Duration {
        self.now().since(Timestamp::default())
    }

    fn floor(&self) -> Timestamp {
        self.now()
    }

    fn raise_floor(&self, kept: Timestamp) {
        self.0.fetch_max(kept.as_millis(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_behind_the_kept_floor_goes_on_from_the_floor() {
        let clock = SystemClock::new();
        let future = wall().after(std::time::Duration::from_secs(3_600));
        clock.raise_floor(future);
        assert!(clock.now() >= future);
    }

    #[test]
    fn a_floor_raised_late_is_not_carried_ahead() {
        let clock = SystemClock {
            started: Instant::now() - std::time::Duration::from_secs(60),
            base: AtomicI64::new(0),
        };
        let kept = wall();
        clock.raise_floor(kept);
        assert!(
            clock.floor() < kept.after(std::time::Duration::from_secs(30)),
            "a minute had passed before"
        );
    }

    #[test]
    fn the_floor_follows_the_time_that_passed_and_not_the_wall() {
        let clock = SystemClock::new();
        clock.raise_floor(Timestamp::from_millis(1_000));
        assert!(clock.floor() < wall());
        assert!(clock.now() >= wall().min(clock.now()));
    }
}
