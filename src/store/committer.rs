//! The one thread that writes: it takes the changes that are queued, runs them one after the other, and makes them durable
//! together (group commit). It appends the events, keeps the head row, and writes the anchor.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::anchor::Anchor;
use super::backend::{Backend, Batch, CommitError, Fault, Key, Revision};
use super::changes;
use super::key;
use super::record::{Change, Head, Link, LoggedEvent, Record};
use super::seal::{self, Sum};
use super::view::{Rows, Source, View};
use super::{Condition, StoreError};
use crate::clock::Clock;
use crate::domain::event::Event;
use crate::domain::time::Timestamp;
use crate::keyring::Keyring;

/// Changes that one commit makes durable together, at the most.
const GROUP: usize = 256;
/// How often a group is run again when somebody else commits first.
const TRIES: usize = 16;
/// How far behind the store the anchor may be, and how often a failed back end is asked to come back.
const ANCHOR_LAG: Duration = Duration::from_millis(500);
/// Events of one commit, at the most: what a sequence number has room for.
pub(super) const EVENTS: u64 = 1 << 16;

/// The last sequence number that an event of a commit can have.
#[must_use]
pub fn last_sequence(revision: Revision) -> u64 {
    revision.0.saturating_mul(EVENTS).saturating_add(EVENTS - 1)
}

/// A queued change.
pub(super) trait Job: Send {
    /// Runs the change over a view; true when what it wrote is to be kept. May be called again.
    fn run(&mut self, view: &mut View<'_>) -> bool;

    /// Tells the caller, once the outcome is certain.
    fn answer(self: Box<Self>, outcome: Result<Revision, StoreError>);
}

pub(super) struct Committer {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) head: Head,
    pub(super) anchor: Option<Anchor>,
    pub(super) condition: watch::Sender<Condition>,
    /// Every row has been verified: until then nothing is written.
    pub(super) verified: Arc<AtomicBool>,
}

impl Committer {
    /// Runs until every sender of jobs is gone.
    pub(super) fn run(mut self, jobs: &Receiver<Box<dyn Job>>) {
        let mut anchored = Instant::now();
        loop {
            let patience = ANCHOR_LAG.saturating_sub(anchored.elapsed());
            match jobs.recv_timeout(patience.max(Duration::from_millis(1))) {
                Ok(first) => {
                    let mut group = vec![first];
                    group.extend(jobs.try_iter().take(GROUP - 1));
                    self.commit(group);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if anchored.elapsed() >= ANCHOR_LAG {
                self.heal();
                self.write_anchor();
                anchored = Instant::now();
            }
        }
        self.write_anchor();
    }

    /// Makes a group of changes durable and answers each.
    fn commit(&mut self, mut group: Vec<Box<dyn Job>>) {
        let outcome = self.try_commit(&mut group);
        if let Err(StoreError::Away(why)) = &outcome {
            self.fail(why);
        }
        for job in group {
            job.answer(outcome.clone());
        }
    }

    fn try_commit(&mut self, group: &mut [Box<dyn Job>]) -> Result<Revision, StoreError> {
        if let Condition::ReadOnly(why) = &*self.condition.borrow() {
            return Err(StoreError::Away(why.clone()));
        }
        for _ in 0..TRIES {
            let (rows, head) = self.run_all(group)?;
            if rows.written.is_empty() {
                return Ok(self.head.revision);
            }
            let (batch, head) = self.batch(rows, head);
            match self.backend.commit(&batch) {
                Ok(()) => {
                    self.head = head;
                    return Ok(self.head.revision);
                }
                Err(CommitError::Conflict) => self.reload_head()?,
                Err(CommitError::Oversized(key)) => {
                    return Err(StoreError::Corrupt(seal::Corrupt::new(
                        &key,
                        "it is larger than its record allows",
                    )));
                }
                Err(CommitError::Unavailable(fault)) => return Err(fault.into()),
            }
        }
        Err(StoreError::Away("other writers were always first".into()))
    }

    /// Runs every change over the state that the ones before it leave.
    fn run_all(&self, group: &mut [Box<dyn Job>]) -> Result<(Rows, Head), StoreError> {
        let source = Source {
            backend: &*self.backend,
            keyring: &self.keyring,
        };
        let now = self.clock.settled();
        let mut rows = Rows::default();
        let mut head = Head {
            revision: self.head.revision.next(),
            // Another node that writes to the same store may be ahead: the floor is never lowered.
            floor: self.clock.floor().max(self.head.floor),
            ..self.head.clone()
        };
        let mut place = 0;
        for job in group {
            let mut view = View::new(&mut rows, source, now);
            // A bug in one change must not stop the store for all.
            let keep = catch_unwind(AssertUnwindSafe(|| job.run(&mut view))).unwrap_or(false);
            let events = if keep { view.keep() } else { Vec::new() };
            for event in events {
                let line = self.chained(&mut head, place, event, now);
                // The sequence has the revision in it: there is no such row, and no need to look.
                rows.written
                    .insert(key::event(line.sequence), Some(line.encode()));
                place += 1;
            }
        }
        Ok((rows, head))
    }

    /// The event as a line of this committer's chain.
    fn chained(&self, head: &mut Head, place: u64, event: Event, now: Timestamp) -> LoggedEvent {
        debug_assert!(place < EVENTS, "a group has few events");
        let key = self.keyring.current();
        let mut line = LoggedEvent {
            sequence: head.revision.0 * EVENTS + place,
            time: now,
            kind: event.kind as i32,
            account: event.account,
            subject: event.subject,
            actor: event.origin.actor,
            address: event.origin.address,
            call_id: event.origin.call_id,
            details: event.details,
            chain: [0; 32],
            chain_id: head.chain.id.clone(),
            chain_index: head.chain.length + 1,
            key: key.id(),
        };
        line.chain = key.chain(&head.chain.value, &line.line());
        head.chain.length = line.chain_index;
        head.chain.value = line.chain;
        line
    }

    /// The group's rows, sealed, with the head row that counts them.
    fn batch(&self, mut rows: Rows, mut head: Head) -> (Batch, Head) {
        let revision = head.revision;
        let written = std::mem::take(&mut rows.written);
        let mut writes = Vec::with_capacity(written.len() + 2);
        let mut changed = Vec::new();
        for (name, payload) in written {
            if let Some(mac) = rows.mac(&name) {
                head.sum = head.sum.minus(mac);
                head.rows -= 1;
            }
            let sealed = payload.map(|payload| self.sealed(&name, &payload, &mut head));
            if changes::decides(&name) {
                changed.push((name.clone(), sealed.as_ref().map(|(_, mac)| *mac)));
            }
            writes.push((name, sealed.map(|(bytes, _)| bytes)));
        }
        // Without an anchor nothing is kept outside the store, an image neither. As with events, there is no such row yet.
        if self.anchor.is_some() {
            for (part, change) in changes::parts(changed).into_iter().enumerate() {
                let name = key::change(changes::sequence(revision, part));
                writes.push(self.linked(name, change, part, &mut head));
            }
        }
        head.keys = super::verify::key_checks(&head.keys, &self.keyring);
        let (bytes, _) = seal::seal(&self.keyring, key::HEAD, revision, &head.encode());
        writes.push((key::HEAD.into(), Some(bytes.into())));
        writes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let batch = Batch {
            revision,
            checks: rows.into_checks(),
            writes,
            untold: key::UNTOLD,
        };
        (batch, head)
    }

    /// A row of the head's commit, counted by the head.
    fn sealed(&self, name: &[u8], payload: &[u8], head: &mut Head) -> (Arc<[u8]>, Sum) {
        let (bytes, mac) = seal::seal(&self.keyring, name, head.revision, payload);
        head.sum = head.sum.plus(mac);
        head.rows += 1;
        (bytes.into(), mac)
    }

    /// A part of what the commit changed, as the newest link of the chain of changes.
    fn linked(
        &self,
        name: Key,
        mut change: Change,
        part: usize,
        head: &mut Head,
    ) -> (Key, Option<Arc<[u8]>>) {
        change.previous = head.change;
        let (bytes, mac) = self.sealed(&name, &change.encode(), head);
        let sequence = changes::sequence(head.revision, part);
        head.change = Link { sequence, mac };
        (name, Some(bytes))
    }

    /// The head row as it is stored; `None` where nothing was ever committed.
    fn stored_head(&self) -> Result<Option<Head>, StoreError> {
        let row = self.backend.get(key::HEAD)?;
        Ok(super::verify::read_head(&self.keyring, row.as_ref())?)
    }

    fn reload_head(&mut self) -> Result<(), StoreError> {
        if let Some(head) = self.stored_head()? {
            self.head = head;
        }
        Ok(())
    }

    fn fail(&self, why: &str) {
        let told = self.condition.send_if_modified(|condition| {
            let fresh = *condition == Condition::Writable;
            *condition = Condition::ReadOnly(why.to_owned());
            fresh
        });
        if told {
            tracing::error!(
                why,
                "the store takes no changes until it is back; validation goes on from memory"
            );
        }
    }

    /// Tries to bring a failed back end back. What it then holds must be what was last known, or the commit whose outcome
    /// was in doubt.
    fn heal(&mut self) {
        if *self.condition.borrow() == Condition::Writable || !self.is_verified() {
            return;
        }
        match self.come_back() {
            Ok(()) => {
                self.condition.send_replace(Condition::Writable);
                tracing::info!(
                    revision = self.head.revision.0,
                    "the store takes changes again"
                );
            }
            Err(error) => {
                tracing::debug!(%error, "the store is not back yet");
            }
        }
    }

    /// What is found is believed only if it is: a head that is refused must be refused again at the next attempt.
    fn come_back(&mut self) -> Result<(), StoreError> {
        self.backend.reopen()?;
        let found = self.stored_head()?;
        let at = found.as_ref().map_or(Revision(0), |head| head.revision);
        let known = self.head.revision;
        if at != known && at != known.next() {
            let why = format!("it came back at revision {}, not {}", at.0, known.0);
            return Err(StoreError::Away(why));
        }
        self.head = found.unwrap_or_else(|| self.head.clone());
        Ok(())
    }

    fn is_verified(&self) -> bool {
        self.verified.load(Ordering::Acquire)
    }

    fn write_anchor(&mut self) {
        let verified = self.is_verified();
        if let Some(anchor) = &mut self.anchor
            && verified
            && let Err(error) = anchor.write(&self.keyring, &self.head)
        {
            tracing::error!(%error, "the anchor could not be written");
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Away(why) => Self::Away(why),
            Fault::Corrupt(why) => Self::Corrupt(seal::Corrupt {
                key: "?".into(),
                wrong: why,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryBackend;
    use crate::store::tests::{add, clock, keyring, over};

    /// A committer that knows a head of revision `known`, over a store that is at revision 1, or was emptied.
    fn committer(known: u64, emptied: bool) -> Committer {
        let backend = Arc::new(MemoryBackend::new());
        add(&over(&backend).unwrap(), "n", 1).unwrap();
        let row = backend.get(key::HEAD).unwrap();
        let head = super::super::verify::read_head(&keyring(), row.as_ref());
        let backend = if emptied {
            Arc::new(MemoryBackend::new())
        } else {
            backend
        };
        Committer {
            backend,
            keyring: keyring(),
            clock: clock(),
            head: Head {
                revision: Revision(known),
                ..head.unwrap().unwrap()
            },
            anchor: None,
            verified: Arc::new(true.into()),
            condition: watch::Sender::new(Condition::ReadOnly("a test".into())),
        }
    }

    #[test]
    fn a_floor_that_somebody_else_has_raised_is_not_lowered() {
        let mut committer = committer(1, false);
        let ahead = committer.clock.now().after(Duration::from_secs(3_600));
        committer.head.floor = ahead;
        let (_, head) = committer.run_all(&mut []).unwrap();
        assert_eq!(head.floor, ahead);
    }

    #[test]
    fn a_store_that_comes_back_as_another_is_refused_however_often_it_is_asked() {
        for (known, emptied, taken_back) in [
            (0, false, true),
            (1, false, true),
            (2, false, false),
            (5, false, false),
            (1, true, false),
            (5, true, false),
        ] {
            let mut committer = committer(known, emptied);
            for attempt in 1..=3 {
                committer.heal();
                let writable = *committer.condition.borrow() == Condition::Writable;
                assert_eq!(
                    writable, taken_back,
                    "known {known}, emptied {emptied}, attempt {attempt}"
                );
            }
        }
    }
}
