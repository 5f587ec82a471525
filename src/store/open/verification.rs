//! What is left to verify of a store that is served from already. Until it has passed the store takes no changes, and nothing is
//! written; if it fails, the files become what they were, and whoever serves must end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::error::OpenError;
use crate::keyring::Keyring;
use crate::store::backend::Backend;
use crate::store::seal::Corrupt;
use crate::store::sled::Opening;
use crate::store::verify::{Intake, verify_rows};

/// How much everything else goes before verification, as the operating system counts it: it gets a tenth of a core that is busy.
const NICE: i32 = 10;

/// All rows of a store, to be verified. Dropping it refuses the store.
#[derive(Debug)]
pub struct Verification {
    opening: Opening,
    keyring: Arc<Keyring>,
    keyring_file: PathBuf,
    store_dir: PathBuf,
    passed: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
}

/// How a verification ended that did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verified {
    /// Every row is what was written: the store takes changes from now on.
    Whole,
    /// It was stopped before it could say.
    Stopped,
}

/// Stops a verification.
#[derive(Clone, Debug)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The store is not needed any more.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Verification {
    pub(super) fn of(
        opening: Opening,
        keyring: Arc<Keyring>,
        keyring_file: PathBuf,
        store_dir: PathBuf,
    ) -> Self {
        Self {
            opening,
            keyring,
            keyring_file,
            store_dir,
            passed: Arc::default(),
            stopped: Arc::default(),
        }
    }

    pub(super) fn store(&self) -> Arc<dyn Backend> {
        Arc::clone(self.opening.store()) as _
    }

    /// Whether it has passed, as it will turn.
    pub(super) fn passed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.passed)
    }

    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop(Arc::clone(&self.stopped))
    }

    /// Reads all rows, on every core that nobody else wants. Blocks, and takes its thread's priority away.
    pub fn run(self) -> Result<Verified, OpenError> {
        let _as_before = rustix::process::nice(NICE);
        let began = Instant::now();
        let stopping = Stopping(&self.stopped);
        let verified = verify_rows(&**self.opening.store(), &self.keyring, &stopping);
        if self.stopped.load(Ordering::Acquire) {
            return Ok(Verified::Stopped);
        }
        match verified {
            Ok(_) => {
                drop(self.opening.accept());
                self.passed.store(true, Ordering::Release);
                tracing::info!(took = ?began.elapsed(), "every row of the store is what was written");
                Ok(Verified::Whole)
            }
            Err(fault) => {
                let left = self.opening.refuse();
                Err(OpenError::of(
                    fault,
                    self.keyring_file,
                    &self.store_dir,
                    left,
                ))
            }
        }
    }
}

/// Takes in nothing, and ends it all when it is told to.
struct Stopping<'a>(&'a AtomicBool);

impl Intake for Stopping<'_> {
    fn first(&self) -> &[&[u8]] {
        &[]
    }

    fn take(&self, name: &[u8], _: &[u8]) -> Result<(), Corrupt> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Corrupt::new(name, "nobody wants to know any more")),
            false => Ok(()),
        }
    }
}
