//! Opening a store: in which order its parts are made. What is checked is in `verify`, what is said of a refused one in
//! `error`.
//!
//! A data directory holds `store/`, `anchor` and (unless it is kept elsewhere) `keyring`. They are made in the order keyring,
//! anchor, store, so that a crash in between never leaves something that looks like a loss. A store that fails a check is
//! refused and left as it was.

mod error;
mod verification;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Instant;

use super::Store;
use super::anchor::Anchor;
use super::backend::{Backend, Revision};
use super::image::{self, ReadModel, Restored};
use super::memory::MemoryBackend;
use super::record::log::ChainEnd;
use super::record::{Head, Link};
use super::seal::Sum;
use super::sled::{Opening, SledBackend};
use super::verify::{FORMAT, Intake, verify, verify_head, verify_rows};
use crate::clock::Clock;
use crate::files;
use crate::keyring::Keyring;
use crate::keyring::file as keyring_file;
use crate::random::{self, Random};

pub use super::sled::{Left, Options};
pub use error::OpenError;
pub use verification::{Stop, Verification, Verified};

/// Where a store is, and how it is opened.
#[derive(Clone, Debug)]
pub struct Place {
    pub data_dir: PathBuf,
    /// `None`: `keyring` in the data directory.
    pub keyring_file: Option<PathBuf>,
    pub sled: Options,
}

impl Place {
    /// Where the image of the store is.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.data_dir.join("image")
    }

    #[must_use]
    pub fn keyring_file(&self) -> PathBuf {
        self.keyring_file
            .clone()
            .unwrap_or_else(|| self.data_dir.join("keyring"))
    }
}

/// A store that may be served from.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    pub keyring: Arc<Keyring>,
    /// What it stood at as it was opened.
    pub revision: Revision,
    /// Nothing has ever been committed to it.
    pub empty: bool,
    /// Up to where its image has all changes, where it was served from that.
    pub image: Link,
    /// What is still to be verified. Until it is, the store takes no changes.
    pub verification: Option<Verification>,
    /// Held for as long as the data directory is in use.
    pub lock: Option<File>,
}

/// Opens the store in a data directory, and makes it where there is none. Every check is made before this returns. What is in it
/// is given to `intake`, to be thrown away if the store is refused.
pub fn open(
    place: &Place,
    clock: Arc<dyn Clock>,
    random: &dyn Random,
    intake: &dyn Intake,
) -> Result<Opened, OpenError> {
    let entered = Entered::at(place, random)?;
    let opening = SledBackend::open(&entered.store_dir, place.sled).map_err(OpenError::Sled)?;
    entered.verify_first(opening, clock, random, intake)
}

/// The same, with the read model of what is in it: from its image, where there is one that can be believed and the store has more
/// rows than `few`. Then most of the rows are still to be verified.
pub fn open_with<M: ReadModel + Default + Send>(
    place: &Place,
    clock: Arc<dyn Clock>,
    random: &dyn Random,
    few: u64,
) -> Result<(Opened, M), OpenError> {
    let entered = Entered::at(place, random)?;
    let (restored, opening) = thread::scope(|scope| {
        let restored = entered
            .has_more_than(few)
            .then(|| scope.spawn(|| image::read::<M>(&place.image(), &entered.keyring)));
        let opening = SledBackend::open(&entered.store_dir, place.sled);
        (restored.map(|restored| restored.join()), opening)
    });
    let opening = opening.map_err(OpenError::Sled)?;
    let restored = restored.map(|read| read.unwrap_or_else(|_| Err("reading it failed".into())));
    let why = match restored {
        None => None,
        Some(restored) => match restored.and_then(|it| entered.believe(it, &opening)) {
            Ok((model, head, image)) => {
                let opened = entered.verify_later(opening, head, clock)?;
                return Ok((Opened { image, ..opened }, model));
            }
            Err(why) => Some(why),
        },
    };
    if let Some(why) = why {
        tracing::warn!(why, image = %place.image().display(), "starting from the store alone, for its image is of no use");
    }
    let model = M::default();
    let opened = entered.verify_first(opening, clock, random, &model)?;
    Ok((opened, model))
}

/// A data directory that is ours, and what is beside the store in it.
struct Entered {
    lock: File,
    keyring: Arc<Keyring>,
    anchor: Anchor,
    store_dir: PathBuf,
    keyring_file: PathBuf,
}

impl Entered {
    fn at(place: &Place, random: &dyn Random) -> Result<Self, OpenError> {
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
        Ok(Self {
            lock,
            keyring,
            anchor,
            store_dir,
            keyring_file: place.keyring_file(),
        })
    }

    /// Whether the store has more rows, as far as the anchor knows.
    fn has_more_than(&self, few: u64) -> bool {
        let anchored = self.anchor.read(&self.keyring);
        anchored.is_ok_and(|head| head.is_some_and(|head| head.rows > few))
    }

    /// A model that was restored from an image, brought up to the head. The error says why it cannot be believed.
    fn believe<M: ReadModel>(
        &self,
        restored: Restored<M>,
        opening: &Opening,
    ) -> Result<(M, Head, Link), String> {
        let began = Instant::now();
        let head = verify_head(&**opening.store(), &self.keyring, &self.anchor);
        let head = head.ok().flatten().ok_or("the store is not good")?;
        let rows = restored.bring_up(&**opening.store(), &self.keyring, &head)?;
        tracing::info!(image = restored.footer.revision.0, revision = head.revision.0, rows, took = ?began.elapsed(), "the image was brought up to date");
        Ok((restored.model, head, restored.footer.from))
    }

    fn verify_first(
        self,
        opening: Opening,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
        intake: &dyn Intake,
    ) -> Result<Opened, OpenError> {
        let began = Instant::now();
        let head = match verify(&**opening.store(), &self.keyring, &self.anchor, intake) {
            Ok(head) => head,
            Err(fault) => {
                let left = opening.refuse();
                return Err(OpenError::of(
                    fault,
                    self.keyring_file,
                    &self.store_dir,
                    left,
                ));
            }
        };
        tracing::debug!(took = ?began.elapsed(), "every row was verified");
        let opened = Opened {
            empty: head.is_none(),
            lock: Some(self.lock),
            ..finish(
                opening.accept(),
                self.keyring,
                clock,
                head.unwrap_or_else(|| first_head(random)),
                Some(self.anchor),
                Arc::new(true.into()),
            )
            .map_err(|error| OpenError::Io(self.store_dir, error))?
        };
        Ok(opened)
    }

    fn verify_later(
        self,
        opening: Opening,
        head: Head,
        clock: Arc<dyn Clock>,
    ) -> Result<Opened, OpenError> {
        let verification = Verification::of(
            opening,
            Arc::clone(&self.keyring),
            self.keyring_file,
            self.store_dir.clone(),
        );
        let opened = finish(
            verification.store(),
            self.keyring,
            clock,
            head,
            Some(self.anchor),
            verification.passed(),
        );
        Ok(Opened {
            verification: Some(verification),
            lock: Some(self.lock),
            ..opened.map_err(|error| OpenError::Io(self.store_dir, error))?
        })
    }
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
    let opened = finish(backend, keyring, clock, head, None, Arc::new(true.into()));
    let opened = opened.map_err(|error| OpenError::Io(nowhere, error))?;
    Ok(Opened { empty, ..opened })
}

/// Starts on a store that is not empty, all of which was verified.
fn finish(
    backend: Arc<dyn Backend>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    head: Head,
    anchor: Option<Anchor>,
    verified: Arc<AtomicBool>,
) -> io::Result<Opened> {
    let first = head.revision == Revision(0);
    clock.raise_floor(if first { clock.now() } else { head.floor });
    let revision = head.revision;
    let keys = Arc::clone(&keyring);
    let store = Store::start(backend, keys, clock, head, anchor, verified)?;
    Ok(Opened {
        store,
        keyring,
        revision,
        empty: false,
        image: Link::default(),
        verification: None,
        lock: None,
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
        change: Link::default(),
        keys: Vec::new(),
    }
}
