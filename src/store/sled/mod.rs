//! The back end for one machine: sled, made durable and safe to open.
//!
//! `durable` makes its syncs real, `handle` speaks to sled, `open`, `aside` and `error` see to it that a store is good, or
//! refused and left as it was; `quiet` catches panics. Here is what a back end promises: batches are checked and written
//! under one lock, so that readers see durable commits only; a failed write is remembered until the store was opened again.

mod aside;
#[cfg(test)]
mod damage;
mod durable;
mod error;
mod handle;
mod open;
mod quiet;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use error::{Left, OpenError};
pub use open::{Opening, Options};

use self::handle::{Handle, Instead};
use super::backend::{Backend, Batch, CommitError, Fault, Follow, Key, Range, Revision, Row};
use super::feed::Feed;

/// A store in a directory of its own.
#[derive(Debug)]
pub struct SledBackend {
    dir: PathBuf,
    options: Options,
    state: RwLock<State>,
    feed: Feed,
    /// Held as long as the store is open: nobody else may have it.
    lock: File,
}

impl SledBackend {
    /// Opens the store in `dir`, which is made where it is missing. It is not believed yet: see `Opening`.
    pub fn open(dir: &Path, options: Options) -> Result<Opening, OpenError> {
        open::open(dir, options)
    }

    fn new(dir: &Path, options: Options, lock: File, handle: Handle, revision: Revision) -> Self {
        Self {
            dir: dir.to_owned(),
            options,
            state: RwLock::new(State::of(handle)),
            feed: Feed::new(revision),
            lock,
        }
    }

    /// A panic below is caught below, so what a poisoned lock guards is whole.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the disk takes writes again: tried before the old handle, which can still be read, is given up.
    fn probe_disk(&self) -> io::Result<()> {
        let path = self.dir.join("probe");
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&vec![0; PROBE_BYTES])?;
            file.sync_all()
        });
        let _removed = fs::remove_file(&path);
        written
    }
}

/// About as much room as sled needs to open a store of moderate size: two segments.
const PROBE_BYTES: usize = 8 << 20;

#[derive(Debug)]
struct State {
    /// `None` where reopening has failed.
    handle: Option<Handle>,
    /// Why the last write failed; no other is tried until the store was opened again.
    failure: Option<Fault>,
    /// What the last write changes, as it was before: what readers see as long as it is not durable.
    instead: Instead,
}

impl State {
    fn of(handle: Handle) -> Self {
        Self {
            handle: Some(handle),
            failure: None,
            instead: Instead::new(),
        }
    }

    fn handle(&self) -> Result<&Handle, Fault> {
        let closed = || Fault::Away("it could not be opened again".into());
        self.handle.as_ref().ok_or_else(closed)
    }

    /// The rows that a batch is about to change.
    fn before(&self, batch: &Batch) -> Result<Instead, Fault> {
        let handle = self.handle()?;
        let row = |(key, _): &(Key, _)| Ok((key.clone(), handle.get(key)?));
        batch.writes.iter().map(row).collect()
    }

    /// Writes the batch if its checks hold, and says whether they did.
    fn commit(&mut self, batch: &Batch) -> Result<bool, Fault> {
        for (key, expect) in &batch.checks {
            if !self.handle()?.holds(key, *expect)? {
                return Ok(false);
            }
        }
        self.instead = self.before(batch)?;
        self.handle()?.write(batch)?;
        self.instead.clear();
        Ok(true)
    }
}

impl Backend for SledBackend {
    fn get(&self, key: &[u8]) -> Result<Option<Row>, Fault> {
        let state = self.read();
        match state.instead.get(key) {
            Some(row) => Ok(row.clone()),
            None => state.handle()?.get(key),
        }
    }

    fn scan(&self, range: Range<'_>) -> Result<Vec<(Key, Row)>, Fault> {
        let state = self.read();
        state.handle()?.scan(range, &state.instead)
    }

    fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        batch.check_sizes()?;
        let mut state = self.write();
        if let Some(fault) = &state.failure {
            return Err(CommitError::Unavailable(fault.clone()));
        }
        if batch.revision != self.feed.newest().next() {
            return Err(CommitError::Conflict);
        }
        match state.commit(batch) {
            Ok(true) => {}
            Ok(false) => return Err(CommitError::Conflict),
            Err(fault) => {
                state.failure = Some(fault.clone());
                return Err(CommitError::Unavailable(fault));
            }
        }
        self.feed.push(batch.told());
        Ok(())
    }

    fn revision(&self) -> Revision {
        self.feed.newest()
    }

    fn follow(&self, after: Revision) -> Box<dyn Follow> {
        self.feed.follow(after)
    }

    fn reopen(&self) -> Result<(), Fault> {
        let mut state = self.write();
        if state.handle.is_some() && state.failure.is_none() {
            return Ok(());
        }
        self.probe_disk()
            .map_err(|error| Fault::Away(error.to_string()))?;
        state.handle = None;
        let (handle, found) = open::reopen(&self.dir, self.options)?;
        let known = self.feed.newest();
        if found != known && found != known.next() {
            let why = format!(
                "revision {} was durable, and {} is what is left",
                known.0, found.0
            );
            return Err(Fault::Corrupt(why));
        }
        *state = State::of(handle);
        self.feed.reset(found);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::store::backend::{Direction, MAX_VALUE_BYTES};
    use crate::store::conformance::{Fresh, conformance_tests};
    use crate::store::memory::MemoryBackend;

    fn fresh() -> Fresh {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = Arc::new(
            SledBackend::open(&path, Options::default())
                .unwrap()
                .accept(),
        );
        Fresh {
            store,
            fail_next_commit: Box::new(move || durable::fail_next_sync(&path.join("db"))),
            _dir: Some(dir),
        }
    }

    conformance_tests!(fresh);

    /// How many files sled has written that it never syncs.
    fn blobs(dir: &Path) -> usize {
        fs::read_dir(dir.join("blobs")).unwrap().count()
    }

    #[test]
    fn the_largest_rows_stay_out_of_files_that_are_never_synced() {
        let fresh = fresh();
        crate::store::conformance::many_of_the_largest_rows_are_kept(&fresh);
        assert_eq!(blobs(&fresh._dir.as_ref().unwrap().path().join("store")), 0);
    }

    type Asked = (Vec<u8>, Option<Vec<u8>>, bool, usize);

    fn asked() -> impl Strategy<Value = Asked> {
        let key = || vec(0..4_u8, 0..4);
        (
            key(),
            proptest::option::of(key()),
            any::<bool>(),
            0..40_usize,
        )
    }

    fn writes() -> impl Strategy<Value = BTreeMap<Vec<u8>, Option<usize>>> {
        btree_map(
            vec(0..4_u8, 1..4),
            proptest::option::of(0..MAX_VALUE_BYTES),
            0..30,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn sled_answers_as_memory_does(
            batches in vec(writes(), 1..30),
            questions in vec(asked(), 30),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let open = || SledBackend::open(dir.path(), Options::default()).unwrap().accept();
            let (store, memory) = (open(), MemoryBackend::new());
            for writes in batches {
                let revision = store.revision().next();
                let write = |(key, length): (Vec<u8>, Option<usize>)| {
                    let value = |length| vec![u8::try_from(revision.0).unwrap(); length].into();
                    (key.into(), length.map(value))
                };
                let batch = Batch { revision, checks: vec![], writes: writes.into_iter().map(write).collect(), ..Batch::default() };
                store.commit(&batch).unwrap();
                memory.commit(&batch).unwrap();
            }
            let agree = |store: &SledBackend| {
                prop_assert_eq!(store.revision(), memory.revision());
                for (prefix, after, forward, limit) in &questions {
                    let direction = if *forward { Direction::Forward } else { Direction::Backward };
                    let range = Range { prefix, after: after.as_deref(), direction, limit: *limit };
                    prop_assert!(store.scan(range).unwrap() == memory.scan(range).unwrap(), "{:?}", range);
                    prop_assert!(store.get(prefix).unwrap() == memory.get(prefix).unwrap());
                }
                Ok(())
            };
            agree(&store)?;
            drop(store);
            agree(&open())?;
            prop_assert_eq!(blobs(dir.path()), 0);
        }
    }
}
