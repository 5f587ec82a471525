//! Whole stories, told to the server that production starts; `tidy` reads the source instead.

mod any_method;
mod harness;
mod process;

mod commands;
mod daily_calls;
mod endings;
mod first_start;
mod leases;
mod life;
mod limits;
mod model;
mod offline;
mod operators;
mod races;
mod refused_stores;
mod request_ids;
mod restart;
mod secrets;
mod surroundings;
mod systems;
mod tidy;
mod time;
