//! How long answers take at a part of what each server can do, by an open loop: from when a question was due.

use std::time::Duration;

use keyward::load::{Arrivals, Form, Pace};

use super::{Field, unary};
use crate::report::{Report, Spread};
use crate::rounds::{Contestant, Outcome, Until, interleave};
use crate::servers::Kind;
use crate::settings::Settings;

const KINDS: [Kind; 3] = [Kind::Keyward, Kind::NoopMulti, Kind::NoopCurrent];
/// Parts of a server's own peak.
const PARTS: [f64; 2] = [0.5, 0.8];
/// As many as a server lets a connection have: what is due beyond waits, and its wait counts.
const IN_FLIGHT: usize = 200;

pub(crate) fn run(field: &Field, settings: &Settings, report: &mut Report) {
    report.say("## Latency\n");
    report.say(
        "Calls come as independent callers make them (Poisson), at half and at four fifths of what each server itself answers \
         at 8 × 16 when it is never left waiting. Latency counts from when a call was due, answered or not; medians over the \
         rounds in microseconds, the worst of all rounds for the maximum. The load spins on a core of its own.\n",
    );
    let peaks = KINDS.map(|kind| field.contestant(kind, Form::Unary, unary::MAIN));
    let peaks = interleave(&peaks, settings, Until::Cpu(settings.cpu));
    let peaks: Vec<f64> = peaks
        .iter()
        .map(|rounds| Spread::of(&rounds.outcomes, Outcome::rate).median)
        .collect();
    let mut contestants = Vec::new();
    for part in PARTS {
        for (kind, peak) in KINDS.iter().zip(&peaks) {
            let (rate, arrivals) = (peak * part, Arrivals::Poisson);
            contestants.push(Contestant {
                name: format!("{kind}, {:.0} % of {peak:.0}/s", part * 100.0),
                pace: Pace::Open { rate, arrivals },
                ..field.contestant(*kind, Form::Unary, (unary::MAIN.0, IN_FLIGHT))
            });
        }
    }
    let all = interleave(&contestants, settings, Until::Wall(settings.open_loop));
    let row = |(one, rounds): (&Contestant<'_>, &crate::rounds::Rounds)| {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let at = |part: f64| {
            let spread = Spread::of(&rounds.outcomes, |round| micros(round.tally.quantile(part)));
            format!("{:.0}", spread.median)
        };
        let slowest = Spread::of(&rounds.outcomes, |round| micros(round.tally.slowest()));
        let median = |value: fn(&Outcome) -> f64| Spread::of(&rounds.outcomes, value).median;
        vec![
            one.name.clone(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            format!("{:.0}", slowest.most),
            format!("{:.0}", median(Outcome::rate)),
            format!("{:.2}", median(Outcome::cpu_each)),
        ]
    };
    let rows: Vec<_> = contestants.iter().zip(&all).map(row).collect();
    report.table(
        &[
            "",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
            "answers/s",
            "CPU µs",
        ],
        &rows,
    );
    all.iter().for_each(|rounds| report.note(rounds));
}
