//! How many instructions a validation's parts take: `cargo bench --bench instructions`, and a part of `.ci/run`.
//!
//! Times on a shared machine do not repeat, instruction counts do. Each case (`cases`) runs under valgrind's callgrind twice,
//! for different numbers of times, so that what comes before and after it cancels out. The counts are held against
//! `benches/instructions.txt`. More than the tolerance above it fails; as far below, it asks for a new baseline:
//!
//! ```sh
//! KEYWARD_BASELINE=write cargo bench --bench instructions
//! ```
//!
//! Another compiler, another processor's instructions or other settings of the profile give other counts: then nothing is
//! compared, and that is said.

#![expect(
    clippy::print_stdout,
    reason = "a benchmark prints what it has measured"
)]

mod cases;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, ExitCode};

/// Counts may differ by so much. The same program counts alike to a thousandth: the threads that wait beside a case wake as
/// time passes, and hash tables are seeded anew. What somebody adds to a path on purpose is more than this.
const TOLERANCE: f64 = 0.02;
/// How often a case runs in its two runs.
const SHORT: u64 = 500;
const LONG: u64 = 4_500;

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");

/// Instructions by case.
type Counts = BTreeMap<String, u64>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--case") {
        let [name, times] = &arguments[at + 1..] else {
            panic!("--case NAME TIMES");
        };
        cases::run(name, times.parse().expect("a number"));
        return ExitCode::SUCCESS;
    }
    if let Err(why) = collected(&mut Command::new("valgrind"), &["--version"]) {
        println!("not compared: valgrind does not run ({why})");
        return ExitCode::SUCCESS;
    }
    let counts: Counts = cases::NAMES.iter().map(count).collect();
    if std::env::var("KEYWARD_BASELINE").is_ok_and(|asked| asked == "write") {
        std::fs::write(BASELINE, page(&counts)).expect("the baseline can be written");
        println!("written to {BASELINE}");
        return ExitCode::SUCCESS;
    }
    compare(&counts)
}

/// A case's name, and what one time of it takes.
fn count(name: &&str) -> (String, u64) {
    let [short, long] = [SHORT, LONG].map(|times| under_callgrind(name, times));
    let each = (long - short) / (LONG - SHORT);
    println!("{name:<24} {each:>8}");
    ((*name).to_owned(), each)
}

fn under_callgrind(name: &str, times: u64) -> u64 {
    let program = std::env::current_exe().expect("this program has a path");
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program);
    let said = collected(&mut valgrind, &["--case", name, &times.to_string()]);
    let said = said.expect("the case runs");
    let line = said
        .lines()
        .find_map(|line| line.split("Collected :").nth(1));
    let number = line.and_then(|text| text.trim().parse().ok());
    number.unwrap_or_else(|| panic!("callgrind said no count: {said}"))
}

/// What a program says on either stream, where it succeeds.
fn collected(program: &mut Command, arguments: &[&str]) -> Result<String, String> {
    let output = program.args(arguments).output();
    let output = output.map_err(|error| error.to_string())?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    output.status.success().then_some(said.clone()).ok_or(said)
}

/// Holds the counts against the baseline.
fn compare(counts: &Counts) -> ExitCode {
    let text = std::fs::read_to_string(BASELINE).unwrap_or_default();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let (made_by, here) = (lines.next().unwrap_or("nobody"), origin());
    if made_by != here {
        println!("not compared: the baseline was written by {made_by}, and this is {here}");
        return ExitCode::SUCCESS;
    }
    let baseline: Counts = lines.filter_map(read).collect();
    let (mut failed, mut stale) = (false, baseline.len() != counts.len());
    for (name, &count) in counts {
        let Some(&known) = baseline.get(name) else {
            println!("{name}: it is not in the baseline");
            stale = true;
            continue;
        };
        let more = count as f64 / known as f64 - 1.0;
        if more.abs() > TOLERANCE {
            let percent = more * 100.0;
            println!(
                "{name}: {count} instructions, where the baseline has {known} ({percent:+.1} %)"
            );
        }
        failed |= more > TOLERANCE;
        stale |= more < -TOLERANCE;
    }
    if stale {
        println!(
            "the baseline is to be written anew: KEYWARD_BASELINE=write cargo bench --bench instructions"
        );
    }
    match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn read(line: &str) -> Option<(String, u64)> {
    let (name, count) = line.split_once(' ')?;
    Some((name.to_owned(), count.trim().parse().ok()?))
}

fn page(counts: &Counts) -> String {
    let mut page = format!(
        "# Instructions that each case takes; see benches/instructions/main.rs.\n{}\n",
        origin()
    );
    for (name, count) in counts {
        let _ = writeln!(page, "{name:<24} {count:>8}");
    }
    page
}

/// What else counts depend on: the compiler, the processor's kind, and settings of the profile.
fn origin() -> String {
    let compiler = collected(&mut Command::new("rustc"), &["--version"]);
    let compiler = compiler.unwrap_or_else(|_| "an unknown compiler".into());
    let settings = std::env::vars().filter(|(name, _)| {
        name.starts_with("CARGO_PROFILE_BENCH_")
            || name.starts_with("CARGO_PROFILE_RELEASE_")
            || name == "RUSTFLAGS"
    });
    let settings: BTreeMap<String, String> = settings.collect();
    let settings = settings
        .iter()
        .map(|(name, value)| format!(", {name}={value}"));
    let settings: String = settings.collect();
    format!(
        "{} on {}{settings}",
        compiler.trim(),
        std::env::consts::ARCH
    )
}
