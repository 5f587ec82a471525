//! Keyward.
pub mod api;
pub mod config;
pub mod store;
pub mod telemetry;
