//! Reading the store: one record, a page of them, or every commit as it happens. Calls may block.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::StoreError;
use super::backend::{Backend, Direction, Follow, Gone, Key, Range, Revision, Row};
use super::image::{self, ReadModel};
use super::key;
use super::record::{Head, Record};
use super::seal::{self, Corrupt};
use super::verify;
use crate::domain::secret::KeyId;
use crate::domain::token::Token;
use crate::keyring::Keyring;
use crate::random::Random;

/// Rows read at a time where all are wanted.
const READ_AT_A_TIME: usize = 1_000;

/// A handle for reading; it does not keep the committer running.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) keyring: Arc<Keyring>,
}

/// Which rows a scan reads; see [`Range`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    pub prefix: Key,
    pub after: Option<Key>,
    pub direction: Direction,
    pub limit: usize,
}

/// Rows by key, where a corrupt one does not hide the others.
pub type Page<R> = Vec<(Key, Result<R, Corrupt>)>;

impl Reader {
    /// One record.
    pub fn get<R: Record>(&self, key: &Key) -> Result<Option<R>, StoreError> {
        match self.backend.get(key)? {
            Some(row) => Ok(Some(self.read(key, &row)?)),
            None => Ok(None),
        }
    }

    /// A page of records with their keys, where a corrupt one does not hide the others.
    pub fn scan<R: Record>(&self, wanted: &Wanted) -> Result<Page<R>, StoreError> {
        let range = Range {
            prefix: &wanted.prefix,
            after: wanted.after.as_deref(),
            direction: wanted.direction,
            limit: wanted.limit,
        };
        let rows = self.backend.scan(range)?;
        let read = |(key, row): (Key, Row)| {
            let record = self.read(&key, &row);
            (key, record)
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Every record under a prefix, in key order, read in pages. It ends at the first that is corrupt, or that `take` refuses.
    pub fn each<R: Record>(
        &self,
        prefix: &[u8],
        mut take: impl FnMut(Key, R) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after: Option<Key> = None;
        loop {
            let wanted = Wanted {
                prefix: prefix.into(),
                after: after.take(),
                direction: Direction::Forward,
                limit: READ_AT_A_TIME,
            };
            let page = self.scan::<R>(&wanted)?;
            after = page.last().map(|(name, _)| name.clone());
            for (name, record) in page {
                take(name, record?)?;
            }
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// The head row; `None` where nothing was ever committed.
    pub fn head(&self) -> Result<Option<Head>, StoreError> {
        let row = self.backend.get(key::HEAD)?;
        Ok(verify::read_head(&self.keyring, row.as_ref())?)
    }

    /// Writes an image of a read model, as it stands or changes meanwhile; how many bytes that took. The model has reached `begun`,
    /// and follows this store.
    pub fn write_image(
        &self,
        path: &Path,
        begun: &Head,
        model: &dyn ReadModel,
        random: &dyn Random,
    ) -> io::Result<u64> {
        image::write(path, self, begun, model, random)
    }

    /// The newest durable revision. Whoever loads rows after asking, and then follows from here, misses nothing.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.backend.revision()
    }

    /// Every commit after a revision, without a gap.
    #[must_use]
    pub fn follow(&self, after: Revision) -> Changes {
        Changes {
            feed: self.backend.follow(after),
            keyring: Arc::clone(&self.keyring),
        }
    }

    /// How many rows each key protects, and how many secrets' digests were made under it.
    pub fn keys_needed(&self) -> Result<BTreeMap<KeyId, (u64, u64)>, StoreError> {
        let mut needed: BTreeMap<KeyId, (u64, u64)> = BTreeMap::new();
        let mut after: Option<Key> = None;
        loop {
            let range = Range {
                prefix: b"",
                after: after.as_deref(),
                direction: Direction::Forward,
                limit: READ_AT_A_TIME,
            };
            let page = self.backend.scan(range)?;
            for (name, row) in &page {
                let opened = seal::open(&self.keyring, name, row)?;
                needed.entry(opened.key_id).or_default().0 += 1;
                if name.starts_with(key::TOKENS) {
                    let token =
                        Token::decode(opened.payload).map_err(|wrong| Corrupt::new(name, wrong))?;
                    for secret in &token.secrets {
                        needed.entry(secret.key).or_default().1 += 1;
                    }
                }
            }
            match page.into_iter().last() {
                Some((last, _)) => after = Some(last),
                None => return Ok(needed),
            }
        }
    }

    fn read<R: Record>(&self, key: &Key, row: &Row) -> Result<R, Corrupt> {
        let opened = seal::open(&self.keyring, key, row)?;
        R::decode(opened.payload).map_err(|wrong| Corrupt::new(key, wrong))
    }
}

/// The store's changes, one commit at a time.
#[derive(Debug)]
pub struct Changes {
    feed: Box<dyn Follow>,
    keyring: Arc<Keyring>,
}

/// One commit: the payload of each row that it wrote, `None` where it deleted.
#[derive(Debug)]
pub struct Changed {
    pub revision: Revision,
    pub rows: Vec<(Key, Option<Vec<u8>>)>,
}

impl Changes {
    /// The next commit, or `None` when none comes within `patience`.
    pub fn next(&mut self, patience: Duration) -> Result<Option<Changed>, Gone> {
        let Some(commit) = self.feed.next(patience)? else {
            return Ok(None);
        };
        let open = |(name, bytes): &(Key, Option<Arc<[u8]>>)| {
            let Some(bytes) = bytes else {
                return Ok((name.clone(), None));
            };
            let row = Row {
                revision: commit.revision,
                bytes: Arc::clone(bytes),
            };
            let opened = seal::open(&self.keyring, name, &row).map_err(|_| Gone)?;
            Ok((name.clone(), Some(opened.payload.to_vec())))
        };
        let rows = commit
            .writes
            .iter()
            .map(open)
            .collect::<Result<_, Gone>>()?;
        Ok(Some(Changed {
            revision: commit.revision,
            rows,
        }))
    }
}
