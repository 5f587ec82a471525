//! Stored rows ⇄ domain values: the only place that knows `keyward.stored.v1`.
//!
//! A row that decodes to what the domain would refuse is corrupt; nothing is guessed.

mod change;
mod directory;
pub mod log;
mod notice;
pub mod packed;
mod slots;
mod token;
mod usage;

use prost::Message;

pub use change::{Change, ImageFooter, Link};
pub use log::{Checkpoint, Head, KeyCheck, LoggedEvent, Replay};
pub use slots::{Holder, Node, Slots};
pub use usage::{UsageFold, UsageLog, UsagePage};

/// The generated types of what is on disk.
#[allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::all,
    reason = "generated"
)]
mod stored {
    include!(concat!(env!("OUT_DIR"), "/keyward.stored.v1.rs"));
}

/// Something that is kept as a row.
pub trait Record: Sized {
    /// The row's payload.
    fn encode(&self) -> Vec<u8>;

    /// Reads a payload; the error says what is wrong with it.
    fn decode(payload: &[u8]) -> Result<Self, String>;
}

/// A count that is kept in the commit that changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally(pub u64);

/// A row that points at another one, by its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pointer(pub String);

impl Record for Tally {
    fn encode(&self) -> Vec<u8> {
        stored::Tally { count: self.0 }.encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        parse(payload).map(|stored: stored::Tally| Self(stored.count))
    }
}

impl Record for Pointer {
    fn encode(&self) -> Vec<u8> {
        stored::Pointer { id: self.0.clone() }.encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        parse(payload).map(|stored: stored::Pointer| Self(stored.id))
    }
}

fn parse<M: Message + Default>(payload: &[u8]) -> Result<M, String> {
    M::decode(payload).map_err(|error| error.to_string())
}

fn bytes32(name: &str, bytes: &[u8]) -> Result<[u8; 32], String> {
    bytes
        .try_into()
        .map_err(|_| format!("{name} has {} bytes instead of 32", bytes.len()))
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
