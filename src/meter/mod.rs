//! What is metered: the daily calls of accounts (`quota`) and the connections of tokens (`slots`), so that none is let in too
//! many, and the rate of tokens (`rate`). `purse` is what one request pays from.
//!
//! All of it is memory, asked by the validator and filled by the registry: what must be exact across crashes and nodes is
//! leased from the store (`registry::leases`, `registry::slots`) before it is handed out here.

mod purse;
pub mod quota;
pub mod rate;
pub mod slots;

use std::sync::Arc;

pub use purse::{Purse, Unleased};
use quota::Quotas;
use rate::Rates;
use slots::Slots;

/// Everything that is metered on this node.
#[derive(Debug, Default)]
pub struct Meter {
    pub quotas: Quotas,
    pub rates: Rates,
    pub slots: Arc<Slots>,
}
