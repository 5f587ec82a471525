//! Keyward.
pub mod api;
pub mod config;
pub mod server;
pub mod store;
pub mod telemetry;
