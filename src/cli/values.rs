//! Values that several verbs take: ids, labels, limits that can be lifted, field masks.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use prost_types::FieldMask;

use super::failure::Failure;
use super::times::{parse_span, show_wire_span, to_wire_span};
use crate::api::proto::RateLimit;
use crate::domain::text::is_ours;

/// Reads an id; a token's whole text is not one.
pub(crate) fn parse_id(text: &str) -> Result<String, String> {
    match text {
        "" => Err("expected an id".into()),
        text if is_ours(text) => Err(
            "expected an id, not a token's text; secrets never belong on the command line".into(),
        ),
        id => Ok(id.to_owned()),
    }
}

/// Reads `key=value`.
pub(crate) fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected key=value".into()),
    }
}

/// Labels by key; a key given twice is a mistake.
pub(crate) fn labels(pairs: &[(String, String)]) -> Result<BTreeMap<String, String>, Failure> {
    let mut labels = BTreeMap::new();
    for (key, value) in pairs {
        if labels.insert(key.clone(), value.clone()).is_some() {
            return Err(Failure::usage(format!("the label {key} is given twice")));
        }
    }
    Ok(labels)
}

/// `a=1, b=2`.
pub(crate) fn show_map(map: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = map
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(", ")
}

/// A limit, or its absence, said in so many words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Limit<T> {
    None,
    At(T),
}

impl<T> Limit<T> {
    pub(crate) fn at(self) -> Option<T> {
        match self {
            Self::None => None,
            Self::At(value) => Some(value),
        }
    }
}

/// Calls in a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rate {
    calls: u32,
    per: Duration,
}

impl Rate {
    /// As the contract writes it; no burst is as many as the calls.
    pub(crate) fn wire(self, burst: Option<u32>) -> RateLimit {
        RateLimit {
            calls: self.calls,
            per: Some(to_wire_span(self.per)),
            burst: burst.unwrap_or_default(),
        }
    }
}

/// `100/1s, burst 20`; empty for none.
pub(crate) fn show_rate(limit: Option<&RateLimit>) -> String {
    limit.map_or_else(String::new, |limit| {
        let per = show_wire_span(limit.per.as_ref());
        format!("{}/{per}, burst {}", limit.calls, limit.burst)
    })
}

/// Reads `none`, or what `parse` reads.
pub(crate) fn parse_limit<T>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Limit<T>, String> {
    match text {
        "none" => Ok(Limit::None),
        text => parse(text)
            .map(Limit::At)
            .map_err(|why| format!("{why}, or none")),
    }
}

/// Reads a count, or `none`.
pub(crate) fn parse_count_limit(text: &str) -> Result<Limit<u32>, String> {
    parse_limit(text, |text| {
        u32::from_str(text).map_err(|_| "expected a count".into())
    })
}

/// Reads a count of calls, or `none`.
pub(crate) fn parse_calls_limit(text: &str) -> Result<Limit<u64>, String> {
    parse_limit(text, |text| {
        u64::from_str(text).map_err(|_| "expected a count".into())
    })
}

/// Reads calls in a span, such as `100/1s`, or `none`.
pub(crate) fn parse_rate_limit(text: &str) -> Result<Limit<Rate>, String> {
    parse_limit(text, parse_rate)
}

/// Reads calls in a span, such as `100/1s`.
pub(crate) fn parse_rate(text: &str) -> Result<Rate, String> {
    let expected = || "expected calls in a span, such as 100/1s".to_owned();
    let (calls, per) = text.split_once('/').ok_or_else(expected)?;
    Ok(Rate {
        calls: u32::from_str(calls).map_err(|_| expected())?,
        per: parse_span(per).map_err(|_| expected())?,
    })
}

/// Reads spans with commas between them, or `none`.
pub(crate) fn parse_spans_limit(text: &str) -> Result<Limit<Vec<Duration>>, String> {
    parse_limit(text, |text| text.split(',').map(parse_span).collect())
}

/// Reads a span, or `none`.
pub(crate) fn parse_span_limit(text: &str) -> Result<Limit<Duration>, String> {
    parse_limit(text, parse_span)
}

/// The paths that an update names, gathered while its values are.
#[derive(Debug, Default)]
pub(crate) struct Mask(Vec<String>);

impl Mask {
    /// The value, and its path in the mask, where there is one.
    pub(crate) fn set<T>(&mut self, path: &str, value: Option<T>) -> Option<T> {
        if value.is_some() {
            self.0.push(path.to_owned());
        }
        value
    }

    /// A list that is replaced where items are given, emptied where `clear` says so, and else left alone.
    pub(crate) fn set_list<T: Clone>(&mut self, path: &str, items: &[T], clear: bool) -> Vec<T> {
        self.set(path, (clear || !items.is_empty()).then(|| items.to_vec()))
            .unwrap_or_default()
    }

    /// How many paths there are so far.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The mask; one without a path is a mistake.
    pub(crate) fn finish(self) -> Result<FieldMask, Failure> {
        if self.0.is_empty() {
            return Err(
                Failure::usage("there is nothing to change: name at least one field")
                    .with_hint("--help lists the flags"),
            );
        }
        Ok(FieldMask { paths: self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_key_and_a_value_that_may_be_empty() {
        let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(parse_label("env=prod"), pair("env", "prod"));
        assert_eq!(parse_label("a=b=c"), pair("a", "b=c"));
        assert_eq!(parse_label("a="), pair("a", ""));
        assert!(parse_label("a").is_err());
        assert!(parse_label("=b").is_err());
        let twice = [parse_label("a=1").unwrap(), parse_label("a=2").unwrap()];
        assert_eq!(labels(&twice).unwrap_err().code, "USAGE");
    }

    #[test]
    fn a_limit_is_none_or_a_number() {
        assert_eq!(parse_count_limit("none"), Ok(Limit::None));
        assert_eq!(parse_count_limit("3"), Ok(Limit::At(3)));
        assert_eq!(
            parse_span_limit("4h"),
            Ok(Limit::At(Duration::from_secs(14_400)))
        );
        for text in ["-1", "", "None", "4294967296"] {
            assert!(parse_count_limit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn notices_and_rates_are_read_as_they_are_shown() {
        let day = Duration::from_secs(86_400);
        assert_eq!(parse_spans_limit("1d"), Ok(Limit::At(vec![day])));
        assert_eq!(
            parse_spans_limit("2d,1d"),
            Ok(Limit::At(vec![2 * day, day]))
        );
        assert_eq!(parse_spans_limit("none"), Ok(Limit::None));
        for (text, burst, shown) in [
            ("100/1s", None, "100/1s, burst 0"),
            ("5/1m30s", Some(20), "5/1m30s, burst 20"),
        ] {
            let wire = parse_rate(text).unwrap().wire(burst);
            assert_eq!(show_rate(Some(&wire)), shown);
        }
        assert_eq!(show_rate(None), "");
        for text in ["100", "100/", "/1s", "100/second", "-1/1s", "1/1s/1s"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        assert!(parse_spans_limit("1d,").is_err());
        assert!(parse_calls_limit("-1").is_err());
    }

    #[test]
    fn an_id_is_never_a_tokens_text() {
        assert!(parse_id("kw_dev_x").is_err());
        assert!(parse_id("").is_err());
        assert_eq!(parse_id("0123456789abcdefghijkl").unwrap().len(), 22);
    }

    #[test]
    fn a_mask_names_what_is_set_and_never_nothing() {
        let mut mask = Mask::default();
        assert_eq!(mask.set("name", Some("x")), Some("x"));
        assert_eq!(mask.set("description", None::<String>), None);
        assert!(mask.set_list::<String>("grants", &[], true).is_empty());
        assert!(mask.set_list::<String>("labels", &[], false).is_empty());
        assert_eq!(mask.finish().unwrap().paths, ["name", "grants"]);
        assert!(Mask::default().finish().is_err());
    }
}
