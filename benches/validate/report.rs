//! What the rounds came to: medians and spread, told as they come, and kept as a page with a picture.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::machine;
use crate::rounds::{Outcome, Rounds};
use crate::settings::Settings;
use crate::svg::{self, Bar};

/// The page as it grows.
pub(crate) struct Report {
    page: String,
    dir: PathBuf,
    pub(crate) bars: Vec<Bar>,
    /// CPU of a call to the no-op service on one current_thread runtime at 8 × 16, which the others are told as parts of.
    pub(crate) noop: Option<f64>,
    discarded: usize,
    disturbed: usize,
}

/// A median, and the least and the most beside it.
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(rounds: &[Outcome], value: impl Fn(&Outcome) -> f64) -> Self {
        let mut values: Vec<f64> = rounds.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        Self {
            median: values[values.len() / 2],
            least: values[0],
            most: values[values.len() - 1],
        }
    }
}

impl Report {
    pub(crate) fn begin(settings: &Settings) -> Self {
        let mut report = Self {
            page: String::new(),
            dir: settings.report.clone(),
            bars: Vec::new(),
            noop: None,
            discarded: 0,
            disturbed: 0,
        };
        report.say("# What a validation costs\n");
        report.say("Written by `cargo bench --bench validate`; not by hand.\n");
        if settings.short {
            report.say("**Short form**: few rounds, each too short to be believed. It shows that all of it works.\n");
        }
        for line in machine::describe() {
            report.say(&format!("* {line}"));
        }
        let protocol = format!(
            "* {} credentials; medians of {} rounds of {:?} of server CPU each, interleaved; servers on the first core, one \
             thread of load on the last; every answer checked\n",
            settings.credentials, settings.rounds, settings.cpu
        );
        report.say(&protocol);
        report.say("![Server CPU of one validation](validate.svg)\n");
        report
    }

    /// A line or more, said and kept.
    pub(crate) fn say(&mut self, text: &str) {
        println!("{text}");
        let _ = writeln!(self.page, "{text}");
    }

    pub(crate) fn table(&mut self, columns: &[&str], rows: &[Vec<String>]) {
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells
                .max()
                .unwrap_or(0)
                .max(columns[column].chars().count())
        };
        let line = |cells: Vec<&str>| {
            let cells = cells.iter().enumerate();
            let cells = cells.map(|(at, cell)| match at {
                0 => format!("{cell:<width$}", width = width(at)),
                _ => format!("{cell:>width$}", width = width(at)),
            });
            format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
        };
        let rules = (0..columns.len()).map(|at| match at {
            0 => "-".repeat(width(at)),
            _ => "-".repeat(width(at) - 1) + ":",
        });
        let rules: Vec<String> = rules.collect();
        let mut text = line(columns.to_vec()) + "\n";
        text += &(line(rules.iter().map(String::as_str).collect()) + "\n");
        for row in rows {
            text += &(line(row.iter().map(String::as_str).collect()) + "\n");
        }
        self.say(&text);
    }

    /// What each question cost, with throughput beside it.
    pub(crate) fn costs(&mut self, rows: &[(&str, &Rounds)], base: Option<f64>) {
        let row = |(name, rounds): &(&str, &Rounds)| {
            let of = |value: fn(&Outcome) -> f64| Spread::of(&rounds.outcomes, value);
            let cpu = of(Outcome::cpu_each);
            let busy = of(|one| one.cpu.as_secs_f64() / one.wall.as_secs_f64());
            let own = of(|one| one.own.as_secs_f64() / one.wall.as_secs_f64());
            vec![
                (*name).to_owned(),
                format!("{:.2}", cpu.median),
                format!("{:.2} – {:.2}", cpu.least, cpu.most),
                base.map_or("".into(), |base| format!("{:.2}", cpu.median / base)),
                format!("{:.0}", of(Outcome::rate).median),
                format!("{:.0} %", busy.median * 100.0),
                format!("{:.2}", of(Outcome::own_each).median),
                format!("{:.0} %", own.median * 100.0),
                told(rounds),
            ]
        };
        let columns = [
            "",
            "CPU µs",
            "least – most",
            "× no-op",
            "answers/s",
            "server's core",
            "load's µs",
            "load's core",
            "made again",
        ];
        let all: Vec<_> = rows.iter().map(row).collect();
        self.table(&columns, &all);
        for (_, rounds) in rows {
            self.note(rounds);
        }
    }

    /// Counts rounds that were discarded.
    pub(crate) fn note(&mut self, rounds: &Rounds) {
        self.discarded += rounds.discarded;
        self.disturbed += rounds.disturbed;
    }

    /// Writes the page and the picture.
    pub(crate) fn write(mut self, took: Duration) -> std::io::Result<PathBuf> {
        let (discarded, disturbed) = (self.discarded, self.disturbed);
        self.say(&format!(
            "{discarded} rounds were made again because others used more than a twentieth of the cores; {disturbed} were \
             disturbed each time, and count nevertheless. The whole took {} minutes.",
            took.as_secs().div_ceil(60)
        ));
        std::fs::create_dir_all(&self.dir)?;
        std::fs::write(self.dir.join("validate.md"), &self.page)?;
        std::fs::write(self.dir.join("validate.svg"), svg::draw(&self.bars))?;
        Ok(self.dir)
    }
}

fn told(rounds: &Rounds) -> String {
    match rounds.disturbed {
        0 => rounds.discarded.to_string(),
        disturbed => format!("{}, {disturbed} disturbed", rounds.discarded),
    }
}
