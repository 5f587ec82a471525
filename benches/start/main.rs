//! How long a node takes until it can serve: `cargo bench --bench start`, with `KEYWARD_BENCH_CREDENTIALS` for another number than
//! 100,000 and `KEYWARD_BENCH_DIR` for a directory that is kept and used again. It asserts nothing.
//!
//! A child fills a store on disk and ends as production does, which leaves an image; another makes some changes and dies. Then
//! others start on it, each a process of its own: from the image and the changes since, and, the image removed, from the store
//! alone. Each says in its log how long its steps took.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on is of no use; its figures are for people"
)]

mod fill;

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args as _, FromArgMatches as _};
use keyward::clock::SystemClock;
use keyward::config::{Config, ServeArgs};
use keyward::random::SystemRandom;
use keyward::server::Listeners;
use keyward::server::node::{Node, World};
use keyward::store::Condition;
use keyward::telemetry;

/// What a child is to do, as its environment says it.
const TASK: &str = "KEYWARD_BENCH_START_TASK";
/// Starts that are measured of each kind.
const ROUNDS: usize = 3;
/// Tokens that are made after the image.
const CHANGES: usize = 1_000;

fn main() {
    let kept = env::var_os("KEYWARD_BENCH_DIR").map(PathBuf::from);
    if let Ok(task) = env::var(TASK) {
        return child(&task, &kept.unwrap());
    }
    let temporary = tempfile::tempdir().unwrap();
    let dir = kept.unwrap_or_else(|| temporary.path().to_owned());
    if !dir.join("filled").exists() {
        run("fill", &dir);
        fs::write(dir.join("filled"), "").unwrap();
    }
    run("change", &dir);
    println!(
        "store: {} MiB; image: {} MiB",
        size(&dir.join("data/store")) >> 20,
        size(&dir.join("data")) >> 20
    );
    println!("from the image and {CHANGES} changes since:");
    (0..ROUNDS).for_each(|_| run("start", &dir));
    run("serve", &dir);
    println!("from the store alone:");
    fs::remove_file(dir.join("data/image")).unwrap();
    (0..ROUNDS).for_each(|_| run("start", &dir));
}

/// A child does the task, and says what it came to.
fn run(task: &str, dir: &Path) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env(TASK, task).env("KEYWARD_BENCH_DIR", dir);
    assert!(command.status().unwrap().success(), "{task} failed");
}

fn child(task: &str, dir: &Path) {
    let config = config(dir);
    let _flush = telemetry::init(config.log_format, config.log_level);
    let world = World {
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SystemRandom),
    };
    let began = Instant::now();
    let node = Node::open(&config, &dir.join("data"), world).unwrap();
    let ready = began.elapsed();
    let used = Used::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if task == "start" {
        println!("ready after {:.3} s; {used}", ready.as_secs_f64());
        process::exit(0);
    }
    runtime.block_on(async {
        let registry = node.desk.registry.clone();
        if task == "fill" {
            let credentials = env::var("KEYWARD_BENCH_CREDENTIALS").ok();
            let credentials = credentials.map_or(100_000, |text| text.parse().unwrap());
            fill::fill(&node, credentials).await;
            println!("filled in {:.1} s", began.elapsed().as_secs_f64());
        }
        let listeners = Listeners::bind(config.listen, config.side_listen);
        let listeners = listeners.await.unwrap();
        let verified = async {
            let mut condition = registry.store.condition();
            let writable = condition.wait_for(|now| *now == Condition::Writable);
            drop(writable.await);
            if task == "change" {
                fill::more(&registry, CHANGES).await;
                process::exit(0);
            }
            println!("takes changes after {:.3} s", began.elapsed().as_secs_f64());
            drop(registry);
        };
        node.run(listeners, &config, verified).await.unwrap();
    });
    println!(
        "ended after {:.3} s; {}",
        began.elapsed().as_secs_f64(),
        Used::now()
    );
}

/// What this process has used so far.
struct Used {
    cpu: Duration,
    peak_mib: u64,
}

impl Used {
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split(' ').collect();
        let ticks: u64 = fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.unwrap().trim().split(' ').next().unwrap();
        Self {
            cpu: Duration::from_millis(ticks * 10),
            peak_mib: peak.parse::<u64>().unwrap() >> 10,
        }
    }
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cpu, peak) = (self.cpu.as_secs_f64(), self.peak_mib);
        write!(f, "CPU {cpu:.2} s, peak {peak} MiB")
    }
}

fn size(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).unwrap().map(Result::unwrap);
    files.map(|file| file.metadata().unwrap().len()).sum()
}

fn config(dir: &Path) -> Config {
    let data = format!("--data-dir={}", dir.join("data").display());
    let flags = [
        "serve",
        &data,
        "--listen=127.0.0.1:0",
        "--side-listen=127.0.0.1:0",
        "--drain-wait=0s",
    ];
    let command = ServeArgs::augment_args(clap::Command::new("serve"));
    let matches = command.get_matches_from(flags);
    let said = ServeArgs::from_arg_matches(&matches).unwrap();
    said.resolve().unwrap()
}
