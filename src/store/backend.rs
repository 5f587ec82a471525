//! What a back end must be able to do: ordered keys, atomic and durable commits, and a feed of what was committed.
//!
//! Everything else (queueing, group commit, record MACs, the audit chain) is built once, above this trait. Calls may
//! block, so they are made from threads that may: the committer's own and the blocking pool.

use std::fmt;
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

/// The name of a row. Keys are ordered as bytes.
pub type Key = Box<[u8]>;

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

/// All or nothing: the writes happen, at `revision`, if the back end stands at the revision before and every check holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    pub revision: Revision,
    pub checks: Vec<(Key, Expect)>,
    /// In key order, each key once; `None` deletes.
    pub writes: Vec<(Key, Option<Arc<[u8]>>)>,
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

/// Ordered keys with atomic, durable commits. See the module's text for who calls it and from where.
pub trait Backend: Send + Sync + fmt::Debug + 'static {
    /// One row, or `None` where there is none.
    fn get(&self, key: &[u8]) -> Result<Option<Row>, Fault>;

    /// A page of rows in key order. A commit is seen whole or not at all within one page, and only once it is durable.
    fn scan(&self, range: Range<'_>) -> Result<Vec<(Key, Row)>, Fault>;

    /// Commits a batch: all or nothing, and durable when this returns. A failure is sticky: until `reopen` succeeds every
    /// further commit is `Unavailable`, while reads may go on.
    fn commit(&self, batch: &Batch) -> Result<(), CommitError>;

    /// The revision of the last durable commit.
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
