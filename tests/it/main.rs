//! Whole stories, told to the server that production starts.

mod harness;
mod process;

mod endings;
mod first_start;
mod life;
mod operators;
mod races;
mod refused_stores;
mod request_ids;
mod restart;
mod time;
