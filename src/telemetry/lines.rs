//! Lines on their way out: whoever logs never waits for whoever reads.
//!
//! A pipe that nobody empties would otherwise stop a core in the middle of a call. Lines wait in a bounded queue for a
//! thread that writes them; where the queue is full they are dropped, counted, and the count is written.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait. At some 300 bytes each that is about a megabyte.
const MOST_WAITING: usize = 4096;

/// How long the end of the process waits for lines to be written.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often it looks whether there is room for the question.
const GLANCE: Duration = Duration::from_millis(5);

/// Where loggers put their lines.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    queue: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

/// Waits, when dropped, until what was logged before is written.
#[derive(Debug)]
pub struct Flush(Lines);

#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    /// Answered when all before it is written.
    Written(SyncSender<()>),
}

impl Lines {
    /// Starts the thread that writes to `out`.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Self, Flush)> {
        Self::start_with(MOST_WAITING, out)
    }

    fn start_with(waiting: usize, out: impl Write + Send + 'static) -> io::Result<(Self, Flush)> {
        let (queue, items) = sync_channel(waiting);
        let dropped = Arc::default();
        let count = Arc::clone(&dropped);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&items, out, &count))?;
        let lines = Self { queue, dropped };
        Ok((lines.clone(), Flush(lines)))
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let (written, done) = sync_channel(1);
        let until = Instant::now() + FAREWELL;
        let mut question = Item::Written(written);
        while let Err(std::sync::mpsc::TrySendError::Full(again)) = self.0.queue.try_send(question)
        {
            if Instant::now() >= until {
                return;
            }
            question = again;
            thread::sleep(GLANCE);
        }
        let _ = done.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// The formatter writes each event in one piece, line end included.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Item::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Until no logger is left. A line that cannot be written has nowhere else to go.
fn write_all(items: &Receiver<Item>, mut out: impl Write, dropped: &AtomicU64) {
    for item in items {
        match item {
            Item::Line(line) => drop(out.write_all(&line)),
            Item::Written(done) => drop(done.try_send(())),
        }
        match dropped.swap(0, Ordering::Relaxed) {
            0 => {}
            count => drop(writeln!(
                out,
                "{{\"level\":\"WARN\",\"message\":\"log lines dropped\",\"count\":{count}}}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Keeps what is written, and writes nothing while its gate is held.
    #[derive(Clone, Default)]
    struct Pipe {
        gate: Arc<Mutex<()>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Pipe {
        fn text(&self) -> String {
            String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.gate.lock().unwrap();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_logged_is_written_when_the_flush_is_over() {
        let pipe = Pipe::default();
        let (lines, flush) = Lines::start(pipe.clone()).unwrap();
        for number in 0..100 {
            writeln!(&lines, "line {number}").unwrap();
        }
        drop(flush);
        assert!(pipe.text().ends_with("line 99\n"));
    }

    #[test]
    fn a_shut_pipe_stops_no_logger_and_what_is_dropped_is_counted() {
        let pipe = Pipe::default();
        let shut = pipe.gate.lock().unwrap();
        let (lines, flush) = Lines::start_with(2, pipe.clone()).unwrap();
        for _ in 0..100 {
            (&lines).write_all(b"line\n").unwrap();
        }
        drop(shut);
        drop(flush);
        let text = pipe.text();
        let written = text.lines().filter(|line| *line == "line").count();
        assert!(written <= 3, "{text}");
        assert!(
            text.contains(&format!("\"count\":{}", 100 - written)),
            "{text}"
        );
    }
}
