//! Opening a store: in which order its parts are made. What is checked is in `verify`, what is said of a refused one in
//! `error`.
//!
//! A data directory holds `store/`, `anchor` and (unless it is kept elsewhere) `keyring`. They are made in the order keyring,
//! anchor, store, so that a crash in between never leaves something that looks like a loss. A store that fails a check is
//! refused and left as it was.

mod error;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::Store;
use super::anchor::Anchor;
use super::backend::{Backend, Revision};
use super::memory::MemoryBackend;
use super::record::Head;
use super::record::log::ChainEnd;
use super::seal::Sum;
use super::sled::SledBackend;
use super::verify::{FORMAT, Intake, verify, verify_rows};
use crate::clock::Clock;
use crate::files;
use crate::keyring::Keyring;
use crate::keyring::file as keyring_file;
use crate::random::{self, Random};

pub use super::sled::{Left, Options};
pub use error::OpenError;

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
    /// What it stood at as it was verified.
    pub revision: Revision,
    /// Nothing has ever been committed to it.
    pub empty: bool,
    /// Held for as long as the data directory is in use.
    pub lock: Option<File>,
}

/// Opens the store in a data directory, and makes it where there is none. What is in it is given to `intake`, to be thrown
/// away if the store is refused.
pub fn open(
    place: &Place,
    clock: Arc<dyn Clock>,
    random: &dyn Random,
    intake: &dyn Intake,
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
    let began = Instant::now();
    let opening = SledBackend::open(&store_dir, place.sled).map_err(OpenError::Sled)?;
    let opened = began.elapsed();
    let head = match verify(opening.store(), &keyring, &anchor, intake) {
        Ok(head) => head,
        Err(fault) => {
            return Err(OpenError::of(
                fault,
                place.keyring_file(),
                &store_dir,
                opening.refuse(),
            ));
        }
    };
    tracing::info!(?opened, verified = ?(began.elapsed() - opened), "the store is whole");
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
    open_backend(
        backend,
        Arc::new(Keyring::generate(random)),
        clock,
        random,
        &(),
    )
}

/// A store over any back end, without an anchor.
pub fn open_backend(
    backend: Arc<dyn Backend>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    random: &dyn Random,
    intake: &dyn Intake,
) -> Result<Opened, OpenError> {
    let nowhere = PathBuf::from("memory");
    let head = verify_rows(&*backend, &keyring, intake)
        .map_err(|fault| OpenError::of(fault, nowhere.join("keyring"), &nowhere, Left::AsItWas))?;
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
    let revision = head.revision;
    let store = Store::start(backend, Arc::clone(&keyring), clock, head, anchor)?;
    Ok(Opened {
        store,
        keyring,
        revision,
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
