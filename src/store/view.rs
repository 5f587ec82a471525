//! What a change sees and does: the store as the changes before it leave it, and the rows and events that it adds.

use std::collections::BTreeMap;

use super::StoreError;
use super::backend::{Backend, Expect, Key, MAX_VALUE_BYTES};
use super::record::Record;
use super::seal::{self, Corrupt, Sum};
use crate::domain::event::Event;
use crate::domain::time::Timestamp;
use crate::keyring::Keyring;

/// The payload of a row, or `None` where it is deleted.
type Payload = Option<Vec<u8>>;

/// The store, for the length of one change.
#[derive(Debug)]
pub struct View<'a> {
    rows: &'a mut Rows,
    source: Source<'a>,
    now: Timestamp,
    written: BTreeMap<Key, Payload>,
    events: Vec<Event>,
}

/// Where rows are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) backend: &'a dyn Backend,
    pub(super) keyring: &'a Keyring,
}

/// The rows that a group of changes has read and written so far.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// As they are stored; each was read once, and must still be so at the commit.
    read: BTreeMap<Key, Stored>,
    pub(super) written: BTreeMap<Key, Payload>,
}

/// A row as it is stored.
#[derive(Debug)]
pub(super) struct Stored {
    payload: Payload,
    expect: Expect,
    mac: Option<Sum>,
}

impl<'a> View<'a> {
    pub(super) fn new(rows: &'a mut Rows, source: Source<'a>, now: Timestamp) -> Self {
        Self {
            rows,
            source,
            now,
            written: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// The time of the commit that this change becomes part of: settled, so that nothing follows a wall clock that has leapt.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The record under a key, as the changes so far leave it.
    pub fn get<R: Record>(&mut self, key: &Key) -> Result<Option<R>, StoreError> {
        let payload = match self.written.get(key).or_else(|| self.rows.written.get(key)) {
            Some(payload) => payload.as_deref(),
            None => self.rows.stored(key, self.source)?.payload.as_deref(),
        };
        let record = payload.map(R::decode).transpose();
        record.map_err(|wrong| StoreError::Corrupt(Corrupt::new(key, wrong)))
    }

    /// Writes a record. Too large a one is refused, and nothing is written.
    pub fn put(&mut self, key: Key, record: &impl Record) -> Result<(), StoreError> {
        let payload = record.encode();
        if payload.len() > MAX_PAYLOAD {
            return Err(StoreError::TooLarge {
                bytes: payload.len(),
                most: MAX_PAYLOAD,
            });
        }
        self.rows.stored(&key, self.source)?;
        self.written.insert(key, Some(payload));
        Ok(())
    }

    /// Deletes a record; one that is not there stays away.
    pub fn delete(&mut self, key: Key) -> Result<(), StoreError> {
        self.rows.stored(&key, self.source)?;
        self.written.insert(key, None);
        Ok(())
    }

    /// Adds a line to the audit log, in the same commit.
    pub fn log(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Gives the change's rows to its group, and its events to the committer.
    pub(super) fn keep(self) -> Vec<Event> {
        self.rows.written.extend(self.written);
        self.events
    }
}

/// The largest payload of a record, in bytes: a row's limit less what protects it.
pub const MAX_PAYLOAD: usize = MAX_VALUE_BYTES - seal::OVERHEAD;

impl Rows {
    /// The row as it is stored, read at its first mention.
    pub(super) fn stored(&mut self, key: &Key, source: Source<'_>) -> Result<&Stored, StoreError> {
        if !self.read.contains_key(key) {
            let stored = match source.backend.get(key)? {
                None => Stored {
                    payload: None,
                    expect: Expect::Absent,
                    mac: None,
                },
                Some(row) => {
                    let opened = seal::open(source.keyring, key, &row)?;
                    let payload = Some(opened.payload.to_vec());
                    Stored {
                        payload,
                        expect: Expect::At(row.revision),
                        mac: Some(opened.mac),
                    }
                }
            };
            self.read.insert(key.clone(), stored);
        }
        Ok(&self.read[key])
    }

    /// The MAC of a row that is there already. Whoever writes a row has read it, but for one that cannot be there.
    pub(super) fn mac(&self, key: &Key) -> Option<Sum> {
        self.read.get(key)?.mac
    }

    /// What must still be true at the commit.
    pub(super) fn into_checks(self) -> Vec<(Key, Expect)> {
        let expect = |(key, stored): (Key, Stored)| (key, stored.expect);
        self.read.into_iter().map(expect).collect()
    }
}
