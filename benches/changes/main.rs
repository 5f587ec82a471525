//! What changes cost: `cargo bench --bench changes`.
//!
//! Three parts: durable CreateToken from 64 writers beside PostgreSQL's insert (`create`), validation while changes run
//! (`beside`), and pages of a long list of tokens (`pages`). Everything is on the disk that `target` is on, every change is
//! durable when it counts. What is printed was measured in this run, rounds interleaved: A B C, A B C; it is written to
//! `target/tmp/changes.md`, too. Settings are variables (see `Settings`); it asserts nothing.

#![expect(
    clippy::print_stdout,
    reason = "a benchmark prints what it has measured"
)]

mod beside;
mod counted;
mod cpu;
mod create;
mod node;
mod pages;
mod postgres;
mod raw;
mod report;

use std::time::Duration;

use report::Report;

/// What can be set in the environment.
struct Settings {
    /// KEYWARD_BENCH_PARTS: which parts, of `create,beside,pages`.
    parts: String,
    /// KEYWARD_BENCH_ROUNDS: of which the median is taken.
    rounds: usize,
    /// KEYWARD_BENCH_ROUND_S: how long a round lasts, in seconds.
    round: Duration,
    /// KEYWARD_BENCH_TOKENS: how many tokens the accounts have that are listed. KEYWARD_BENCH_LONG: ten million, too.
    tokens: Vec<usize>,
}

impl Settings {
    fn read() -> Self {
        let said = |name: &str| std::env::var(format!("KEYWARD_BENCH_{name}")).ok();
        let number = |name: &str, default: usize| {
            let number = said(name).and_then(|text| text.parse().ok());
            number.unwrap_or(default)
        };
        Self {
            parts: said("PARTS").unwrap_or_else(|| "create,beside,pages".into()),
            rounds: number("ROUNDS", 5),
            round: Duration::from_secs(number("ROUND_S", 3) as u64),
            tokens: match said("TOKENS") {
                Some(list) => list
                    .split(',')
                    .filter_map(|text| text.parse().ok())
                    .collect(),
                None if said("LONG").is_some() => vec![10_000, 1_000_000, 10_000_000],
                None => vec![10_000, 1_000_000],
            },
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--burn") {
        return beside::burn(&arguments[at + 1..]);
    }
    let settings = Settings::read();
    let mut report = Report::default();
    for part in settings.parts.split(',') {
        match part {
            "create" => create::measure(settings.rounds, settings.round, &mut report),
            "beside" => beside::measure(settings.rounds, settings.round, &mut report),
            "pages" => pages::measure(&settings.tokens, &mut report),
            other => println!("there is no part {other}"),
        }
    }
    match report.write() {
        Ok(path) => println!("written to {}", path.display()),
        Err(error) => println!("the report could not be written: {error}"),
    }
}
