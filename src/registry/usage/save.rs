//! Writes what was counted: one commit a second at the most, whatever the load, and none where nothing was counted.
//!
//! The commit reads, adds and writes each row, so that several nodes may save side by side. A batch whose commit failed may have
//! been written all the same: it is tried again as it was, and a row tells whether it is there already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::bounds::Doomed;
use crate::domain::id::{AccountId, TokenId};
use crate::domain::limits;
use crate::domain::usage::{Consumer, Days, TokenUsage};
use crate::meter::usage::{Batch, Counted};
use crate::registry::{Error, Registry};
use crate::store::backend::Key;
use crate::store::record::{AccountUsage, Pointer, Tally, UsageSave};
use crate::store::{View, key};

/// How often a node saves.
pub const EVERY: Duration = Duration::from_secs(1);
/// Rows of tokens and consumers that one commit writes, about; the rest waits for the next one.
const ROWS: usize = 10_000;

/// What a save found.
#[derive(Debug, Default)]
struct Saved {
    crowded: BTreeSet<TokenId>,
    consumers: u64,
}

impl Registry {
    /// One step: commits what waits, and makes room where there are too many consumers. False where there was nothing to do.
    pub async fn save_usage(&self) -> Result<bool, Error> {
        let ledger = &self.usage;
        let doomed = Arc::new(self.doomed_consumers().await?);
        let mut saving = ledger.saving.write().await;
        let batch = ledger.counted.take(ROWS, saving.sequence + 1);
        if batch.is_none() && doomed.is_empty() {
            saving.looked_at(&doomed);
            return Ok(false);
        }
        if let Some(batch) = &batch {
            saving.sequence = batch.sequence;
        }
        let name = key::usage_save(&ledger.saver);
        let going = Arc::clone(&doomed);
        let saved = self
            .store
            .update(move |view| save(view, &name, batch.as_deref(), &going))
            .await?
            .value;
        ledger.counted.written();
        saving.looked_at(&doomed);
        saving.crowded.extend(saved.crowded);
        saving.consumers = saved.consumers;
        Ok(true)
    }

    /// Saves until nothing waits: for the end of the process.
    pub async fn save_all_usage(&self) -> Result<(), Error> {
        while self.save_usage().await? {}
        Ok(())
    }
}

fn save(
    view: &mut View<'_>,
    name: &Key,
    batch: Option<&Batch>,
    doomed: &Doomed,
) -> Result<Saved, Error> {
    let mut saved = Saved::default();
    let Tally(mut consumers) = view.get(&key::CONSUMER_TALLY.into())?.unwrap_or_default();
    let before = consumers;
    if let Some(batch) = batch
        && !is_written(view, name, batch)?
    {
        for counted in &batch.tokens {
            consumers += add_token(view, counted, &mut saved.crowded)?;
        }
        add_accounts(view, &batch.tokens)?;
        let save = UsageSave {
            sequence: batch.sequence,
            time: view.now(),
        };
        view.put(name.clone(), &save)?;
    }
    consumers = consumers.saturating_sub(doomed.remove(view, &mut saved.crowded)?);
    if consumers != before {
        view.put(key::CONSUMER_TALLY.into(), &Tally(consumers))?;
    }
    saved.consumers = consumers;
    Ok(saved)
}

/// Was this very batch committed before, when its outcome was in doubt?
fn is_written(view: &mut View<'_>, name: &Key, batch: &Batch) -> Result<bool, Error> {
    let newest: Option<UsageSave> = view.get(name)?;
    Ok(newest.is_some_and(|newest| newest.sequence == batch.sequence))
}

/// Adds what was counted of a token to its rows, if it is still there. How many consumers came.
fn add_token(
    view: &mut View<'_>,
    counted: &Counted,
    crowded: &mut BTreeSet<TokenId>,
) -> Result<u64, Error> {
    let id = counted.id;
    let there: Option<Pointer> = view.get(&key::account_token(&counted.account, id))?;
    if there.is_none() {
        return Ok(0);
    }
    let name = key::usage(id);
    let mut usage: TokenUsage = view.get(&name)?.unwrap_or_default();
    let over = usage.today.add(&counted.days().collect());
    add_history(view, key::usage_history(id), &over)?;
    usage.last_used = usage.last_used.max(counted.last_used);
    usage.add_secrets(counted.secrets());
    usage.add_exercised(counted.exercised(), &counted.grants);
    let mut come = 0;
    for (consumer, seen) in counted.consumers() {
        let name = key::consumer(id, consumer);
        let kept = match view.get::<Consumer>(&name)? {
            None => {
                come += 1;
                *seen
            }
            Some(mut kept) => {
                kept.add(seen);
                kept
            }
        };
        view.put(name, &kept)?;
    }
    usage.consumers += come;
    if usage.consumers > limits::CONSUMERS_OF_TOKEN as u64 {
        crowded.insert(id);
    }
    view.put(name, &usage)?;
    Ok(come)
}

/// Adds what was counted of each account's tokens, those that were deleted since among them.
fn add_accounts(view: &mut View<'_>, tokens: &[Counted]) -> Result<(), Error> {
    let mut accounts: BTreeMap<&AccountId, Days> = BTreeMap::new();
    for counted in tokens {
        let days = accounts.entry(&counted.account).or_default();
        for (day, counts) in counted.days() {
            days.add(day, counts);
        }
    }
    for (account, days) in accounts {
        let name = key::account_usage(account);
        let AccountUsage(mut today) = view.get(&name)?.unwrap_or_default();
        let over = today.add(&days);
        add_history(view, key::account_usage_history(account), &over)?;
        view.put(name, &AccountUsage(today))?;
    }
    Ok(())
}

/// Adds days that are over to a history: once a day, but for counts that come late.
fn add_history(view: &mut View<'_>, name: Key, over: &Days) -> Result<(), Error> {
    if over.is_empty() {
        return Ok(());
    }
    let mut history: Days = view.get(&name)?.unwrap_or_default();
    history.add_all(over);
    history.keep_newest();
    view.put(name, &history)?;
    Ok(())
}
