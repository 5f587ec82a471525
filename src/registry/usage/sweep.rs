//! What usage leaves behind goes in bounded steps: the consumers of deleted tokens, and what is older than 90 days.

use super::Ledger;
use crate::domain::id::TokenId;
use crate::domain::limits;
use crate::domain::time::{Day, Timestamp};
use crate::domain::usage::{Consumer, Days, TokenUsage};
use crate::registry::{Error, Registry};
use crate::store::backend::{Direction, Key};
use crate::store::record::{Pointer, Tally, UsageSave};
use crate::store::{Reader, StoreError, View, Wanted, key};

/// Rows that one step reads and removes, at the most.
const STEP: usize = 500;
/// The families in which rows grow old, in the order of the walk.
const AGEING: [&[u8]; 4] = [
    key::CONSUMERS,
    key::USAGE_HISTORIES,
    key::ACCOUNT_USAGE_HISTORIES,
    key::USAGE_SAVES,
];

/// Where the walk through rows that grow old goes on: a family, and the last row that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Walk {
    family: usize,
    after: Option<Key>,
}

/// Removes a token's usage with the token, and leaves its consumers to the sweep.
pub(in crate::registry) fn forget(view: &mut View<'_>, id: TokenId) -> Result<(), Error> {
    let name = key::usage(id);
    let usage: TokenUsage = view.get(&name)?.unwrap_or_default();
    view.delete(name)?;
    view.delete(key::usage_history(id))?;
    if usage.consumers > 0 {
        view.put(key::deleted_token(id), &Pointer(id.to_string()))?;
    }
    Ok(())
}

impl Registry {
    /// One step: removes consumers of a deleted token. False where there are none.
    pub async fn sweep_consumers(&self) -> Result<bool, Error> {
        let deleted = self
            .store
            .scan::<Pointer>(page(key::DELETED_TOKENS, None, 1))
            .await?;
        let Some((to_do, pointer)) = deleted.into_iter().next() else {
            return Ok(false);
        };
        let consumers = match TokenId::parse(&pointer.0) {
            Some(id) => key::consumers(id),
            None => return Ok(false),
        };
        let rows = self
            .store
            .scan::<Consumer>(page(&consumers, None, STEP))
            .await?;
        let names: Vec<Key> = rows.into_iter().map(|(name, _)| name).collect();
        self.store
            .update(move |view| {
                remove_consumers(view, &names)?;
                if names.len() < STEP {
                    view.delete(to_do.clone())?;
                }
                Ok::<_, Error>(())
            })
            .await?;
        Ok(true)
    }

    /// One step of the walk through all rows that grow old: removes those that did. Where the next step goes on.
    pub async fn sweep_old_usage(&self, walk: Walk) -> Result<Walk, Error> {
        let family = AGEING[walk.family % AGEING.len()];
        let wanted = page(family, walk.after, STEP);
        let first = Day::of(self.clock.settled())
            .before(limits::USAGE_DAYS - 1)
            .start();
        let looked_at = self
            .store
            .read(move |reader| look_at(reader, &wanted, first))
            .await?;
        let next = match looked_at.last() {
            Some((last, _)) if looked_at.len() == STEP => Walk {
                after: Some(last.clone()),
                ..walk
            },
            _ => Walk {
                family: (walk.family + 1) % AGEING.len(),
                after: None,
            },
        };
        let old = looked_at.into_iter().filter(|(_, old)| *old);
        let old: Vec<Key> = old.map(|(name, _)| name).collect();
        if !old.is_empty() {
            self.store
                .update(move |view| remove_old(view, &old, first))
                .await?;
        }
        Ok(next)
    }
}

impl Ledger {
    /// Whether the store has a save of this process with this number.
    pub(super) fn has_saved(&self, reader: &Reader, sequence: u64) -> Result<bool, StoreError> {
        let newest: Option<UsageSave> = reader.get(&key::usage_save(&self.saver))?;
        Ok(newest.is_some_and(|newest| newest.sequence == sequence))
    }
}

/// Rows by name, and whether each is older than what is kept.
fn look_at(
    reader: &Reader,
    wanted: &Wanted,
    first: Timestamp,
) -> Result<Vec<(Key, bool)>, StoreError> {
    let mut rows = Vec::new();
    if *wanted.prefix == *key::CONSUMERS {
        for (name, consumer) in reader.scan::<Consumer>(wanted)? {
            rows.push((name, consumer?.last_seen < first));
        }
    } else if *wanted.prefix == *key::USAGE_SAVES {
        for (name, save) in reader.scan::<UsageSave>(wanted)? {
            rows.push((name, save?.time < first));
        }
    } else {
        for (name, days) in reader.scan::<Days>(wanted)? {
            let oldest = days?.iter().next();
            rows.push((name, oldest.is_none_or(|(day, _)| day.start() < first)));
        }
    }
    Ok(rows)
}

/// Removes what is still as old as it was.
fn remove_old(view: &mut View<'_>, names: &[Key], first: Timestamp) -> Result<(), Error> {
    let mut consumers = Vec::new();
    for name in names {
        if name.starts_with(key::CONSUMERS) {
            let kept: Option<Consumer> = view.get(name)?;
            if kept.is_some_and(|kept| kept.last_seen < first) {
                consumers.push(name.clone());
            }
        } else if name.starts_with(key::USAGE_SAVES) {
            view.delete(name.clone())?;
        } else {
            let mut days: Days = view.get(name)?.unwrap_or_default();
            days.forget_before(Day::of(first));
            if days.is_empty() {
                view.delete(name.clone())?;
            } else {
                view.put(name.clone(), &days)?;
            }
        }
    }
    remove_consumers(view, &consumers)
}

/// Removes consumers that are there, and counts them off.
fn remove_consumers(view: &mut View<'_>, names: &[Key]) -> Result<(), Error> {
    let mut gone = 0;
    for name in names {
        if view.get::<Consumer>(name)?.is_none() {
            continue;
        }
        view.delete(name.clone())?;
        gone += 1;
        if let Some((token, _)) = key::consumer_parts(name)
            && let Some(mut usage) = view.get::<TokenUsage>(&key::usage(token))?
        {
            usage.consumers = usage.consumers.saturating_sub(1);
            view.put(key::usage(token), &usage)?;
        }
    }
    let Tally(consumers) = view.get(&key::CONSUMER_TALLY.into())?.unwrap_or_default();
    if gone > 0 {
        let left = Tally(consumers.saturating_sub(gone));
        view.put(key::CONSUMER_TALLY.into(), &left)?;
    }
    Ok(())
}

fn page(prefix: &[u8], after: Option<Key>, limit: usize) -> Wanted {
    Wanted {
        prefix: prefix.into(),
        after,
        direction: Direction::Forward,
        limit,
    }
}
