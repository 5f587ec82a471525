//! Whether the audit log is as it was written: a walk along its chain, from the checkpoint that sweeping left.

use super::{Call, Error, Registry};
use crate::keyring::Keyring;
use crate::store::backend::{Direction, Key};
use crate::store::record::{Checkpoint, Head, LoggedEvent};
use crate::store::seal::Corrupt;
use crate::store::{Page, Reader, StoreError, Wanted, key};

/// Lines that are read at a time.
const PAGE: usize = 500;

/// What verification found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// Lines that were read.
    pub checked: u64,
    /// The first line that is not as it was written, and what is wrong.
    pub broken: Option<(u64, String)>,
}

impl Registry {
    /// Walks the chain between two sequence numbers, both included; `None` reaches to the end on that side.
    pub async fn verify_events(
        &self,
        call: &Call,
        from: Option<u64>,
        to: Option<u64>,
    ) -> Result<Verified, Error> {
        call.system_wide("verify the audit log")?;
        let head: Option<Head> = self.store.get(key::HEAD.into()).await?;
        let Some(head) = head else {
            return Ok(Verified {
                checked: 0,
                broken: None,
            });
        };
        let last = to.unwrap_or(u64::MAX);
        let mut walk = Walk {
            keyring: &self.keyring,
            checked: 0,
            previous: self.before(from).await?,
        };
        let mut after = from.and_then(|from| from.checked_sub(1)).map(key::event);
        loop {
            let (page, checkpoint) = self.lines_after(after, &head.chain.id).await?;
            match checkpoint {
                Ok(checkpoint) => walk.begin_after(checkpoint),
                Err(corrupt) => {
                    let first = page.first().and_then(|(name, _)| key::event_sequence(name));
                    let broken = (first.unwrap_or_default(), corrupt.to_string());
                    return Ok(walk.done(Some(broken)));
                }
            }
            let full = page.len() == PAGE;
            after = page.last().map(|(name, _)| name.clone());
            for (name, event) in page {
                let sequence = key::event_sequence(&name).unwrap_or_default();
                if sequence > last {
                    return Ok(walk.done(None));
                }
                if let Err(wrong) = walk.step(sequence, event) {
                    return Ok(walk.done(Some((sequence, wrong))));
                }
            }
            if !full {
                break;
            }
        }
        let ended = walk.end(&head).filter(|(missing, _)| *missing <= last);
        Ok(walk.done(ended))
    }

    /// A page of lines, and the checkpoint as it is once they are read: what was swept meanwhile is not missing.
    async fn lines_after(
        &self,
        after: Option<Key>,
        chain: &str,
    ) -> Result<(Page<LoggedEvent>, Result<Checkpoint, Corrupt>), StoreError> {
        let checkpoint = key::checkpoint(chain);
        let read = move |reader: &Reader| {
            let page = reader.scan(&Wanted {
                prefix: key::EVENTS.into(),
                after,
                direction: Direction::Forward,
                limit: PAGE,
            })?;
            let checkpoint = match reader.get::<Checkpoint>(&checkpoint) {
                Ok(checkpoint) => Ok(checkpoint.unwrap_or_default()),
                Err(StoreError::Corrupt(corrupt)) => Err(corrupt),
                Err(error) => return Err(error),
            };
            Ok((page, checkpoint))
        };
        self.store.read(read).await
    }

    /// The line before a sequence number, on which that one's value rests: the chain's start where the log begins there, and
    /// `None` where that line cannot be read.
    async fn before(&self, from: Option<u64>) -> Result<Option<Checkpoint>, Error> {
        let Some(from) = from else {
            return Ok(Some(Checkpoint::default()));
        };
        let wanted = Wanted {
            prefix: key::EVENTS.into(),
            after: Some(key::event(from)),
            direction: Direction::Backward,
            limit: 1,
        };
        let page = self.store.scan_each::<LoggedEvent>(wanted).await?;
        Ok(match page.into_iter().next() {
            None => Some(Checkpoint::default()),
            Some((_, line)) => line.ok().as_ref().map(Checkpoint::from),
        })
    }
}

/// The walk along the chain.
struct Walk<'a> {
    keyring: &'a Keyring,
    checked: u64,
    /// The line that the next one follows on; `None` where it is not known.
    previous: Option<Checkpoint>,
}

impl Walk<'_> {
    /// Everything up to the checkpoint was swept: the next line follows on it.
    fn begin_after(&mut self, checkpoint: Checkpoint) {
        let behind = |previous: &Checkpoint| previous.chain_index < checkpoint.chain_index;
        if self.previous.as_ref().is_some_and(behind) {
            self.previous = Some(checkpoint);
        }
    }

    fn step(&mut self, sequence: u64, event: Result<LoggedEvent, Corrupt>) -> Result<(), String> {
        let swept = |previous: &Checkpoint| sequence <= previous.sequence;
        if self.previous.as_ref().is_some_and(swept) {
            return Ok(());
        }
        self.checked += 1;
        let event = event.map_err(|corrupt| corrupt.wrong)?;
        if event.sequence != sequence {
            return Err("the line stands under another's sequence".into());
        }
        let key = self
            .keyring
            .key(event.key)
            .ok_or("its key is not in the keyring")?;
        if let Some(previous) = &self.previous {
            let expected = previous.chain_index + 1;
            if event.chain_index != expected {
                return Err(format!("line {expected} of the chain is missing before it"));
            }
            if key.chain(&previous.chain, &event.line()) != event.chain {
                return Err("the line is not the one that the chain was made over".into());
            }
        }
        self.previous = Some(Checkpoint::from(&event));
        Ok(())
    }

    /// The chain must reach as far as the head row says. Lines that were added since are no fault.
    fn end(&self, head: &Head) -> Option<(u64, String)> {
        let (length, sequence) = self
            .previous
            .as_ref()
            .map_or((0, 0), |last| (last.chain_index, last.sequence));
        (length < head.chain.length).then(|| {
            (
                sequence + 1,
                format!("the log ends at line {length} of {}", head.chain.length),
            )
        })
    }

    fn done(&self, broken: Option<(u64, String)>) -> Verified {
        Verified {
            checked: self.checked,
            broken,
        }
    }
}
