//! The server: sockets, cores, what surrounds every call, health, and the end of life.
//!
//! What is served is given to it as routes; it knows no domain.

mod acceptor;
mod connection;
mod cores;
mod drain;
mod health;
mod http2;
mod images;
mod layers;
mod leaps;
pub mod node;
pub mod offline;
pub mod operator;
pub mod reflection;
mod seats;
mod serve;
mod verifying;

pub use drain::Signals;
pub use health::Health;
pub use http2::{Hot, Validates};
pub use serve::{Faces, Listeners, serve};

/// Bytes of one request's message, of every service (tonic's default is 4 MiB).
pub const MAX_REQUEST: usize = 64 * 1024;

#[cfg(test)]
mod tests;
