//! The wire.
pub mod proto;
