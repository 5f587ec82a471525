//! What can be set in the environment.

use std::path::PathBuf;
use std::time::Duration;

/// A part of the whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Section {
    Unary,
    Many,
    Paths,
    Latency,
    Growth,
    Allocations,
}

impl Section {
    const ALL: [(&'static str, Self); 6] = [
        ("unary", Self::Unary),
        ("many", Self::Many),
        ("paths", Self::Paths),
        ("latency", Self::Latency),
        ("growth", Self::Growth),
        ("allocations", Self::Allocations),
    ];

    /// Whether it compares the servers that stand side by side.
    pub(crate) fn needs_the_field(self) -> bool {
        !matches!(self, Self::Growth | Self::Allocations)
    }
}

pub(crate) struct Settings {
    /// KEYWARD_BENCH_FORM: `long` (the default: some 40 minutes, the figures to believe) or `short` (some five, to see that all
    /// of it works; without growth).
    pub(crate) short: bool,
    /// KEYWARD_BENCH_CREDENTIALS: how many Keyward holds, and each anchor that takes as many.
    pub(crate) credentials: usize,
    /// KEYWARD_BENCH_ROUNDS: of which the median is taken.
    pub(crate) rounds: usize,
    /// KEYWARD_BENCH_CPU_MS: server CPU that a round lasts for, in milliseconds.
    pub(crate) cpu: Duration,
    /// KEYWARD_BENCH_SECONDS: how long a round of the latency lasts.
    pub(crate) open_loop: Duration,
    /// KEYWARD_BENCH_SECTIONS: which parts to run, such as `unary,latency`.
    pub(crate) sections: Vec<Section>,
    /// KEYWARD_BENCH_GROWTH: numbers of credentials to compare, such as `1000,1000000`.
    pub(crate) growth: Vec<usize>,
    /// KEYWARD_BENCH_REPORT: `docs` writes docs/benchmarks, all else is a directory; unset: beside what cargo builds.
    pub(crate) report: PathBuf,
}

impl Settings {
    pub(crate) fn read() -> Self {
        let short = match variable("FORM").as_deref() {
            None | Some("long") => false,
            Some("short") => true,
            Some(other) => panic!("KEYWARD_BENCH_FORM is short or long, not {other}"),
        };
        let pick = |long, of_short| if short { of_short } else { long };
        let sections = variable("SECTIONS");
        let sections = sections.as_deref().unwrap_or(match short {
            true => "unary,many,paths,latency,allocations",
            false => "unary,many,paths,latency,growth,allocations",
        });
        let growth = variable("GROWTH").unwrap_or("1000,100000,1000000,10000000".into());
        let whole = |text: &str| {
            text.trim()
                .parse()
                .expect("KEYWARD_BENCH_GROWTH are numbers")
        };
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let report = match variable("REPORT").as_deref() {
            None => PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
            Some("docs") => root.join("docs/benchmarks"),
            Some(dir) => PathBuf::from(dir),
        };
        Self {
            short,
            credentials: number("CREDENTIALS", 1_000_000),
            rounds: number("ROUNDS", pick(5, 3)),
            cpu: Duration::from_millis(number("CPU_MS", pick(2_000, 400)) as u64),
            open_loop: Duration::from_secs(number("SECONDS", pick(10, 3)) as u64),
            sections: sections.split(',').map(section).collect(),
            growth: growth.split(',').map(whole).collect(),
            report,
        }
    }
}

fn section(name: &str) -> Section {
    let known = Section::ALL.iter().find(|(known, _)| *known == name.trim());
    let (_, section) = known.unwrap_or_else(|| panic!("KEYWARD_BENCH_SECTIONS has no {name}"));
    *section
}

pub(crate) fn variable(name: &str) -> Option<String> {
    let said = std::env::var(format!("KEYWARD_BENCH_{name}")).ok();
    said.filter(|text| !text.is_empty())
}

fn number(name: &str, default: usize) -> usize {
    let whole = |text: String| {
        text.parse()
            .unwrap_or_else(|_| panic!("KEYWARD_BENCH_{name} is a number"))
    };
    variable(name).map_or(default, whole)
}
