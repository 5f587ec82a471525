//! What is done to a store while no server runs on it: an operator for whoever is locked out, and the keys of the keyring.
//! Every function opens the store, which is refused while another process has it. All of them block.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::node::{StartError, World};
use super::operator::{self, NewOperator};
use crate::directory;
use crate::domain::text::Environment;
use crate::keyring::{Key, file as keyring_file};
use crate::meter::usage::Usage;
use crate::registry::Registry;
use crate::registry::usage::Ledger;
use crate::store::StoreError;
use crate::store::open::{self, OpenError, Place};

/// Makes another operator on the store in a data directory, and puts its token into `file`.
pub fn recover_operator(
    place: &Place,
    environment: Environment,
    file: &Path,
    world: World,
) -> Result<NewOperator, StartError> {
    let opened = open::open(place, Arc::clone(&world.clock), &*world.random, &())
        .map_err(StartError::Open)?;
    let directory =
        directory::follow::start(opened.store.reader(), Vec::new()).map_err(StartError::Store)?;
    // Nothing is counted while no server runs.
    let counted = Arc::new(Usage::new(Arc::clone(&directory), 0));
    let registry = Registry {
        store: opened.store.clone(),
        usage: Arc::new(Ledger::new(counted, &*world.random)),
        directory,
        keyring: opened.keyring,
        clock: world.clock,
        random: world.random,
        environment,
    };
    operator::make(&registry, "recovered operator", file).map_err(StartError::Operator)
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

/// Counts what needs each key.
pub fn keyring_needs(place: &Place, world: World) -> Result<Vec<KeyNeed>, OpenError> {
    let opened = open::open(place, world.clock, &*world.random, &())?;
    let io_error = |error: StoreError| {
        OpenError::Io(place.data_dir.clone(), io::Error::other(error.to_string()))
    };
    let needed = opened.store.reader().keys_needed().map_err(io_error)?;
    let need = |key: &Key| {
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

/// Makes a new current key; the old one is retired. The new key's id.
pub fn rotate_keyring(place: &Place, world: World) -> Result<u32, OpenError> {
    let random = Arc::clone(&world.random);
    let opened = open::open(place, world.clock, &*random, &())?;
    let path = place.keyring_file();
    let key =
        keyring_file::rotate(&path, &*random).map_err(|error| OpenError::Keyring(path, error))?;
    drop(opened);
    Ok(key.0)
}
