//! A back end that counts the rows it is asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use keyward::store::backend::{
    Backend, Batch, CommitError, Fault, Follow, Key, Range, Revision, Row,
};
use keyward::store::sled::SledBackend;

#[derive(Debug)]
pub(crate) struct Counted {
    store: SledBackend,
    rows: AtomicU64,
}

impl Counted {
    pub(crate) fn new(store: SledBackend) -> Self {
        let rows = AtomicU64::default();
        Self { store, rows }
    }

    /// Rows read so far, found or not.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
}

impl Backend for Counted {
    fn get(&self, key: &[u8]) -> Result<Option<Row>, Fault> {
        self.rows.fetch_add(1, Ordering::Relaxed);
        self.store.get(key)
    }

    fn scan(&self, range: Range<'_>) -> Result<Vec<(Key, Row)>, Fault> {
        let rows = self.store.scan(range)?;
        self.rows.fetch_add(rows.len() as u64, Ordering::Relaxed);
        Ok(rows)
    }

    fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        self.store.commit(batch)
    }

    fn revision(&self) -> Revision {
        self.store.revision()
    }

    fn follow(&self, after: Revision) -> Box<dyn Follow> {
        self.store.follow(after)
    }

    fn reopen(&self) -> Result<(), Fault> {
        self.store.reopen()
    }
}
