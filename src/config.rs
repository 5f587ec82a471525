//! The settings of `keyward serve`: flags, their `KEYWARD_…` variables, defaults and rules.
//!
//! [`ServeArgs`] is what was said, [`Config`] what holds. A flag outranks its variable, which outranks the default. Every
//! rule is checked before anything is opened, and its error names the flag.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};

mod parse;

use crate::domain::text::Environment;
use parse::{duration, optional_duration};

const DATA_DIR: &str = "keyward-data";
/// The deployment's name where none is given.
pub const ENVIRONMENT: &str = "production";
/// The first operator's token, in the data directory where no other place is given.
pub const OPERATOR_TOKEN: &str = "operator.token";
const DEV_ENVIRONMENT: &str = "dev";

/// What can be said on the command line of `serve`, or in the environment.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Try it out: an embedded store in a temporary directory, gone at the end, and the environment `dev`
    #[arg(long, env = "KEYWARD_DEV")]
    pub dev: bool,

    /// Where everything is kept; made if it is not there
    #[arg(
        long,
        env = "KEYWARD_DATA_DIR",
        value_name = "DIR",
        help_heading = "Store"
    )]
    data_dir: Option<PathBuf>,

    /// What keeps it; `memory` forgets everything at the end
    #[arg(long, env = "KEYWARD_STORE", value_enum, default_value_t = StoreKind::Sled, help_heading = "Store")]
    store: StoreKind,

    /// Memory that the store may use as cache, in MiB (16 to 65536)
    #[arg(long, env = "KEYWARD_CACHE_MIB", default_value_t = 128, value_name = "MIB",
          value_parser = clap::value_parser!(u32).range(16..=65536), help_heading = "Store")]
    cache_mib: u32,

    /// The keys that secrets are hashed with [default: `keyring` in the data directory]
    #[arg(
        long,
        env = "KEYWARD_KEYRING_FILE",
        value_name = "FILE",
        help_heading = "Store"
    )]
    keyring_file: Option<PathBuf>,

    /// Where the first operator's token is written [default: `operator.token` in the data directory]
    #[arg(
        long,
        env = "KEYWARD_OPERATOR_TOKEN_FILE",
        value_name = "FILE",
        help_heading = "Store"
    )]
    operator_token_file: Option<PathBuf>,

    /// How long lines of the audit log are kept; `off` for ever, or 1h to 36500d
    #[arg(long, env = "KEYWARD_EVENT_RETENTION", value_name = "TIME", default_value = "400d",
          value_parser = optional_duration(Duration::from_secs(3_600), Duration::from_secs(36_500 * 86_400)), help_heading = "Store")]
    event_retention: parse::OrOff,

    /// This deployment's name, part of every token: 1 to 32 of a-z, 0-9 and - [default: production; dev with --dev]
    #[arg(long, env = "KEYWARD_ENVIRONMENT", value_name = "NAME", value_parser = Environment::parse)]
    environment: Option<Environment>,

    /// Where the service listens; port 0 for any
    #[arg(
        long,
        env = "KEYWARD_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:50051",
        help_heading = "Network"
    )]
    listen: SocketAddr,

    /// Where health is answered in plaintext
    #[arg(
        long,
        env = "KEYWARD_SIDE_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9090",
        help_heading = "Network"
    )]
    side_listen: SocketAddr,

    /// Whether clients may ask for the contract
    #[arg(long, env = "KEYWARD_REFLECTION", value_enum, default_value_t = Switch::On, help_heading = "Network")]
    reflection: Switch,

    /// Threads that serve calls, 1 to 1024 [default: one for each core of the machine]
    #[arg(long, env = "KEYWARD_CORES", value_name = "N", value_parser = count(1024), help_heading = "Limits")]
    cores: Option<u32>,

    /// Connections open at once, 1 to 1000000
    #[arg(long, env = "KEYWARD_MAX_CONNECTIONS", value_name = "N", default_value_t = 4096,
          value_parser = count(1_000_000), help_heading = "Limits")]
    max_connections: u32,

    /// Connections open at once from one address (IPv6: from one /64), 1 to 1000000
    #[arg(long, env = "KEYWARD_MAX_CONNECTIONS_PER_PEER", value_name = "N", default_value_t = 1024,
          value_parser = count(1_000_000), help_heading = "Limits")]
    max_connections_per_peer: u32,

    /// Calls in hand at once on each core, 1 to 1000000
    #[arg(long, env = "KEYWARD_MAX_CALLS_PER_CORE", value_name = "N", default_value_t = 1024,
          value_parser = count(1_000_000), help_heading = "Limits")]
    max_calls_per_core: u32,

    /// Connections of tokens held at once, 1 to 1000000
    #[arg(long, env = "KEYWARD_MAX_HELD", value_name = "N", default_value_t = 100_000,
          value_parser = count(1_000_000), help_heading = "Limits")]
    max_held: u32,

    /// Consumers of tokens that are kept in all, the least recent go first; 1000 to 1000000
    #[arg(long, env = "KEYWARD_MAX_CONSUMERS", value_name = "N", default_value_t = 100_000,
          value_parser = clap::value_parser!(u32).range(1_000..=1_000_000), help_heading = "Limits")]
    max_consumers: u32,

    /// How long a new connection may stay silent, 100ms to 1m
    #[arg(long, env = "KEYWARD_FIRST_BYTES_TIMEOUT", value_name = "TIME", default_value = "5s",
          value_parser = duration(Duration::from_millis(100), Duration::from_secs(60)), help_heading = "Limits")]
    first_bytes_timeout: Duration,

    /// The longest deadline of a call, and that of one without, 100ms to 10m
    #[arg(long, env = "KEYWARD_MAX_DEADLINE", value_name = "TIME", default_value = "30s",
          value_parser = duration(Duration::from_millis(100), Duration::from_secs(600)), help_heading = "Limits")]
    max_deadline: Duration,

    /// When a connection is closed in favour of a new one, so that clients spread; `off`, or 10s to 24h
    #[arg(long, env = "KEYWARD_MAX_CONNECTION_AGE", value_name = "TIME", default_value = "off",
          value_parser = optional_duration(Duration::from_secs(10), Duration::from_secs(86_400)), help_heading = "Limits")]
    max_connection_age: parse::OrOff,

    /// How long NOT_SERVING is told before connections close, 0s to 1m
    #[arg(long, env = "KEYWARD_DRAIN_WAIT", value_name = "TIME", default_value = "1s",
          value_parser = duration(Duration::ZERO, Duration::from_secs(60)), help_heading = "Shutdown")]
    drain_wait: Duration,

    /// How long calls in flight then have to finish, 0s to 10m
    #[arg(long, env = "KEYWARD_DRAIN_DEADLINE", value_name = "TIME", default_value = "10s",
          value_parser = duration(Duration::ZERO, Duration::from_secs(600)), help_heading = "Shutdown")]
    drain_deadline: Duration,

    /// Lines for people or objects for machines
    #[arg(long, env = "KEYWARD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, help_heading = "Logs")]
    log_format: LogFormat,

    /// What is worth a line
    #[arg(long, env = "KEYWARD_LOG_LEVEL", value_enum, default_value_t = LogLevel::Info, help_heading = "Logs")]
    log_level: LogLevel,
}

/// What holds: every setting with its value, every rule met.
#[derive(Debug, Clone)]
pub struct Config {
    pub dev: bool,
    /// None with `--dev` and no directory named: the caller makes a temporary one.
    pub data_dir: Option<PathBuf>,
    pub store: StoreKind,
    pub cache_bytes: u64,
    /// None: `keyring` in the data directory.
    pub keyring_file: Option<PathBuf>,
    /// None: `operator.token` in the data directory.
    pub operator_token_file: Option<PathBuf>,
    /// None: for ever.
    pub event_retention: Option<Duration>,
    pub environment: Environment,
    pub max_consumers: usize,
    pub listen: SocketAddr,
    pub side_listen: SocketAddr,
    pub reflection: bool,
    /// Connections of tokens held at once.
    pub max_held: usize,
    pub log_format: LogFormat,
    pub log_level: LogLevel,
    pub server: ServerSettings,
}

/// What the server itself is set to.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    pub cores: NonZeroUsize,
    pub max_connections: usize,
    pub max_connections_per_peer: usize,
    pub max_calls_per_core: usize,
    pub first_bytes: Duration,
    pub max_deadline: Duration,
    pub max_connection_age: Option<Duration>,
    pub drain_wait: Duration,
    pub drain_deadline: Duration,
}

/// Which back end keeps the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    Sled,
    Memory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// A rule between settings that is not met; `Display` names the flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// Both listeners on one address.
    SameAddress(SocketAddr),
}

/// A setting as `keyward config` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// As on the command line, with its dashes.
    pub flag: String,
    /// Its environment variable.
    pub variable: String,
    pub value: String,
    pub source: Source,
}

/// Where a setting's value is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Default,
    Environment,
    CommandLine,
}

impl ServeArgs {
    /// Fills in what depends on other settings or on the machine, and checks what no single flag can.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        if self.listen == self.side_listen && self.listen.port() != 0 {
            return Err(ConfigError::SameAddress(self.listen));
        }
        let given_or_lasting = match self.data_dir {
            None if self.dev => None,
            given => Some(given.unwrap_or_else(|| DATA_DIR.into())),
        };
        let environment = self.environment.unwrap_or_else(|| {
            let name = if self.dev {
                DEV_ENVIRONMENT
            } else {
                ENVIRONMENT
            };
            Environment::parse(name).expect("the defaults are names")
        });
        Ok(Config {
            dev: self.dev,
            data_dir: given_or_lasting,
            store: self.store,
            cache_bytes: u64::from(self.cache_mib) << 20,
            keyring_file: self.keyring_file,
            operator_token_file: self.operator_token_file,
            event_retention: self.event_retention.0,
            environment,
            max_consumers: self.max_consumers as usize,
            listen: self.listen,
            side_listen: self.side_listen,
            reflection: self.reflection == Switch::On,
            max_held: self.max_held as usize,
            log_format: self.log_format,
            log_level: self.log_level,
            server: ServerSettings {
                cores: cores(self.cores),
                max_connections: self.max_connections as usize,
                max_connections_per_peer: self.max_connections_per_peer as usize,
                max_calls_per_core: self.max_calls_per_core as usize,
                first_bytes: self.first_bytes_timeout,
                max_deadline: self.max_deadline,
                max_connection_age: self.max_connection_age.0,
                drain_wait: self.drain_wait,
                drain_deadline: self.drain_deadline,
            },
        })
    }
}

impl Config {
    /// Every setting in the order of `--help`, and where its value is from. `matches` are those that the arguments came
    /// from: of the subcommand, where there is one.
    pub fn settings(&self, matches: &ArgMatches) -> Vec<Setting> {
        let command = ServeArgs::augment_args(clap::Command::new("serve"));
        command
            .get_arguments()
            .map(|argument| {
                let id = argument.get_id().as_str();
                Setting {
                    flag: format!("--{}", id.replace('_', "-")),
                    variable: format!("KEYWARD_{}", id.to_uppercase()),
                    value: self.in_words(id).unwrap_or_else(|| as_given(matches, id)),
                    source: source(matches, id),
                }
            })
            .collect()
    }

    /// The settings whose value is not simply what was given or the flag's own default.
    fn in_words(&self, id: &str) -> Option<String> {
        let in_data_dir = |file: &Option<PathBuf>, name| match (file, &self.data_dir) {
            (Some(file), _) => file.display().to_string(),
            (None, Some(dir)) => dir.join(name).display().to_string(),
            (None, None) => format!("{name} in the data directory"),
        };
        Some(match id {
            "dev" => self.dev.to_string(),
            "data_dir" => match &self.data_dir {
                Some(dir) => dir.display().to_string(),
                None => "a temporary directory".to_owned(),
            },
            "keyring_file" => in_data_dir(&self.keyring_file, "keyring"),
            "operator_token_file" => in_data_dir(&self.operator_token_file, OPERATOR_TOKEN),
            "environment" => self.environment.as_str().to_owned(),
            "cores" => self.server.cores.to_string(),
            _ => return None,
        })
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SameAddress(address) => write!(
                f,
                "--listen and --side-listen must differ, and both are {address}"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Environment => "environment",
            Self::CommandLine => "command line",
        })
    }
}

fn count(most: i64) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=most)
}

fn cores(asked: Option<u32>) -> NonZeroUsize {
    asked
        .and_then(|asked| NonZeroUsize::new(asked as usize))
        .or_else(|| available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

fn as_given(matches: &ArgMatches, id: &str) -> String {
    let mut values = matches.try_get_raw(id).ok().flatten().into_iter().flatten();
    values
        .next()
        .map_or_else(String::new, |value| value.to_string_lossy().into_owned())
}

fn source(matches: &ArgMatches, id: &str) -> Source {
    match matches.value_source(id) {
        Some(ValueSource::CommandLine) => Source::CommandLine,
        Some(ValueSource::EnvVariable) => Source::Environment,
        _ => Source::Default,
    }
}

#[cfg(test)]
mod tests;
