//! Which server a command speaks to, and as whom: flags before environment before saved context before the default.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http::Uri;
use zeroize::Zeroizing;

use super::contexts::{Context, Contexts};
use super::failure::Failure;
use super::secrets::Source;
use super::shell::Shell;
use super::times::parse_nonzero_span;

const DEFAULT_SERVER: &str = "127.0.0.1:50051";
const DEFAULT_PORT: u16 = 50051;
const GIVE_ONE: &str =
    "no operator token was sent: name one with --token-file, KEYWARD_TOKEN_FILE or a context";

/// Which server, and how long to wait for it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct TargetArgs {
    /// Server address, host:port, plaintext [env: KEYWARD_SERVER] [default: 127.0.0.1:50051].
    #[arg(long, global = true, value_name = "ADDRESS", value_parser = Server::parse)]
    server: Option<Server>,

    /// Saved context to use, before the environment [env: KEYWARD_CONTEXT] [default: the current one].
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,

    /// Deadline of each call, such as 10s or 500ms.
    #[arg(long, global = true, value_name = "SPAN", default_value = "10s", value_parser = parse_nonzero_span)]
    timeout: Duration,
}

/// Which server, and as whom.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// File that holds the operator token [env: KEYWARD_TOKEN_FILE, or the token itself in KEYWARD_TOKEN].
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        conflicts_with = "token_stdin"
    )]
    token_file: Option<PathBuf>,

    /// Read the operator token from the standard input.
    #[arg(long, global = true)]
    pub(crate) token_stdin: bool,
}

/// What the flags, the environment and the saved contexts come to.
pub(crate) struct Connection {
    pub(crate) server: Server,
    pub(crate) token: Token,
    pub(crate) timeout: Duration,
}

/// The operator token.
pub(crate) enum Token {
    Given(Zeroizing<String>),
    /// There is none; what to do about it, should the server want one.
    Missing(String),
}

/// A server's host and port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Server(Uri);

impl TargetArgs {
    /// The server alone, for calls that need no token.
    pub(crate) fn resolve(&self, shell: &Shell<'_>) -> Result<Connection, Failure> {
        let context = self.chosen_context(shell)?;
        let server = self.pick_server(context.as_ref(), shell)?;
        Ok(Connection {
            server,
            token: Token::Missing(GIVE_ONE.into()),
            timeout: self.timeout,
        })
    }

    fn chosen_context(&self, shell: &Shell<'_>) -> Result<Option<Context>, Failure> {
        let contexts = Contexts::load(shell)?;
        let name = self
            .context
            .clone()
            .or_else(|| shell.variable("KEYWARD_CONTEXT"))
            .or_else(|| contexts.current.clone());
        name.map(|name| contexts.named(&name).cloned()).transpose()
    }

    fn pick_server(&self, context: Option<&Context>, shell: &Shell<'_>) -> Result<Server, Failure> {
        if let Some(server) = &self.server {
            return Ok(server.clone());
        }
        let saved = context.map(|context| context.server.clone());
        let text = self.rank(saved, shell.variable("KEYWARD_SERVER"));
        let text = text.unwrap_or_else(|| DEFAULT_SERVER.into());
        Server::parse(&text).map_err(|why| Failure::usage(format!("server address {text}: {why}")))
    }

    /// A context that a flag names goes before the environment, any other one after it.
    fn rank<T>(&self, saved: Option<T>, variable: Option<T>) -> Option<T> {
        match self.context {
            Some(_) => saved.or(variable),
            None => variable.or(saved),
        }
    }
}

impl ConnectionArgs {
    /// Server and token. A context's token is sent to that context's server only.
    pub(crate) fn resolve(&self, shell: &mut Shell<'_>) -> Result<Connection, Failure> {
        let context = self.target.chosen_context(shell)?;
        let server = self.target.pick_server(context.as_ref(), shell)?;
        let token = match self.pick_token(context.as_ref(), &server, shell) {
            Pick::Text(text) => Token::Given(text),
            Pick::From(source) => Token::Given(source.read("operator token", shell)?),
            Pick::Nothing(hint) => Token::Missing(hint),
        };
        Ok(Connection {
            server,
            token,
            timeout: self.target.timeout,
        })
    }

    fn pick_token(&self, context: Option<&Context>, server: &Server, shell: &Shell<'_>) -> Pick {
        if let Some(path) = &self.token_file {
            return Pick::file(path);
        }
        if self.token_stdin {
            return Pick::From(Source::Stdin);
        }
        let text = shell.variable("KEYWARD_TOKEN");
        let path = shell.variable("KEYWARD_TOKEN_FILE");
        let text = text.map(|text| Pick::Text(Zeroizing::new(text)));
        let variable = text.or(path.map(|path| Pick::file(Path::new(&path))));

        let saved = context.and_then(|all| Some((&all.server, all.token_file.as_ref()?)));
        let is_here = |of: &str| Server::parse(of).as_ref() == Ok(server);
        let fitting = saved.filter(|(of, _)| is_here(of));
        let fitting = fitting.map(|(_, path)| Pick::file(path));
        let why_none = || match saved {
            Some((of, _)) => format!("the context's token is for {of} and is not sent to {server}"),
            None => GIVE_ONE.into(),
        };
        let pick = self.target.rank(fitting, variable);
        pick.unwrap_or_else(|| Pick::Nothing(why_none()))
    }
}

impl Server {
    /// Reads `host:port`, `host` or `http://host:port`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err("TLS is not spoken here yet; use host:port in plaintext".into());
        }
        let authority = text.strip_prefix("http://").unwrap_or(text);
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let expected = || "expected host:port".to_string();
        let parsed: http::uri::Authority = authority.parse().map_err(|_| expected())?;
        if parsed.as_str().contains('@') || parsed.host().is_empty() {
            return Err(expected());
        }
        let has_port = parsed.as_str().len() > parsed.host().len();
        let port = match (has_port, parsed.port_u16()) {
            (false, _) => DEFAULT_PORT,
            (true, Some(port)) => port,
            (true, None) => return Err(expected()),
        };
        let uri = format!("http://{}:{port}", parsed.host());
        uri.parse().map(Self).map_err(|_| expected())
    }

    pub(crate) fn uri(&self) -> Uri {
        self.0.clone()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            self.0
                .authority()
                .map_or("", |authority| authority.as_str()),
        )
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("server", &self.server)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A token at hand, where to read it, or why there is none.
enum Pick {
    Text(Zeroizing<String>),
    From(Source),
    Nothing(String),
}

impl Pick {
    fn file(path: &Path) -> Self {
        Self::From(Source::File(path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::Scene;
    use clap::Parser;
    use std::collections::BTreeMap;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        connection: ConnectionArgs,
    }

    const FLAG: &str = "flag:1";
    const VARIABLE: &str = "variable:2";
    const SAVED: &str = "saved:3";
    const OTHER: &str = "other:4";

    /// A scene with two contexts, `saved` the current one, each with a token of its own name.
    fn scene() -> Scene {
        let mut scene = Scene::new();
        let context = |name: &str, server: &str| {
            let path = scene.write(name, &format!("token-of-{name}\n"));
            let context = Context {
                server: server.into(),
                token_file: Some(path),
            };
            (name.to_owned(), context)
        };
        let by_name = BTreeMap::from([context("saved", SAVED), context("other", OTHER)]);
        let contexts = Contexts {
            current: Some("saved".into()),
            by_name,
        };
        scene.shell(|shell| contexts.save(shell).unwrap());
        scene
    }

    fn resolve(scene: &mut Scene, flags: &[&str]) -> (String, Result<String, String>) {
        let args = Alone::parse_from([&["test"], flags].concat()).connection;
        scene.shell(|shell| {
            let connection = args.resolve(shell).unwrap();
            let token = match connection.token {
                Token::Given(text) => Ok(text.to_string()),
                Token::Missing(hint) => Err(hint),
            };
            (connection.server.to_string(), token)
        })
    }

    #[test]
    fn a_flag_goes_before_a_variable_before_a_context() {
        let mut scene = scene();
        let flagged = scene.write("flagged", "token-of-flag\n");
        let flagged = flagged.to_str().unwrap();
        let token = |name: &str| Ok(format!("token-of-{name}"));

        assert_eq!(resolve(&mut scene, &[]), (SAVED.into(), token("saved")));
        assert_eq!(
            resolve(&mut scene, &["--context", "other"]),
            (OTHER.into(), token("other"))
        );

        scene.set("KEYWARD_CONTEXT", "other");
        assert_eq!(resolve(&mut scene, &[]), (OTHER.into(), token("other")));

        scene.set("KEYWARD_SERVER", VARIABLE);
        scene.set("KEYWARD_TOKEN", "token-of-variable");
        assert_eq!(
            resolve(&mut scene, &[]),
            (VARIABLE.into(), token("variable"))
        );
        assert_eq!(
            resolve(&mut scene, &["--context", "saved"]),
            (SAVED.into(), token("saved"))
        );
        assert_eq!(
            resolve(&mut scene, &["--server", FLAG, "--token-file", flagged]),
            (FLAG.into(), token("flag"))
        );
    }

    #[test]
    fn without_anything_it_is_this_machine_and_nobody() {
        let mut scene = Scene::new();
        assert_eq!(
            resolve(&mut scene, &[]),
            (DEFAULT_SERVER.into(), Err(GIVE_ONE.into()))
        );
    }

    #[test]
    fn a_contexts_token_is_never_sent_to_another_server() {
        let mut scene = scene();
        let (server, token) = resolve(&mut scene, &["--server", FLAG]);
        assert_eq!(server, FLAG);
        assert!(token.unwrap_err().contains("not sent to flag:1"));
        assert_eq!(
            resolve(&mut scene, &["--server", SAVED]),
            (SAVED.into(), Ok("token-of-saved".into()))
        );
        scene.set("KEYWARD_SERVER", VARIABLE);
        let (server, token) = resolve(&mut scene, &[]);
        assert_eq!(server, VARIABLE);
        assert!(token.is_err());
    }

    #[test]
    fn the_token_itself_goes_before_the_file_and_the_standard_input_before_both() {
        let mut scene = Scene::new();
        let path = scene.write("file", "token-of-file\n");
        scene.set("KEYWARD_TOKEN_FILE", path.to_str().unwrap());
        assert_eq!(resolve(&mut scene, &[]).1, Ok("token-of-file".into()));
        scene.set("KEYWARD_TOKEN", "token-of-variable");
        assert_eq!(resolve(&mut scene, &[]).1, Ok("token-of-variable".into()));
        scene.stdin("token-of-stdin\n");
        assert_eq!(
            resolve(&mut scene, &["--token-stdin"]).1,
            Ok("token-of-stdin".into())
        );
    }

    #[test]
    fn a_connection_does_not_tell_its_token_when_debugged() {
        let connection = Connection {
            server: Server::parse("here").unwrap(),
            token: Token::Given(Zeroizing::new("s3cret".into())),
            timeout: Duration::from_secs(1),
        };
        let told = format!("{connection:?}");
        assert!(told.contains("here") && !told.contains("s3cret"), "{told}");
    }

    #[test]
    fn a_context_that_is_not_there_is_a_mistake() {
        let mut scene = Scene::new();
        scene.set("KEYWARD_CONTEXT", "nowhere");
        let args = Alone::parse_from(["test"]).connection;
        scene.shell(|shell| assert_eq!(args.resolve(shell).unwrap_err().code, "USAGE"));
    }

    #[test]
    fn a_server_is_a_host_and_a_port() {
        for (text, shown) in [
            ("localhost:1", "localhost:1"),
            ("localhost", "localhost:50051"),
            ("http://10.0.0.1:9090/", "10.0.0.1:9090"),
            ("[::1]:7", "[::1]:7"),
            ("[::1]", "[::1]:50051"),
        ] {
            assert_eq!(Server::parse(text).unwrap().to_string(), shown);
        }
        for text in [
            "",
            ":",
            ":1",
            "host:",
            "host:x",
            "host:70000",
            "https://host:1",
            "user@host:1",
            "host:1/path",
            "a b",
            "ftp://host:1",
        ] {
            assert!(Server::parse(text).is_err(), "{text}");
        }
    }
}
