//! Keyward: a gRPC credential service.
//!
//! In reading order: the rules (`domain`), where things are kept (`store`, `keyring`), the read model and the decision on it
//! (`directory`, `invalidations`, `validator`, `marks`, `meter`), what changes things (`registry`), the wire (`api`), the process around it (`server`,
//! `config`, `telemetry`), the load that `bench` makes (`load`) and the command line (`cli`). ARCHITECTURE.md has the map.

pub mod domain;

pub mod clock;
pub mod files;
pub mod keyring;
pub mod random;
pub mod store;

pub mod directory;
pub mod invalidations;
pub mod marks;
pub mod meter;
pub mod registry;
pub mod validator;

pub mod api;
pub mod cli;
pub mod config;
pub mod load;
pub mod server;
pub mod telemetry;
