//! Kills a writer, and cuts the power under it, at random moments; then compares what is found with every change that was
//! acknowledged. A program of its own, because it needs child processes.
//!
//! It is done to the store's back end, which is quick and writes much, to the whole server under several clients, and to an
//! account's daily calls under many.
//!
//! The short form is part of `cargo test`. `KEYWARD_CRASH_KILLS=500 KEYWARD_CRASH_CUTS=100 cargo test --test crash` is a long
//! one; `KEYWARD_CRASH_SERVER_KILLS` and `KEYWARD_CRASH_SERVER_CUTS` are others for the server, `KEYWARD_CRASH_CALLS_KILLS` and
//! `KEYWARD_CRASH_CALLS_CUTS` for its daily calls. `KEYWARD_CRASH_SEED` repeats a run as far as timing lets it. Power cuts need
//! Linux, root and loop devices.

#![expect(clippy::print_stdout, reason = "what it prints is its report")]

mod backend;
mod cut;
mod disk;
mod full;
mod kill;
mod random;
mod server;
mod subject;

use std::process::ExitCode;

use crate::backend::BackendSubject;
use crate::random::Random;
use crate::server::End;

const SHORT_KILLS: u64 = 20;
const SHORT_CUTS: u64 = 5;
const SHORT_SERVER_KILLS: u64 = 20;
const SHORT_SERVER_CUTS: u64 = 10;
const SHORT_CALLS_KILLS: u64 = 10;
const SHORT_CALLS_CUTS: u64 = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, dir] = &arguments[..]
        && role == backend::WRITER
    {
        return backend::write_until_stopped(dir.as_ref());
    }
    let other =
        |argument: &String| !argument.starts_with('-') && !"crash".contains(argument.as_str());
    if arguments
        .iter()
        .any(|argument| argument == "--list" || other(argument))
    {
        return ExitCode::SUCCESS;
    }
    let seed = setting("KEYWARD_CRASH_SEED", u64::from(std::process::id()));
    println!("crash: seed {seed}");
    let mut random = Random::new(seed);
    let mut parts = [backend, server, calls].into_iter();
    match parts.try_for_each(|part| part(&mut random)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(loss) => {
            eprintln!("crash: FAILED: {loss}");
            ExitCode::FAILURE
        }
    }
}

fn backend(random: &mut Random) -> Result<(), String> {
    let kills = setting("KEYWARD_CRASH_KILLS", SHORT_KILLS);
    let cuts = setting("KEYWARD_CRASH_CUTS", SHORT_CUTS);
    kill::run(&mut BackendSubject::default, kills, random)?;
    cut::run(&mut BackendSubject::default, cuts, random)?;
    full::run()
}

fn server(random: &mut Random) -> Result<(), String> {
    let kills = setting("KEYWARD_CRASH_KILLS", SHORT_SERVER_KILLS);
    let cuts = setting("KEYWARD_CRASH_CUTS", SHORT_SERVER_CUTS);
    let kills = setting("KEYWARD_CRASH_SERVER_KILLS", kills);
    let cuts = setting("KEYWARD_CRASH_SERVER_CUTS", cuts);
    server::run(End::Kill, kills, random)?;
    server::run(End::PowerCut, cuts, random)
}

fn calls(random: &mut Random) -> Result<(), String> {
    let kills = setting("KEYWARD_CRASH_KILLS", SHORT_CALLS_KILLS);
    let cuts = setting("KEYWARD_CRASH_CUTS", SHORT_CALLS_CUTS);
    let kills = setting("KEYWARD_CRASH_CALLS_KILLS", kills);
    let cuts = setting("KEYWARD_CRASH_CALLS_CUTS", cuts);
    server::calls::run(End::Kill, kills, random)?;
    server::calls::run(End::PowerCut, cuts, random)
}

fn setting(name: &str, default: u64) -> u64 {
    let given = |text: String| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number"))
    };
    std::env::var(name).map_or(default, given)
}
