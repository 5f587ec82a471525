//! Tests of the registry over a whole node without a wire: a file a subject.

mod away;
mod directory;
mod events;
mod issue;
mod leases;
mod lists;
mod manage;
mod marks;
mod notices;
mod operators;
mod rekey;
mod replay;
mod retention;
mod slots;
mod usage;
mod usage_bounds;
mod usage_clock;
mod verify;
pub(crate) mod words;
pub(crate) mod world;
