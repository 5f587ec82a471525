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

mod bounds;
mod consumers;
mod read;
mod save;
mod sweep;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::RwLock;

pub use consumers::{NamedConsumer, OldSecretInUse};
pub use read::{AccountUsagePage, UsedToken};
pub use save::EVERY;
pub use sweep::Walk;
pub(super) use sweep::forget;

use crate::domain::id::TokenId;
use crate::meter::usage::Usage;
use crate::random::{self, Random};

/// What this node knows of usage besides the store.
#[derive(Debug)]
pub struct Ledger {
    /// What validations counted.
    pub counted: Arc<Usage>,
    /// The name under which this process saves.
    saver: String,
    /// Held for writing by a save, for reading by whoever adds what is stored and what is not.
    saving: RwLock<Saving>,
}

/// What the next save has to know of the ones before.
#[derive(Debug, Default)]
struct Saving {
    /// The number of the newest batch.
    sequence: u64,
    /// Tokens with more consumers than are kept.
    crowded: BTreeSet<TokenId>,
    /// How many consumers there are in all, as far as this node has seen.
    consumers: u64,
}

impl Ledger {
    #[must_use]
    pub fn new(counted: Arc<Usage>, random: &dyn Random) -> Self {
        Self {
            counted,
            saver: random::local_id(random),
            saving: RwLock::default(),
        }
    }
}
