//! The audit log read forward, from a sequence number on: bounded pages, whenever the watcher wants more.

use std::time::Duration;

use super::events::EventFilter;
use super::{Call, Error, Registry};
use crate::store::backend::{Direction, Revision};
use crate::store::record::{Checkpoint, LoggedEvent};
use crate::store::{Reader, StoreError, Wanted, key, last_sequence};

/// Lines that are read at a time: all that a watcher holds of the log.
pub const PAGE: usize = 100;
/// Chains of events at the most, one a committer.
const CHAINS: usize = 1_000;
/// How long a page may take to be read.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a watcher stands in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watched {
    filter: EventFilter,
    /// Every line up to this sequence was read; `None` before the oldest one kept.
    read: Option<u64>,
}

impl Watched {
    /// Everything up to here was read; 0 before anything was.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.read.unwrap_or_default()
    }
}

impl Registry {
    /// Begins to watch after a sequence number, or with the oldest line kept.
    pub async fn watch_events(
        &self,
        call: &Call,
        mut filter: EventFilter,
        after: Option<u64>,
    ) -> Result<Watched, Error> {
        self.bound(call, &mut filter).await?;
        let newest = last_sequence(self.directory.revision());
        if after.is_some_and(|after| after > newest) {
            return Err(Error::SequenceNotReached { newest });
        }
        Ok(Watched {
            filter,
            read: after,
        })
    }

    /// The lines that the watcher wants among those of the next page; `None` where there are no further lines. Only what this
    /// node's directory has is told: who hears of a deactivation is denied by the next call. `logged` tells the last commit
    /// that has lines; it is asked after the directory, so that it is not older.
    pub async fn read_on(
        &self,
        watched: &mut Watched,
        logged: impl FnOnce() -> Revision,
    ) -> Result<Option<Vec<LoggedEvent>>, Error> {
        let newest = last_sequence(self.directory.revision());
        let last = last_sequence(logged());
        if watched.read.is_some_and(|read| read >= newest.min(last)) {
            watched.read = watched.read.max(Some(newest));
            return Ok(None);
        }
        let read = watched.read;
        let page = self.store.read(move |reader| Page::after(reader, read));
        let late = || StoreError::Away("the log could not be read in time".into());
        let page = tokio::time::timeout(PATIENCE, page)
            .await
            .map_err(|_| late())??;
        if let Some(oldest) = page.missed {
            return Err(Error::EventsSwept { oldest });
        }
        let full = page.lines.len() == PAGE;
        let mut lines = page.lines;
        lines.retain(|line| line.sequence <= newest);
        watched.read = lines
            .last()
            .filter(|_| full)
            .map_or(Some(newest), |last| Some(last.sequence));
        lines.retain(|line| watched.filter.wants(line));
        Ok(Some(lines))
    }
}

/// A page of the log.
struct Page {
    lines: Vec<LoggedEvent>,
    /// The oldest line kept, where lines after the place asked for are not.
    missed: Option<u64>,
}

impl Page {
    /// The lines come first: what was swept until they were read shows in the checkpoints.
    fn after(reader: &Reader, read: Option<u64>) -> Result<Self, StoreError> {
        let lines = lines(reader, read, PAGE)?;
        let checkpoints = reader.scan::<Checkpoint>(&Wanted {
            prefix: key::CHECKPOINTS.into(),
            after: None,
            direction: Direction::Forward,
            limit: CHAINS,
        })?;
        let mut swept = 0;
        for (_, checkpoint) in checkpoints {
            swept = swept.max(checkpoint?.sequence);
        }
        let missed = if read.is_some_and(|read| read < swept) {
            let oldest = self::lines(reader, None, 1)?;
            Some(oldest.first().map_or(swept + 1, |line| line.sequence))
        } else {
            None
        };
        Ok(Self { lines, missed })
    }
}

fn lines(
    reader: &Reader,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<LoggedEvent>, StoreError> {
    let page = reader.scan::<LoggedEvent>(&Wanted {
        prefix: key::EVENTS.into(),
        after: after.map(key::event),
        direction: Direction::Forward,
        limit,
    })?;
    page.into_iter().map(|(_, line)| Ok(line?)).collect()
}
