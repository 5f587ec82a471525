//! Where everything is kept.
pub mod backend;
#[cfg(test)]
pub(crate) mod conformance;
pub mod feed;
pub mod memory;
pub mod sled;
