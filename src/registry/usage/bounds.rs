//! No more consumers than are kept: the least recent go first. Which ones is found by reading, beside the commits; they go with
//! the next save, so that making room costs no commit of its own.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::Saving;
use crate::domain::id::TokenId;
use crate::domain::limits;
use crate::domain::time::Timestamp;
use crate::domain::usage::{Consumer, TokenUsage};
use crate::registry::{Error, Registry};
use crate::store::backend::Key;
use crate::store::{Reader, StoreError, View, key};

/// Crowded tokens that one save makes room in, at the most; the others wait for the next.
const TOKENS: usize = 16;
/// Consumers that one save removes because there are too many in all, at the most.
const REMOVED: usize = 10_000;
/// Of all consumers that may be kept, this part goes at once when there are too many: all rows are read for it.
const PART: usize = 10;

/// The consumers that are to go.
#[derive(Debug, Default)]
pub(super) struct Doomed {
    /// By token, each as it was seen.
    consumers: BTreeMap<TokenId, BTreeMap<String, Timestamp>>,
    /// The crowded tokens that were looked at for it.
    crowded: Vec<TokenId>,
    overfull: bool,
}

/// A consumer's age and place: the least recent is the least.
type Aged = (Timestamp, Key);

impl Registry {
    /// Which consumers the next save is to remove. Nobody waits for it.
    pub(super) async fn doomed_consumers(&self) -> Result<Doomed, Error> {
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
    pub(super) fn looked_at(&mut self, doomed: &Doomed) {
        for token in &doomed.crowded {
            self.crowded.remove(token);
        }
        if doomed.overfull {
            self.consumers = 0;
        }
    }
}

impl Doomed {
    pub(super) fn is_empty(&self) -> bool {
        self.consumers.is_empty()
    }

    fn add(&mut self, consumers: Vec<Aged>) {
        for (seen, name) in consumers {
            if let Some((token, consumer)) = key::consumer_parts(&name) {
                let of_token = self.consumers.entry(token).or_default();
                of_token.insert(consumer.to_owned(), seen);
            }
        }
    }

    /// Removes those that were not seen again since. How many that were; tokens that still have too many become crowded.
    pub(super) fn remove(
        &self,
        view: &mut View<'_>,
        crowded: &mut BTreeSet<TokenId>,
    ) -> Result<u64, Error> {
        let mut removed = 0;
        for (token, consumers) in &self.consumers {
            let mut gone = 0;
            for (consumer, seen) in consumers {
                let name = key::consumer(*token, consumer);
                let kept: Option<Consumer> = view.get(&name)?;
                if kept.is_some_and(|kept| kept.last_seen <= *seen) {
                    view.delete(name)?;
                    gone += 1;
                }
            }
            removed += gone;
            let name = key::usage(*token);
            if let Some(mut usage) = view.get::<TokenUsage>(&name)? {
                usage.consumers = usage.consumers.saturating_sub(gone);
                if usage.consumers > limits::CONSUMERS_OF_TOKEN as u64 {
                    crowded.insert(*token);
                } else {
                    crowded.remove(token);
                }
                view.put(name, &usage)?;
            }
        }
        Ok(removed)
    }
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
