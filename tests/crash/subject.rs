//! What is killed and cut: something that writes in a process of its own and tells what was acknowledged.

use std::io::{BufRead as _, BufReader};
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// The thing under test, with a memory of what it was found to hold.
pub(crate) trait Subject {
    /// A process that opens the store in `dir`, prints `OPENED`, and then changes it until it fails or dies, printing a line
    /// with the number of acknowledged changes after each (which is the store's revision, so it goes on rising).
    fn writer(&self, dir: &Path) -> Command;

    /// Opens the store, which must hold the first so and so many changes whole, their number being in `expected`, and nothing
    /// else. The answer is that number.
    fn verify(&mut self, dir: &Path, expected: RangeInclusive<u64>) -> Result<u64, String>;
}

pub(crate) const OPENED: &str = "opened";

/// A writer that runs.
pub(crate) struct Writer {
    child: Child,
    lines: BufReader<ChildStdout>,
}

/// What a writer said before it ended.
pub(crate) struct Said {
    pub(crate) opened: bool,
    /// The last change that was acknowledged, if one was.
    pub(crate) acknowledged: Option<u64>,
}

impl Writer {
    pub(crate) fn start(subject: &dyn Subject, dir: &Path) -> Self {
        let mut child = subject
            .writer(dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the writer starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self { child, lines }
    }

    /// Lets it run until `stop` returns, which ends it one way or another.
    pub(crate) fn run(mut self, stop: impl FnOnce(&mut Child)) -> Said {
        let opened = AtomicU64::new(0);
        let last = AtomicU64::new(0);
        thread::scope(|threads| {
            let lines = self.lines;
            threads.spawn(|| {
                for line in lines.lines().map_while(Result::ok) {
                    match line.as_str() {
                        OPENED => opened.store(1, Ordering::SeqCst),
                        // A line that was cut short by the end of the process is not an acknowledgement.
                        line => last.store(
                            complete(line).unwrap_or(last.load(Ordering::SeqCst)),
                            Ordering::SeqCst,
                        ),
                    }
                }
            });
            stop(&mut self.child);
        });
        self.child.wait().expect("the writer ends");
        let last = last.into_inner();
        Said {
            opened: opened.into_inner() == 1,
            acknowledged: (last > 0).then_some(last),
        }
    }
}

/// Lines are `<number>.`.
fn complete(line: &str) -> Option<u64> {
    line.strip_suffix('.')?.parse().ok()
}
