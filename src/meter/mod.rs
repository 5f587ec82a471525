//! What is metered: the daily calls of accounts (`quota`) and the connections of tokens (`slots`), so that none is let in too
//! many, the rate of tokens (`rate`), and how often things are used (`usage`) and by whom
//! they are held (`holders`). `purse` is what one request pays from.
//!
//! All of it is memory, asked by the validator and filled by the registry: what must be exact across crashes and nodes is
//! leased from the store (`registry::leases`, `registry::slots`) before it is handed out here.

pub mod holders;
mod purse;
pub mod quota;
pub mod rate;
pub mod slots;
pub mod usage;

use std::sync::Arc;

pub use purse::{Bill, Purse, Unleased};
use quota::Quotas;
use rate::Rates;
use slots::Slots;
use usage::Usage;

/// Everything that is metered on this node.
#[derive(Debug)]
pub struct Meter {
    pub quotas: Quotas,
    pub rates: Rates,
    pub slots: Arc<Slots>,
    pub usage: Arc<Usage>,
}

impl Meter {
    /// Nothing metered yet; of `max_consumers` that are kept in all, as many may wait to be saved.
    #[must_use]
    pub fn new(max_consumers: usize) -> Self {
        Self {
            quotas: Quotas::default(),
            rates: Rates::default(),
            slots: Arc::default(),
            usage: Arc::new(Usage::new(max_consumers)),
        }
    }
}
