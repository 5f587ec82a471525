//! The verbs that run on a node's own data while no server does: settings, a lost operator, the keyring.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use serde_json::Value;

use super::failure::{Failure, Outcome};
use super::output::{Format, OutputArgs};
use super::rows::Rows;
use super::serve;
use super::shell::Shell;
use crate::config::{ENVIRONMENT, OPERATOR_TOKEN, ServeArgs, Setting};
use crate::domain::text::Environment;
use crate::server::offline::{self, KeyNeed};
use crate::store::open::{OpenError, Options, Place};

/// Print the settings that `serve` would run with.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    pub(crate) serve: Said<ServeArgs>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Flags, and where each of their values came from.
#[derive(Clone, Debug)]
pub(crate) struct Said<A> {
    pub(crate) args: A,
    pub(crate) matches: ArgMatches,
}

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

    /// The deployment's own name, as the server has it.
    #[arg(
        long,
        value_name = "NAME",
        env = "KEYWARD_ENVIRONMENT",
        default_value = ENVIRONMENT,
        value_parser = Environment::parse
    )]
    pub(crate) environment: Environment,
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

/// Prints every setting, its value and where that came from.
pub(crate) fn config(args: &ConfigArgs, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
    let Said {
        args: serve,
        matches,
    } = &args.serve;
    let config = serve
        .clone()
        .resolve()
        .map_err(|why| Failure::usage(why.to_string()))?;
    let row = |setting: Setting| {
        [
            setting.flag,
            setting.variable,
            setting.value,
            setting.source.to_string(),
        ]
        .map(Value::from)
    };
    let rows = Rows {
        keys: ["flag", "variable", "value", "source"],
        rows: config.settings(matches).into_iter().map(row).collect(),
    };
    rows.show(args.output.output, shell.stdout)?;
    Ok(Outcome::Success)
}

/// Makes another operator with every right, while no server runs.
pub(crate) fn operator(args: &OperatorArgs, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
    let OperatorVerb::Recover(args) = &args.verb;
    let file = args
        .operator_token_file
        .clone()
        .unwrap_or_else(|| args.data.data_dir.join(OPERATOR_TOKEN));
    let made = offline::recover_operator(
        &args.data.place()?,
        args.environment.clone(),
        &file,
        serve::world(),
    );
    let made = made.map_err(|error| Failure::local(error.to_string()))?;
    shell.note(&format!(
        "token {} can do everything in every account",
        made.token
    ));
    writeln!(shell.stdout, "{}", made.file.display())
        .map_err(|error| Failure::local(error.to_string()))?;
    Ok(Outcome::Success)
}

/// Tells what needs each key, or makes a new one, while no server runs.
pub(crate) fn keyring(args: &KeyringArgs, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
    let local = |error: OpenError| Failure::local(error.to_string());
    match &args.verb {
        KeyringVerb::Status(data) => {
            let needs = offline::keyring_needs(&data.place()?, serve::world()).map_err(local)?;
            let row = |need: KeyNeed| {
                [
                    Value::from(need.key),
                    Value::from(need.current),
                    need.rows.into(),
                    need.secrets.into(),
                ]
            };
            let rows = Rows {
                keys: ["key", "current", "rows", "secrets"],
                rows: needs.into_iter().map(row).collect(),
            };
            rows.show(Format::Table, shell.stdout)?;
        }
        KeyringVerb::Rotate(data) => {
            let key = offline::rotate_keyring(&data.place()?, serve::world()).map_err(local)?;
            shell.note(&format!(
                "key {key} is current: secrets come under it at their next use. Copy the keyring to where you keep it"
            ));
        }
    }
    Ok(Outcome::Success)
}

impl DataArgs {
    /// A store that is there already: these verbs make none.
    fn place(&self) -> Result<Place, Failure> {
        if !self.data_dir.join("store").is_dir() {
            return Err(Failure::usage(format!(
                "--data-dir {} holds no store",
                self.data_dir.display()
            )));
        }
        Ok(Place {
            data_dir: self.data_dir.clone(),
            keyring_file: self.keyring_file.clone(),
            sled: Options::default(),
        })
    }
}

impl<A: Args> Args for Said<A> {
    fn augment_args(command: Command) -> Command {
        A::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        A::augment_args_for_update(command)
    }
}

impl<A: Args> FromArgMatches for Said<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        // Kept before it is emptied.
        let kept = matches.clone();
        Ok(Self {
            args: A::from_arg_matches_mut(matches)?,
            matches: kept,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::parse;
    use clap::parser::ValueSource;

    #[test]
    fn a_flag_knows_where_its_value_came_from() {
        #[derive(Args, Clone, Debug)]
        struct Sample {
            #[arg(long, default_value = "x")]
            given: String,
            #[arg(long, default_value = "y")]
            left: String,
        }
        let said = parse::<Said<Sample>>("--given z");
        assert_eq!((&*said.args.given, &*said.args.left), ("z", "y"));
        let source = |id| said.matches.value_source(id);
        assert_eq!(source("given"), Some(ValueSource::CommandLine));
        assert_eq!(source("left"), Some(ValueSource::DefaultValue));
    }
}
