//! Opens a sled store so that it is either good, or refused and left as it was.
//!
//! What lies in the way, found by reading and breaking sled 0.34: opening a damaged database panics, or succeeds without
//! part of the rows, and in either case has written to the files before (see `aside`); a `snap.*.generating` left by a
//! process that died makes every later opening fail; no directory is ever synced; and a database that was just closed stays
//! locked until sled's threads let go of it. Whether the rows are those that were written is for the layer above to find out,
//! which is why the opened store is handed over as an `Opening`.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::SledBackend;
use super::aside::{self, Aside};
use super::durable;
use super::error::{Left, OpenError, Refusal};
use super::handle::Handle;
use crate::files;
use crate::store::backend::{Fault, Revision};

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most that sled keeps of its pages in memory.
    pub cache_bytes: u64,
    /// The largest store that is copied before it is opened, so that it can be left as it was if it is refused.
    pub copy_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 128 << 20,
            copy_bytes: 4 << 30,
        }
    }
}

/// A store that sled has opened and that the layer above has yet to believe. It may be read, not written. Unless it is
/// accepted its directory becomes what it was before, whoever else may still have it.
#[derive(Debug)]
pub struct Opening {
    /// `None` only when it is given away.
    store: Option<Arc<SledBackend>>,
    aside: Option<Aside>,
    dir: PathBuf,
}

impl Opening {
    /// The store, to be looked at.
    #[must_use]
    pub fn store(&self) -> &Arc<SledBackend> {
        self.store
            .as_ref()
            .expect("given away only with the opening")
    }

    /// The store is good: the way back is given up.
    #[must_use]
    pub fn accept(mut self) -> Arc<SledBackend> {
        self.store.take().expect("given away only with the opening")
    }

    /// The store is not good: closes it and puts its files back.
    #[must_use]
    pub fn refuse(mut self) -> Left {
        self.close()
    }

    fn close(&mut self) -> Left {
        let Some(store) = self.store.take() else {
            return Left::AsItWas;
        };
        store.close();
        let left = put_back(&self.dir, self.aside.take());
        drop(store);
        left
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.close();
    }
}

/// How long to wait for sled to let go of files that are closed.
const LINGER: Duration = Duration::from_secs(2);

pub(super) fn open(dir: &Path, options: Options) -> Result<Opening, OpenError> {
    if !durable::overridden() {
        return Err(OpenError::NotDurable);
    }
    let untouched = |error| Refusal::Io(error).into_error(dir, Left::AsItWas);
    let dir = &files::create_private_directory(dir)
        .and_then(|()| dir.canonicalize())
        .map_err(untouched)?;
    let lock = lock(dir).map_err(|refusal| refusal.into_error(dir, Left::AsItWas))?;
    let aside = Aside::take(dir, options.copy_bytes).map_err(untouched)?;
    let opened = remove_stale_snapshots(dir)
        .map_err(Refusal::Io)
        .and_then(|()| open_checked(dir, options));
    match opened {
        Ok((handle, revision)) => Ok(Opening {
            store: Some(Arc::new(SledBackend::new(
                dir, options, lock, handle, revision,
            ))),
            aside,
            dir: dir.to_owned(),
        }),
        // Whoever has it open goes on writing; sled has not touched anything yet.
        Err(Refusal::InUse) => Err(Refusal::InUse.into_error(dir, Left::AsItWas)),
        Err(refusal) => Err(refusal.into_error(dir, put_back(dir, aside))),
    }
}

/// Opens the database again in a directory that is ours. Nothing is put back where that fails.
pub(super) fn reopen(dir: &Path, options: Options) -> Result<(Handle, Revision), Fault> {
    remove_stale_snapshots(dir).map_err(|error| Fault::Away(error.to_string()))?;
    if let Ok(file) = File::open(dir.join(DB)) {
        durable::forget_cached(&file);
    }
    open_checked(dir, options).map_err(|refusal| match refusal {
        Refusal::Damaged(why) => Fault::Corrupt(why),
        Refusal::InUse => Fault::Away("its files are still in use".into()),
        Refusal::Io(error) => Fault::Away(error.to_string()),
    })
}

/// The name of sled's main file.
const DB: &str = "db";

fn open_checked(dir: &Path, options: Options) -> Result<(Handle, Revision), Refusal> {
    let handle = open_patiently(dir, options)?;
    let revision = handle.revision().map_err(|fault| match fault {
        Fault::Corrupt(why) | Fault::Away(why) => Refusal::Damaged(why),
    })?;
    aside::sync(dir).map_err(Refusal::Io)?;
    Ok((handle, revision))
}

/// Tries until sled's threads have let go of an earlier handle in this process.
fn open_patiently(dir: &Path, options: Options) -> Result<Handle, Refusal> {
    let deadline = Instant::now() + LINGER;
    loop {
        let refusal = match Handle::open(dir, options.cache_bytes) {
            Ok(Ok(handle)) => return Ok(handle),
            Ok(Err(error)) => error.into(),
            Err(panic) => Refusal::Damaged(panic),
        };
        if !matches!(refusal, Refusal::InUse) || Instant::now() > deadline {
            return Err(refusal);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn put_back(dir: &Path, aside: Option<Aside>) -> Left {
    wait_until_closed(dir);
    match aside.map(Aside::put_back) {
        Some(Ok(())) => Left::AsItWas,
        Some(Err(error)) => Left::Changed(error.to_string()),
        None => Left::Changed("there was no room for a copy of them, or they are larger than what is copied before opening".into()),
    }
}

/// sled locks its file for as long as any of its threads has it open.
fn wait_until_closed(dir: &Path) {
    let deadline = Instant::now() + LINGER;
    let Ok(file) = File::open(dir.join(DB)) else {
        return;
    };
    while file.try_lock().is_err() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
}

fn lock(dir: &Path) -> Result<File, Refusal> {
    let file = File::open(dir).map_err(Refusal::Io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Refusal::InUse),
        Err(TryLockError::Error(error)) => Err(Refusal::Io(error)),
    }
}

/// Snapshots that a process began to write and did not finish. Finished ones (`snap.*`) are never touched.
fn remove_stale_snapshots(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(dir.join(name.as_ref()))?;
        }
    }
    Ok(())
}
