//! The command line: one binary, a file a verb group.
//!
//! Everything but `serve`, `config`, `operator` and `keyring` goes through the gRPC client, or speaks to no server at all
//! (`context`, `completions`). A verb's flags come to one request of the contract (`request`, a pure function), its answer to a
//! table or to JSON (`Record`), and its end to an exit code (`Outcome`, `Failure`).

// The verbs.
mod account;
mod bench;
mod completions;
mod context;
mod dev;
mod events;
mod health;
mod hold;
mod node;
mod principal;
mod role;
mod serve;
mod token;
mod usage;
mod validate;

// From the command line to a call.
mod client;
mod connection;
mod contexts;
mod policy;
mod retry;
mod secrets;
mod session;
mod shell;
mod times;
mod values;
mod words;

// From an answer to the terminal.
mod failure;
mod output;
mod rows;
mod table;
mod text;

#[cfg(test)]
mod end_to_end;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod testing;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use self::failure::{Failure, Outcome};
use self::shell::Shell;

macro_rules! exit_codes {
    () => {
        "\
Exit codes:
  0  done, or allowed
  1  the answer is no: denied or withdrawn, not serving, an audit log that is not intact, or tokens to see a doctor about
  2  no answer: an error, a server that cannot be reached, a mistake on the command line
     (`health` says 1 here too: Docker keeps 2 for itself)"
    };
}

/// A gRPC credential service: issues tokens, and answers on each inbound request whether they are good.
#[derive(Parser, Clone, Debug)]
#[command(name = "keyward", version, after_help = exit_codes!(), after_long_help = LONG_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const LONG_HELP: &str = concat!(
    exit_codes!(),
    "

Connection, flags before environment before saved context before the default:
  server  --server, KEYWARD_SERVER, the context's, 127.0.0.1:50051
  token   --token-file or --token-stdin, KEYWARD_TOKEN or KEYWARD_TOKEN_FILE, the context's
A context that --context names goes before the environment. Its token is sent to its own server only.
Secrets are read from files, the standard input or the environment, never from the argument list.

Examples:
  keyward serve --dev
  keyward token create --account acme --name 'Order sync' --expires 90d
  keyward validate --text-file ci.token --resource tables/orders --action read
  keyward token list --account acme --output json"
);

#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// Run the server.
    Serve(crate::config::ServeArgs),
    Config(node::ConfigArgs),
    Token(token::TokenArgs),
    Account(account::AccountArgs),
    Principal(principal::PrincipalArgs),
    Role(role::RoleArgs),
    Events(events::EventsArgs),
    Usage(usage::UsageArgs),
    Validate(validate::ValidateArgs),
    Hold(hold::HoldArgs),
    Bench(bench::BenchArgs),
    Health(health::HealthArgs),
    Operator(node::OperatorArgs),
    Keyring(node::KeyringArgs),
    Context(context::ContextArgs),
    Completions(completions::CompletionsArgs),
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(Shell::with_system(|shell| run(&arguments, shell)))
}

/// Runs a command line, program name first; returns the exit code.
fn run(arguments: &[OsString], shell: &mut Shell<'_>) -> u8 {
    let json = wants_json(arguments);
    // Said here, before anything can fail: a container's health check knows 0 and 1 alone.
    let failed = match arguments.get(1) {
        Some(verb) if verb == "health" => Outcome::Denied.exit_code(),
        _ => Failure::EXIT_CODE,
    };
    if let Err(failure) = secrets::refuse_in_arguments(arguments) {
        tell(&failure, json, shell);
        return failed;
    }
    let command = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli.command,
        Err(error) if explain(&error, json, shell) => return Outcome::Success.exit_code(),
        Err(_) => return failed,
    };
    match command.run(shell) {
        Ok(outcome) => outcome.exit_code(),
        Err(failure) => {
            tell(&failure, json, shell);
            failed
        }
    }
}

impl Command {
    fn run(&self, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
        match self {
            Self::Serve(args) => serve::serve(args, shell),
            Self::Config(args) => node::config(args, shell),
            Self::Token(args) => args.run(shell),
            Self::Account(args) => args.run(shell),
            Self::Principal(args) => args.run(shell),
            Self::Role(args) => args.run(shell),
            Self::Events(args) => args.run(shell),
            Self::Usage(args) => args.run(shell),
            Self::Validate(args) => args.run(shell),
            Self::Hold(args) => args.run(shell),
            Self::Bench(args) => args.run(shell),
            Self::Health(args) => args.run(shell),
            Self::Operator(args) => node::operator(args, shell),
            Self::Keyring(args) => node::keyring(args, shell),
            Self::Context(args) => args.run(shell),
            Self::Completions(args) => args.run(shell),
        }
    }
}

fn tell(failure: &Failure, json: bool, shell: &mut Shell<'_>) {
    let text = if json {
        failure.to_json()
    } else {
        failure.to_text()
    };
    // Where even this cannot be written, the exit code still tells.
    let _ = shell.stderr.write_all(text.as_bytes());
}

/// Prints what the parser has to say; whether that is an answer, as help and version are, and not a mistake.
fn explain(error: &clap::Error, json: bool, shell: &mut Shell<'_>) -> bool {
    let text = error.render().to_string();
    let is_answer = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if json && !is_answer {
        let message = text.trim_start_matches("error: ").trim_end();
        tell(&Failure::usage(message), json, shell);
    } else {
        let out = if is_answer {
            &mut *shell.stdout
        } else {
            &mut *shell.stderr
        };
        let _ = out.write_all(text.as_bytes());
    }
    is_answer
}

/// Whether errors are told as JSON, known before the command line is parsed so that its own errors are too.
fn wants_json(arguments: &[OsString]) -> bool {
    let words: Vec<_> = arguments
        .iter()
        .map(|word| word.to_string_lossy())
        .collect();
    let is_json = |value: &str| matches!(value, "json" | "jsonl");
    let pair = words
        .windows(2)
        .any(|pair| matches!(&*pair[0], "--output" | "-o") && is_json(&pair[1]));
    pair || words.iter().any(|word| {
        ["--output=", "-o=", "-o"]
            .iter()
            .any(|flag| word.strip_prefix(flag).is_some_and(is_json))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_every_flag_explains_itself() {
        fn check(command: &clap::Command) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{name} {}",
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn json_is_recognised_before_the_command_line_is_parsed() {
        for (line, json) in [
            ("keyward token list --output json", true),
            ("keyward token list --output=jsonl --nonsense", true),
            ("keyward token list -ojson", true),
            ("keyward token list -o table", false),
            ("keyward token list", false),
        ] {
            let arguments: Vec<OsString> = line.split(' ').map(Into::into).collect();
            assert_eq!(wants_json(&arguments), json, "{line}");
        }
    }
}
