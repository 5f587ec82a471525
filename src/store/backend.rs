//! What a back end must be able to do: ordered keys, atomic and durable commits, and a feed of what was committed.
//!
//! Everything else (queueing, group commit, record MACs, the audit chain) is built once, above this trait. Calls may
//! block, so they are made from threads that may: the committer's own and the blocking pool.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

/// The store's version number: one for each commit, rising by one. An empty store is at 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of the commit after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The name of a row: 1 to `MAX_KEY_BYTES` bytes, and ordered as bytes. (The empty key is free for a back end's own use.)
pub type Key = Box<[u8]>;

/// The longest key that every back end takes.
pub const MAX_KEY_BYTES: usize = 512;

/// The longest value that every back end takes.
pub const MAX_VALUE_BYTES: usize = 32 << 10;

/// A row's value and the commit that wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    pub revision: Revision,
    pub bytes: Arc<[u8]>,
}

/// Which rows to read: those whose key begins with `prefix` and lies beyond `after`, `limit` at the most.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    pub prefix: &'a [u8],
    /// The last key that is not wanted; `None` begins at the end that `direction` names.
    pub after: Option<&'a [u8]>,
    pub direction: Direction,
    pub limit: usize,
}

impl<'a> Range<'a> {
    /// Between which keys the wanted ones lie, `None` where no key can.
    #[must_use]
    pub fn bounds(&self) -> Option<(Bound<&'a [u8]>, Bound<Key>)> {
        let end = end_of(self.prefix);
        let within = |key: &[u8]| end.as_ref().is_none_or(|end| key < end.as_ref());
        let beyond = end.clone().map_or(Bound::Unbounded, Bound::Excluded);
        match (self.direction, self.after) {
            (Direction::Forward, Some(after)) if !within(after) => None,
            (Direction::Forward, Some(after)) if after >= self.prefix => {
                Some((Bound::Excluded(after), beyond))
            }
            (Direction::Backward, Some(after)) if after <= self.prefix => None,
            (Direction::Backward, Some(after)) if within(after) => {
                Some((Bound::Included(self.prefix), Bound::Excluded(after.into())))
            }
            _ => Some((Bound::Included(self.prefix), beyond)),
        }
    }
}

/// The first key after all that begin with `prefix`; `None` where those are the last ones.
fn end_of(prefix: &[u8]) -> Option<Key> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end: Key = prefix[..=last].into();
    end[last] += 1;
    Some(end)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// What must still be true of a row for a batch to be committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    Absent,
    At(Revision),
}

impl Expect {
    /// Whether the row as it is found is the one expected.
    #[must_use]
    pub fn holds(self, found: Option<&Row>) -> bool {
        match self {
            Self::Absent => found.is_none(),
            Self::At(revision) => found.is_some_and(|row| row.revision == revision),
        }
    }
}

/// All or nothing: the writes happen, at `revision`, if the back end stands at the revision before and every check holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    pub revision: Revision,
    pub checks: Vec<(Key, Expect)>,
    /// In key order, each key once; `None` deletes.
    pub writes: Vec<(Key, Option<Arc<[u8]>>)>,
    /// Rows whose keys begin so are none of the followers' business: the feed may leave them out.
    pub untold: &'static [&'static [u8]],
}

impl Batch {
    /// What followers are told of it.
    #[must_use]
    pub fn told(&self) -> Commit {
        let told = |(key, _): &&(Key, _)| !self.untold.iter().any(|prefix| key.starts_with(prefix));
        Commit {
            revision: self.revision,
            writes: self.writes.iter().filter(told).cloned().collect(),
        }
    }

    /// Whether every row has a size that back ends take.
    pub fn check_sizes(&self) -> Result<(), CommitError> {
        let fits = |(key, value): &(Key, Option<Arc<[u8]>>)| {
            (1..=MAX_KEY_BYTES).contains(&key.len())
                && value
                    .as_ref()
                    .is_none_or(|bytes| bytes.len() <= MAX_VALUE_BYTES)
        };
        match self.writes.iter().find(|write| !fits(write)) {
            Some((key, _)) => Err(CommitError::Oversized(key.clone())),
            None => Ok(()),
        }
    }
}

/// One commit, as the feed tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    pub revision: Revision,
    pub writes: Vec<(Key, Option<Arc<[u8]>>)>,
}

/// Why a batch was not committed. Except after `Unavailable`, nothing of it was written.
#[derive(Debug)]
pub enum CommitError {
    /// Somebody else committed first, or a check does not hold: read again, run again.
    Conflict,
    /// The row of this key is larger than back ends take, or the key is. Trying again will not help.
    Oversized(Key),
    /// The back end is away, and whether the batch was written is unknown until it is back.
    Unavailable(Fault),
}

/// What went wrong below, for the log and for the operator.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It may come back: a full disk, an I/O error, a lost connection.
    Away(String),
    /// It will not: the stored bytes are not what was written.
    Corrupt(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(why) => write!(f, "the store is away: {why}"),
            Self::Corrupt(why) => write!(f, "the store is corrupt: {why}"),
        }
    }
}

impl std::error::Error for Fault {}

/// Is shown rows one by one: name, commit and value.
pub type See<'a> = &'a mut dyn FnMut(&[u8], Revision, &[u8]);

/// Ordered keys with atomic, durable commits. See the module's text for who calls it and from where.
pub trait Backend: Send + Sync + fmt::Debug + 'static {
    /// One row, or `None` where there is none.
    fn get(&self, key: &[u8]) -> Result<Option<Row>, Fault>;

    /// A page of rows in key order. A commit is seen whole or not at all within one page, and only once it is durable.
    fn scan(&self, range: Range<'_>) -> Result<Vec<(Key, Row)>, Fault>;

    /// Shows the rows of such a page one by one: for who reads so many that copies would count. Nothing can be committed
    /// meanwhile, so `see` must be quick.
    fn visit(&self, range: Range<'_>, see: See<'_>) -> Result<(), Fault> {
        for (name, row) in self.scan(range)? {
            see(&name, row.revision, &row.bytes);
        }
        Ok(())
    }

    /// Commits a batch: all or nothing, and durable when this returns. A failure is sticky: until `reopen` succeeds every
    /// further commit is `Unavailable`, while reads may go on.
    fn commit(&self, batch: &Batch) -> Result<(), CommitError>;

    /// The revision of the last durable commit. Whoever has read it can follow from there.
    fn revision(&self) -> Revision;

    /// Every commit after `after`, in order and without a gap.
    fn follow(&self, after: Revision) -> Box<dyn Follow>;

    /// Tries to come back after a failure. Afterwards `revision` tells which commit survived, followers hear `Gone` where
    /// that is not the one they know.
    fn reopen(&self) -> Result<(), Fault>;
}

/// A place in the feed of commits.
pub trait Follow: Send + fmt::Debug {
    /// The next commit; `Ok(None)` when none came within `patience`.
    fn next(&mut self, patience: Duration) -> Result<Option<Arc<Commit>>, Gone>;
}

/// The history from there on is not kept any more, or was rewritten: load everything again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_first_key_beyond_it() {
        let table: [(&[u8], Option<&[u8]>); 5] = [
            (b"", None),
            (b"a", Some(b"b")),
            (b"a\xff", Some(b"b")),
            (b"a\xffb\xff\xff", Some(b"a\xffc")),
            (b"\xff\xff", None),
        ];
        for (prefix, end) in table {
            assert_eq!(end_of(prefix).as_deref(), end, "{prefix:?}");
        }
    }

    #[test]
    fn followers_are_told_of_all_rows_but_those_of_untold_families() {
        let write = |key: &[u8]| (Key::from(key), None);
        let batch = Batch {
            revision: Revision(7),
            writes: vec![write(b"a/1"), write(b"b/1"), write(b"b/2"), write(b"c")],
            untold: &[b"b/"],
            ..Batch::default()
        };
        let told = Commit {
            revision: Revision(7),
            writes: vec![write(b"a/1"), write(b"c")],
        };
        assert_eq!(batch.told(), told);
    }

    #[test]
    fn a_batch_is_taken_up_to_the_limits_and_not_beyond() {
        let table = [
            (0, 0, false),
            (1, 0, true),
            (MAX_KEY_BYTES, MAX_VALUE_BYTES, true),
            (MAX_KEY_BYTES + 1, 0, false),
            (1, MAX_VALUE_BYTES + 1, false),
        ];
        for (key, value, taken) in table {
            let write = (Key::from(vec![0; key]), Some(vec![0; value].into()));
            let batch = Batch {
                writes: vec![write],
                ..Batch::default()
            };
            assert_eq!(
                batch.check_sizes().is_ok(),
                taken,
                "key {key}, value {value}"
            );
        }
    }
}
