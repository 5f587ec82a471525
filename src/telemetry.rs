//! Logs: one line an event on standard error, as text for people or JSON for machines.
//!
//! Levels are of our own events. Libraries are heard from `warn` up, whatever the level: at `trace` HTTP/2 would log
//! headers, and a header holds the caller's secret.

use std::io::{self, IsTerminal as _};
use std::panic::{self, PanicHookInfo};

use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, error};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, LogLevel};

mod lines;

pub use lines::Flush;
use lines::Lines;

/// Sets up logging for the whole process, panics included. Fails where that was done before. Keep what it returns to
/// the end of `main`, or the last lines may be missing.
pub fn init(format: LogFormat, level: LogLevel) -> io::Result<Flush> {
    let color = io::stderr().is_terminal();
    let (lines, flush) = Lines::start(io::stderr())?;
    match format {
        LogFormat::Text => text(level, color, lines).try_init(),
        LogFormat::Json => json(level, lines).try_init(),
    }
    .map_err(io::Error::other)?;
    panic::set_hook(Box::new(log_panic));
    Ok(flush)
}

fn text<W>(level: LogLevel, color: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(color)
        .with_writer(writer);
    tracing_subscriber::registry().with(lines.with_filter(filter(level)))
}

/// Each event one flat object, its fields at the top.
fn json<W>(level: LogLevel, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(writer);
    tracing_subscriber::registry().with(lines.with_filter(filter(level)))
}

fn filter(level: LogLevel) -> Targets {
    let ours = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(ours.min(LevelFilter::WARN))
        .with_target(env!("CARGO_CRATE_NAME"), ours)
}

/// Where it was and what was said, in the log's own form; the backtrace is the debugger's affair.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(tracing::field::display);
    let said = panic.payload_as_str().unwrap_or("");
    error!(place, said, "panic");
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Memory {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    impl Memory {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let memory = Memory::default();
        tracing::subscriber::with_default(json(LogLevel::Info, memory.clone()), || {
            tracing::info!(call_id = "c1", duration_us = 12, "call");
        });
        let line: serde_json::Value = serde_json::from_str(memory.text().trim_end()).unwrap();
        assert_eq!(line["message"], "call");
        assert_eq!(line["call_id"], "c1");
        assert_eq!(line["duration_us"], 12);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn libraries_never_speak_below_warn() {
        let memory = Memory::default();
        tracing::subscriber::with_default(text(LogLevel::Trace, false, memory.clone()), || {
            tracing::trace!("ours is heard");
            tracing::info!(target: "h2::codec", "authorization: Bearer kw_secret");
            tracing::warn!(target: "h2::codec", "theirs is heard");
        });
        let text = memory.text();
        assert!(
            text.contains("ours is heard") && text.contains("theirs is heard"),
            "{text}"
        );
        assert!(!text.contains("kw_secret"), "{text}");
    }

    #[test]
    fn the_level_bounds_everybody() {
        let memory = Memory::default();
        tracing::subscriber::with_default(text(LogLevel::Error, false, memory.clone()), || {
            tracing::warn!("ours");
            tracing::warn!(target: "h2", "theirs");
            tracing::error!("heard");
        });
        assert_eq!(memory.text().lines().count(), 1);
        assert!(memory.text().contains("heard"));
    }
}
