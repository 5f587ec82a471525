//! Keyward.
pub mod api;
pub mod clock;
pub mod directory;
pub mod domain;
pub mod files;
pub mod keyring;
pub mod marks;
pub mod random;
pub mod registry;
pub mod store;
pub mod validator;
