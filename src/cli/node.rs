//! The verbs that run on a node's own data, without a server in between: the seam to where they are done.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::failure::{Failure, Outcome};

/// Run the server.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {}

/// Print the settings that `serve` would run with.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {}

/// Make operators, offline.
#[derive(Args, Clone, Debug)]
pub(crate) struct OperatorArgs {
    #[command(subcommand)]
    pub(crate) verb: OperatorVerb,
}

#[derive(Subcommand, Clone, Debug)]
pub(crate) enum OperatorVerb {
    Recover(RecoverArgs),
}

/// Make another first operator, while the server is stopped.
#[derive(Args, Clone, Debug)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// New file for the operator's token, mode 0600 [default: operator.token in the data directory].
    #[arg(long, value_name = "PATH", env = "KEYWARD_OPERATOR_TOKEN_FILE")]
    pub(crate) operator_token_file: Option<PathBuf>,
}

/// Look after the keyring, offline.
#[derive(Args, Clone, Debug)]
pub(crate) struct KeyringArgs {
    #[command(subcommand)]
    pub(crate) verb: KeyringVerb,
}

#[derive(Subcommand, Clone, Debug)]
pub(crate) enum KeyringVerb {
    /// Tell which keys there are, and how many rows still need each.
    Status(DataArgs),
    /// Make a new current key; the old one goes on being read.
    Rotate(DataArgs),
}

/// A node's own data.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataArgs {
    /// Data directory.
    #[arg(long, value_name = "PATH", env = "KEYWARD_DATA_DIR")]
    pub(crate) data_dir: PathBuf,

    /// Keyring [default: keyring in the data directory].
    #[arg(long, value_name = "PATH", env = "KEYWARD_KEYRING_FILE")]
    pub(crate) keyring_file: Option<PathBuf>,
}

pub(crate) fn serve(_: &ServeArgs) -> Result<Outcome, Failure> {
    Err(not_built_in("serve"))
}

pub(crate) fn config(_: &ConfigArgs) -> Result<Outcome, Failure> {
    Err(not_built_in("config"))
}

pub(crate) fn operator(_: &OperatorArgs) -> Result<Outcome, Failure> {
    Err(not_built_in("operator"))
}

pub(crate) fn keyring(_: &KeyringArgs) -> Result<Outcome, Failure> {
    Err(not_built_in("keyring"))
}

fn not_built_in(verb: &str) -> Failure {
    Failure::usage(format!("this build has no `{verb}`"))
}
