//! How often tokens, their secrets and their consumers are used: saved behind validation and read back exactly, for millions of
//! tokens that are used at random.
//!
//! What is counted goes through three places, and a reader adds them up:
//!
//! * **counted**: it waits in `meter::usage`, by token, for a second at the most;
//! * **unfolded** (`save`, `unfolded`): once a second it moves, packed to some 40 bytes a token, into memory here and into the
//!   *journal*, rows of 30 KiB that are only ever added. Row names rise, so a commit in doubt is made again and adds nothing twice;
//! * **folded** (`fold`, `pages`): now and again the journal so far is folded, name by name in their order, into *pages* of many
//!   tokens each; then its rows go. Each commit of a fold moves a cursor (how far in the journal, how far in the names), so what
//!   was folded is known exactly, whatever becomes of a commit or of the process. Consumers stay rows, written by the fold.
//!
//! Pages are the leaves of a B-link tree: each holds the names from its own up to the next page's. One that grows too large is
//! split in the same commit; none goes away, so whoever has found one can walk to the right. The names are those of tokens and
//! of accounts; days gone by have pages of their own. After a start the journals that are found are read back (`adopt`) before
//! usage is first read, saved or folded. Deleted tokens leave a row, by which the fold passes them over and `sweep` removes them.
//!
//! While a save or a fold moves something readers wait for it, so that nothing is added twice, or not at all. Not there yet: a node
//! takes every journal that it finds at its start for one left behind; and it sees what others count once they have folded it.

mod adopt;
mod bounds;
mod consumers;
mod counted;
mod fold;
mod heap;
mod pace;
mod pages;
mod pass;
mod read;
mod save;
mod step;
mod sweep;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell, RwLock};

pub use consumers::{NamedConsumer, OldSecretInUse};
pub use read::{AccountUsagePage, UsedToken};
pub use save::EVERY;
pub use sweep::Walk;
pub(super) use sweep::forget;

use self::heap::Heap;
use self::pass::Pass;
use self::save::Rows;
use crate::domain::id::TokenId;
use crate::meter::usage::Usage;
use crate::random::{self, Random};
use crate::store::backend::Key;

/// What this node knows of usage besides the store.
#[derive(Debug)]
pub struct Ledger {
    /// What validations counted.
    pub counted: Arc<Usage>,
    /// The name under which this process saves.
    saver: String,
    /// Held for writing while something moves from one place to another, for reading by whoever adds them up.
    saving: Arc<RwLock<Saving>>,
    /// Held by whoever folds.
    folding: Mutex<()>,
    /// The journals that were there at the start are read back.
    adopted: OnceCell<()>,
}

/// How much may be in the journals, and when it is folded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// So many bytes of entries in the newest journal begin a pass of the fold.
    pub fold_at: usize,
    /// So old ones do, too.
    pub fold_after: Duration,
    /// With so many bytes of entries in all journals no more are added: what is counted waits in the counters.
    pub most: usize,
}

/// What was saved and is not folded, and what the next save has to know of the ones before.
#[derive(Debug)]
struct Saving {
    bounds: Bounds,
    /// The number of the newest batch.
    sequence: u64,
    /// Rows of it that are not known to be in the store, by commit.
    unwritten: VecDeque<Rows>,
    /// What was saved since the last pass began, the journal's rows of it, and since when, by the steady clock.
    growing: Heap,
    rows: VecDeque<Key>,
    since: Option<Duration>,
    /// Bytes of entries that were added since the pace of the fold was last set.
    added: usize,
    /// Journals, or parts of one, that are folded, one after the other.
    passes: VecDeque<Pass>,
    /// The last save of this process that a pass was about.
    folded: Option<u64>,
    /// Tokens with more consumers than are kept.
    crowded: BTreeSet<TokenId>,
    /// How many consumers there are in all, as far as this node has seen.
    consumers: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            fold_at: 128 << 20,
            fold_after: Duration::from_secs(60),
            most: 512 << 20,
        }
    }
}

impl Ledger {
    #[must_use]
    pub fn new(counted: Arc<Usage>, random: &dyn Random) -> Self {
        Self::bounded(counted, random, Bounds::default())
    }

    /// The same within other bounds.
    #[must_use]
    pub fn bounded(counted: Arc<Usage>, random: &dyn Random, bounds: Bounds) -> Self {
        Self {
            counted,
            saver: random::local_id(random),
            saving: Arc::new(RwLock::new(Saving::new(bounds))),
            folding: Mutex::default(),
            adopted: OnceCell::new(),
        }
    }
}

impl Ledger {
    /// Bytes of entries in the journals that are not folded, as far as this node knows.
    pub async fn journal_bytes(&self) -> usize {
        self.saving.read().await.journal_bytes()
    }
}

impl Saving {
    fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            sequence: 0,
            unwritten: VecDeque::new(),
            growing: Heap::default(),
            rows: VecDeque::new(),
            since: None,
            added: 0,
            passes: VecDeque::new(),
            folded: None,
            crowded: BTreeSet::new(),
            consumers: 0,
        }
    }

    /// Whether there is no room for more in the journals.
    fn is_full(&self) -> bool {
        self.journal_bytes() >= self.bounds.most
    }

    fn journal_bytes(&self) -> usize {
        let passes: usize = self.passes.iter().map(|pass| pass.bytes).sum();
        passes + self.growing.bytes()
    }
}
