//! Keeps an image of the directory beside the store, so that the next start is short: made anew now and then while changes
//! come, and at the end. What the image has is then swept from the changes.

use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::directory::Directory;
use crate::random::Random;
use crate::store::backend::Direction;
use crate::store::record::{Change, Head, Link};
use crate::store::{Condition, Store, StoreError, Wanted, key};

/// How often it is looked whether a new image is due.
const LOOK: Duration = Duration::from_secs(10);
/// An image is made anew when it lacks changes for this long, or so many commits with changes: each is read by the next start.
const LOOKS: u32 = 30;
const COMMITS: u64 = 2_000;
/// Changes that one commit sweeps.
const STEP: usize = 500;
/// How long the directory may take to have what the store has.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes images.
#[derive(Debug)]
pub(super) struct Images {
    path: PathBuf,
    store: Store,
    directory: Arc<Directory>,
    random: Arc<dyn Random>,
    /// Up to where the newest one has all changes.
    made: Mutex<Link>,
}

impl Images {
    pub(super) fn new(
        path: PathBuf,
        store: Store,
        directory: Arc<Directory>,
        random: Arc<dyn Random>,
        made: Link,
    ) -> Self {
        Self {
            path,
            store,
            directory,
            random,
            made: Mutex::new(made),
        }
    }

    /// Makes images as they become due; never ends.
    pub(super) async fn keep(&self) {
        let mut looks = 0;
        loop {
            tokio::time::sleep(LOOK).await;
            looks += 1;
            let writable = *self.store.condition().borrow() == Condition::Writable;
            if writable
                && let Ok(Some(head)) = self.store.read(|reader| reader.head()).await
                && self.is_due(&head, looks)
            {
                looks = 0;
                self.make().await;
            }
        }
    }

    /// Makes one, unless the newest has everything.
    pub(super) async fn make(&self) {
        if let Err(error) = self.try_make().await {
            tracing::warn!(%error, image = %self.path.display(), "no image was made; the next start reads more");
        }
    }

    fn made(&self) -> Link {
        *self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self, head: &Head, looks: u32) -> bool {
        let commits = head.change.commit().0 - self.made().commit().0;
        commits >= COMMITS || (commits > 0 && looks >= LOOKS)
    }

    async fn try_make(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(head) = self.store.read(|reader| reader.head()).await? else {
            return Ok(());
        };
        if head.change == self.made() {
            return Ok(());
        }
        let reached = self.directory.reached(head.revision);
        tokio::time::timeout(PATIENCE, reached).await?;
        let (path, reader, directory, random) = (
            self.path.clone(),
            self.store.reader().clone(),
            Arc::clone(&self.directory),
            Arc::clone(&self.random),
        );
        let made = head.change;
        let written =
            spawn_blocking(move || reader.write_image(&path, &head, &*directory, &*random));
        let bytes = written.await??;
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = made;
        tracing::debug!(bytes, "made an image of the directory");
        Ok(self.sweep(made).await?)
    }

    /// Removes the changes up to one that an image has.
    async fn sweep(&self, made: Link) -> Result<(), StoreError> {
        loop {
            let wanted = Wanted {
                prefix: key::CHANGES.into(),
                after: None,
                direction: Direction::Forward,
                limit: STEP,
            };
            let changes = self.store.scan::<Change>(wanted).await?;
            let last = key::change(made.sequence);
            let names = changes.into_iter().map(|(name, _)| name);
            let swept: Vec<_> = names.filter(|name| *name <= last).collect();
            if swept.is_empty() {
                return Ok(());
            }
            self.store
                .update(move |view| swept.iter().try_for_each(|name| view.delete(name.clone())))
                .await?;
        }
    }
}
