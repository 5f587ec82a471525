//! What a run came to: for people with a histogram, for scripts as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::BenchArgs;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::Format;
use crate::cli::session::Session;
use crate::cli::table::{pairs, table};
use crate::cli::text::escape_json;
use crate::load::Tally;

/// Parts of all answers whose slowest is told.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];
/// Where the bars of the histogram end, in microseconds: 1, 2, 5 and so on up to a minute.
const BOUNDS: [u64; 24] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000,
    200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 60_000_000,
];
/// The longest bar.
const BAR: u64 = 40;
/// A load that used more of its core may be what was measured.
const BUSY: f64 = 0.9;

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    connections: u16,
    in_flight: u16,
    /// Absent where each answer made room for the next question.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    seconds: f64,
    pub(super) interrupted: bool,
    /// It could not be reached any more, before the time was over.
    pub(super) server_gone: bool,
    asked: u64,
    allowed: u64,
    denied: BTreeMap<String, u64>,
    failed: BTreeMap<String, u64>,
    /// Asked, and neither answered nor failed by the end.
    unanswered: u64,
    answers_per_second: f64,
    latency_micros: BTreeMap<&'static str, f64>,
    histogram: Vec<Step>,
    /// The part of its core that the load used.
    load_core: f64,
}

/// Answers that took no longer than this, and longer than the step before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    up_to_micros: u64,
    answers: u64,
}

impl Report {
    pub(super) fn new(args: &BenchArgs, tally: &Tally, took: Duration, own: Duration) -> Self {
        let seconds = took.as_secs_f64().max(f64::MIN_POSITIVE);
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let quantiles = QUANTILES.map(|(name, part)| (name, micros(tally.quantile(part))));
        let slowest = [("max", micros(tally.slowest()))];
        let bounds = BOUNDS.map(Duration::from_micros);
        let steps = BOUNDS.into_iter().zip(tally.between(&bounds));
        Self {
            connections: args.connections,
            in_flight: args.in_flight,
            rate: args.rate,
            seconds: took.as_secs_f64(),
            interrupted: false,
            server_gone: false,
            asked: tally.asked,
            allowed: tally.good,
            denied: tally.denied.clone(),
            failed: tally.failed.clone(),
            unanswered: tally
                .asked
                .saturating_sub(tally.answered() + tally.failures()),
            answers_per_second: tally.answered() as f64 / seconds,
            latency_micros: quantiles.into_iter().chain(slowest).collect(),
            histogram: steps
                .map(|(up_to_micros, answers)| Step {
                    up_to_micros,
                    answers,
                })
                .filter(|step| step.answers > 0)
                .collect(),
            load_core: own.as_secs_f64() / seconds,
        }
    }

    /// Whether every question was answered, and allowed.
    pub(super) fn outcome(&self) -> Outcome {
        match self.allowed == self.asked && self.asked > 0 && !self.server_gone {
            true => Outcome::Success,
            false => Outcome::Denied,
        }
    }

    pub(super) fn show(&self, session: &mut Session<'_, '_>) -> Result<(), Failure> {
        if self.load_core > BUSY && self.rate.is_none() {
            session.shell.note(
                "note: the load used nearly all of its core: the server may do more than this, on another machine",
            );
        }
        let json = serde_json::to_value(self).map_err(|error| Failure::local(error.to_string()))?;
        let text = match session.format {
            Format::Table => self.to_text(),
            Format::Json => escape_json(&format!("{json:#}\n")),
            Format::Jsonl => escape_json(&format!("{json}\n")),
        };
        session.shell.stdout.write_all(text.as_bytes())?;
        Ok(session.shell.stdout.flush()?)
    }

    fn to_text(&self) -> String {
        let mut fields = vec![
            ("seconds", format!("{:.1}", self.seconds)),
            (
                "answers a second",
                format!("{:.0}", self.answers_per_second),
            ),
            ("asked", self.asked.to_string()),
            ("allowed", self.allowed.to_string()),
            ("denied", self.denied.values().sum::<u64>().to_string()),
            ("failed", self.failed.values().sum::<u64>().to_string()),
            ("unanswered", self.unanswered.to_string()),
        ];
        for name in QUANTILES.map(|(name, _)| name).into_iter().chain(["max"]) {
            fields.push((name, shown(self.latency_micros[name])));
        }
        fields.push(("load's core", format!("{:.0} %", self.load_core * 100.0)));
        let mut text = pairs(&fields);
        text.push('\n');
        text.push_str(&self.bars());
        for (what, kinds) in [("DENIED", &self.denied), ("FAILED", &self.failed)] {
            if !kinds.is_empty() {
                let rows = kinds
                    .iter()
                    .map(|(kind, count)| vec![kind.clone(), count.to_string()]);
                let rows: Vec<_> = rows.collect();
                let _ = write!(text, "\n{}", table(&[what, "ANSWERS"], &rows));
            }
        }
        text
    }

    fn bars(&self) -> String {
        let most = self
            .histogram
            .iter()
            .map(|step| step.answers)
            .max()
            .unwrap_or(1);
        let row = |step: &Step| {
            let length = (step.answers * BAR).div_ceil(most);
            let bar = "█".repeat(usize::try_from(length).unwrap_or_default());
            vec![
                shown(step.up_to_micros as f64),
                step.answers.to_string(),
                bar,
            ]
        };
        let rows: Vec<_> = self.histogram.iter().map(row).collect();
        table(&["UP TO", "ANSWERS", ""], &rows)
    }
}

/// A time in the unit that suits it.
fn shown(micros: f64) -> String {
    match micros {
        micros if micros < 1e3 => format!("{micros:.0} µs"),
        micros if micros < 1e6 => format!("{:.1} ms", micros / 1e3),
        micros => format!("{:.1} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::parse;
    use crate::load::Verdict;

    fn report(verdicts: &[Verdict]) -> Report {
        let mut tally = Tally::default();
        tally.asked = verdicts.len() as u64;
        for (number, verdict) in verdicts.iter().enumerate() {
            tally.count(
                verdict.clone(),
                Duration::from_micros(10 * (1 + number as u64)),
            );
        }
        let args = parse::<BenchArgs>("--issue 1");
        let second = Duration::from_secs(1);
        Report::new(&args, &tally, second, second / 4)
    }

    #[test]
    fn all_of_it_is_told_to_people_and_to_scripts() {
        let denied = Verdict::Denied("EXPIRED".into());
        let failed = Verdict::Failed("UNAVAILABLE OVERLOADED".into());
        let report = report(&[Verdict::Good, Verdict::Good, denied, failed]);
        let text = report.to_text();
        for says in [
            "asked             4",
            "EXPIRED  1",
            "UNAVAILABLE OVERLOADED  1",
            "20 µs",
            "25 %",
        ] {
            assert!(text.contains(says), "{says}: {text}");
        }
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["denied"]["EXPIRED"], 1);
        assert_eq!(json["allowed"], 2);
        assert_eq!(json["histogram"][0]["upToMicros"], 10);
        assert_eq!(json.get("rate"), None);
        assert_eq!(report.outcome(), Outcome::Denied);
    }

    #[test]
    fn a_run_is_good_when_all_were_asked_and_allowed() {
        assert_eq!(report(&[Verdict::Good]).outcome(), Outcome::Success);
        assert_eq!(report(&[]).outcome(), Outcome::Denied);
    }
}
