//! The audit log: listed, and told of operators that were refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::page::{Page, Paged};
use super::{Call, Error, Registry};
use crate::domain::event::{Event, EventKind, Origin};
use crate::domain::id::{AccountId, TokenId};
use crate::domain::operator::Scope;
use crate::domain::time::Timestamp;
use crate::store::backend::Direction;
use crate::store::record::LoggedEvent;
use crate::store::{Wanted, key};

/// Lines that one page looks at, at the most; the page may then be short.
const LOOKED_AT: usize = 5_000;
/// Lines that a page looks at, at the least.
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
    pub(super) fn wants(&self, event: &LoggedEvent) -> bool {
        (self.account.is_empty() || event.account.as_str() == self.account)
            && (self.subject.is_empty() || event.subject == self.subject)
            && (self.actor.is_empty() || event.actor == self.actor)
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.after.is_none_or(|after| event.time > after)
            && self.before.is_none_or(|before| event.time < before)
    }
}

impl Registry {
    /// Newest first.
    pub async fn list_events(
        &self,
        call: &Call,
        mut filter: EventFilter,
        page: Page,
    ) -> Result<Paged<LoggedEvent>, Error> {
        self.bound(call, &mut filter).await?;
        let scope = &call.operator.scope;
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

    /// Narrows a filter to what the operator reaches; an account that it does not reach is not found.
    pub(super) async fn bound(&self, call: &Call, filter: &mut EventFilter) -> Result<(), Error> {
        if let Scope::Only(_) = call.operator.scope {
            filter.account = call.account(&filter.account)?.to_string();
        } else if !filter.account.is_empty() {
            self.get_account(call, &filter.account).await?;
        }
        Ok(())
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
