//! Why a store is not opened, in words that tell an operator what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::handle::words;

/// Why a store was not opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process, or another part of this one, has it open.
    InUse(PathBuf),
    /// The directory cannot be read or written.
    Io {
        dir: PathBuf,
        error: io::Error,
        left: Left,
    },
    /// What is there is not a whole store.
    Damaged {
        dir: PathBuf,
        why: String,
        left: Left,
    },
    /// This program was built such that sled would lose acknowledged writes.
    NotDurable,
}

/// In what state a refused store was left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Left {
    AsItWas,
    /// Opening it has changed its files, and this is why they could not be put back.
    Changed(String),
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsItWas => f.write_str("It was left as it was."),
            Self::Changed(why) => write!(f, "The attempt to open it has changed its files: {why}."),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(dir) => write!(
                f,
                "the store in {} is in use by another process: stop that one first, or give this one a directory of its own",
                dir.display()
            ),
            Self::Io { dir, error, left } => write!(
                f,
                "the store in {} cannot be opened: {error}. {left} Check that the directory belongs to this user and that the \
                 disk is well and has room",
                dir.display()
            ),
            Self::Damaged { dir, why, left } => write!(
                f,
                "the store in {} is damaged: {why}. {left} Restore the whole data directory from a backup, or give an empty one",
                dir.display()
            ),
            Self::NotDurable => f.write_str(
                "this program was linked without the function that makes sled's writes durable (store::sled::durable): \
                 link the keyward library as its own main.rs does",
            ),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why the database was not opened; in what state that left the files is not known yet.
pub(super) enum Refusal {
    InUse,
    Io(io::Error),
    Damaged(String),
}

impl Refusal {
    pub(super) fn into_error(self, dir: &Path, left: Left) -> OpenError {
        let dir = dir.to_owned();
        match self {
            Self::InUse => OpenError::InUse(dir),
            Self::Io(error) => OpenError::Io { dir, error, left },
            Self::Damaged(why) => OpenError::Damaged { dir, why, left },
        }
    }
}

impl From<sled::Error> for Refusal {
    fn from(error: sled::Error) -> Self {
        match error {
            // The lock on sled's file has no error of its own.
            sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => {
                Self::InUse
            }
            sled::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Damaged("a file ends too early".into())
            }
            sled::Error::Io(error) => Self::Io(error),
            other => Self::Damaged(words(&other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_names_the_directory_and_what_to_do() {
        let dir = || PathBuf::from("/data/store");
        let error = || io::Error::from(io::ErrorKind::PermissionDenied);
        let why = || "its files are corrupt".to_owned();
        let table = [
            (OpenError::InUse(dir()), "stop that one first"),
            (
                Refusal::Io(error()).into_error(&dir(), Left::AsItWas),
                "belongs to this user",
            ),
            (
                Refusal::Damaged(why()).into_error(&dir(), Left::AsItWas),
                "It was left as it was. Restore",
            ),
            (
                Refusal::Damaged(why()).into_error(&dir(), Left::Changed("no room".into())),
                "has changed its files: no room. Restore",
            ),
        ];
        for (error, advice) in table {
            let text = error.to_string();
            assert!(
                text.contains("/data/store") && text.contains(advice),
                "{text}"
            );
        }
    }
}
