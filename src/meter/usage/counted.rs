//! What was counted of one token: nearly always one day and one secret, so that a million of these may wait.

use std::collections::HashMap;

use super::Whose;
use crate::directory::{Drawn, Use};
use crate::domain::grant::{Grants, Permission};
use crate::domain::id::{AccountId, TokenId};
use crate::domain::limits;
use crate::domain::time::{Day, Timestamp};
use crate::domain::usage::{Consumer, Counts, Days, GrantMark, SecretUse};

/// Where there is no room for one more consumer, this part of the token's goes at once, the least recent: looking for them must not
/// cost every call.
const PART: usize = 10;

/// What was counted of one token.
#[derive(Clone, Debug)]
pub struct Counted {
    pub id: TokenId,
    pub account: AccountId,
    /// The token's, as they were when it was last used.
    pub grants: Grants,
    pub last_used: Option<Timestamp>,
    /// The oldest day.
    day: Day,
    counts: Counts,
    /// The first secret that was seen.
    secret: Option<SecretUse>,
    /// Those of the token's grants that were exercised, a bit each.
    exercised: u64,
    more: Option<Box<More>>,
}

/// What is counted of few tokens in a second.
#[derive(Clone, Debug, Default)]
struct More {
    days: Days,
    secrets: Vec<SecretUse>,
    consumers: HashMap<Box<str>, Consumer>,
    /// What was exercised of an earlier version of the token with other grants.
    exercised_before: Vec<String>,
}

impl Counted {
    pub(super) fn nothing(whose: Whose<'_>) -> Self {
        Self {
            id: whose.id,
            account: whose.account.clone(),
            grants: whose.grants.clone(),
            last_used: None,
            day: Day::default(),
            counts: Counts::default(),
            secret: None,
            exercised: 0,
            more: None,
        }
    }

    /// Oldest first; days without use are left out.
    pub fn days(&self) -> impl Iterator<Item = (Day, Counts)> {
        let first = (self.counts != Counts::default()).then_some((self.day, self.counts));
        let more = self.more.iter().flat_map(|more| more.days.iter());
        first.into_iter().chain(more)
    }

    /// In any order, each once.
    pub fn secrets(&self) -> impl Iterator<Item = SecretUse> {
        let more = self.more.iter().flat_map(|more| more.secrets.iter());
        self.secret.iter().chain(more).copied()
    }

    pub fn consumers(&self) -> impl Iterator<Item = (&str, &Consumer)> {
        let more = self.more.iter().flat_map(|more| &more.consumers);
        more.map(|(name, consumer)| (&**name, consumer))
    }

    /// The grants that were exercised, as they are written.
    pub fn exercised(&self) -> impl Iterator<Item = String> {
        let now = self.grants.iter().enumerate();
        let now = now.filter(|(place, _)| self.exercised & bit(*place) != 0);
        let before = self.more.iter().flat_map(|more| &more.exercised_before);
        now.map(|(_, grant)| grant.to_string())
            .chain(before.cloned())
    }

    /// The same, as they are stored.
    pub fn marks(&self) -> impl Iterator<Item = GrantMark> {
        let now = self.grants.iter().enumerate();
        let now = now.filter(|(place, _)| self.exercised & bit(*place) != 0);
        let before = self.more.iter().flat_map(|more| &more.exercised_before);
        now.map(|(_, grant)| GrantMark::of(grant))
            .chain(before.map(GrantMark::of))
    }

    /// How many rows a save writes of it.
    pub(super) fn rows(&self) -> usize {
        1 + self.consumers_len()
    }

    pub(super) fn consumers_len(&self) -> usize {
        self.more.as_ref().map_or(0, |more| more.consumers.len())
    }

    /// Counts a decision; `grants` are the token's as it was made.
    pub(super) fn count(&mut self, used: &Use, grants: &Grants) {
        let day = Day::of(used.now);
        if !used.allowed {
            let denied = Counts {
                allowed: 0,
                denied: 1,
            };
            self.add_day(day, denied);
            return;
        }
        self.follow(grants);
        self.exercised |= used.exercised;
        let allowed = Counts {
            allowed: used.cost,
            denied: 0,
        };
        self.add_day(day, allowed);
        self.last_used = self.last_used.max(Some(used.now));
        self.add_secret(&SecretUse {
            version: used.version,
            day,
            calls: used.cost,
            last_used: used.now,
        });
    }

    /// Adds what was counted beside the token's entry.
    pub(super) fn add(&mut self, drawn: &Drawn) {
        self.add_day(drawn.day, drawn.counts);
        let Some(last_used) = drawn.last_used else {
            return;
        };
        self.follow(&drawn.grants);
        self.exercised |= drawn.exercised;
        self.last_used = self.last_used.max(drawn.last_used);
        self.add_secret(&SecretUse {
            version: drawn.version,
            day: drawn.day,
            calls: drawn.counts.allowed,
            last_used,
        });
    }

    /// Without `room` in all shards for one more, a new consumer takes the place of this token's least recent ones, or of none.
    pub(super) fn count_consumer(&mut self, name: &str, used: &Use, room: bool) {
        let seen = Consumer::seen(used.now, used.version, used.cost);
        let consumers = &mut self.more.get_or_insert_default().consumers;
        if let Some(consumer) = consumers.get_mut(name) {
            consumer.add(&seen);
            return;
        }
        if !room && consumers.is_empty() {
            return;
        }
        if !room || consumers.len() >= limits::CONSUMERS_OF_TOKEN {
            make_room(consumers);
        }
        consumers.insert(name.into(), seen);
    }

    fn add_day(&mut self, day: Day, counts: Counts) {
        if counts == Counts::default() {
            return;
        }
        if self.counts == Counts::default() || self.day == day {
            self.day = day;
            self.counts.add(counts);
            return;
        }
        let days = &mut self.more.get_or_insert_default().days;
        if day < self.day {
            days.add(self.day, self.counts);
            (self.day, self.counts) = (day, counts);
        } else {
            days.add(day, counts);
        }
    }

    fn add_secret(&mut self, used: &SecretUse) {
        let first = self.secret.get_or_insert(SecretUse { calls: 0, ..*used });
        if first.version == used.version {
            first.add(used);
            return;
        }
        let others = &mut self.more.get_or_insert_default().secrets;
        let mut same = others.iter_mut();
        match same.find(|other| other.version == used.version) {
            Some(other) => other.add(used),
            None => others.push(*used),
        }
    }

    /// The token was changed: the bits speak of its grants as they were.
    fn follow(&mut self, grants: &Grants) {
        if self.grants == *grants {
            return;
        }
        let mut before: Vec<String> = self.exercised().collect();
        if !before.is_empty() {
            before.sort_unstable();
            before.dedup();
            before.truncate(limits::GRANTS);
            self.more.get_or_insert_default().exercised_before = before;
        }
        self.exercised = 0;
        self.grants = grants.clone();
    }
}

/// The grants that give a permission, a bit each.
pub(super) fn exercised(grants: &Grants, required: &Permission<'_>) -> u64 {
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

/// Drops the least recent consumers, one at least.
fn make_room(consumers: &mut HashMap<Box<str>, Consumer>) {
    let mut ages: Vec<(Timestamp, Box<str>)> = consumers
        .iter()
        .map(|(name, consumer)| (consumer.last_seen, name.clone()))
        .collect();
    ages.sort_unstable();
    let many = (ages.len() / PART).max(1);
    for (_, name) in ages.into_iter().take(many) {
        consumers.remove(&name);
    }
}
