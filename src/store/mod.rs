//! Where everything is kept.
pub mod backend;
pub mod feed;
pub mod memory;
