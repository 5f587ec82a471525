//! No more consumers than are kept: the least recent go first. Which ones is found by reading, beside the commits.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use super::Saving;
use super::pages::{self, Run};
use crate::domain::id::TokenId;
use crate::domain::limits;
use crate::domain::time::Timestamp;
use crate::domain::usage::{Consumer, TokenUsage};
use crate::registry::{Error, Registry};
use crate::store::backend::Key;
use crate::store::record::Tally;
use crate::store::record::packed::Packed as _;
use crate::store::{Reader, StoreError, View, key};

/// Crowded tokens in which room is made at once, at the most; the others wait for the next time.
const TOKENS: usize = 16;
/// Consumers that are removed at once because there are too many in all, at the most.
const REMOVED: usize = 10_000;
/// Of all consumers that may be kept, this part goes at once when there are too many: all rows are read for it.
const PART: usize = 10;
/// Pages of usage that one commit writes.
pub(super) const PAGES: usize = 32;

/// The consumers that are to go.
#[derive(Debug, Default)]
struct Doomed {
    consumers: BTreeMap<TokenId, Removed>,
    /// The crowded tokens that were looked at for it.
    crowded: Vec<TokenId>,
    overfull: bool,
}

/// Consumers of a token, each as it was seen.
type Removed = BTreeMap<String, Timestamp>;

/// What is left once they are removed.
#[derive(Debug, Default)]
struct Left {
    crowded: BTreeSet<TokenId>,
    consumers: u64,
}

/// A consumer's age and place: the least recent is the least.
type Aged = (Timestamp, Key);

impl Registry {
    /// Removes the least recent consumers of tokens that have too many, and of all. False where there was nothing to do.
    pub async fn make_room(&self) -> Result<bool, Error> {
        let doomed = self.doomed_consumers().await?;
        let mut saving = self.usage.saving.write().await;
        let tokens: Vec<(TokenId, Removed)> = doomed.consumers.clone().into_iter().collect();
        let (mut rest, mut crowded, mut consumers) = (&tokens[..], BTreeSet::new(), None);
        while !rest.is_empty() {
            let names: Vec<Box<[u8]>> = rest.iter().map(|(id, _)| key::token_name(*id)).collect();
            let located = self.store.read(move |reader| {
                let names = names.iter().map(|name| &**name);
                pages::locate(reader, key::USAGE_PAGES, names, PAGES)
            });
            let (runs, count) = located.await?;
            let going: Arc<[(TokenId, Removed)]> = rest[..count].into();
            let removed = self.store.update(move |view| remove(view, &runs, &going));
            let left = removed.await?.value;
            crowded.extend(left.crowded);
            consumers = Some(left.consumers);
            rest = &rest[count..];
        }
        saving.looked_at(&doomed);
        saving.crowded.extend(crowded);
        saving.consumers = consumers.unwrap_or(saving.consumers);
        Ok(!tokens.is_empty())
    }

    /// Which consumers are to go. Nobody waits for it.
    async fn doomed_consumers(&self) -> Result<Doomed, Error> {
        let saving = self.usage.saving.read().await;
        let crowded: Vec<TokenId> = saving.crowded.iter().take(TOKENS).copied().collect();
        let most = self.usage.counted.max_consumers();
        let overfull = saving.consumers > most as u64;
        drop(saving);
        if crowded.is_empty() && !overfull {
            return Ok(Doomed::default());
        }
        let found = self.store.read(move |reader| {
            let mut doomed = Doomed {
                crowded,
                overfull,
                ..Doomed::default()
            };
            for token in doomed.crowded.clone() {
                let beyond = |count: usize| count.saturating_sub(limits::CONSUMERS_OF_TOKEN);
                doomed.add(least_recent(reader, &key::consumers(token), beyond)?);
            }
            if overfull {
                let kept = most - most / PART;
                let beyond = |count: usize| count.saturating_sub(kept).min(REMOVED);
                doomed.add(least_recent(reader, key::CONSUMERS, beyond)?);
            }
            Ok(doomed)
        });
        Ok(found.await?)
    }
}

impl Saving {
    /// Room was made, or there was nothing to be found: what the commit then said is added after.
    fn looked_at(&mut self, doomed: &Doomed) {
        for token in &doomed.crowded {
            self.crowded.remove(token);
        }
        if doomed.overfull {
            self.consumers = 0;
        }
    }
}

impl Doomed {
    fn add(&mut self, consumers: Vec<Aged>) {
        for (seen, name) in consumers {
            if let Some((token, consumer)) = key::consumer_parts(&name) {
                let of_token = self.consumers.entry(token).or_default();
                of_token.insert(consumer.to_owned(), seen);
            }
        }
    }
}

/// Removes those that were not seen again since. Tokens that still have too many are crowded.
fn remove(view: &mut View<'_>, runs: &[Run], going: &[(TokenId, Removed)]) -> Result<Left, Error> {
    let mut rows = Vec::new();
    for (token, consumers) in going {
        for (consumer, seen) in consumers {
            let name = key::consumer(*token, consumer);
            let kept: Option<Consumer> = view.get(&name)?;
            if kept.is_some_and(|kept| kept.last_seen <= *seen) {
                rows.push((*token, name));
            }
        }
    }
    let tokens: Vec<TokenId> = going.iter().map(|(token, _)| *token).collect();
    let mut crowded = BTreeSet::new();
    let consumers = remove_consumers(view, runs, &tokens, rows, |token, usage| {
        if usage.consumers > limits::CONSUMERS_OF_TOKEN as u64 {
            crowded.insert(token);
        }
    })?;
    Ok(Left { crowded, consumers })
}

/// Removes consumers that are there, and counts them off from their tokens, which `runs` finds, and from all. How many that leaves;
/// `left` sees what is left of each token.
pub(super) fn remove_consumers(
    view: &mut View<'_>,
    runs: &[Run],
    tokens: &[TokenId],
    rows: Vec<(TokenId, Key)>,
    mut left: impl FnMut(TokenId, &TokenUsage),
) -> Result<u64, Error> {
    let Tally(mut consumers) = view.get(&key::CONSUMER_TALLY.into())?.unwrap_or_default();
    let mut gone: BTreeMap<TokenId, u64> = BTreeMap::new();
    for (token, row) in rows {
        view.delete(row)?;
        *gone.entry(token).or_default() += 1;
        consumers = consumers.saturating_sub(1);
    }
    let names: Vec<Box<[u8]>> = tokens.iter().map(|id| key::token_name(*id)).collect();
    let names: Vec<&[u8]> = names.iter().map(|name| &**name).collect();
    pages::edit(
        view,
        key::USAGE_PAGES,
        runs,
        &names,
        |_, place, old, new| {
            let Some(old) = old else {
                return Ok(false);
            };
            let wrong = |wrong| super::step::corrupt(names[place], wrong);
            let mut usage = TokenUsage::unpacked(old).map_err(wrong)?;
            let gone = gone.get(&tokens[place]).copied().unwrap_or(0);
            usage.consumers = usage.consumers.saturating_sub(gone);
            left(tokens[place], &usage);
            usage.pack(new);
            Ok(true)
        },
    )?;
    if !gone.is_empty() {
        view.put(key::CONSUMER_TALLY.into(), &Tally(consumers))?;
    }
    Ok(consumers)
}

/// The least recent of the consumers under a prefix: of how many there are, `beyond` says how many.
fn least_recent(
    reader: &Reader,
    prefix: &[u8],
    beyond: impl Fn(usize) -> usize,
) -> Result<Vec<Aged>, StoreError> {
    let mut oldest: BinaryHeap<Aged> = BinaryHeap::new();
    let mut count = 0;
    reader.each::<Consumer>(prefix, |name, consumer| {
        count += 1;
        oldest.push((consumer.last_seen, name));
        if oldest.len() > REMOVED {
            oldest.pop();
        }
        Ok(())
    })?;
    let mut oldest = oldest.into_sorted_vec();
    oldest.truncate(beyond(count));
    Ok(oldest)
}
