//! Whole stories, told to the server that production starts.

mod harness;

mod first_start;
mod life;
mod races;
mod request_ids;
mod restart;
mod time;
