//! The back end for one machine: sled, made durable and safe to open.
//!
//! `durable` makes its syncs real, `handle` speaks to sled, `open`, `aside` and `error` see to it that a store is good, or
//! refused and left as it was; `quiet` catches panics. Here is what a back end promises: readers see durable commits only,
//! and do not wait while one is written; a failed write is remembered until the store was opened again.

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
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use error::{Left, OpenError};
pub use open::{Opening, Options};

use self::handle::{Handle, Instead};
use super::backend::{Backend, Batch, CommitError, Fault, Follow, Key, Range, Revision, Row, See};
use super::feed::Feed;

/// A store in a directory of its own.
#[derive(Debug)]
pub struct SledBackend {
    dir: PathBuf,
    options: Options,
    /// Held by whoever writes or opens again. `state` is locked for moments only, so that readers never wait for a disk.
    writing: Mutex<()>,
    state: RwLock<State>,
    feed: Feed,
    /// Held as long as anybody has the store: nobody else may open it.
    _lock: File,
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
            writing: Mutex::new(()),
            state: RwLock::new(State::of(handle)),
            feed: Feed::new(revision),
            _lock: lock,
        }
    }

    /// A panic below is caught below, so what a poisoned lock guards is whole.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the files, for good.
    fn close(&self) {
        let mut state = self.write();
        state.handle = None;
        state.closed = true;
    }

    fn alone(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the batch if its checks hold, tells the followers, and says whether it did.
    fn put(&self, batch: &Batch) -> Result<bool, Fault> {
        let Some(before) = self.read().before(batch)? else {
            return Ok(false);
        };
        self.write().instead = before;
        self.read().handle()?.write(batch)?;
        // Whoever sees the new rows can follow from their revision: both come under one lock.
        let mut state = self.write();
        let before = std::mem::take(&mut state.instead);
        self.feed.push(batch.told());
        drop(state);
        drop(before);
        Ok(true)
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
    /// It was refused, and is not opened again.
    closed: bool,
    /// What a write changes that is not durable, as it was before: what readers see instead.
    instead: Instead,
}

impl State {
    fn of(handle: Handle) -> Self {
        Self {
            handle: Some(handle),
            failure: None,
            closed: false,
            instead: Instead::new(),
        }
    }

    fn handle(&self) -> Result<&Handle, Fault> {
        let closed = || Fault::Away("it could not be opened again".into());
        self.handle.as_ref().ok_or_else(closed)
    }

    /// The rows that a batch reads and changes, as they are; `None` where a check does not hold.
    fn before(&self, batch: &Batch) -> Result<Option<Instead>, Fault> {
        let handle = self.handle()?;
        let mut rows = Instead::new();
        for (key, expect) in &batch.checks {
            let row = handle.get(key)?;
            if !expect.holds(row.as_ref()) {
                return Ok(None);
            }
            rows.insert(key.clone(), row);
        }
        for (key, _) in &batch.writes {
            if !rows.contains_key(key) {
                rows.insert(key.clone(), handle.get(key)?);
            }
        }
        Ok(Some(rows))
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

    fn visit(&self, range: Range<'_>, see: See<'_>) -> Result<(), Fault> {
        let state = self.read();
        if state.instead.is_empty() {
            return state.handle()?.visit(range, see);
        }
        for (name, row) in state.handle()?.scan(range, &state.instead)? {
            see(&name, row.revision, &row.bytes);
        }
        Ok(())
    }

    fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        batch.check_sizes()?;
        let _alone = self.alone();
        if let Some(fault) = &self.read().failure {
            return Err(CommitError::Unavailable(fault.clone()));
        }
        if batch.revision != self.feed.newest().next() {
            return Err(CommitError::Conflict);
        }
        match self.put(batch) {
            Ok(true) => Ok(()),
            Ok(false) => Err(CommitError::Conflict),
            Err(fault) => {
                self.write().failure = Some(fault.clone());
                Err(CommitError::Unavailable(fault))
            }
        }
    }

    fn revision(&self) -> Revision {
        self.feed.newest()
    }

    fn follow(&self, after: Revision) -> Box<dyn Follow> {
        self.feed.follow(after)
    }

    fn reopen(&self) -> Result<(), Fault> {
        let _alone = self.alone();
        let mut state = self.write();
        if state.handle.is_some() && state.failure.is_none() {
            return Ok(());
        }
        if state.closed {
            return Err(Fault::Away("it was refused".into()));
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

/// For tests: changes or removes a row of a closed store behind everybody's back.
#[cfg(test)]
pub(super) fn tamper(dir: &Path, name: &[u8], row: Option<&Row>) {
    Handle::open(dir, 16 << 20)
        .unwrap()
        .unwrap()
        .tamper(name, row);
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
        let store = SledBackend::open(&path, Options::default())
            .unwrap()
            .accept();
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

    #[test]
    fn readers_go_on_while_a_commit_is_synced_and_see_what_was_durable_before() {
        let dir = tempfile::tempdir().unwrap();
        let store = SledBackend::open(dir.path(), Options::default())
            .unwrap()
            .accept();
        let batch = |revision, value: &[u8]| Batch {
            revision: Revision(revision),
            checks: vec![],
            writes: vec![(Key::from(*b"k"), Some(value.into()))],
            ..Batch::default()
        };
        let read = || store.get(b"k").unwrap().unwrap().bytes;
        store.commit(&batch(1, b"old")).unwrap();
        let sync = durable::hold_next_sync(&dir.path().join("db"));
        std::thread::scope(|threads| {
            let committed = threads.spawn(|| store.commit(&batch(2, b"new")).unwrap());
            sync.wait();
            let range = Range {
                prefix: b"",
                after: None,
                direction: Direction::Forward,
                limit: 9,
            };
            let row = store.scan(range).unwrap().remove(0).1;
            let meanwhile = (read(), row.bytes, store.revision());
            sync.wait();
            committed.join().unwrap();
            let old: Arc<[u8]> = Arc::from(*b"old");
            assert_eq!(meanwhile, (old.clone(), old, Revision(1)));
        });
        assert_eq!((&*read(), store.revision()), (&b"new"[..], Revision(2)));
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
