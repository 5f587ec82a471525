//! Wire ⇄ domain. What is wrong with a request is collected field by field, so that one answer names all of it.

pub(super) mod account;
pub(super) mod directory;
pub(super) mod event;
pub(super) mod page;
mod rate;
pub(super) mod secret;
pub(super) mod token;
pub(super) mod usage;
pub(super) mod validation;

use std::time::Duration;

use crate::domain::field::{self, Rule, Violation};
use crate::domain::limits;
use crate::domain::time::Timestamp;
use crate::registry::Error;

/// Collects what is wrong with a request.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<Violation>);

impl Fields {
    /// The value, or a stand-in and a note of what is wrong.
    pub(super) fn take<T: Default>(&mut self, field: &str, value: Result<T, Rule>) -> T {
        value.unwrap_or_else(|rule| {
            self.wrong(field, rule);
            T::default()
        })
    }

    /// The same for what has no stand-in.
    pub(super) fn check<T>(&mut self, field: &str, value: Result<T, Rule>) -> Option<T> {
        value.map_err(|rule| self.wrong(field, rule)).ok()
    }

    pub(super) fn wrong(&mut self, field: &str, rule: impl Into<String>) {
        self.0.push(Violation::new(field, rule));
    }

    /// Everything was right, or all that was not.
    pub(super) fn finish(self) -> Result<(), Error> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(self.0))
        }
    }
}

/// An id that must be given; whether there is such a thing is found out later.
pub(super) fn required(field: &str, id: &str) -> Result<(), Error> {
    if id.is_empty() {
        Err(Error::invalid(field, "is required"))
    } else {
        Ok(())
    }
}

/// A request id, where there is one.
pub(super) fn request_id(text: &str) -> Result<Option<String>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = field::printable(text, limits::REQUEST_ID_CHARS);
    id.map(Some)
        .map_err(|rule| Error::invalid("request_id", rule))
}

pub(super) fn wire_time(time: Timestamp) -> prost_types::Timestamp {
    let millis = time.as_millis();
    prost_types::Timestamp {
        seconds: millis.div_euclid(1_000),
        nanos: i32::try_from(millis.rem_euclid(1_000) * 1_000_000).expect("less than a second"),
    }
}

/// An instant; what lies between two milliseconds counts as the earlier one.
pub(super) fn time(wire: &prost_types::Timestamp) -> Result<Timestamp, Rule> {
    let valid = (0..1_000_000_000).contains(&wire.nanos);
    let millis = wire
        .seconds
        .checked_mul(1_000)
        .map(|millis| millis.saturating_add(i64::from(wire.nanos / 1_000_000)));
    match millis.map(Timestamp::from_millis) {
        Some(time) if valid && (EARLIEST..=Timestamp::MAX).contains(&time) => Ok(time),
        _ => Err("must be a timestamp of the years 1 to 9999".into()),
    }
}

/// 0001-01-01T00:00:00Z, where the wire's timestamps begin.
const EARLIEST: Timestamp = Timestamp::from_millis(-62_135_596_800_000);

pub(super) fn wire_span(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).expect("less than a second"),
    }
}

/// A span of time that is not negative; parts of a millisecond are dropped.
pub(super) fn span(wire: &prost_types::Duration) -> Result<Duration, Rule> {
    match (u64::try_from(wire.seconds), u32::try_from(wire.nanos)) {
        (Ok(seconds), Ok(nanos)) if seconds <= LONGEST && nanos < 1_000_000_000 => Ok(
            Duration::from_millis(seconds * 1_000 + u64::from(nanos / 1_000_000)),
        ),
        _ => Err("must be a duration that is not negative and at most 10000 years".into()),
    }
}

/// The longest of the wire's durations, in seconds.
const LONGEST: u64 = 315_576_000_000;

/// A bound on concurrent connections.
pub(super) fn connections(most: u32) -> Result<u32, Rule> {
    if most > limits::CONNECTIONS {
        Err(format!("must be at most {}", limits::CONNECTIONS))
    } else {
        Ok(most)
    }
}

/// The paths of an update mask: at least one.
pub(super) fn paths(mask: Option<&prost_types::FieldMask>) -> Result<&[String], Error> {
    match mask {
        Some(mask) if !mask.paths.is_empty() => Ok(&mask.paths),
        _ => Err(Error::invalid(
            "update_mask",
            "is required: name the fields to change",
        )),
    }
}

/// A path that a mask cannot hold.
pub(super) fn bad_path(fields: &mut Fields, path: &str, immutable: &[&str], mutable: &[&str]) {
    let known = immutable.contains(&path);
    let path = field::repeated(path);
    let rule = if known {
        format!("names {path:?}, which cannot be changed")
    } else {
        format!("names {path:?}, which is none of {}", mutable.join(", "))
    };
    fields.wrong("update_mask", rule);
}

/// What may be left out, parsed where it is not.
pub(super) fn optional<T>(
    text: &str,
    parse: fn(&str) -> Result<T, Rule>,
) -> Result<Option<T>, Rule> {
    if text.is_empty() {
        Ok(None)
    } else {
        parse(text).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_wire_s_range() {
        let wire = |seconds, nanos| prost_types::Timestamp { seconds, nanos };
        assert_eq!(time(&wire(1, 1_999_999)), Ok(Timestamp::from_millis(1_001)));
        assert_eq!(time(&wire_time(Timestamp::MAX)), Ok(Timestamp::MAX));
        assert_eq!(
            time(&wire_time(Timestamp::from_millis(-1))),
            Ok(Timestamp::from_millis(-1))
        );
        for (seconds, nanos) in [
            (253_402_300_800, 0),
            (i64::MAX, 0),
            (i64::MIN, 0),
            (0, -1),
            (0, 1_000_000_000),
        ] {
            assert!(time(&wire(seconds, nanos)).is_err(), "{seconds} {nanos}");
        }
    }

    #[test]
    fn spans_are_not_negative() {
        let wire = |seconds, nanos| prost_types::Duration { seconds, nanos };
        assert_eq!(
            span(&wire(2, 500_000_000)),
            Ok(Duration::from_millis(2_500))
        );
        for (seconds, nanos) in [(-1, 0), (0, -1), (1, 1_000_000_000), (i64::MAX, 0)] {
            assert!(span(&wire(seconds, nanos)).is_err(), "{seconds} {nanos}");
        }
    }
}
