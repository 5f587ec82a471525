//! The composition: opens the store, builds everything on it, binds, serves, and closes in order. What production starts is
//! what tests start.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tonic::service::Routes;

use super::images::Images;
use super::leaps;
use super::operator::{self, MakeError, NewOperator};
use super::verifying::Verifying;
use super::{Faces, Health, Listeners, MAX_REQUEST, Validates, reflection, serve};
use crate::api::{self, Desk};
use crate::clock::Clock;
use crate::config::{Config, StoreKind};
use crate::directory::alarms::Alarms;
use crate::directory::{self, Directory};
use crate::invalidations::History;
use crate::marks::Marks;
use crate::meter::Meter;
use crate::random::Random;
use crate::registry::Registry;
use crate::registry::slots::Presence;
use crate::registry::usage::{self, Ledger};
use crate::store::open::{self, OpenError, Opened, Options, Place, Verification, Verified};
use crate::store::{Condition, Store, StoreError};
use crate::validator::Validator;

/// A store of so many rows is verified before it is served from, though it may have an image: that takes a tenth of a second.
const FEW_ROWS: u64 = 50_000;

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
    event_retention: Option<Duration>,
    alarms: Arc<Alarms>,
    store: Store,
    /// None for a store that is gone at the end.
    images: Option<Arc<Images>>,
    /// What the store has to pass while it is served from already.
    verification: Option<Verification>,
    /// Held until the end: nobody else may open the data directory.
    _lock: Option<std::fs::File>,
}

impl Node {
    /// Opens the store and builds everything on it. On an empty store the first operator is made, its token's text put into a
    /// file before it is good for anything. Blocks; not to be called on an async runtime.
    pub fn open(config: &Config, data_dir: &Path, world: World) -> Result<Self, StartError> {
        let (opened, directory) = open_store(config, data_dir, &world)?;
        let history = Arc::new(History::default());
        let alarms = Arc::new(Alarms::new(config.max_held));
        let directory = directory::follow::keep(
            directory,
            opened.revision,
            opened.store.reader(),
            vec![Arc::clone(&history) as _, Arc::clone(&alarms) as _],
        )
        .map_err(StartError::Store)?;
        let images = (config.store == StoreKind::Sled).then(|| {
            let (store, random) = (opened.store.clone(), Arc::clone(&world.random));
            let path = place(config, data_dir).image();
            let directory = Arc::clone(&directory);
            Arc::new(Images::new(path, store, directory, random, opened.image))
        });
        let marks = Arc::new(Marks::default());
        let meter = Arc::new(Meter::new(Arc::clone(&directory), config.max_consumers));
        let registry = Registry {
            usage: Arc::new(Ledger::new(Arc::clone(&meter.usage), &*world.random)),
            store: opened.store.clone(),
            directory: Arc::clone(&directory),
            keyring: Arc::clone(&opened.keyring),
            clock: Arc::clone(&world.clock),
            random: world.random,
            environment: config.environment.clone(),
        };
        let first_operator = if opened.empty {
            Some(
                operator::make(
                    &registry,
                    "first operator",
                    &operator::token_file(config, data_dir),
                )
                .map_err(StartError::Operator)?,
            )
        } else {
            None
        };
        let validator = Validator::new(
            directory,
            opened.keyring,
            config.environment.clone(),
            world.clock,
            Arc::clone(&marks),
            Arc::clone(&meter.usage),
        );
        let desk = Arc::new(Desk::new(
            registry,
            validator,
            meter,
            Arc::clone(&alarms),
            history,
        ));
        Ok(Self {
            desk,
            first_operator,
            marks,
            event_retention: config.event_retention,
            alarms,
            store: opened.store,
            images,
            verification: opened.verification,
            _lock: opened.lock,
        })
    }

    /// Serves until `shutdown` ends, or the store turns out not to be what was written; drains, and closes the store.
    pub async fn run(
        mut self,
        listeners: Listeners,
        config: &Config,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let health = Health::new();
        let mut background = JoinSet::new();
        self.start_background(&mut background, &health);
        let mut verifying = Verifying::begin(self.verification.take())?;
        let (registry, meter) = (self.desk.registry.clone(), Arc::clone(&self.desk.meter));
        let leases = tokio::spawn(async move { registry.fetch_leases(&meter.quotas).await });
        let (registry, meter) = (self.desk.registry.clone(), Arc::clone(&self.desk.meter));
        let slots =
            tokio::spawn(
                async move { registry.keep_slots(&meter.slots, &Presence::alone()).await },
            );
        let (desk, reflected) = (Arc::clone(&self.desk), config.reflection);
        let main = move || {
            let routes = api::routes(&desk, MAX_REQUEST);
            if reflected {
                reflection::add(routes, api::proto::DESCRIPTORS)
            } else {
                routes
            }
        };
        let hot = Arc::clone(&self.desk) as Arc<dyn Validates>;
        health.set_ready(true);
        let served = serve(
            listeners,
            Faces {
                main,
                hot: Some(hot),
                side: Routes::default(),
            },
            health,
            &config.server,
            async {
                tokio::select! {
                    () = shutdown => {}
                    () = verifying.failed() => {}
                }
            },
        )
        .await;
        background.shutdown().await;
        let Self {
            desk,
            marks,
            store,
            images,
            ..
        } = self;
        write_last_marks(&desk.registry, &marks).await;
        save_last_usage(&desk.registry).await;
        give_back(&desk.registry, &desk.meter, leases, slots).await;
        let verified = verifying.end().await;
        if let (Ok(Verified::Whole), Some(images)) = (&verified, images) {
            images.make().await;
        }
        drop(desk);
        if tokio::time::timeout(CLOSING, store.close()).await.is_err() {
            tracing::warn!("the store is still in use; what was acknowledged is durable");
        }
        served.and(verified.map(|_| ()))
    }

    /// What runs beside the calls: marks are committed, usage saved and folded, what has ended swept, expiring tokens announced, alarms rung,
    /// long streams ended with the server, and health told of the store's condition and the clock's.
    fn start_background(&self, background: &mut JoinSet<()>, health: &Health) {
        let (desk, marks) = (Arc::clone(&self.desk), Arc::clone(&self.marks));
        background.spawn(async move { desk.registry.commit_marks(&marks).await });
        let (desk, meter) = (Arc::clone(&self.desk), Arc::clone(&self.desk.meter));
        background.spawn(async move { desk.registry.sweep(&meter).await });
        if let Some(kept) = self.event_retention {
            let desk = Arc::clone(&self.desk);
            background.spawn(async move { desk.registry.retain_events(kept).await });
        }
        if let Some(images) = self.images.clone() {
            background.spawn(async move { images.keep().await });
        }
        let desk = Arc::clone(&self.desk);
        background.spawn(async move { save_usage(&desk.registry).await });
        let desk = Arc::clone(&self.desk);
        background.spawn(async move { fold_usage(&desk.registry).await });
        let desk = Arc::clone(&self.desk);
        background.spawn(async move { desk.registry.announce().await });
        let (alarms, clock) = (
            Arc::clone(&self.alarms),
            Arc::clone(&self.desk.registry.clock),
        );
        background.spawn(async move { alarms.keep(|| clock.now()).await });
        let (desk, closing) = (Arc::clone(&self.desk), health.clone());
        background.spawn(async move {
            closing.closed().await;
            desk.close();
        });
        let (clock, told) = (Arc::clone(&self.desk.registry.clock), health.clone());
        background.spawn(async move { leaps::watch(&*clock, &told).await });
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

/// Writes what validations left; what is held back to be told once an hour is told now.
async fn write_last_marks(registry: &Registry, marks: &Marks) {
    let written = tokio::time::timeout(CLOSING, registry.commit_last_marks(marks));
    if !matches!(written.await, Ok(Ok(()))) {
        tracing::warn!("what the last validations left could not be written");
    }
}

/// Gives back the calls and the slots that were leased and are not used, once the last lease has arrived.
async fn give_back(
    registry: &Registry,
    meter: &Meter,
    leases: JoinHandle<()>,
    slots: JoinHandle<()>,
) {
    meter.quotas.close();
    meter.slots.close();
    let given_back = tokio::time::timeout(CLOSING, async {
        let _ = tokio::join!(leases, slots);
        registry.return_leases(&meter.quotas).await
    });
    if !matches!(given_back.await, Ok(Ok(()))) {
        tracing::warn!("calls that were leased and not handed out are lost for the day");
    }
}

/// Why a node does not start.
#[derive(Debug)]
pub enum StartError {
    Open(OpenError),
    /// The store could not be read or written.
    Store(StoreError),
    Operator(MakeError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Operator(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

fn place(config: &Config, data_dir: &Path) -> Place {
    Place {
        data_dir: data_dir.to_owned(),
        keyring_file: config.keyring_file.clone(),
        sled: Options {
            cache_bytes: config.cache_bytes,
            ..Options::default()
        },
    }
}

fn open_store(
    config: &Config,
    data_dir: &Path,
    world: &World,
) -> Result<(Opened, Directory), StartError> {
    let (clock, random) = (Arc::clone(&world.clock), &*world.random);
    let opened = match config.store {
        StoreKind::Memory => {
            open::open_memory(clock, random).map(|opened| (opened, Directory::default()))
        }
        StoreKind::Sled => {
            let place = place(config, data_dir);
            // What is shown by --dev is made at once, so its store must take changes.
            let few = if config.dev { u64::MAX } else { FEW_ROWS };
            open::open_with(&place, clock, random, few)
        }
    };
    opened.map_err(StartError::Open)
}

/// Saves usage for as long as the node runs, at most once a second.
async fn save_usage(registry: &Registry) {
    let mut tick = tokio::time::interval(usage::EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tick.tick().await;
        let saved = registry.save_usage().await;
        if let (Err(error), false) = (&saved, failing) {
            tracing::warn!(%error, "usage cannot be saved; it is counted on, and saved later");
        }
        failing = saved.is_err();
    }
}

/// Folds what was saved for as long as the node runs.
async fn fold_usage(registry: &Registry) {
    let mut tick = tokio::time::interval(usage::EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = registry.keep_usage_folded().await {
            tracing::debug!(%error, "usage cannot be folded; it is saved on, and folded later");
        }
    }
}

/// What was counted since the last save, once nothing is counted any more.
async fn save_last_usage(registry: &Registry) {
    match tokio::time::timeout(CLOSING, registry.save_all_usage()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the last usage could not be saved"),
        Err(_) => tracing::warn!("the last usage could not be saved in time"),
    }
}
