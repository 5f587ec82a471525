//! How a setting's text becomes its value, and what is said of one that cannot.

use std::time::Duration;

/// A time that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OrOff(pub(super) Option<Duration>);

/// A parser of times from `least` to `most`: a whole number and ms, s, m, h or d.
pub(super) fn duration(
    least: Duration,
    most: Duration,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        time(text)
            .filter(|time| (least..=most).contains(time))
            .ok_or_else(|| {
                format!(
                    "must be a time from {least:?} to {most:?}, such as 500ms, 5s, 2m, 1h or 7d"
                )
            })
    }
}

/// As `duration`, and `off`.
pub(super) fn optional_duration(
    least: Duration,
    most: Duration,
) -> impl Fn(&str) -> Result<OrOff, String> + Clone + Send + Sync + 'static {
    let duration = duration(least, most);
    move |text| match text {
        "off" => Ok(OrOff(None)),
        time => duration(time)
            .map(|time| OrOff(Some(time)))
            .map_err(|rule| format!("{rule}, or off")),
    }
}

fn time(text: &str) -> Option<Duration> {
    let unit_at = text.find(|character: char| !character.is_ascii_digit())?;
    let (digits, unit) = text.split_at(unit_at);
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(amount)),
        "s" => Some(Duration::from_secs(amount)),
        "m" => amount.checked_mul(60).map(Duration::from_secs),
        "h" => amount.checked_mul(3600).map(Duration::from_secs),
        "d" => amount.checked_mul(86_400).map(Duration::from_secs),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_whole_number_and_a_unit_within_its_bounds() {
        let parse = duration(Duration::from_millis(100), Duration::from_secs(3600));
        for (text, expected) in [
            ("100ms", Some(Duration::from_millis(100))),
            ("5s", Some(Duration::from_secs(5))),
            ("2m", Some(Duration::from_secs(120))),
            ("1h", Some(Duration::from_secs(3600))),
            ("99ms", None),
            ("3601s", None),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("", None),
            ("1d", None),
            ("18446744073709551615h", None),
            ("18446744073709551615d", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(parse(text).ok(), expected, "{text:?}");
        }
        assert!(parse("1d").unwrap_err().contains("from 100ms to 3600s"));
        let days = duration(Duration::ZERO, Duration::from_secs(2 * 86_400));
        assert_eq!(days("2d"), Ok(Duration::from_secs(2 * 86_400)));
    }

    #[test]
    fn off_is_a_time_where_it_may_be() {
        let parse = optional_duration(Duration::from_secs(10), Duration::from_secs(60));
        assert_eq!(parse("off"), Ok(OrOff(None)));
        assert_eq!(parse("10s"), Ok(OrOff(Some(Duration::from_secs(10)))));
        assert!(parse("0s").unwrap_err().ends_with("or off"));
    }
}
