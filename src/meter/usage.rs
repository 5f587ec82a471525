//! What validations count: memory only. Counts wait here until `registry::usage` saves them, at most once a second.
//!
//! Most of it is counted beside the tokens themselves, in the directory (`directory::tally`), under the lock that the decision held
//! anyway. What does not fit there waits at the side, one short lock of one of many shards: consumers, other secrets than the current
//! one, the first second of a new day. What waits is bounded by the tokens that there are and by the consumers that may be kept.
//!
//! Whoever counts may hold an entry of the directory, and takes the lock of a side shard under it. So the directory is never asked
//! while such a lock is held.

mod counted;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use counted::Counted;

use crate::directory::{Directory, Drawn, Found, SHARDS, Use};
use crate::domain::grant::{Grants, Permission};
use crate::domain::id::{AccountId, TokenId};
use crate::domain::time::{Day, Timestamp};
use crate::domain::usage::Days;
use crate::meter::holders::Holders;

/// A decision on a token whose secret was presented.
#[derive(Clone, Copy, Debug)]
pub struct Used<'a> {
    pub whose: Whose<'a>,
    /// The token's entry, where it is held: the decision is counted beside it.
    pub found: Option<&'a Found<'a>>,
    /// Of the secret.
    pub version: u32,
    pub allowed: bool,
    pub cost: u64,
    pub consumer: Option<&'a str>,
    pub required: Option<Permission<'a>>,
    /// The settled time: what is counted is committed, and must not lie in the future once a clock that leapt has returned.
    pub now: Timestamp,
}

/// The token that was used.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    pub id: TokenId,
    pub account: &'a AccountId,
    pub grants: &'a Grants,
}

/// What was counted and is not saved yet.
#[derive(Debug)]
pub struct Usage {
    /// Whoever holds a connection uses its token all the while.
    pub holders: Arc<Holders>,
    directory: Arc<Directory>,
    /// What tallies do not hold, by the directory's shards.
    side: Box<[Mutex<Side>]>,
    /// What a save is about, until it is known to be written. Locked before anything else.
    taken: Mutex<Option<Arc<Batch>>>,
    /// The number of the day of the newest decision that a tally did not take: tallies are to count it from the next save on.
    day: AtomicI32,
    /// Consumers that wait in all shards, and how many may.
    consumers: AtomicUsize,
    max_consumers: usize,
}

type Side = HashMap<TokenId, Counted>;

/// What one save is about.
#[derive(Debug)]
pub struct Batch {
    /// Rises with each.
    pub sequence: u64,
    /// No token is in it twice.
    pub tokens: Vec<Counted>,
}

impl Usage {
    /// Counts beside the directory's tokens. Of `max_consumers` that are kept in all, as many may wait.
    #[must_use]
    pub fn new(directory: Arc<Directory>, max_consumers: usize) -> Self {
        Self {
            holders: Arc::default(),
            directory,
            side: (0..SHARDS).map(|_| Mutex::default()).collect(),
            taken: Mutex::default(),
            day: AtomicI32::new(0),
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
            Some(required) if used.allowed => counted::exercised(used.whose.grants, &required),
            _ => 0,
        };
        let one = used.one(exercised);
        let beside = used.found.is_some_and(|found| found.count(&one));
        let consumer = used.consumer.filter(|_| used.allowed);
        if !beside || consumer.is_some() {
            self.count_at_the_side(used.whose, &one, beside, consumer);
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
            .filter(|counted| counted.id == id)
            .cloned()
            .collect();
        found.extend(self.waiting(id));
        found
    }

    /// What waits of a token, besides what a save has in hand.
    #[must_use]
    pub fn waiting(&self, id: TokenId) -> Option<Counted> {
        let drawn = self.directory.counted(&id);
        let at_the_side = lock(self.side(&id)).get(&id).cloned();
        let first = drawn.first().map(|drawn| Counted::nothing(drawn.into()));
        let mut counted = at_the_side.or(first)?;
        drawn.iter().for_each(|drawn| counted.add(drawn));
        Some(counted)
    }

    /// The use of a token at this moment by those who hold connections of it; their calls were counted as they began.
    #[must_use]
    pub fn held(&self, id: TokenId, now: Timestamp) -> Option<Counted> {
        let held = self.holders.of(id);
        let mut counted = Counted::nothing(held.first()?.whose());
        for holder in &held {
            let one = Use {
                version: holder.version,
                allowed: true,
                cost: 0,
                exercised: 0,
                now,
            };
            counted.count(&one, &holder.grants);
            if !holder.consumer.is_empty() {
                counted.count_consumer(&holder.consumer, &one, true);
            }
        }
        Some(counted)
    }

    /// What waits of all tokens of an account together, besides what a save has in hand.
    #[must_use]
    pub fn waiting_in(&self, account: &AccountId) -> Days {
        let mut days = Days::default();
        self.directory.each_counted(|drawn| {
            if drawn.account == *account {
                days.add(drawn.day, drawn.counts);
            }
        });
        for side in &self.side {
            let side = lock(side);
            let own = side.values().filter(|counted| counted.account == *account);
            own.flat_map(Counted::days)
                .for_each(|(day, counts)| days.add(day, counts));
        }
        days
    }

    /// Each time from another shard on, so that none waits for ever behind the others.
    fn take_waiting(&self, rows: usize, sequence: u64) -> Vec<Counted> {
        let mut taken: Vec<Counted> = Vec::new();
        let mut room = rows;
        let first = sequence as usize % SHARDS;
        for place in 0..SHARDS {
            if room == 0 {
                break;
            }
            self.take_shard((first + place) % SHARDS, &mut room, &mut taken);
        }
        let consumers = taken.iter().map(Counted::consumers_len).sum();
        self.consumers.fetch_sub(consumers, Ordering::Relaxed);
        taken
    }

    /// What waits in a shard, each token's counts from both places together.
    fn take_shard(&self, shard: usize, room: &mut usize, taken: &mut Vec<Counted>) {
        let day = match self.day.load(Ordering::Relaxed) {
            0 => None,
            number => Some(Day::numbered(number)),
        };
        let drawn = self.directory.draw(shard, *room, day);
        let mut side = lock(&self.side[shard]);
        let mut together = Vec::new();
        for drawn in &drawn {
            let nothing = || Counted::nothing(drawn.into());
            // Of nearly all tokens that is everything.
            if !drawn.retired && !side.contains_key(&drawn.id) {
                let mut counted = nothing();
                counted.add(drawn);
                *room = room.saturating_sub(counted.rows());
                taken.push(counted);
                continue;
            }
            side.entry(drawn.id).or_insert_with(nothing).add(drawn);
            together.push(drawn.id);
        }
        let mut fits = |counted: &Counted| {
            let fits = *room > 0;
            *room = room.saturating_sub(counted.rows());
            fits
        };
        for id in &together {
            if side.get(id).is_some_and(&mut fits) {
                taken.extend(side.remove(id));
            }
        }
        let rest = side.extract_if(|_, counted| fits(counted));
        taken.extend(rest.map(|(_, counted)| counted));
    }

    fn count_at_the_side(&self, whose: Whose<'_>, one: &Use, beside: bool, consumer: Option<&str>) {
        let mut side = lock(self.side(&whose.id));
        let counted = side
            .entry(whose.id)
            .or_insert_with(|| Counted::nothing(whose));
        if !beside {
            counted.count(one, whose.grants);
            let day = Day::of(one.now).number();
            self.day.store(day, Ordering::Relaxed);
        }
        let Some(name) = consumer else { return };
        let before = counted.consumers_len();
        let room = self.consumers.load(Ordering::Relaxed) < self.max_consumers;
        counted.count_consumer(name, one, room);
        let after = counted.consumers_len();
        if after > before {
            self.consumers.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.consumers.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    fn side(&self, id: &TokenId) -> &Mutex<Side> {
        &self.side[Directory::shard_of_token(id)]
    }
}

impl Used<'_> {
    fn one(&self, exercised: u64) -> Use {
        Use {
            version: self.version,
            allowed: self.allowed,
            cost: self.cost,
            exercised,
            now: self.now,
        }
    }
}

impl<'a> From<&'a Drawn> for Whose<'a> {
    fn from(drawn: &'a Drawn) -> Self {
        Self {
            id: drawn.id,
            account: &drawn.account,
            grants: &drawn.grants,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "usage_tests.rs"]
pub(super) mod tests;
