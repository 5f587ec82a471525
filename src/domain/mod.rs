//! The nouns and rules of Keyward: pure, synchronous functions over plain values.
//!
//! Nothing here does I/O, reads a clock, draws a random number or knows a wire format; `now` is always an argument.

pub mod account;
pub mod budget;
pub mod credential;
pub mod decision;
pub mod event;
pub mod field;
pub mod grant;
pub mod id;
pub mod limits;
pub mod network;
pub mod notice;
pub mod operator;
pub mod presented;
pub mod principal;
pub mod rate;
pub mod refusal;
pub mod reuse;
pub mod role;
pub mod secret;
pub mod text;
pub mod time;
pub mod token;
pub mod usage;

/// Names one version of a configuration: it differs after every change, and from a deleted namesake's.
fn etag(create_time: time::Timestamp, generation: u64) -> String {
    format!("{:x}-{generation:x}", create_time.as_millis())
}
