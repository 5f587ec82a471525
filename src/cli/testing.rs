//! What the tests of this module share: surroundings that hold nothing of this machine, and flags without a command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::{Args, Parser};
use tempfile::TempDir;

use super::shell::Shell;

/// 2027-01-15T08:00:00Z.
pub(crate) const NOW: fn() -> DateTime<Utc> =
    || DateTime::from_timestamp(1_800_000_000, 0).unwrap();

/// A home of its own, an environment, an input, and what was printed.
pub(crate) struct Scene {
    home: TempDir,
    variables: BTreeMap<String, String>,
    stdin: Vec<u8>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_str().unwrap().to_owned();
        Self {
            home,
            variables: BTreeMap::from([("HOME".into(), path)]),
            stdin: Vec::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.into(), value.into());
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.variables.remove(name);
    }

    pub(crate) fn stdin(&mut self, text: &str) {
        self.stdin = text.as_bytes().to_vec();
    }

    /// Writes a file in the home.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn shell<T>(&mut self, command: impl FnOnce(&mut Shell<'_>) -> T) -> T {
        let variables = &self.variables;
        command(&mut Shell {
            stdin: &mut self.stdin.as_slice(),
            stdin_is_terminal: false,
            stdout: &mut self.stdout,
            stderr: &mut self.stderr,
            stderr_is_terminal: false,
            variable: &|name| variables.get(name).cloned(),
            clock: NOW,
        })
    }

    /// What was printed since this was last asked.
    pub(crate) fn stdout(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.stdout)).unwrap()
    }

    pub(crate) fn stderr(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.stderr)).unwrap()
    }
}

/// Reads the flags of one verb, split at spaces.
pub(crate) fn parse<A: Args>(line: &str) -> A {
    try_parse(line).unwrap_or_else(|why| panic!("{line}: {why}"))
}

pub(crate) fn try_parse<A: Args>(line: &str) -> Result<A, clap::Error> {
    #[derive(Parser)]
    struct Alone<A: Args> {
        #[command(flatten)]
        args: A,
    }
    let words = std::iter::once("test").chain(line.split_whitespace());
    Ok(Alone::try_parse_from(words)?.args)
}
