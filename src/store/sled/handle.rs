//! One opened sled database, as rows: what is asked of sled, in which words, and what its errors mean.
//!
//! All rows live in one tree, so that a batch is atomic. A stored value is the revision that wrote it, eight bytes big
//! endian, and the row's bytes. The row with the empty key is ours: its revision is the store's, written in every batch.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

use super::durable;
use super::quiet::{open_quietly, quietly};
use crate::store::backend::{Batch, Direction, Fault, Key, MAX_VALUE_BYTES, Range, Revision, Row};

/// sled writes whole leaves of its tree. One that is larger than a quarter of a segment would go to a file of its own that
/// is never synced, so a segment must hold four leaves full of the largest rows.
pub(super) const SEGMENT_BYTES: usize = 4 << 20;

/// How many rows a leaf of sled's tree holds at the very most (it splits beyond 16, some insertions later).
const LEAF_ROWS: usize = 30;

const _: () = assert!(LEAF_ROWS * (MAX_VALUE_BYTES + 1024) < SEGMENT_BYTES / 4);

const REVISION_ROW: &[u8] = b"";

const REVISION_BYTES: usize = size_of::<u64>();

/// An open database. Every call may block.
#[derive(Debug)]
pub(super) struct Handle {
    /// `None` only while it is dropped.
    db: Option<sled::Db>,
}

impl Handle {
    /// Opens or creates the database. sled's errors are told as they are, its panics as their message.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<Result<Self, sled::Error>, String> {
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(cache_bytes)
            .segment_size(SEGMENT_BYTES)
            .flush_every_ms(None);
        open_quietly(|| config.open().map(|db| Self { db: Some(db) }))
    }

    /// The store's revision: 0 for a store that nothing was ever written to.
    pub(super) fn revision(&self) -> Result<Revision, Fault> {
        self.ask(|db| match db.get(REVISION_ROW)? {
            Some(value) => Ok(decode(&value).map(|row| row.revision)),
            None if db.first()?.is_none() => Ok(Ok(Revision(0))),
            None => Ok(Err(Fault::Corrupt(
                "the row with the store's revision is missing".into(),
            ))),
        })?
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Row>, Fault> {
        if key == REVISION_ROW {
            return Ok(None);
        }
        self.ask(|db| Ok(db.get(key)?.map(|value| decode(&value)).transpose()))?
    }

    /// A page, in which `instead` takes the place of the rows it names.
    pub(super) fn scan(
        &self,
        range: Range<'_>,
        instead: &Instead,
    ) -> Result<Vec<(Key, Row)>, Fault> {
        let Some((from, to)) = range.bounds() else {
            return Ok(Vec::new());
        };
        let to = to.as_ref().map(AsRef::as_ref);
        let mut page = self.ask(|db| {
            let wanted = |found: &sled::Result<(sled::IVec, sled::IVec)>| match found {
                Ok((key, _)) => key != REVISION_ROW && !instead.contains_key(key.as_ref()),
                Err(_) => true,
            };
            let rows = db.range::<&[u8], (Bound<&[u8]>, Bound<&[u8]>)>((from, to));
            match range.direction {
                Direction::Forward => page(rows.filter(wanted).take(range.limit)),
                Direction::Backward => page(rows.rev().filter(wanted).take(range.limit)),
            }
        })??;
        let covered = instead.range::<[u8], _>((from, to));
        page.extend(covered.filter_map(|(key, row)| Some((key.clone(), row.clone()?))));
        match range.direction {
            Direction::Forward => page.sort_unstable_by(|one, other| one.0.cmp(&other.0)),
            Direction::Backward => page.sort_unstable_by(|one, other| other.0.cmp(&one.0)),
        }
        page.truncate(range.limit);
        Ok(page)
    }

    /// Shows the rows of a page without copying them.
    pub(super) fn visit(
        &self,
        range: Range<'_>,
        see: &mut dyn FnMut(&[u8], Revision, &[u8]),
    ) -> Result<(), Fault> {
        let Some((from, to)) = range.bounds() else {
            return Ok(());
        };
        let to = to.as_ref().map(AsRef::as_ref);
        self.ask(|db| {
            let ours = |found: &sled::Result<(sled::IVec, sled::IVec)>| match found {
                Ok((key, _)) => key != REVISION_ROW,
                Err(_) => true,
            };
            let rows = db.range::<&[u8], (Bound<&[u8]>, Bound<&[u8]>)>((from, to));
            match range.direction {
                Direction::Forward => show(rows.filter(ours).take(range.limit), see),
                Direction::Backward => show(rows.rev().filter(ours).take(range.limit), see),
            }
        })?
    }

    /// Writes a batch and the store's new revision, and makes them durable. After an error all of it may be there or none.
    pub(super) fn write(&self, batch: &Batch) -> Result<(), Fault> {
        let mut writes = sled::Batch::default();
        for (key, value) in &batch.writes {
            match value {
                Some(bytes) => writes.insert(key.as_ref(), encode(batch.revision, bytes)),
                None => writes.remove(key.as_ref()),
            }
        }
        writes.insert(REVISION_ROW, encode(batch.revision, b""));
        self.sync_after(|db| db.apply_batch(writes))
    }

    #[cfg(test)]
    pub(super) fn tamper(&self, name: &[u8], row: Option<&Row>) {
        let write = |db: &sled::Db| {
            match row {
                Some(row) => db.insert(name, encode(row.revision, &row.bytes))?,
                None => db.remove(name)?,
            };
            db.flush()
        };
        self.ask(write).unwrap();
    }

    fn sync_after(&self, change: impl FnOnce(&sled::Db) -> sled::Result<()>) -> Result<(), Fault> {
        let before = durable::syncs();
        self.ask(|db| {
            change(db)?;
            db.flush()
        })?;
        match durable::syncs() == before {
            true => Err(Fault::Away("sled wrote without syncing".into())),
            false => Ok(()),
        }
    }

    fn ask<T>(&self, question: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, Fault> {
        let db = self.db.as_ref().expect("taken only by drop");
        match quietly(|| question(db)) {
            Ok(answer) => answer.map_err(|error| fault(&error)),
            Err(panic) => Err(Fault::Corrupt(panic)),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let db = self.db.take();
        // sled flushes when it is dropped, and panics where that fails. Every commit was flushed before.
        let _panicked = quietly(|| drop(db));
    }
}

/// Rows as they were before a batch that is not durable; `None` where there was none.
pub(super) type Instead = BTreeMap<Key, Option<Row>>;

/// What an error of sled's means for who wanted to read or to write.
fn fault(error: &sled::Error) -> Fault {
    match error {
        sled::Error::Corruption { .. } | sled::Error::Unsupported(_) => {
            Fault::Corrupt(words(error))
        }
        sled::Error::Io(_) | sled::Error::ReportableBug(_) | sled::Error::CollectionNotFound(_) => {
            Fault::Away(words(error))
        }
    }
}

/// An error of sled's in words for an operator.
pub(super) fn words(error: &sled::Error) -> String {
    match error {
        sled::Error::Corruption {
            at: Some(place), ..
        } => format!("its files are corrupt at {place:?}"),
        sled::Error::Corruption { at: None, .. } => "its files are corrupt".to_owned(),
        other => other.to_string(),
    }
}

type Page = Result<Vec<(Key, Row)>, Fault>;

fn page(rows: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>) -> sled::Result<Page> {
    let mut page = Vec::new();
    for row in rows {
        let (key, value) = row?;
        match decode(&value) {
            Ok(row) => page.push((key.as_ref().into(), row)),
            Err(fault) => return Ok(Err(fault)),
        }
    }
    Ok(Ok(page))
}

fn show(
    rows: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>,
    see: &mut dyn FnMut(&[u8], Revision, &[u8]),
) -> sled::Result<Result<(), Fault>> {
    for row in rows {
        let (key, value) = row?;
        match split(&value) {
            Ok((revision, bytes)) => see(&key, revision, bytes),
            Err(fault) => return Ok(Err(fault)),
        }
    }
    Ok(Ok(()))
}

fn encode(revision: Revision, bytes: &[u8]) -> Vec<u8> {
    [&revision.0.to_be_bytes(), bytes].concat()
}

fn decode(value: &[u8]) -> Result<Row, Fault> {
    split(value).map(|(revision, bytes)| Row {
        revision,
        bytes: bytes.into(),
    })
}

fn split(value: &[u8]) -> Result<(Revision, &[u8]), Fault> {
    let (revision, bytes) = value
        .split_first_chunk::<REVISION_BYTES>()
        .ok_or_else(|| Fault::Corrupt("a row is shorter than its revision".into()))?;
    Ok((Revision(u64::from_be_bytes(*revision)), bytes))
}
