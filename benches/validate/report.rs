//! What the rounds came to: medians and spread, as a table and as a page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::load::Outcome;
use crate::servers::Kind;

type Shape = (usize, usize);

/// All rounds that counted, by shape and server.
#[derive(Default)]
pub(crate) struct Report {
    rounds: BTreeMap<Shape, BTreeMap<Kind, Vec<Outcome>>>,
}

/// A median, and the least and the most beside it.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self {
            median: values[values.len() / 2],
            least: values[0],
            most: values[values.len() - 1],
        }
    }
}

impl Report {
    pub(crate) fn add(&mut self, shape: Shape, kind: Kind, outcome: Outcome) {
        let rounds = self.rounds.entry(shape).or_default();
        rounds.entry(kind).or_default().push(outcome);
    }

    pub(crate) fn print_shape(&self, shape: Shape) {
        println!("\n{}", self.shape(shape));
    }

    /// How Keyward stands beside the services that do nothing.
    pub(crate) fn print_verdict(&self) {
        println!("\n{}", self.verdict());
    }

    /// Writes the whole as a page beside what cargo builds.
    pub(crate) fn write(&self) -> std::io::Result<PathBuf> {
        let mut page = String::from("# What a validation costs\n\n");
        for shape in self.rounds.keys() {
            let _ = writeln!(page, "```\n{}```\n", self.shape(*shape));
        }
        let _ = writeln!(page, "```\n{}```", self.verdict());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("validate.md");
        std::fs::write(&path, page)?;
        Ok(path)
    }

    fn shape(&self, shape: Shape) -> String {
        let (connections, in_flight) = shape;
        let mut text = format!(
            "{connections} connections × {in_flight} in flight\n{:<28} {:>9} {:>17} {:>9} {:>8} {:>8} {:>8} {:>9}\n",
            "", "CPU/call", "(least – most)", "calls/s", "p50", "p99", "p99.9", "strangers"
        );
        for (kind, rounds) in &self.rounds[&shape] {
            let cpu = cpu(rounds);
            let rate = Spread::of(
                rounds
                    .iter()
                    .map(|round| round.calls as f64 / round.wall.as_secs_f64()),
            );
            let at = |quantile| {
                let micros = rounds
                    .iter()
                    .map(|round| round.latency.value_at_quantile(quantile) as f64 / 1e3);
                format!("{:.0} µs", Spread::of(micros).median)
            };
            let strangers = Spread::of(rounds.iter().map(|round| round.strangers));
            let _ = writeln!(
                text,
                "{kind:<28} {:>6.2} µs {:>17} {:>9.0} {:>8} {:>8} {:>8} {:>8.1}%",
                cpu.median,
                format!("({:.2} – {:.2})", cpu.least, cpu.most),
                rate.median,
                at(0.5),
                at(0.99),
                at(0.999),
                strangers.median * 100.0
            );
        }
        text
    }

    fn verdict(&self) -> String {
        let mut text =
            String::from("Keyward's CPU per call, as a part of the no-op tonic service's\n");
        for ((connections, in_flight), rounds) in &self.rounds {
            let part = |of: Kind| {
                let (own, other) = (rounds.get(&Kind::Keyward)?, rounds.get(&of)?);
                Some(cpu(own).median / cpu(other).median)
            };
            let part = |of| part(of).map_or_else(|| "not run".into(), |part| format!("{part:.2}"));
            let _ = writeln!(
                text,
                "{connections:>3} × {in_flight:<3}   current_thread: {:>7}   multi_thread: {:>7}",
                part(Kind::NoopCurrent),
                part(Kind::NoopMulti)
            );
        }
        text
    }
}

/// Microseconds of server CPU for each answered call.
fn cpu(rounds: &[Outcome]) -> Spread {
    let micros = |round: &Outcome| round.cpu.as_secs_f64() * 1e6 / round.calls.max(1) as f64;
    Spread::of(rounds.iter().map(micros))
}
