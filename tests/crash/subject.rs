//! What is killed and cut: something that writes in a process of its own and tells what was acknowledged.

use std::io::{self, BufReader, Write};
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

/// The thing under test, with a memory of what it was found to hold.
pub(crate) trait Subject {
    /// A process that opens the store in `dir`, says so (`say_opened`), and then changes it until it fails or dies, saying
    /// after each change how many were acknowledged (`say_acknowledged`), counted from the store's beginning.
    fn writer(&self, dir: &Path) -> Command;

    /// Opens the store, which must hold the first so and so many changes whole, their number being in `expected`, and nothing
    /// else. The answer is that number.
    fn verify(&mut self, dir: &Path, expected: RangeInclusive<u64>) -> Result<u64, String>;
}

const OPENED: &str = "opened";

pub(crate) fn say_opened(mut out: impl Write) -> io::Result<()> {
    writeln!(out, "{OPENED}")
}

pub(crate) fn say_acknowledged(mut out: impl Write, changes: u64) -> io::Result<()> {
    writeln!(out, "{changes} {}.", now().as_nanos())
}

/// The time of day, which both processes share.
pub(crate) fn now() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("it is later than 1970")
}

/// A writer that runs.
pub(crate) struct Writer {
    child: Child,
    lines: BufReader<ChildStdout>,
}

/// What a writer said before it ended.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) opened: bool,
    /// Each number of changes, and when it was acknowledged.
    acknowledged: Vec<(u64, Duration)>,
}

impl Said {
    /// How many changes were acknowledged at some time; 0 where none was.
    pub(crate) fn acknowledged_at(&self, time: Duration) -> u64 {
        let earlier = self.acknowledged.iter().filter(|(_, at)| *at <= time);
        earlier.map(|(changes, _)| *changes).max().unwrap_or(0)
    }

    /// How many changes were acknowledged in the end.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged_at(Duration::MAX)
    }
}

impl Writer {
    pub(crate) fn start(subject: &dyn Subject, dir: &Path) -> Self {
        let mut command = subject.writer(dir);
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the writer starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self { child, lines }
    }

    /// Lets it run until `stop` returns, which ends it one way or another.
    pub(crate) fn run(mut self, stop: impl FnOnce(&mut Child)) -> Said {
        let lines = self.lines;
        let listener = thread::spawn(move || listen(lines));
        stop(&mut self.child);
        self.child.wait().expect("the writer ends");
        listener.join().expect("what it said is understood")
    }
}

fn listen(lines: impl io::BufRead) -> Said {
    let mut said = Said::default();
    for line in lines.lines().map_while(Result::ok) {
        match line == OPENED {
            true => said.opened = true,
            false => said.acknowledged.extend(complete(&line)),
        }
    }
    said
}

/// A line that was cut short by the end of the process is not an acknowledgement.
fn complete(line: &str) -> Option<(u64, Duration)> {
    let (changes, at) = line.strip_suffix('.')?.split_once(' ')?;
    Some((
        changes.parse().ok()?,
        Duration::from_nanos(at.parse().ok()?),
    ))
}
