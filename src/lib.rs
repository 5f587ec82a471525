//! Keyward.
pub mod api;
pub mod clock;
pub mod domain;
pub mod files;
pub mod keyring;
pub mod random;
pub mod store;
