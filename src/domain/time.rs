//! Instants as Keyward counts them: whole milliseconds, UTC. Something is good at `now` while `now < end`.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, SecondsFormat};

const DAY_MILLIS: i64 = 86_400_000;

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last instant that the wire's timestamps can name: 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant and `span` more, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis)).min(Self::MAX)
    }

    /// This instant less `span`.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// How long it is from `earlier` to this instant; zero when it is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// 00:00 UTC as the day named `YYYY-MM-DD` begins.
    #[must_use]
    pub fn start_of_day(date: &str) -> Option<Self> {
        let digit = |(place, byte): (usize, u8)| matches!(place, 4 | 7) || byte.is_ascii_digit();
        if date.len() != "2027-01-31".len() || !date.bytes().enumerate().all(digit) {
            return None;
        }
        let day = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
        Some(Self(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()))
    }
}

/// A day in UTC, counted from the epoch's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Day(i32);

impl Day {
    /// By its number; the epoch's is 0.
    #[must_use]
    pub const fn numbered(number: i32) -> Self {
        Self(number)
    }

    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The day that an instant belongs to.
    #[must_use]
    pub fn of(time: Timestamp) -> Self {
        let number = time.0.div_euclid(DAY_MILLIS);
        Self(i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX }))
    }

    /// 00:00 UTC as it begins.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        Timestamp(self.0 as i64 * DAY_MILLIS)
    }

    /// 00:00 UTC as the next one begins.
    #[must_use]
    pub const fn end(self) -> Timestamp {
        Timestamp((self.0 as i64 + 1) * DAY_MILLIS)
    }

    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The day that lies `days` before.
    #[must_use]
    pub const fn before(self, days: i32) -> Self {
        Self(self.0.saturating_sub(days))
    }
}

/// `YYYY-MM-DD`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.start().0) {
            Some(time) => write!(f, "{}", time.date_naive()),
            None => write!(f, "day {}", self.0),
        }
    }
}

/// RFC 3339 in UTC, with milliseconds where there are any.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_means_midnight_utc_as_that_day_begins() {
        let day = Timestamp::start_of_day("2027-01-31").unwrap();
        assert_eq!(day.to_string(), "2027-01-31T00:00:00Z");
        for bad in [
            "2027-02-30",
            "2027-1-31",
            "31.01.2027",
            "",
            "2027-01-31T00:00:00Z",
            "02027-1-31",
            "+999-01-01",
            "-999-01-01",
        ] {
            assert_eq!(Timestamp::start_of_day(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight_utc_to_the_millisecond() {
        let midnight = Timestamp::start_of_day("2027-01-31").unwrap();
        let day = Day::of(midnight);
        assert_eq!(
            (day.start(), day.to_string()),
            (midnight, "2027-01-31".into())
        );
        let table = [
            (midnight.as_millis() - 1, "2027-01-30"),
            (midnight.as_millis() + DAY_MILLIS - 1, "2027-01-31"),
            (midnight.as_millis() + DAY_MILLIS, "2027-02-01"),
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
        ];
        for (millis, named) in table {
            assert_eq!(Day::of(Timestamp::from_millis(millis)).to_string(), named);
        }
        assert_eq!(day.end(), Day::numbered(day.number() + 1).start());
        assert_eq!(day.before(31).to_string(), "2026-12-31");
    }

    #[test]
    fn spans_never_leave_what_the_wire_can_name() {
        assert_eq!(Timestamp::MAX.after(Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(
            Timestamp::from_millis(5).after(Duration::from_millis(7)),
            Timestamp::from_millis(12)
        );
        assert_eq!(
            Timestamp::from_millis(5).before(Duration::from_millis(7)),
            Timestamp::from_millis(-2)
        );
        assert_eq!(
            Timestamp::from_millis(5).since(Timestamp::from_millis(9)),
            Duration::ZERO
        );
    }
}
