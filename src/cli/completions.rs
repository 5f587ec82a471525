//! `keyward completions`: a script that completes this command line in a shell.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell as Dialect;

use super::Cli;
use super::failure::{Failure, Outcome};
use super::shell::Shell;

/// Print a completion script for a shell.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  keyward completions bash > ~/.local/share/bash-completion/completions/keyward
  keyward completions zsh > ~/.zfunc/_keyward")]
pub(crate) struct CompletionsArgs {
    /// Shell to write it for.
    #[arg(value_enum)]
    shell: Dialect,
}

impl CompletionsArgs {
    pub(crate) fn run(&self, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "keyward", &mut script);
        shell.stdout.write_all(&script)?;
        Ok(Outcome::Success)
    }
}
