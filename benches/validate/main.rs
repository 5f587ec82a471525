//! What a validation costs the server, beside what nothing costs: `cargo bench --bench validate`.
//!
//! Every server is a process of its own on one core, the load comes from another, and the rounds are interleaved: A B C, A B C.
//! The figure is server CPU for each answered call, for on a shared machine the wall clock says nothing. Every answer is
//! checked in the same run; rounds in which others used the cores are made again. What could not be run is told as not run.
//! Settings are variables (see `settings`); what comes out is a page and a picture (see `report`).

#![expect(
    clippy::print_stdout,
    reason = "a benchmark prints what it has measured"
)]

mod anchors;
mod cpu;
mod fill;
mod judges;
mod machine;
mod noop;
mod raw;
mod report;
mod rounds;
mod sections;
mod servers;
mod settings;
mod svg;

use report::Report;
use sections::Field;
use settings::{Section, Settings};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == "--serve") {
        Some(at) => servers::serve(&arguments[at + 1..]),
        None => compare(&Settings::read()),
    }
}

fn compare(settings: &Settings) {
    let begun = std::time::Instant::now();
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    cpu::stay_on_the_last_core();
    let mut report = Report::begin(settings);
    if settings
        .sections
        .iter()
        .any(|section| section.needs_the_field())
    {
        let field = Field::start(settings, dir.path(), &mut report);
        for section in &settings.sections {
            match section {
                Section::Unary => sections::unary::run(&field, settings, &mut report),
                Section::Many => sections::many::run(&field, settings, &mut report),
                Section::Paths => sections::paths::run(&field, settings, &mut report),
                Section::Latency => sections::latency::run(&field, settings, &mut report),
                Section::Growth | Section::Allocations => {}
            }
        }
    }
    // Alone, so that nothing else takes memory or caches.
    for section in &settings.sections {
        match section {
            Section::Growth => sections::growth::run(settings, dir.path(), &mut report),
            Section::Allocations => sections::allocations::run(dir.path(), &mut report),
            _ => {}
        }
    }
    match report.write(begun.elapsed()) {
        Ok(dir) => println!("\nwritten to {}", dir.display()),
        Err(error) => println!("\nthe report could not be written: {error}"),
    }
}
