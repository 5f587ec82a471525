//! How often tokens, their secrets and their consumers are used: saved behind validation (`save`), kept within bounds (`bounds`,
//! `sweep`) and read (`read`, `consumers`).
//!
//! What this node counted and has not saved yet is in `meter::usage`; a reader adds it to what is stored. While a save is under
//! way readers wait for it, so that nothing is added twice, or not at all.

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
