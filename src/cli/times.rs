//! Times and spans as people type them, and as they are shown: RFC 3339 in UTC.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use prost_types::{Duration as WireDuration, Timestamp};

/// No span is longer than this: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Units of a span in milliseconds, longest first.
const UNITS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// A point in time, or how far away one is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    At(DateTime<Utc>),
    /// 00:00 UTC as that day begins.
    Date(NaiveDate),
    /// From now, forwards or backwards as the question has it.
    Span(Duration),
}

/// When a token stops being good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expiry {
    Never,
    On(Moment),
}

impl Moment {
    /// The point in time; a span reaches forwards from `now`.
    pub(crate) fn ahead_of(self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.resolve(|span| now.checked_add_signed(span))
    }

    /// The point in time; a span reaches backwards from `now`.
    pub(crate) fn before(self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.resolve(|span| now.checked_sub_signed(span))
    }

    fn resolve(
        self,
        move_by: impl FnOnce(chrono::TimeDelta) -> Option<DateTime<Utc>>,
    ) -> DateTime<Utc> {
        match self {
            Self::At(time) => time,
            Self::Date(date) => date.and_time(NaiveTime::MIN).and_utc(),
            Self::Span(span) => chrono::TimeDelta::from_std(span)
                .ok()
                .and_then(move_by)
                .expect("a span of at most a hundred years stays in the calendar"),
        }
    }
}

/// Reads an RFC 3339 time, a date or a span.
pub(crate) fn parse_moment(text: &str) -> Result<Moment, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(Moment::At(time.to_utc()));
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(Moment::Date(date));
    }
    parse_span(text).map(Moment::Span).map_err(|_| {
        "expected a time (2027-01-31T12:00:00Z), a date (2027-01-31) or a span (90d, 12h30m)".into()
    })
}

/// Reads what `parse_moment` reads, or `never`.
pub(crate) fn parse_expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    parse_moment(text).map(Expiry::On)
}

/// Reads a span such as `90d`, `4h`, `1h30m`, `250ms` or `0`.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let expected = || "expected a span such as 90d, 4h, 1h30m, 45s, 250ms or 0".to_string();
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(expected)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| !c.is_ascii_lowercase())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_| expected())?;
        let (_, size) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(expected)?;
        total = number
            .checked_mul(*size)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(expected)?;
        rest = tail;
    }
    let span = Duration::from_millis(total);
    match text.is_empty() || span > LONGEST {
        true if text.is_empty() => Err(expected()),
        true => Err("a span is at most 100 years".into()),
        false => Ok(span),
    }
}

/// Reads a span that is not zero.
pub(crate) fn parse_nonzero_span(text: &str) -> Result<Duration, String> {
    match parse_span(text)? {
        Duration::ZERO => Err("expected more than 0".into()),
        span => Ok(span),
    }
}

/// `1h30m`; the shortest spelling that `parse_span` reads back.
pub(crate) fn show_span(span: Duration) -> String {
    let mut left = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0".into();
    }
    let mut text = String::new();
    for (name, size) in UNITS {
        // Weeks are read but not written: people compare days.
        if name != "w" && left >= size {
            text.push_str(&format!("{}{name}", left / size));
            left %= size;
        }
    }
    text
}

/// RFC 3339 in UTC, with a fraction only where there is one; empty for none.
pub(crate) fn show_time(time: Option<&Timestamp>) -> String {
    let Some(time) = time else {
        return String::new();
    };
    let nanos = u32::try_from(time.nanos).unwrap_or(0);
    match DateTime::from_timestamp(time.seconds, nanos) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => format!("{}s", time.seconds),
    }
}

/// A span as it came over the wire; empty for none.
pub(crate) fn show_wire_span(span: Option<&WireDuration>) -> String {
    let Some(span) = span else {
        return String::new();
    };
    match Duration::try_from(*span) {
        Ok(span) => show_span(span),
        Err(_) => format!("{}s", span.seconds),
    }
}

/// As the contract writes a point in time.
pub(crate) fn to_timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0),
    }
}

/// As the contract writes a span.
pub(crate) fn to_wire_span(span: Duration) -> WireDuration {
    WireDuration {
        seconds: i64::try_from(span.as_secs()).expect("at most a hundred years"),
        nanos: i32::try_from(span.subsec_nanos()).expect("below a second"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans_read_as_they_are_written() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("45s", 45_000),
            ("4h", 14_400_000),
            ("1h30m", 5_400_000),
            ("90d", 7_776_000_000),
            ("2w", 1_209_600_000),
            ("36500d", 3_153_600_000_000),
        ] {
            assert_eq!(
                parse_span(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in [
            "",
            "d",
            "90",
            "-1d",
            "1.5h",
            "1 d",
            "90D",
            "1y",
            "d90",
            "36501d",
            "1d ",
            "99999999999999999999d",
            "18446744073709551615ms",
            "1h-5m",
            "१d",
        ] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_is_a_time_a_date_or_a_span() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for (text, ahead, before) in [
            ("2027-01-31", "2027-01-31T00:00:00Z", "2027-01-31T00:00:00Z"),
            (
                "2027-01-31T02:00:00+02:00",
                "2027-01-31T00:00:00Z",
                "2027-01-31T00:00:00Z",
            ),
            ("1d", "2027-01-16T08:00:00Z", "2027-01-14T08:00:00Z"),
        ] {
            let moment = parse_moment(text).unwrap();
            let show = |time| show_time(Some(&to_timestamp(time)));
            assert_eq!(show(moment.ahead_of(now)), ahead, "{text}");
            assert_eq!(show(moment.before(now)), before, "{text}");
        }
        for text in ["2027-02-30", "tomorrow", "2027-01-31T00:00:00", "never"] {
            assert!(parse_moment(text).is_err(), "{text}");
        }
        assert_eq!(parse_expiry("never"), Ok(Expiry::Never));
    }

    #[test]
    fn times_that_no_calendar_holds_are_shown_as_seconds() {
        let time = Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        };
        assert_eq!(show_time(Some(&time)), format!("{}s", i64::MAX));
        assert_eq!(show_time(None), "");
    }

    proptest! {
        #[test]
        fn a_span_that_is_shown_reads_back(millis in 0..=3_153_600_000_000u64) {
            let span = Duration::from_millis(millis);
            prop_assert_eq!(parse_span(&show_span(span)), Ok(span));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in ".{0,40}") {
            let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
            if let Ok(moment) = parse_moment(&text) {
                moment.ahead_of(now);
                moment.before(now);
            }
        }

        #[test]
        fn a_time_that_is_shown_reads_back(seconds in -62_000_000_000..250_000_000_000i64, millis in 0..1000u32) {
            let time = DateTime::from_timestamp(seconds, millis * 1_000_000).unwrap();
            let shown = show_time(Some(&to_timestamp(time)));
            prop_assert_eq!(parse_moment(&shown), Ok(Moment::At(time)));
        }
    }
}
