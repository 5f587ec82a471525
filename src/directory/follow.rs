//! Keeps the directory up with the store: a thread of its own that takes in each commit, and loads all anew when the history
//! that it needs is gone.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Directory;
use crate::store::backend::Gone;
use crate::store::{Changes, Reader, StoreError};

/// How long the follower waits for a commit before it looks whether anybody still needs the directory.
const PATIENCE: Duration = Duration::from_millis(200);

/// A directory with everything that is in the store, and a thread that keeps it so for as long as it is held.
pub fn start(store: &Reader) -> Result<Arc<Directory>, StoreError> {
    let directory = Arc::new(Directory::default());
    directory.load(store)?;
    let changes = store.follow(directory.revision());
    let follower = Follower {
        directory: Arc::downgrade(&directory),
        changes,
        store: store.clone(),
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
                Ok(Some(changed)) => directory.apply(&changed).map_err(StoreError::from),
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

    fn reload(&mut self, directory: &Directory) -> Result<(), StoreError> {
        directory.load(&self.store)?;
        self.changes = self.store.follow(directory.revision());
        tracing::info!(
            revision = directory.revision().0,
            "the directory was loaded anew"
        );
        Ok(())
    }
}
