//! What is metered: the daily calls of accounts (`quota`), counted so that none is admitted too many.
//!
//! All of it is memory, asked by the validator and filled by the registry: what must be exact across crashes and nodes is
//! leased from the store (`registry::leases`) before it is handed out here.

mod purse;
pub mod quota;

pub use purse::Purse;
use quota::Quotas;

/// Everything that is metered on this node.
#[derive(Debug, Default)]
pub struct Meter {
    pub quotas: Quotas,
}
