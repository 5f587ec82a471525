//! The audit log: listed, verified, and told of operators that were refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::page::{Page, Paged};
use super::{Call, Error, Registry};
use crate::domain::event::{Event, EventKind, Origin};
use crate::domain::id::{AccountId, TokenId};
use crate::domain::operator::Scope;
use crate::domain::time::Timestamp;
use crate::keyring::Keyring;
use crate::store::backend::Direction;
use crate::store::record::{Head, LoggedEvent};
use crate::store::seal::Corrupt;
use crate::store::{Wanted, key};

/// Lines that one page looks at, at the most; the page may then be short.
const LOOKED_AT: usize = 5_000;
/// Lines that verification reads at a time.
const PAGE: usize = 500;

/// Which events are wanted: all conditions hold; empty ones always do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EventFilter {
    /// As it was named.
    pub account: String,
    pub subject: String,
    pub actor: String,
    pub kinds: Vec<i32>,
    pub after: Option<Timestamp>,
    pub before: Option<Timestamp>,
}

impl EventFilter {
    fn wants(&self, event: &LoggedEvent) -> bool {
        (self.account.is_empty() || event.account.as_str() == self.account)
            && (self.subject.is_empty() || event.subject == self.subject)
            && (self.actor.is_empty() || event.actor == self.actor)
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.after.is_none_or(|after| event.time > after)
            && self.before.is_none_or(|before| event.time < before)
    }
}

/// What verification found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// Lines that were read.
    pub checked: u64,
    /// The first line that is not as it was written, and what is wrong.
    pub broken: Option<(u64, String)>,
}

impl Registry {
    /// Newest first.
    pub async fn list_events(
        &self,
        call: &Call,
        mut filter: EventFilter,
        page: Page,
    ) -> Result<Paged<LoggedEvent>, Error> {
        let scope = &call.operator.scope;
        if let Scope::Only(_) = scope {
            filter.account = call.account(&filter.account)?.to_string();
        } else if !filter.account.is_empty() {
            self.get_account(call, &filter.account).await?;
        }
        let after = page.after(&self.keyring, scope)?;
        let wanted = Wanted {
            prefix: key::EVENTS.into(),
            after,
            direction: Direction::Backward,
            limit: LOOKED_AT.min(page.size.max(PAGE)),
        };
        let limit = wanted.limit;
        let rows = self.store.scan::<LoggedEvent>(wanted).await?;
        Ok(self.filtered(&page, scope, rows, limit, |event| filter.wants(event)))
    }

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
        let before = self.before(from).await?;
        let mut walk = Walk {
            keyring: &self.keyring,
            checked: 0,
            first: before.is_none(),
            previous: before.and_then(Result::ok),
        };
        let mut after = from.and_then(|from| from.checked_sub(1)).map(key::event);
        loop {
            let wanted = Wanted {
                prefix: key::EVENTS.into(),
                after,
                direction: Direction::Forward,
                limit: PAGE,
            };
            let page = self.store.scan_each::<LoggedEvent>(wanted).await?;
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

    /// The line before a sequence number, on which that one's value rests; `None` where the log begins there.
    async fn before(
        &self,
        from: Option<u64>,
    ) -> Result<Option<Result<LoggedEvent, Corrupt>>, Error> {
        let Some(from) = from else { return Ok(None) };
        let after = Some(key::event(from));
        let wanted = Wanted {
            prefix: key::EVENTS.into(),
            after,
            direction: Direction::Backward,
            limit: 1,
        };
        let page = self.store.scan_each::<LoggedEvent>(wanted).await?;
        Ok(page.into_iter().map(|(_, event)| event).next())
    }

    /// Tells the log of an operator that called without the grant.
    pub async fn log_denied(&self, denied: Denied) -> Result<(), Error> {
        self.commit(move |view| {
            let mut details = BTreeMap::new();
            details.insert("method".to_owned(), denied.method.to_owned());
            details.insert("count".to_owned(), denied.count.to_string());
            view.log(Event {
                kind: EventKind::OperatorDenied,
                account: denied.account.clone(),
                subject: denied.operator.to_string(),
                origin: denied.origin.clone(),
                details,
            });
            Ok(())
        })
        .await
    }
}

/// The walk along the chain.
struct Walk<'a> {
    keyring: &'a Keyring,
    checked: u64,
    previous: Option<LoggedEvent>,
    /// The walk begins with the chain's first line.
    first: bool,
}

impl Walk<'_> {
    fn step(&mut self, sequence: u64, event: Result<LoggedEvent, Corrupt>) -> Result<(), String> {
        self.checked += 1;
        let event = event.map_err(|corrupt| corrupt.wrong)?;
        if event.sequence != sequence {
            return Err("the line stands under another's sequence".into());
        }
        let expected = match &self.previous {
            Some(previous) => Some(previous.chain_index + 1),
            None if self.first => Some(1),
            None => None,
        };
        if expected.is_some_and(|expected| event.chain_index != expected) {
            return Err(format!(
                "line {} of the chain is missing before it",
                expected.unwrap_or_default()
            ));
        }
        let start = [0; 32];
        let before = self
            .previous
            .as_ref()
            .map(|previous| &previous.chain)
            .or(self.first.then_some(&start));
        let key = self
            .keyring
            .key(event.key)
            .ok_or("its key is not in the keyring")?;
        if before.is_some_and(|before| key.chain(before, &event.line()) != event.chain) {
            return Err("the line is not the one that the chain was made over".into());
        }
        self.previous = Some(event);
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

/// A refused operator, for the log.
#[derive(Clone, Debug)]
pub struct Denied {
    pub operator: TokenId,
    pub account: AccountId,
    pub method: &'static str,
    pub origin: Origin,
    /// How many such calls there were since the last line.
    pub count: u64,
}

/// Counts refused calls, so that the log hears of each operator and method once a minute.
#[derive(Debug, Default)]
pub struct Denials(Mutex<HashMap<(TokenId, &'static str), Told>>);

/// When the log last heard of an operator and method, and how many calls it has not heard of since.
type Told = (Timestamp, u64);

impl Denials {
    /// How often one operator's refused calls of one method are told.
    pub const EVERY: Duration = Duration::from_secs(60);
    /// Pairs of operator and method that are remembered; further ones are counted when one is forgotten.
    pub const REMEMBERED: usize = 10_000;

    /// Counts one; the number to tell of, when it is time.
    pub fn count(&self, operator: TokenId, method: &'static str, now: Timestamp) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((told, untold)) = counted.get_mut(&(operator, method)) {
            *untold += 1;
            if now.since(*told) < Self::EVERY {
                return None;
            }
            *told = now;
            return Some(std::mem::take(untold));
        }
        if counted.len() >= Self::REMEMBERED {
            counted.retain(|_, (told, _)| now.since(*told) < Self::EVERY);
        }
        if counted.len() >= Self::REMEMBERED {
            return None;
        }
        counted.insert((operator, method), (now, 0));
        Some(1)
    }
}
