//! Keyward.
pub mod api;
pub mod cli;
pub mod store;
