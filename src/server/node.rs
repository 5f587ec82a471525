//! The composition: opens the store, builds everything on it, binds, serves, and closes in order. What production starts is
//! what tests start.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tonic::service::Routes;

use super::{Faces, Health, Listeners, MAX_REQUEST, reflection, serve};
use crate::api::{self, Desk};
use crate::clock::Clock;
use crate::config::{Config, StoreKind};
use crate::directory;
use crate::domain::id::TokenId;
use crate::domain::text::{self, Environment};
use crate::files;
use crate::keyring::file as keyring_file;
use crate::marks::Marks;
use crate::random::Random;
use crate::registry::{Error, Registry, sweep};
use crate::store::open::{self, OpenError, Opened, Options, Place};

use crate::store::{Condition, Store, StoreError};
use crate::validator::Validator;

/// How long the store may take to write out what is queued once everything else has ended.
const CLOSING: Duration = Duration::from_secs(5);

/// The machine's clock and randomness, or a test's.
#[derive(Clone, Debug)]
pub struct World {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
}

/// Everything but sockets.
#[derive(Debug)]
pub struct Node {
    pub desk: Arc<Desk>,
    /// Made on this start, because the store was empty.
    pub first_operator: Option<NewOperator>,
    marks: Arc<Marks>,
    store: Store,
    /// Held until the end: nobody else may open the data directory.
    _lock: Option<std::fs::File>,
}

/// An operator's token, and the file that holds its text.
#[derive(Clone, Debug)]
pub struct NewOperator {
    pub token: TokenId,
    pub file: PathBuf,
}

/// Why a node does not start.
#[derive(Debug)]
pub enum StartError {
    Environment(String),
    Open(OpenError),
    /// The store could not be read or written.
    Store(StoreError),
    /// The first operator could not be made.
    Operator(Error),
    /// The operator's token could not be put into its file.
    TokenFile(PathBuf, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(rule) => write!(f, "--environment {rule}"),
            Self::Open(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Operator(error) => write!(f, "the operator could not be made: {error}"),
            Self::TokenFile(path, error) => {
                write!(
                    f,
                    "the operator's token could not be written to {}: {error}",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for StartError {}

impl Node {
    /// Opens the store and builds everything on it. On an empty store the first operator is made, its token's text put into a
    /// file before it is good for anything. Blocks; not to be called on an async runtime.
    pub fn open(config: &Config, data_dir: &Path, world: World) -> Result<Self, StartError> {
        let environment =
            Environment::parse(&config.environment).map_err(StartError::Environment)?;
        let opened = open_store(config, data_dir, &world).map_err(StartError::Open)?;
        let directory =
            directory::follow::start(opened.store.reader()).map_err(StartError::Store)?;
        let marks = Arc::new(Marks::default());
        let registry = Registry {
            store: opened.store.clone(),
            directory: Arc::clone(&directory),
            keyring: Arc::clone(&opened.keyring),
            clock: Arc::clone(&world.clock),
            random: world.random,
            environment: environment.clone(),
        };
        let first_operator = if opened.empty {
            Some(make_operator(
                &registry,
                "first operator",
                &token_file(config, data_dir),
            )?)
        } else {
            None
        };
        let validator = Validator::new(
            directory,
            opened.keyring,
            environment,
            world.clock,
            Arc::clone(&marks),
        );
        let desk = Arc::new(Desk::new(registry, validator));
        Ok(Self {
            desk,
            first_operator,
            marks,
            store: opened.store,
            _lock: opened.lock,
        })
    }

    /// Serves until `shutdown` ends, drains, and closes the store.
    pub async fn run(
        self,
        listeners: Listeners,
        config: &Config,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let health = Health::new();
        let mut background = JoinSet::new();
        self.start_background(&mut background, &health);
        let (desk, reflected) = (Arc::clone(&self.desk), config.reflection);
        let main = move || {
            let routes = api::routes(&desk, MAX_REQUEST);
            if reflected {
                reflection::add(routes, api::proto::DESCRIPTORS)
            } else {
                routes
            }
        };
        health.set_ready(true);
        let served = serve(
            listeners,
            Faces {
                main,
                side: Routes::default(),
            },
            health,
            &config.server,
            shutdown,
        )
        .await;
        background.shutdown().await;
        let Self { desk, store, .. } = self;
        drop(desk);
        if tokio::time::timeout(CLOSING, store.close()).await.is_err() {
            tracing::warn!("the store is still in use; what was acknowledged is durable");
        }
        served
    }

    /// What runs beside the calls: marks are committed, kept answers swept, and health told of the store's condition.
    fn start_background(&self, background: &mut JoinSet<()>, health: &Health) {
        let (desk, marks) = (Arc::clone(&self.desk), Arc::clone(&self.marks));
        background.spawn(async move { desk.registry.commit_marks(&marks).await });
        let desk = Arc::clone(&self.desk);
        background.spawn(async move { sweep(&desk.registry).await });
        let (mut condition, health) = (self.store.condition(), health.clone());
        background.spawn(async move {
            loop {
                health.set_writable(*condition.borrow_and_update() == Condition::Writable);
                if condition.changed().await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Makes another operator, offline, on the store in a data directory; `None` puts its token where the first one's was.
pub fn recover_operator(
    place: &Place,
    environment: &str,
    file: &Path,
    world: World,
) -> Result<NewOperator, StartError> {
    let environment = Environment::parse(environment).map_err(StartError::Environment)?;
    let opened =
        open::open(place, Arc::clone(&world.clock), &*world.random).map_err(StartError::Open)?;
    let directory = directory::follow::start(opened.store.reader()).map_err(StartError::Store)?;
    let registry = Registry {
        store: opened.store.clone(),
        directory,
        keyring: opened.keyring,
        clock: world.clock,
        random: world.random,
        environment,
    };
    make_operator(&registry, "recovered operator", file)
}

/// What still needs a key of the keyring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyNeed {
    pub key: u32,
    pub current: bool,
    /// Rows of the store that are protected by it.
    pub rows: u64,
    /// Secrets whose digests were made under it.
    pub secrets: u64,
}

/// Counts, offline, what needs each key.
pub fn keyring_needs(place: &Place, world: World) -> Result<Vec<KeyNeed>, OpenError> {
    let opened = open::open(place, world.clock, &*world.random)?;
    let io_error = |error: StoreError| {
        OpenError::Io(place.data_dir.clone(), io::Error::other(error.to_string()))
    };
    let needed = opened.store.reader().keys_needed().map_err(io_error)?;
    let need = |key: &crate::keyring::Key| {
        let (rows, secrets) = needed.get(&key.id()).copied().unwrap_or_default();
        KeyNeed {
            key: key.id().0,
            current: key.id() == opened.keyring.current().id(),
            rows,
            secrets,
        }
    };
    Ok(opened.keyring.keys().iter().map(need).collect())
}

/// Makes a new current key, offline; the old one is retired. The new key's id.
pub fn rotate_keyring(place: &Place, world: World) -> Result<u32, OpenError> {
    let random = Arc::clone(&world.random);
    let opened = open::open(place, world.clock, &*random)?;
    let path = place.keyring_file();
    let key =
        keyring_file::rotate(&path, &*random).map_err(|error| OpenError::Keyring(path, error))?;
    drop(opened);
    Ok(key.0)
}

fn open_store(config: &Config, data_dir: &Path, world: &World) -> Result<Opened, OpenError> {
    match config.store {
        StoreKind::Memory => open::open_memory(Arc::clone(&world.clock), &*world.random),
        StoreKind::Sled => {
            let place = Place {
                data_dir: data_dir.to_owned(),
                keyring_file: config.keyring_file.clone(),
                sled: Options {
                    cache_bytes: config.cache_bytes,
                    ..Options::default()
                },
            };
            open::open(&place, Arc::clone(&world.clock), &*world.random)
        }
    }
}

/// Where the first operator's token goes.
#[must_use]
pub fn token_file(config: &Config, data_dir: &Path) -> PathBuf {
    config
        .operator_token_file
        .clone()
        .unwrap_or_else(|| data_dir.join("operator.token"))
}

/// The text is in its file before the token is committed: a crash in between leaves a text that is good for nothing.
fn make_operator(registry: &Registry, name: &str, file: &Path) -> Result<NewOperator, StartError> {
    let drawn = registry.draw_operator(name);
    write_token(file, drawn.secret.reveal())
        .map_err(|error| StartError::TokenFile(file.to_owned(), error))?;
    let token = registry
        .admit_operator(&drawn)
        .map_err(StartError::Operator)?;
    Ok(NewOperator {
        token,
        file: file.to_owned(),
    })
}

/// A file that holds something else than a token is not written over.
fn write_token(file: &Path, text: &str) -> io::Result<()> {
    let parent = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), files::create_private_directory)?;
    match std::fs::read(file) {
        Ok(old) if !old.is_empty() && !old.starts_with(text::PREFIX.as_bytes()) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "it exists, and holds something else than a token",
            ));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    files::write_private(file, text.as_bytes())
}

/// Sweeps kept answers for as long as the node runs.
async fn sweep(registry: &Registry) {
    let mut tick = tokio::time::interval(sweep::EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        loop {
            match registry.sweep_replays().await {
                Ok(sweep::STEP) => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::debug!(%error, "kept answers could not be swept");
                    break;
                }
            }
        }
    }
}
