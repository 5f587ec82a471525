//! Where everything is kept.
pub mod backend;
