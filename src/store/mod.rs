//! Where everything is kept: records under ordered keys, changed all or nothing, durable when a change is answered.
//!
//! A back end (`backend`: the trait; `memory`, `sled`) knows bytes only. What every store needs is built once above it: the
//! committer that groups changes (`committer`, `view`), the protection of rows (`seal`, `anchor`), the form of records
//! (`record`, `key`), and opening (`open`) with all checks (`verify`), or most of them later (`image`, `changes`).

mod anchor;
pub mod backend;
mod changes;
mod committer;
#[cfg(test)]
pub(crate) mod conformance;
pub mod feed;
pub mod image;
pub mod key;
pub mod memory;
pub mod open;
mod reader;
pub mod record;
pub mod seal;
pub mod sled;
mod verify;
pub mod view;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;

use anchor::Anchor;
use backend::{Backend, Key, Revision};
use committer::{Committer, Job};
use record::{Head, Record};
use seal::Corrupt;

pub use committer::last_sequence;
pub use reader::{Changed, Changes, Page, Reader, Wanted};
pub use verify::Intake;
pub use view::View;

use crate::clock::Clock;
use crate::keyring::Keyring;

/// Changes that may wait for the committer; one more is refused as `Busy`.
pub const QUEUE: usize = 4_096;

/// What can go wrong in the store, by what the caller can do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreError {
    /// Nothing now; perhaps later. Whether a change in flight was made is not known.
    Away(String),
    /// Too many changes wait: later.
    Busy,
    /// Nothing: a row is not what Keyward wrote.
    Corrupt(Corrupt),
    /// Ask for less: the record would not fit a row.
    TooLarge { bytes: usize, most: usize },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(why) => write!(f, "the store is away: {why}"),
            Self::Busy => f.write_str("too many changes are waiting"),
            Self::Corrupt(corrupt) => write!(f, "the store is corrupt: {corrupt}"),
            Self::TooLarge { bytes, most } => {
                write!(f, "a record of {bytes} bytes is larger than {most}")
            }
        }
    }
}

impl std::error::Error for StoreError {}

impl From<Corrupt> for StoreError {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

/// Does the store take changes?
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    Writable,
    /// Not until it is back; the reason.
    ReadOnly(String),
}

/// The outcome of a change, and the state of the store that has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed<T> {
    pub value: T,
    pub revision: Revision,
}

/// A handle to the store; clones are handles to the same one.
#[derive(Clone)]
pub struct Store {
    reader: Reader,
    jobs: SyncSender<Box<dyn Job>>,
    condition: watch::Receiver<Condition>,
    /// Dropped last: whoever waits on it knows that the committer has stopped.
    stopped: watch::Receiver<()>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("reader", &self.reader)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Starts the committer over a back end. It takes changes once its rows are `verified`.
    fn start(
        backend: Arc<dyn Backend>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        head: Head,
        anchor: Option<Anchor>,
        verified: Arc<AtomicBool>,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE);
        let at_first = match verified.load(Ordering::Acquire) {
            true => Condition::Writable,
            false => Condition::ReadOnly("it is still being verified".into()),
        };
        let (tell_condition, condition) = watch::channel(at_first);
        let (running, stopped) = watch::channel(());
        let committer = Committer {
            backend: Arc::clone(&backend),
            keyring: Arc::clone(&keyring),
            clock,
            head,
            anchor,
            condition: tell_condition,
            verified,
        };
        std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || {
                committer.run(&queue);
                drop(running);
            })?;
        Ok(Self {
            reader: Reader { backend, keyring },
            jobs,
            condition,
            stopped,
        })
    }

    /// One record.
    pub async fn get<R: Record + Send + 'static>(&self, key: Key) -> Result<Option<R>, StoreError> {
        self.read(move |reader| reader.get(&key)).await
    }

    /// A page of records, with their keys.
    pub async fn scan<R: Record + Send + 'static>(
        &self,
        wanted: Wanted,
    ) -> Result<Vec<(Key, R)>, StoreError> {
        let rows = self.scan_each(wanted).await?;
        rows.into_iter()
            .map(|(key, record)| Ok((key, record?)))
            .collect()
    }

    /// A page of records, where a corrupt one does not hide the others.
    pub async fn scan_each<R: Record + Send + 'static>(
        &self,
        wanted: Wanted,
    ) -> Result<Page<R>, StoreError> {
        self.read(move |reader| reader.scan(&wanted)).await
    }

    /// Whatever a reader can be asked, on a thread that may block.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = self.reader.clone();
        spawn_blocking(move || read(&reader))
            .await
            .unwrap_or_else(|_| Err(StoreError::Away("a read failed unexpectedly".into())))
    }

    /// Runs a change, perhaps more than once, and answers when what it wrote is durable. Nothing is written when it fails.
    pub async fn update<T, E, F>(&self, change: F) -> Result<Committed<T>, E>
    where
        F: FnMut(&mut View<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let answer = self.submit(change)?;
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Away("it is shutting down".into()).into()))
    }

    /// The same, from a thread that may block.
    pub fn update_blocking<T, E, F>(&self, change: F) -> Result<Committed<T>, E>
    where
        F: FnMut(&mut View<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let answer = self.submit(change)?;
        answer
            .blocking_recv()
            .unwrap_or_else(|_| Err(StoreError::Away("it is shutting down".into()).into()))
    }

    /// For reading from a thread that may block.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Whether changes are taken, as it turns.
    #[must_use]
    pub fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.clone()
    }

    /// Gives up this handle, and waits until the committer has made durable what was queued and stopped. Only the last
    /// handle's call comes back.
    pub async fn close(self) {
        let mut stopped = self.stopped.clone();
        drop(self);
        while stopped.changed().await.is_ok() {}
    }

    fn submit<T, E, F>(&self, change: F) -> Result<oneshot::Receiver<Result<Committed<T>, E>>, E>
    where
        F: FnMut(&mut View<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        match self.jobs.try_send(Box::new(Change {
            change,
            result: None,
            reply,
        })) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_)) => Err(StoreError::Busy.into()),
            Err(TrySendError::Disconnected(_)) => {
                Err(StoreError::Away("it is shutting down".into()).into())
            }
        }
    }
}

/// A caller's change, its result so far, and where to answer.
struct Change<F, T, E> {
    change: F,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<Committed<T>, E>>,
}

impl<F, T, E> Job for Change<F, T, E>
where
    F: FnMut(&mut View<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, view: &mut View<'_>) -> bool {
        self.result = None;
        let result = (self.change)(view);
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn answer(self: Box<Self>, outcome: Result<Revision, StoreError>) {
        let answer = match (self.result, outcome) {
            (_, Err(error)) => Err(error.into()),
            (Some(result), Ok(revision)) => result.map(|value| Committed { value, revision }),
            (None, Ok(_)) => Err(StoreError::Away("the change failed unexpectedly".into()).into()),
        };
        // A caller that has gone away does not undo its change.
        let _ = self.reply.send(answer);
    }
}

#[cfg(test)]
mod image_tests;
#[cfg(test)]
mod open_tests;
#[cfg(test)]
mod tests;
