//! Why a store is not opened, in words that tell an operator what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::keyring::file::KeyringError;
use crate::store::StoreError;
use crate::store::backend::Revision;
use crate::store::seal::Corrupt;
use crate::store::sled::{Left, OpenError as SledError};
use crate::store::verify::{FORMAT, Fault};

/// Why a store was not opened. The text says what to do.
#[derive(Debug)]
pub enum OpenError {
    InUse(PathBuf),
    Io(PathBuf, io::Error),
    Keyring(PathBuf, KeyringError),
    /// There is a store, and the keyring that it needs is not there.
    KeyringMissing(PathBuf),
    /// The store was made under keys that the keyring lacks, or has differently.
    KeyringWrong(PathBuf, u32),
    /// There is a store, and its anchor is not there or cannot be believed.
    Anchor {
        path: PathBuf,
        wrong: String,
        left: Left,
    },
    /// The store lacks commits that its anchor knows, or has others in their place.
    RolledBack {
        dir: PathBuf,
        anchored: Revision,
        found: Revision,
        left: Left,
    },
    /// The layout is of a later version.
    Newer {
        dir: PathBuf,
        format: u32,
        left: Left,
    },
    Corrupt {
        dir: PathBuf,
        corrupt: Corrupt,
        left: Left,
    },
    Sled(SledError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const RESTORE: &str =
            "Restore the whole data directory from a backup, or give an empty one";
        match self {
            Self::InUse(dir) => write!(
                f,
                "the data directory {} is in use by another process: stop that one first, or give this one its own",
                dir.display()
            ),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Keyring(path, error) => {
                write!(f, "the keyring {} cannot be used: {error}", path.display())
            }
            Self::KeyringMissing(path) => write!(
                f,
                "there is a store, but its keyring {} is missing. Put back the keyring that the store was made with; without it no token is good",
                path.display()
            ),
            Self::KeyringWrong(path, id) => write!(
                f,
                "the keyring {} lacks key {id} of this store, or has another one under that id. Put back the keyring that the store was made with",
                path.display()
            ),
            Self::Anchor { path, wrong, left } => {
                write!(
                    f,
                    "the store's anchor {} cannot be used: {wrong}. {left} {RESTORE}",
                    path.display()
                )
            }
            Self::RolledBack {
                dir,
                anchored,
                found,
                left,
            } => write!(
                f,
                "the store in {} is not the one that was last written: its anchor knows revision {}, it is at {}. {left} {RESTORE}",
                dir.display(),
                anchored.0,
                found.0
            ),
            Self::Newer { dir, format, left } => write!(
                f,
                "the store in {} was written by a newer version (format {format}, this one knows {FORMAT}). {left} Start that version",
                dir.display()
            ),
            Self::Corrupt { dir, corrupt, left } => {
                write!(
                    f,
                    "the store in {} is corrupt: {corrupt}. {left} {RESTORE}",
                    dir.display()
                )
            }
            Self::Sled(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    /// What verification found wrong, told of the store in `dir` and the file `keyring`.
    pub(super) fn of(fault: Fault, keyring: PathBuf, dir: &Path, left: Left) -> Self {
        let dir = dir.to_owned();
        match fault {
            Fault::Store(StoreError::Corrupt(corrupt)) => Self::Corrupt { dir, corrupt, left },
            Fault::Store(other) => Self::Io(dir, io::Error::other(other.to_string())),
            Fault::KeyringWrong(id) => Self::KeyringWrong(keyring, id),
            Fault::Anchor(path, wrong) => Self::Anchor { path, wrong, left },
            Fault::RolledBack { anchored, found } => Self::RolledBack {
                dir,
                anchored,
                found,
                left,
            },
            Fault::Newer(format) => Self::Newer { dir, format, left },
        }
    }
}
