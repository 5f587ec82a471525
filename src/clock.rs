//! The time that decisions are made by: the wall clock, but never earlier than a floor that a clock set back cannot move.
//!
//! The floor is kept in the store. It advances only by time that has passed on the monotonic clock, so that a wall clock
//! that leaps into a far year does not carry the floor there. Decisions follow such a leap; what is committed does not: it
//! goes by the settled time, so that after the clock has returned all is as before.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::domain::time::Timestamp;

/// How far the wall clock may run ahead of the time that has passed before that is a leap.
pub const LEAP: Duration = Duration::from_secs(60);

/// A source of time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The clocks as they stand.
    fn read(&self) -> Reading;

    /// The store's floor, as it was found when it was opened. Never lowers it.
    fn raise_floor(&self, kept: Timestamp);

    /// The time by which decisions are made.
    fn now(&self) -> Timestamp {
        self.read().now()
    }

    /// The time by which changes are made, and all that cannot be taken back: `now`, but not ahead of it while the wall clock
    /// has leapt.
    fn settled(&self) -> Timestamp {
        self.read().settled()
    }

    /// Has the wall clock leapt ahead of the time that has passed since this clock was made?
    fn leapt(&self) -> bool {
        self.read().leapt()
    }

    /// What is kept in the store so that a restart does not go back behind it.
    fn floor(&self) -> Timestamp {
        self.read().floor()
    }

    /// The time that has passed since this clock was made, whatever the wall clock says: for spans such as a rate's. It counts
    /// while the machine sleeps.
    fn steady(&self) -> Duration {
        self.read().steady
    }
}

/// What the clocks said at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    wall: Timestamp,
    steady: Duration,
    /// What the wall clock said when the clock was made.
    start: Timestamp,
    /// What the floor would have been then.
    base: Timestamp,
}

impl Reading {
    /// As `Clock::now`.
    #[must_use]
    pub fn now(self) -> Timestamp {
        self.wall.max(self.floor())
    }

    fn floor(self) -> Timestamp {
        self.base.after(self.steady)
    }

    /// The time as it is by what has passed.
    fn passed(self) -> Timestamp {
        self.start.after(self.steady).max(self.floor())
    }

    fn leapt(self) -> bool {
        self.wall > self.passed().after(LEAP)
    }

    /// As `Clock::settled`.
    #[must_use]
    pub fn settled(self) -> Timestamp {
        if self.leapt() {
            self.passed()
        } else {
            self.now()
        }
    }
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    made: Duration,
    start: Timestamp,
    /// In milliseconds.
    base: AtomicI64,
}

impl SystemClock {
    #[must_use]
    pub fn new() -> Self {
        Self {
            made: since_boot(),
            start: wall(),
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
    fn read(&self) -> Reading {
        Reading {
            wall: wall(),
            steady: self.steady(),
            start: self.start,
            base: Timestamp::from_millis(self.base.load(Ordering::Relaxed)),
        }
    }

    fn raise_floor(&self, kept: Timestamp) {
        let base = kept.before(self.steady());
        self.base.fetch_max(base.as_millis(), Ordering::Relaxed);
    }

    fn steady(&self) -> Duration {
        since_boot().saturating_sub(self.made)
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

/// The monotonic clock that goes on while the machine sleeps: waking up is no leap.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

/// A clock that tests set.
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Reading>);

impl ManualClock {
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self(Mutex::new(Reading {
            wall: time,
            start: time,
            ..Reading::default()
        }))
    }

    /// It is `time` by every clock, whatever was before.
    pub fn set(&self, time: Timestamp) {
        let mut reading = self.lock();
        let before = reading.now();
        reading.steady += time.since(before);
        reading.wall = time;
        reading.start = time.before(reading.steady);
        reading.base = reading.base.min(reading.start);
    }

    /// Time passes.
    pub fn advance(&self, span: Duration) {
        let mut reading = self.lock();
        reading.wall = reading.wall.after(span);
        reading.steady += span;
    }

    /// The wall clock alone goes ahead.
    pub fn leap(&self, span: Duration) {
        let mut reading = self.lock();
        reading.wall = reading.wall.after(span);
    }

    /// The wall clock alone is set back.
    pub fn set_back(&self, span: Duration) {
        let mut reading = self.lock();
        reading.wall = reading.wall.before(span);
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn read(&self) -> Reading {
        *self.lock()
    }

    fn raise_floor(&self, kept: Timestamp) {
        let mut reading = self.lock();
        reading.base = reading.base.max(kept.before(reading.steady));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(86_400);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn a_clock_behind_the_kept_floor_goes_on_from_the_floor() {
        let clock = SystemClock::new();
        let future = wall().after(HOUR);
        clock.raise_floor(future);
        assert!(clock.now() >= future);
    }

    #[test]
    fn a_floor_raised_late_is_not_carried_ahead() {
        let clock = SystemClock {
            made: since_boot().saturating_sub(MINUTE),
            ..SystemClock::new()
        };
        let kept = wall();
        clock.raise_floor(kept);
        assert!(
            clock.floor() < kept.after(Duration::from_secs(30)),
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

    #[test]
    fn the_machine_s_clocks_go_forwards_together() {
        let clock = SystemClock::new();
        let before = clock.read();
        let after = clock.read();
        assert!(after.steady >= before.steady);
        assert!(!clock.leapt());
    }

    /// What a clock says, as spans since `START`: now, what is settled, and whether it has leapt.
    fn said(clock: &ManualClock) -> (Duration, Duration, bool) {
        let (now, settled) = (clock.now(), clock.settled());
        (now.since(START), settled.since(START), clock.leapt())
    }

    #[test]
    fn a_wall_clock_that_is_moved_leaves_what_is_settled() {
        let edge = LEAP + Duration::from_millis(1);
        type Move = fn(&ManualClock);
        let table: [(&str, Move, (Duration, Duration, bool)); 7] = [
            (
                "time passes",
                |clock| clock.advance(YEAR),
                (YEAR, YEAR, false),
            ),
            (
                "a minute ahead is no leap",
                |clock| clock.leap(LEAP),
                (LEAP, LEAP, false),
            ),
            (
                "a millisecond more is one",
                |clock| clock.leap(LEAP + Duration::from_millis(1)),
                (edge, Duration::ZERO, true),
            ),
            (
                "a leap of a year, and an hour in it",
                |clock| {
                    clock.leap(YEAR);
                    clock.advance(HOUR);
                },
                (YEAR + HOUR, HOUR, true),
            ),
            (
                "the clock returns from a leap",
                |clock| {
                    clock.leap(YEAR);
                    clock.advance(HOUR);
                    clock.set_back(YEAR);
                },
                (HOUR, HOUR, false),
            ),
            (
                "set back a day",
                |clock| {
                    clock.advance(HOUR);
                    clock.set_back(DAY);
                },
                (HOUR, HOUR, false),
            ),
            (
                "set back, and right again a day later",
                |clock| {
                    clock.set_back(DAY);
                    clock.advance(DAY);
                    clock.leap(DAY);
                },
                (DAY, DAY, false),
            ),
        ];
        for (case, moved, expected) in table {
            let clock = ManualClock::at(START);
            clock.raise_floor(START);
            moved(&clock);
            assert_eq!(said(&clock), expected, "{case}");
        }
    }

    #[test]
    fn a_clock_that_starts_behind_the_floor_and_is_put_right_has_not_leapt() {
        let clock = ManualClock::at(START.before(DAY));
        clock.raise_floor(START);
        assert_eq!(said(&clock), (Duration::ZERO, Duration::ZERO, false));
        clock.leap(DAY);
        assert_eq!(said(&clock), (Duration::ZERO, Duration::ZERO, false));
    }

    #[test]
    fn what_has_passed_is_told_apart_from_what_the_wall_says() {
        let clock = ManualClock::at(START);
        clock.leap(YEAR);
        clock.set_back(DAY);
        assert_eq!(clock.steady(), Duration::ZERO);
        clock.advance(HOUR);
        assert_eq!(clock.steady(), HOUR);
        clock.set(clock.now().after(MINUTE));
        assert_eq!(clock.steady(), HOUR + MINUTE);
        assert!(!clock.leapt(), "all clocks were set");
    }
}
