//! What surrounds a command: its input, its output, the environment and the clock; handed in, so that tests hold all of it.

use std::fmt;
use std::io::{self, IsTerminal as _, Read, Write};
use std::path::PathBuf;

use chrono::{DateTime, Utc};

/// The surroundings of one run.
pub(crate) struct Shell<'a> {
    pub(crate) stdin: &'a mut dyn Read,
    pub(crate) stdin_is_terminal: bool,
    pub(crate) stdout: &'a mut dyn Write,
    pub(crate) stderr: &'a mut dyn Write,
    pub(crate) stderr_is_terminal: bool,
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) clock: fn() -> DateTime<Utc>,
}

impl Shell<'_> {
    /// Runs `command` in the surroundings of this process. Nothing is locked for longer than a write: a server's threads
    /// log to the same streams.
    pub(crate) fn with_system<T>(command: impl FnOnce(&mut Shell<'_>) -> T) -> T {
        command(&mut Shell {
            stdin_is_terminal: io::stdin().is_terminal(),
            stdin: &mut io::stdin(),
            stdout: &mut io::stdout(),
            stderr: &mut io::stderr(),
            stderr_is_terminal: io::stderr().is_terminal(),
            variable: &|name| std::env::var(name).ok(),
            clock: Utc::now,
        })
    }

    /// A variable of the environment; one that is set to nothing counts as unset.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// A line for the person at the terminal, kept apart from the answer. That nobody reads it is no error.
    pub(crate) fn note(&mut self, line: &str) {
        let _ = writeln!(self.stderr, "{line}");
    }

    /// Where the user's saved contexts live; `None` where the environment names no home.
    pub(crate) fn config_dir(&self) -> Option<PathBuf> {
        self.variable("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| Some(PathBuf::from(self.variable("HOME")?).join(".config")))
            .map(|base| base.join("keyward"))
    }
}

impl fmt::Debug for Shell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shell").finish_non_exhaustive()
    }
}
