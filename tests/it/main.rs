//! Whole stories, told to the server that production starts; `tidy` reads the source instead.

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
mod tidy;
mod time;
