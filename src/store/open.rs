//! Opening a store: in which order its parts are made, and what is said when it is refused. What is checked is in `verify`.
//!
//! A data directory holds `store/`, `anchor` and (unless it is kept elsewhere) `keyring`. They are made in the order keyring,
//! anchor, store, so that a crash in between never leaves something that looks like a loss. A store that fails a check is
//! refused and left as it was.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Store;
use super::anchor::Anchor;
use super::backend::{Backend, Revision};
use super::memory::MemoryBackend;
use super::record::Head;
use super::record::log::ChainEnd;
use super::seal::{Corrupt, Sum};
use super::sled::{OpenError as SledError, SledBackend};
use super::verify::{verify, verify_rows};
use crate::clock::Clock;
use crate::files;
use crate::keyring::Keyring;
use crate::keyring::file::{self as keyring_file, KeyringError};
use crate::random::{self, Random};

pub use super::sled::{Left, Options};

/// The version of the layout that this version reads and writes.
pub const FORMAT: u32 = 1;

/// Where a store is, and how it is opened.
#[derive(Clone, Debug)]
pub struct Place {
    pub data_dir: PathBuf,
    /// `None`: `keyring` in the data directory.
    pub keyring_file: Option<PathBuf>,
    pub sled: Options,
}

impl Place {
    #[must_use]
    pub fn keyring_file(&self) -> PathBuf {
        self.keyring_file
            .clone()
            .unwrap_or_else(|| self.data_dir.join("keyring"))
    }
}

/// A store that passed every check.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    pub keyring: Arc<Keyring>,
    /// Nothing has ever been committed to it.
    pub empty: bool,
    /// Held for as long as the data directory is in use.
    pub lock: Option<File>,
}

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

/// Opens the store in a data directory, and makes it where there is none.
pub fn open(
    place: &Place,
    clock: Arc<dyn Clock>,
    random: &dyn Random,
) -> Result<Opened, OpenError> {
    let dir = &place.data_dir;
    let io_error = |error| OpenError::Io(dir.clone(), error);
    files::create_private_directory(dir).map_err(io_error)?;
    let lock = lock(dir)?;
    let store_dir = dir.join("store");
    let exists = store_dir.exists();
    let mut anchor = Anchor::at(dir.join("anchor"));
    let keyring = keyring(place, exists || anchor.path().exists(), random)?;
    if !exists && !anchor.path().exists() {
        let path = anchor.path().to_owned();
        anchor
            .write(&keyring, &first_head(random))
            .map_err(|error| OpenError::Io(path, error))?;
    }
    let opening = SledBackend::open(&store_dir, place.sled).map_err(OpenError::Sled)?;
    let head = match verify(opening.store(), &keyring, &anchor) {
        Ok(head) => head,
        Err(fault) => return Err(fault.told(place, &store_dir, opening.refuse())),
    };
    let backend: Arc<dyn Backend> = Arc::new(opening.accept());
    let empty = head.is_none();
    let head = head.unwrap_or_else(|| first_head(random));
    finish(
        backend,
        keyring,
        clock,
        head,
        Some(anchor),
        empty,
        Some(lock),
    )
    .map_err(io_error)
}

/// A store in memory, gone with the process; its keyring is new.
pub fn open_memory(clock: Arc<dyn Clock>, random: &dyn Random) -> Result<Opened, OpenError> {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    open_backend(backend, Arc::new(Keyring::generate(random)), clock, random)
}

/// A store over any back end, without an anchor.
pub fn open_backend(
    backend: Arc<dyn Backend>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    random: &dyn Random,
) -> Result<Opened, OpenError> {
    let nowhere = PathBuf::from("memory");
    let head = verify_rows(&*backend, &keyring).map_err(|fault| {
        let place = Place {
            data_dir: nowhere.clone(),
            keyring_file: None,
            sled: Options::default(),
        };
        fault.told(&place, &nowhere, Left::AsItWas)
    })?;
    let empty = head.is_none();
    let head = head.unwrap_or_else(|| first_head(random));
    finish(backend, keyring, clock, head, None, empty, None)
        .map_err(|error| OpenError::Io(nowhere, error))
}

fn finish(
    backend: Arc<dyn Backend>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    head: Head,
    anchor: Option<Anchor>,
    empty: bool,
    lock: Option<File>,
) -> io::Result<Opened> {
    clock.raise_floor(if empty { clock.now() } else { head.floor });
    let store = Store::start(backend, Arc::clone(&keyring), clock, head, anchor)?;
    Ok(Opened {
        store,
        keyring,
        empty,
        lock,
    })
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let file = File::open(dir).map_err(|error| OpenError::Io(dir.to_owned(), error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::Io(dir.to_owned(), error)),
    }
}

/// The store's keyring; a new one is made only together with an empty store.
fn keyring(place: &Place, used: bool, random: &dyn Random) -> Result<Arc<Keyring>, OpenError> {
    let path = place.keyring_file();
    let found =
        keyring_file::read(&path).map_err(|error| OpenError::Keyring(path.clone(), error))?;
    match found {
        Some(keyring) => Ok(Arc::new(keyring)),
        None if used => Err(OpenError::KeyringMissing(path)),
        None => {
            let keyring = Keyring::generate(random);
            keyring_file::write(&path, &keyring).map_err(|error| OpenError::Io(path, error))?;
            Ok(Arc::new(keyring))
        }
    }
}

fn first_head(random: &dyn Random) -> Head {
    Head {
        format: FORMAT,
        revision: Revision(0),
        rows: 0,
        sum: Sum::default(),
        floor: crate::domain::time::Timestamp::default(),
        chain: ChainEnd {
            id: random::local_id(random),
            ..ChainEnd::default()
        },
        keys: Vec::new(),
    }
}
