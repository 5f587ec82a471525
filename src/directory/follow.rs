//! Keeps the directory up with the store: a thread of its own that takes in each commit, and loads all anew when the history
//! that it needs is gone.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Directory, Observer, Touched};
use crate::store::backend::{Gone, Revision};
use crate::store::{Changed, Changes, Reader, StoreError};

/// How long the follower waits for a commit before it looks whether anybody still needs the directory.
const PATIENCE: Duration = Duration::from_millis(200);

/// A directory with everything that is in the store, kept so: see `keep`.
pub fn start(
    store: &Reader,
    observers: Vec<Arc<dyn Observer>>,
) -> Result<Arc<Directory>, StoreError> {
    let directory = Directory::default();
    let revision = directory.load(store)?;
    keep(directory, revision, store, observers)
}

/// The directory, which holds the store as it was at a revision, and a thread that keeps it up for as long as it is held. The
/// observers hear what was loaded, and of every commit from then on.
pub fn keep(
    directory: Directory,
    revision: Revision,
    store: &Reader,
    observers: Vec<Arc<dyn Observer>>,
) -> Result<Arc<Directory>, StoreError> {
    let directory = Arc::new(directory);
    for observer in &observers {
        observer.reloaded(revision);
    }
    directory.seen(revision);
    let changes = store.follow(directory.revision());
    let follower = Follower {
        directory: Arc::downgrade(&directory),
        changes,
        store: store.clone(),
        observers,
    };
    let started = std::thread::Builder::new()
        .name("directory".into())
        .spawn(move || follower.run());
    started.map_err(|error| StoreError::Away(error.to_string()))?;
    Ok(directory)
}

struct Follower {
    directory: Weak<Directory>,
    changes: Changes,
    store: Reader,
    observers: Vec<Arc<dyn Observer>>,
}

impl Follower {
    fn run(mut self) {
        let mut lost = false;
        loop {
            let next = if lost {
                Err(Gone)
            } else {
                self.changes.next(PATIENCE)
            };
            let Some(directory) = self.directory.upgrade() else {
                return;
            };
            let taken_in = match next {
                Ok(None) => Ok(()),
                Ok(Some(changed)) => self.take_in(&directory, &changed),
                Err(Gone) => self.reload(&directory),
            };
            let was_lost = std::mem::replace(&mut lost, taken_in.is_err());
            if let Err(error) = taken_in {
                if !was_lost {
                    tracing::error!(%error, "the directory cannot follow the store; it stays as it is until it can be loaded anew");
                }
                std::thread::sleep(PATIENCE);
            }
        }
    }

    fn take_in(&self, directory: &Directory, changed: &Changed) -> Result<(), StoreError> {
        directory.apply(changed)?;
        let owner = |id| directory.owner(&id);
        let touched = Touched::by(changed, owner);
        for observer in &self.observers {
            observer.touched(&touched);
        }
        directory.seen(changed.revision);
        Ok(())
    }

    fn reload(&mut self, directory: &Directory) -> Result<(), StoreError> {
        let revision = directory.load(&self.store)?;
        for observer in &self.observers {
            observer.reloaded(revision);
        }
        directory.seen(revision);
        self.changes = self.store.follow(directory.revision());
        tracing::info!(
            revision = directory.revision().0,
            "the directory was loaded anew"
        );
        Ok(())
    }
}
