//! What validations count: memory only. Counts wait here, by token, until `registry::usage` saves them, at most once a second.
//!
//! `count` is on the hot path: one short lock of one of many shards. What waits is bounded by the tokens that there are and by
//! the consumers that may be kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::grant::{Grants, Permission};
use crate::domain::id::{AccountId, TokenId};
use crate::domain::limits;
use crate::domain::time::{Day, Timestamp};
use crate::domain::token::Token;
use crate::domain::usage::{Consumer, Counts, Days, GrantMark, SecretUse};
use crate::meter::holders::Holders;

/// Tokens are spread over so many locks.
const SHARDS: usize = 64;
/// Where there is no room for one more consumer, this part of the token's goes at once, the least recent: looking for them must not
/// cost every call.
const PART: usize = 10;

/// A decision on a token whose secret was presented.
#[derive(Clone, Copy, Debug)]
pub struct Used<'a> {
    pub token: &'a Arc<Token>,
    /// Of the secret.
    pub version: u32,
    pub allowed: bool,
    pub cost: u64,
    pub consumer: Option<&'a str>,
    pub required: Option<Permission<'a>>,
    /// The settled time: what is counted is committed, and must not lie in the future once a clock that leapt has returned.
    pub now: Timestamp,
}

/// What was counted and is not saved yet.
#[derive(Debug)]
pub struct Usage {
    /// Whoever holds a connection uses its token all the while.
    pub holders: Arc<Holders>,
    shards: [Mutex<HashMap<TokenId, Counted>>; SHARDS],
    /// What a save is about, until it is known to be written. Locked before any shard.
    taken: Mutex<Option<Arc<Batch>>>,
    /// Consumers that wait in all shards, and how many may.
    consumers: AtomicUsize,
    max_consumers: usize,
}

/// What was counted of one token.
#[derive(Clone, Debug)]
pub struct Counted {
    /// As it was when it was last used.
    pub token: Arc<Token>,
    pub days: Days,
    pub last_used: Option<Timestamp>,
    pub secrets: Vec<SecretUse>,
    pub consumers: HashMap<Box<str>, Consumer>,
    /// Those of the token's grants that were exercised, a bit each.
    exercised: u64,
    /// The same of an earlier version of the token with other grants.
    exercised_before: Vec<String>,
}

/// What one save is about.
#[derive(Debug)]
pub struct Batch {
    /// Rises with each.
    pub sequence: u64,
    pub tokens: Vec<Counted>,
}

impl Usage {
    /// Of `max_consumers` that are kept in all, as many may wait.
    #[must_use]
    pub fn new(max_consumers: usize) -> Self {
        Self {
            holders: Arc::default(),
            shards: std::array::from_fn(|_| Mutex::default()),
            taken: Mutex::default(),
            consumers: AtomicUsize::new(0),
            max_consumers,
        }
    }

    #[must_use]
    pub fn max_consumers(&self) -> usize {
        self.max_consumers
    }

    /// Counts a decision.
    pub fn count(&self, used: &Used<'_>) {
        let exercised = match used.required {
            Some(required) if used.allowed => exercised(&used.token.grants, &required),
            _ => 0,
        };
        let mut shard = lock(self.shard(used.token.id));
        let counted = shard
            .entry(used.token.id)
            .or_insert_with(|| Counted::nothing(used.token));
        counted.count(used, exercised);
        if let (Some(name), true) = (used.consumer, used.allowed) {
            let before = counted.consumers.len();
            let room = self.consumers.load(Ordering::Relaxed) < self.max_consumers;
            counted.count_consumer(name, used, room);
            let after = counted.consumers.len();
            if after > before {
                self.consumers.fetch_add(after - before, Ordering::Relaxed);
            } else {
                self.consumers.fetch_sub(before - after, Ordering::Relaxed);
            }
        }
    }

    /// What the next save is about, `rows` of tokens and consumers at the most: what an earlier one could not write, else what
    /// waits. `None` where nothing does. It stays visible here until `written`.
    #[must_use]
    pub fn take(&self, rows: usize, sequence: u64) -> Option<Arc<Batch>> {
        let mut taken = lock(&self.taken);
        if taken.is_none() {
            let tokens = self.take_waiting(rows, sequence);
            *taken = (!tokens.is_empty()).then(|| Arc::new(Batch { sequence, tokens }));
        }
        taken.clone()
    }

    /// What was taken is in the store.
    pub fn written(&self) {
        *lock(&self.taken) = None;
    }

    /// What an unfinished save is about.
    #[must_use]
    pub fn unwritten(&self) -> Option<Arc<Batch>> {
        lock(&self.taken).clone()
    }

    /// What waits of a token, with what a save has in hand. It may be in the store already while that save runs.
    #[must_use]
    pub fn of(&self, id: TokenId) -> Vec<Counted> {
        let taken = lock(&self.taken);
        let in_hand = taken.iter().flat_map(|batch| &batch.tokens);
        let mut found: Vec<Counted> = in_hand
            .filter(|counted| counted.token.id == id)
            .cloned()
            .collect();
        found.extend(self.waiting(id));
        found
    }

    /// What waits of a token, besides what a save has in hand.
    #[must_use]
    pub fn waiting(&self, id: TokenId) -> Option<Counted> {
        lock(self.shard(id)).get(&id).cloned()
    }

    /// The use of a token at this moment by those who hold connections of it; their calls were counted as they began.
    #[must_use]
    pub fn held(&self, id: TokenId, now: Timestamp) -> Option<Counted> {
        let held = self.holders.of(id);
        let mut counted = Counted::nothing(&held.first()?.token);
        for holder in &held {
            let used = Used {
                token: &counted.token.clone(),
                version: holder.version,
                allowed: true,
                cost: 0,
                consumer: None,
                required: None,
                now,
            };
            counted.count(&used, 0);
            if !holder.consumer.is_empty() {
                counted.count_consumer(&holder.consumer, &used, true);
            }
        }
        Some(counted)
    }

    /// What waits of all tokens of an account together, besides what a save has in hand.
    #[must_use]
    pub fn waiting_in(&self, account: &AccountId) -> Days {
        let mut days = Days::default();
        for shard in &self.shards {
            let shard = lock(shard);
            let own = shard
                .values()
                .filter(|counted| counted.token.account == *account);
            own.for_each(|counted| days.add_all(&counted.days));
        }
        days
    }

    /// Each time from another shard on, so that none waits for ever behind the others.
    fn take_waiting(&self, rows: usize, sequence: u64) -> Vec<Counted> {
        let mut taken: Vec<Counted> = Vec::new();
        let mut room = rows;
        let first = sequence as usize % SHARDS;
        for place in 0..SHARDS {
            let mut shard = lock(&self.shards[(first + place) % SHARDS]);
            let mut fits = |counted: &Counted| {
                let fits = room > 0;
                room = room.saturating_sub(counted.rows());
                fits
            };
            taken.extend(
                shard
                    .extract_if(|_, counted| fits(counted))
                    .map(|(_, counted)| counted),
            );
            if room == 0 {
                break;
            }
        }
        let consumers = taken.iter().map(|counted| counted.consumers.len()).sum();
        self.consumers.fetch_sub(consumers, Ordering::Relaxed);
        taken
    }

    fn shard(&self, id: TokenId) -> &Mutex<HashMap<TokenId, Counted>> {
        let [first, second, ..] = *id.as_bytes();
        &self.shards[(usize::from(first) * 31 + usize::from(second)) % SHARDS]
    }
}

impl Counted {
    fn nothing(token: &Arc<Token>) -> Self {
        Self {
            token: Arc::clone(token),
            days: Days::default(),
            last_used: None,
            secrets: Vec::new(),
            consumers: HashMap::new(),
            exercised: 0,
            exercised_before: Vec::new(),
        }
    }

    /// The grants that were exercised, as they are written.
    pub fn exercised(&self) -> impl Iterator<Item = String> {
        let now = self.token.grants.iter().enumerate();
        let now = now.filter(|(place, _)| self.exercised & bit(*place) != 0);
        now.map(|(_, grant)| grant.to_string())
            .chain(self.exercised_before.iter().cloned())
    }

    /// The same, as they are stored.
    pub fn marks(&self) -> impl Iterator<Item = GrantMark> {
        let now = self.token.grants.iter().enumerate();
        let now = now.filter(|(place, _)| self.exercised & bit(*place) != 0);
        now.map(|(_, grant)| GrantMark::of(grant))
            .chain(self.exercised_before.iter().map(GrantMark::of))
    }

    fn count(&mut self, used: &Used<'_>, exercised: u64) {
        let day = Day::of(used.now);
        if !used.allowed {
            let denied = Counts {
                allowed: 0,
                denied: 1,
            };
            self.days.add(day, denied);
            return;
        }
        if !Arc::ptr_eq(&self.token, used.token) {
            self.follow(used.token);
        }
        self.exercised |= exercised;
        let allowed = Counts {
            allowed: used.cost,
            denied: 0,
        };
        self.days.add(day, allowed);
        self.last_used = self.last_used.max(Some(used.now));
        let use_of = SecretUse {
            version: used.version,
            day,
            calls: used.cost,
            last_used: used.now,
        };
        match self
            .secrets
            .iter_mut()
            .find(|secret| secret.version == used.version)
        {
            Some(secret) => secret.add(&use_of),
            None => self.secrets.push(use_of),
        }
    }

    /// The token was changed: the bits speak of its grants as they were.
    fn follow(&mut self, token: &Arc<Token>) {
        if self.token.grants != token.grants {
            let before: Vec<String> = self.exercised().collect();
            self.exercised_before = before;
            self.exercised_before.sort_unstable();
            self.exercised_before.dedup();
            self.exercised_before.truncate(limits::GRANTS);
            self.exercised = 0;
        }
        self.token = Arc::clone(token);
    }

    /// Without `room` in all shards for one more, a new consumer takes the place of this token's least recent ones, or of none.
    fn count_consumer(&mut self, name: &str, used: &Used<'_>, room: bool) {
        let seen = Consumer::seen(used.now, used.version, used.cost);
        if let Some(consumer) = self.consumers.get_mut(name) {
            consumer.add(&seen);
            return;
        }
        if !room && self.consumers.is_empty() {
            return;
        }
        if !room || self.consumers.len() >= limits::CONSUMERS_OF_TOKEN {
            self.make_room();
        }
        self.consumers.insert(name.into(), seen);
    }

    /// Drops the least recent consumers, one at least.
    fn make_room(&mut self) {
        let mut ages: Vec<(Timestamp, Box<str>)> = self
            .consumers
            .iter()
            .map(|(name, consumer)| (consumer.last_seen, name.clone()))
            .collect();
        ages.sort_unstable();
        let many = (ages.len() / PART).max(1);
        for (_, name) in ages.into_iter().take(many) {
            self.consumers.remove(&name);
        }
    }

    /// How many rows a save writes of it.
    fn rows(&self) -> usize {
        1 + self.consumers.len()
    }
}

/// The grants that give a permission, a bit each.
fn exercised(grants: &Grants, required: &Permission<'_>) -> u64 {
    let grants = grants.iter().enumerate().take(limits::GRANTS);
    let giving = grants.filter(|(_, grant)| grant.allows(required));
    giving.fold(0, |bits, (place, _)| bits | bit(place))
}

fn bit(place: usize) -> u64 {
    u32::try_from(place)
        .ok()
        .and_then(|place| 1_u64.checked_shl(place))
        .unwrap_or(0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "usage_tests.rs"]
pub(super) mod tests;
