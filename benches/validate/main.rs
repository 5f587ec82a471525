//! What a validation costs the server, beside what nothing costs: `cargo bench --bench validate`.
//!
//! Every server is a process of its own on one core, the load comes from another, and the rounds are interleaved: A B C, A B C.
//! The figure is server CPU for each answered call, for on a shared machine the wall clock says nothing. Every answer is
//! checked. What is printed was measured in this run; settings are variables (see `Settings`).

#![expect(
    clippy::print_stdout,
    reason = "a benchmark prints what it has measured"
)]

mod cpu;
mod fill;
mod frames;
mod load;
mod report;
mod servers;

use std::time::Duration;

use report::Report;
use servers::{Kind, Server};

/// Connections, and calls in flight on each.
const SHAPES: [(usize, usize); 5] = [(1, 1), (8, 1), (8, 16), (32, 32), (1, 100)];
/// A round whose strangers took more of the cores than this is not believed.
const STRANGERS: f64 = 0.05;
/// How often a disturbed round is tried again before it counts as it is.
const TRIES: usize = 3;

/// What can be set in the environment.
struct Settings {
    /// KEYWARD_BENCH_CREDENTIALS: how many Keyward holds.
    credentials: usize,
    /// KEYWARD_BENCH_ROUNDS: of which the median is taken.
    rounds: usize,
    /// KEYWARD_BENCH_CPU_MS: server CPU that a round lasts for, in milliseconds.
    cpu: Duration,
}

impl Settings {
    fn read() -> Self {
        let number = |name: &str, default: usize| {
            let said = std::env::var(format!("KEYWARD_BENCH_{name}")).ok();
            said.and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        Self {
            credentials: number("CREDENTIALS", 1_000_000),
            rounds: number("ROUNDS", 5),
            cpu: Duration::from_millis(number("CPU_MS", 2_000) as u64),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == "--serve") {
        Some(at) => servers::serve(&arguments[at + 1..]),
        None => compare(&Settings::read()),
    }
}

fn compare(settings: &Settings) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    cpu::stay_on_the_last_core();
    println!(
        "server CPU for each answered call; {} credentials, medians of {} rounds of {:?} of server CPU each",
        settings.credentials, settings.rounds, settings.cpu
    );
    let servers: Vec<Server> = Kind::ALL
        .into_iter()
        .map(|kind| Server::start(kind, settings.credentials, dir.path()))
        .collect();
    let mut report = Report::default();
    for (connections, in_flight) in SHAPES {
        for round in 0..=settings.rounds {
            for server in &servers {
                let outcome = one_round(server, connections, in_flight, settings.cpu);
                // The first round warms caches, pools and connections.
                if round > 0 {
                    report.add((connections, in_flight), server.kind, outcome);
                }
            }
        }
        report.print_shape((connections, in_flight));
    }
    report.print_verdict();
    match report.write() {
        Ok(path) => println!("written to {}", path.display()),
        Err(error) => println!("the report could not be written: {error}"),
    }
}

/// A round that nobody disturbed, or the last of several.
fn one_round(
    server: &Server,
    connections: usize,
    in_flight: usize,
    cpu: Duration,
) -> load::Outcome {
    let mut outcome = load::run(server, connections, in_flight, cpu);
    for _ in 1..TRIES {
        if outcome.strangers <= STRANGERS {
            break;
        }
        outcome = load::run(server, connections, in_flight, cpu);
    }
    outcome
}
