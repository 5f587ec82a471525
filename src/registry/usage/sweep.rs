//! What usage leaves behind goes in bounded steps: all of deleted tokens, and what is older than 90 days.

use std::sync::Arc;

use super::bounds::{PAGES, remove_consumers};
use super::pages::{self, Run};
use crate::domain::id::TokenId;
use crate::domain::limits;
use crate::domain::time::{Day, Timestamp};
use crate::domain::usage::{Consumer, Days};
use crate::registry::{Error, Registry};
use crate::store::backend::{Direction, Key};
use crate::store::record::packed::{self, Entries, Packed as _};
use crate::store::record::{Pointer, Tally, UsagePage};
use crate::store::{Reader, StoreError, View, Wanted, key};

/// Rows that one step reads and removes, at the most.
const STEP: usize = 500;

/// Where the walk through what grows old goes on, consumers first, then histories: the last row that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Walk {
    Consumers(Option<Key>),
    Histories(Option<Key>),
}

/// Deleted tokens of which something goes: first those of which all does.
#[derive(Debug)]
struct Leftovers {
    whole: Vec<TokenId>,
    consumers: Vec<Key>,
    usage: Vec<Run>,
    histories: Vec<Run>,
}

impl Default for Walk {
    fn default() -> Self {
        Self::Consumers(None)
    }
}

/// Leaves a token's usage to the sweep. A fold passes it over from now on.
pub(in crate::registry) fn forget(view: &mut View<'_>, id: TokenId) -> Result<(), Error> {
    view.put(key::deleted_token(id), &Pointer(id.to_string()))?;
    Ok(())
}

impl Registry {
    /// One step: removes the usage of deleted tokens of which nothing waits to be folded. False where there are none.
    pub async fn sweep_deleted_tokens(&self) -> Result<bool, Error> {
        // While this is held nothing is folded, so nothing of them comes back.
        let unfolded = self.unfolded_usage().await?;
        let found = self.store.read(move |reader| {
            let deleted = reader.scan::<Pointer>(&page(key::DELETED_TOKENS, None, STEP))?;
            let mut tokens = Vec::new();
            for (_, pointer) in deleted {
                tokens.extend(TokenId::parse(&pointer?.0));
            }
            tokens.retain(|id| !unfolded.has(*id));
            Ok((leftovers(reader, &tokens)?, unfolded))
        });
        let (leftovers, unfolded) = found.await?;
        if leftovers.whole.is_empty() && leftovers.consumers.is_empty() {
            return Ok(false);
        }
        self.commit(move |view| sweep(view, &leftovers)).await?;
        drop(unfolded);
        Ok(true)
    }

    /// One step of the walk through all that grows old: removes what did. Where the next step goes on.
    pub async fn sweep_old_usage(&self, walk: Walk) -> Result<Walk, Error> {
        let today = Day::of(self.clock.settled());
        let first = today.before(limits::USAGE_DAYS - 1);
        match walk {
            Walk::Consumers(after) => self.sweep_old_consumers(after, first.start()).await,
            Walk::Histories(after) => self.sweep_histories(after, first).await,
        }
    }

    async fn sweep_old_consumers(
        &self,
        after: Option<Key>,
        first: Timestamp,
    ) -> Result<Walk, Error> {
        let rows = self
            .store
            .scan::<Consumer>(page(key::CONSUMERS, after, STEP));
        let rows = rows.await?;
        let next = match rows.last() {
            Some((last, _)) if rows.len() == STEP => Walk::Consumers(Some(last.clone())),
            _ => Walk::Histories(None),
        };
        let old = rows
            .into_iter()
            .filter(|(_, consumer)| consumer.last_seen < first);
        let old = old.filter_map(|(name, _)| Some((key::consumer_parts(&name)?.0, name)));
        let old: Arc<Vec<(TokenId, Key)>> = Arc::new(old.collect());
        let _nothing_moves = self.usage.saving.write().await;
        let mut done = 0;
        while done < old.len() {
            let (rows, from) = (Arc::clone(&old), done);
            let located = self.store.read(move |reader| {
                let mut tokens: Vec<TokenId> = rows[from..].iter().map(|(id, _)| *id).collect();
                tokens.dedup();
                let (runs, count) = locate(reader, key::USAGE_PAGES, &tokens)?;
                tokens.truncate(count);
                Ok((tokens, runs))
            });
            let (tokens, runs) = located.await?;
            let own = |(id, _): &&(TokenId, Key)| tokens.contains(id);
            let rows: Vec<_> = old[done..].iter().take_while(own).cloned().collect();
            done += rows.len();
            let removed = self.store.update(move |view| {
                let mut still = Vec::new();
                for (id, name) in &rows {
                    let kept: Option<Consumer> = view.get(name)?;
                    if kept.is_some_and(|kept| kept.last_seen < first) {
                        still.push((*id, name.clone()));
                    }
                }
                remove_consumers(view, &runs, &tokens, still, |_, _| {})
            });
            removed.await?;
        }
        Ok(next)
    }

    async fn sweep_histories(&self, after: Option<Key>, first: Day) -> Result<Walk, Error> {
        let wanted = page(key::USAGE_HISTORIES, after, PAGES);
        let looked_at = self.store.scan::<UsagePage>(wanted).await?;
        let next = match looked_at.last() {
            Some((last, _)) if looked_at.len() == PAGES => Walk::Histories(Some(last.clone())),
            _ => Walk::default(),
        };
        let has_old = |page: &UsagePage| {
            let mut histories = Entries::of(&page.entries).map(|(_, days)| Days::unpacked(days));
            histories.any(|days| days.is_ok_and(|days| days.begins_before(first)))
        };
        let old = looked_at.into_iter().filter(|(_, page)| has_old(page));
        let old: Vec<Key> = old.map(|(name, _)| name).collect();
        if !old.is_empty() {
            let forget = move |view: &mut View<'_>| {
                let mut each = old.iter();
                each.try_for_each(|name| forget_before(view, name, first))
            };
            self.store.update(forget).await?;
        }
        Ok(next)
    }
}

/// What goes in one step.
fn leftovers(reader: &Reader, tokens: &[TokenId]) -> Result<Leftovers, StoreError> {
    let mut consumers: Vec<Key> = Vec::new();
    let mut whole = Vec::new();
    for id in tokens {
        let room = STEP - consumers.len();
        let rows = reader.scan::<Consumer>(&page(&key::consumers(*id), None, room))?;
        if rows.len() < room {
            whole.push(*id);
        }
        consumers.extend(rows.into_iter().map(|(name, _)| name));
        if consumers.len() == STEP {
            break;
        }
    }
    let (_, count) = locate(reader, key::USAGE_HISTORIES, &whole)?;
    whole.truncate(count);
    let (usage, count) = locate(reader, key::USAGE_PAGES, &whole)?;
    whole.truncate(count);
    let (histories, _) = locate(reader, key::USAGE_HISTORIES, &whole)?;
    Ok(Leftovers {
        whole,
        consumers,
        usage,
        histories,
    })
}

fn locate(
    reader: &Reader,
    family: &[u8],
    tokens: &[TokenId],
) -> Result<(Vec<Run>, usize), StoreError> {
    let names: Vec<Box<[u8]>> = tokens.iter().map(|id| key::token_name(*id)).collect();
    pages::locate(reader, family, names.iter().map(|name| &**name), PAGES)
}

fn sweep(view: &mut View<'_>, leftovers: &Leftovers) -> Result<(), Error> {
    let mut gone = 0;
    for name in &leftovers.consumers {
        gone += u64::from(view.get::<Consumer>(name)?.is_some());
        view.delete(name.clone())?;
    }
    if gone > 0 {
        let Tally(consumers) = view.get(&key::CONSUMER_TALLY.into())?.unwrap_or_default();
        let left = Tally(consumers.saturating_sub(gone));
        view.put(key::CONSUMER_TALLY.into(), &left)?;
    }
    let names: Vec<Box<[u8]>> = leftovers
        .whole
        .iter()
        .map(|id| key::token_name(*id))
        .collect();
    let names: Vec<&[u8]> = names.iter().map(|name| &**name).collect();
    for (family, runs) in [
        (key::USAGE_PAGES, &leftovers.usage),
        (key::USAGE_HISTORIES, &leftovers.histories),
    ] {
        pages::edit(view, family, runs, &names, |_, _, _, _| Ok(false))?;
    }
    for id in &leftovers.whole {
        view.delete(key::deleted_token(*id))?;
    }
    Ok(())
}

/// Removes the days before one from a page of histories.
fn forget_before(view: &mut View<'_>, name: &Key, first: Day) -> Result<(), Error> {
    let mut page: UsagePage = view.get(name)?.unwrap_or_default();
    let mut entries = Vec::with_capacity(page.entries.len());
    let mut value = Vec::new();
    for (name, days) in Entries::of(&page.entries) {
        let wrong = |wrong| super::step::corrupt(name, wrong);
        let mut days = Days::unpacked(days).map_err(wrong)?;
        days.forget_before(first);
        if !days.is_empty() {
            value.clear();
            days.pack(&mut value);
            packed::push(&mut entries, name, &value);
        }
    }
    page.entries = entries;
    Ok(view.put(name.clone(), &page)?)
}

fn page(prefix: &[u8], after: Option<Key>, limit: usize) -> Wanted {
    Wanted {
        prefix: prefix.into(),
        after,
        direction: Direction::Forward,
        limit,
    }
}
