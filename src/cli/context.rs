//! `keyward context …`: saves a server and a token's file under a name. Speaks to no server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::connection::Server;
use super::contexts::{Context, Contexts};
use super::failure::{Failure, Outcome};
use super::output::OutputArgs;
use super::rows::Rows;
use super::shell::Shell;

/// Longest name of a context, in characters.
const LONGEST_NAME: usize = 64;

/// Save servers and token files under names.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
A context keeps the path of a token's file, never the token: the secret stays in one place under its owner's rights.
Contexts are in keyward/contexts.toml of the user's configuration directory, mode 0600.

Examples:
  keyward context save prod --server keyward.internal:50051 --token-file ~/.keyward-operator
  keyward context use prod
  keyward token list --context staging")]
pub(crate) struct ContextArgs {
    #[command(subcommand)]
    verb: ContextVerb,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Subcommand, Clone, Debug)]
enum ContextVerb {
    Save(SaveArgs),
    /// Show one context.
    Show(NamedArgs),
    /// List the saved contexts.
    List,
    /// Make a context the current one.
    Use(NamedArgs),
    /// Forget a context; its token's file stays.
    Remove(NamedArgs),
}

/// Save a context, or replace the one of that name; the first becomes the current one.
#[derive(Args, Clone, Debug)]
struct SaveArgs {
    #[command(flatten)]
    named: NamedArgs,

    /// Server address, host:port.
    #[arg(long, value_name = "ADDRESS", value_parser = Server::parse)]
    server: Server,

    /// File that holds the operator token.
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct NamedArgs {
    /// Name of the context: at most 64 of letters, digits, '.', '_' and '-'.
    #[arg(value_parser = parse_name)]
    name: String,
}

impl ContextArgs {
    pub(crate) fn run(&self, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
        let mut contexts = Contexts::load(shell)?;
        match &self.verb {
            ContextVerb::Save(args) => {
                args.save(&mut contexts)?;
                contexts.save(shell)?;
                self.show(&contexts, &args.named.name, shell)?;
            }
            ContextVerb::Show(named) => self.show(&contexts, &named.name, shell)?,
            ContextVerb::List => self.list(&contexts, shell)?,
            ContextVerb::Use(named) => {
                contexts.named(&named.name)?;
                contexts.current = Some(named.name.clone());
                contexts.save(shell)?;
                self.show(&contexts, &named.name, shell)?;
            }
            ContextVerb::Remove(named) => {
                contexts.named(&named.name)?;
                contexts.by_name.remove(&named.name);
                contexts.current.take_if(|current| *current == named.name);
                contexts.save(shell)?;
                self.list(&contexts, shell)?;
            }
        }
        Ok(Outcome::Success)
    }

    fn show(&self, contexts: &Contexts, name: &str, shell: &mut Shell<'_>) -> Result<(), Failure> {
        let context = contexts.named(name)?;
        rows([(name, context)], contexts).show_one(self.output.output, shell.stdout)
    }

    fn list(&self, contexts: &Contexts, shell: &mut Shell<'_>) -> Result<(), Failure> {
        let all = contexts.by_name.iter();
        let all = all.map(|(name, context)| (name.as_str(), context));
        rows(all, contexts).show(self.output.output, shell.stdout)
    }
}

fn rows<'c>(
    some: impl IntoIterator<Item = (&'c str, &'c Context)>,
    contexts: &Contexts,
) -> Rows<4> {
    let row = |(name, context): (&str, &Context)| {
        let file = context.token_file.as_ref();
        [
            json!(name),
            json!(context.server),
            json!(file.map(|path| path.display().to_string())),
            json!(contexts.current.as_deref() == Some(name)),
        ]
    };
    Rows {
        keys: ["name", "server", "tokenFile", "current"],
        rows: some.into_iter().map(row).collect(),
    }
}

impl SaveArgs {
    fn save(&self, contexts: &mut Contexts) -> Result<(), Failure> {
        let token_file = self
            .token_file
            .as_ref()
            .map(std::path::absolute)
            .transpose();
        let token_file =
            token_file.map_err(|error| Failure::usage(format!("the token's file: {error}")))?;
        let context = Context {
            server: self.server.to_string(),
            token_file,
        };
        contexts.by_name.insert(self.named.name.clone(), context);
        contexts
            .current
            .get_or_insert_with(|| self.named.name.clone());
        Ok(())
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 of letters, digits, '.', '_' and '-'".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{Scene, parse};

    fn context(scene: &mut Scene, line: &str) -> Result<String, &'static str> {
        let args = parse::<ContextArgs>(line);
        let outcome = scene.shell(|shell| args.run(shell));
        let out = scene.stdout();
        outcome.map(|_| out).map_err(|failure| failure.code)
    }

    #[test]
    fn the_first_context_is_the_current_one_until_another_is_used() {
        let mut scene = Scene::new();
        let saved = context(
            &mut scene,
            "save prod --server prod:1 --token-file /run/prod.token",
        );
        assert_eq!(
            saved.unwrap(),
            "NAME  SERVER  TOKEN FILE       CURRENT\nprod  prod:1  /run/prod.token  yes\n"
        );
        context(&mut scene, "save dev --server dev").unwrap();
        context(&mut scene, "use dev").unwrap();
        assert_eq!(
            context(&mut scene, "list").unwrap(),
            "NAME  SERVER     TOKEN FILE       CURRENT\n\
             dev   dev:50051  -                yes\n\
             prod  prod:1     /run/prod.token  no\n"
        );
        context(&mut scene, "remove dev").unwrap();
        scene.shell(|shell| assert_eq!(Contexts::load(shell).unwrap().current, None));
    }

    #[test]
    fn a_script_reads_contexts_as_json() {
        let mut scene = Scene::new();
        let saved = context(&mut scene, "save prod --server prod:1 -o json").unwrap();
        let expected =
            json!({"name": "prod", "server": "prod:1", "tokenFile": null, "current": true});
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&saved).unwrap(),
            expected
        );
        let list = context(&mut scene, "list -o json").unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&list).unwrap(),
            json!([expected])
        );
    }

    #[test]
    fn the_path_of_a_token_is_kept_absolute() {
        let mut scene = Scene::new();
        context(
            &mut scene,
            "save prod --server prod:1 --token-file operator.token",
        )
        .unwrap();
        scene.shell(|shell| {
            let contexts = Contexts::load(shell).unwrap();
            assert!(
                contexts.by_name["prod"]
                    .token_file
                    .as_ref()
                    .unwrap()
                    .is_absolute()
            );
        });
    }

    #[test]
    fn a_context_that_is_not_there_cannot_be_used_shown_or_removed() {
        let mut scene = Scene::new();
        for line in ["use prod", "show prod", "remove prod"] {
            assert_eq!(context(&mut scene, line), Err("USAGE"), "{line}");
        }
    }

    #[test]
    fn a_name_has_1_to_64_plain_characters() {
        assert!(parse_name(&"a".repeat(LONGEST_NAME)).is_ok());
        assert!(parse_name("prod-eu.1_a").is_ok());
        for name in ["", "a b", "ü", "a/b", &"a".repeat(LONGEST_NAME + 1)] {
            assert!(parse_name(name).is_err(), "{name}");
        }
    }
}
