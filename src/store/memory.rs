//! The back end that keeps nothing: an ordered map in memory.
//!
//! It serves tests of every layer above, so besides being right it can be made to fail, and its rows can be changed behind
//! everybody's back. What a real store does under faults is shown by `sled`; this one only acts it.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::backend::{
    Backend, Batch, CommitError, Direction, Expect, Fault, Follow, Key, Range, Revision, Row,
};
use super::feed::Feed;

/// An ordered map behind a lock.
#[derive(Debug)]
pub struct MemoryBackend {
    state: RwLock<State>,
    feed: Feed,
}

/// For tests: what becomes of a batch whose commit fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aftermath {
    /// It was not written.
    Lost,
    /// It was, as `reopen` will show.
    Written,
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryBackend {
    /// An empty store, at revision 0.
    #[must_use]
    pub fn new() -> Self {
        Self::with_rows(Revision(0), BTreeMap::new())
    }

    /// For tests: a store as it would be found after a restart, with exactly these rows.
    #[must_use]
    pub fn with_rows(revision: Revision, rows: BTreeMap<Key, Row>) -> Self {
        let state = State {
            rows,
            ..State::default()
        };
        Self {
            state: RwLock::new(state),
            feed: Feed::new(revision),
        }
    }

    /// For tests: all rows as they are stored.
    #[must_use]
    pub fn rows(&self) -> BTreeMap<Key, Row> {
        self.read().rows.clone()
    }

    /// For tests: changes or removes a row behind everybody's back. No commit is told, and a changed row keeps its revision
    /// (a new one gets the newest).
    pub fn tamper(&self, key: &[u8], bytes: Option<&[u8]>) {
        let mut state = self.write();
        let revision = state
            .rows
            .get(key)
            .map_or(self.feed.newest(), |row| row.revision);
        match bytes.map(Into::into) {
            Some(bytes) => state.rows.insert(key.into(), Row { revision, bytes }),
            None => state.rows.remove(key),
        };
    }

    /// For tests: the next commit that would succeed fails instead, and so does every one after it until `reopen`.
    pub fn fail_next_commit(&self, aftermath: Aftermath) {
        self.fail_commit(0, aftermath);
    }

    /// For tests: the same for a commit that comes after so many others.
    pub fn fail_commit(&self, others: usize, aftermath: Aftermath) {
        self.write().trap = Some((others, aftermath));
    }

    /// For tests: while `true`, every read, commit and `reopen` fails. Coming back loses nothing.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.write().unavailable = unavailable;
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<Key, Row>,
    unavailable: bool,
    /// After how many more commits one fails.
    trap: Option<(usize, Aftermath)>,
    failure: Option<Failure>,
}

/// A commit failed; `survivor` is the batch where it will turn out to have been written.
#[derive(Debug)]
struct Failure {
    survivor: Option<Batch>,
}

impl State {
    fn reachable(&self) -> Result<&Self, Fault> {
        match self.unavailable {
            true => Err(Fault::Away("made unavailable by a test".into())),
            false => Ok(self),
        }
    }

    fn apply(&mut self, batch: &Batch) {
        for (key, value) in &batch.writes {
            match value {
                Some(bytes) => {
                    let row = Row {
                        revision: batch.revision,
                        bytes: bytes.clone(),
                    };
                    self.rows.insert(key.clone(), row);
                }
                None => {
                    self.rows.remove(key);
                }
            }
        }
    }
}

impl Backend for MemoryBackend {
    fn get(&self, key: &[u8]) -> Result<Option<Row>, Fault> {
        Ok(self.read().reachable()?.rows.get(key).cloned())
    }

    fn scan(&self, range: Range<'_>) -> Result<Vec<(Key, Row)>, Fault> {
        let state = self.read();
        let state = state.reachable()?;
        let Some((from, to)) = range.bounds() else {
            return Ok(Vec::new());
        };
        let rows = state
            .rows
            .range::<[u8], _>((from, to.as_ref().map(AsRef::as_ref)));
        let owned = |(key, row): (&Key, &Row)| (key.clone(), row.clone());
        Ok(match range.direction {
            Direction::Forward => rows.take(range.limit).map(owned).collect(),
            Direction::Backward => rows.rev().take(range.limit).map(owned).collect(),
        })
    }

    fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        batch.check_sizes()?;
        let mut state = self.write();
        state.reachable().map_err(CommitError::Unavailable)?;
        if state.failure.is_some() {
            return Err(failed());
        }
        let holds = |(key, expect): &(Key, Expect)| expect.holds(state.rows.get(key));
        if batch.revision != self.feed.newest().next() || !batch.checks.iter().all(holds) {
            return Err(CommitError::Conflict);
        }
        if let Some((others, aftermath)) = state.trap.take() {
            if others > 0 {
                state.trap = Some((others - 1, aftermath));
            } else {
                let survivor = (aftermath == Aftermath::Written).then(|| batch.clone());
                state.failure = Some(Failure { survivor });
                return Err(failed());
            }
        }
        state.apply(batch);
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
        state.reachable()?;
        if let Some(Failure {
            survivor: Some(batch),
        }) = state.failure.take()
        {
            state.apply(&batch);
            self.feed.reset(batch.revision);
        }
        Ok(())
    }
}

fn failed() -> CommitError {
    CommitError::Unavailable(Fault::Away("a commit was made to fail by a test".into()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::conformance::{Fresh, conformance_tests};

    fn fresh() -> Fresh {
        let store = Arc::new(MemoryBackend::new());
        let failing = Arc::clone(&store);
        Fresh {
            store,
            fail_next_commit: Box::new(move || failing.fail_next_commit(Aftermath::Written)),
            _dir: None,
        }
    }

    conformance_tests!(fresh);

    fn write(revision: u64, key: &[u8]) -> Batch {
        Batch {
            revision: Revision(revision),
            checks: Vec::new(),
            writes: vec![(key.into(), Some((*b"value").into()))],
            ..Batch::default()
        }
    }

    #[test]
    fn a_failed_commit_turns_out_lost_or_written_when_reopened() {
        for (aftermath, found) in [(Aftermath::Lost, 1), (Aftermath::Written, 2)] {
            let store = MemoryBackend::new();
            store.commit(&write(1, b"a")).unwrap();
            store.fail_next_commit(aftermath);
            for _ in 0..2 {
                let refused = store.commit(&write(2, b"b"));
                assert!(matches!(refused, Err(CommitError::Unavailable(_))));
                assert_eq!(store.get(b"b").unwrap(), None);
                assert_eq!(store.revision(), Revision(1));
            }
            store.reopen().unwrap();
            assert_eq!(store.revision(), Revision(found), "{aftermath:?}");
            assert_eq!(store.get(b"b").unwrap().is_some(), found == 2);
            store.commit(&write(found + 1, b"b")).unwrap();
        }
    }

    #[test]
    fn while_unavailable_everything_fails_and_afterwards_nothing_is_lost() {
        let store = MemoryBackend::new();
        store.commit(&write(1, b"a")).unwrap();
        store.set_unavailable(true);
        assert!(store.get(b"a").is_err());
        assert!(store.reopen().is_err());
        assert!(matches!(
            store.commit(&write(2, b"b")),
            Err(CommitError::Unavailable(_))
        ));
        store.set_unavailable(false);
        assert!(store.get(b"a").unwrap().is_some());
        store.commit(&write(2, b"b")).unwrap();
    }

    #[test]
    fn tampering_is_told_to_nobody_and_keeps_the_revision() {
        let store = MemoryBackend::new();
        store.commit(&write(1, b"a")).unwrap();
        store.commit(&write(2, b"b")).unwrap();
        store.tamper(b"a", Some(b"changed"));
        store.tamper(b"b", None);
        let row = store.get(b"a").unwrap().unwrap();
        assert_eq!(
            (row.revision, row.bytes.as_ref()),
            (Revision(1), b"changed".as_ref())
        );
        assert_eq!(store.rows().len(), 1);
        assert_eq!(store.revision(), Revision(2));
    }
}
