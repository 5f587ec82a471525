//! Whole stories, told to the server that production starts; `tidy` reads the source instead.

mod any_method;
mod harness;
mod process;
mod short;

mod access_keys;
mod application_keys;
mod bench;
mod clock;
mod commands;
mod daily_calls;
mod endings;
mod first_start;
mod held_connections;
mod integration_tokens;
mod invalidations;
mod leases;
mod life;
mod limits;
mod many_at_once;
mod model;
mod notices;
mod offline;
mod operators;
mod practice;
mod races;
mod refused_stores;
mod request_ids;
mod restart;
mod secrets;
mod surroundings;
mod tidy;
mod time;
mod usage;
mod watching;
mod wire;
