//! How often something was used: counts by day, what is known of a token, of its secrets and of its consumers, and how what
//! was counted in different places adds up.
//!
//! Adding is the same in any order, so that whoever counts may save when it likes.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::grant::{Grant, Grants};
use super::limits;
use super::time::{Day, Timestamp};

/// The decisions of one day.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Calls: each ALLOW by its cost.
    pub allowed: u64,
    /// DENY answers on a secret that matched.
    pub denied: u64,
}

/// Counts by day.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Days(BTreeMap<Day, Counts>);

/// What is still counted: the newest day with a use, apart from the days before, so that a save writes little.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Today {
    pub day: Day,
    pub counts: Counts,
}

/// What is known of a token's use, but for its history; or what was counted of it since. An account's has days only.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TokenUsage {
    pub today: Today,
    /// Days that are over and not in the history yet.
    pub before: Days,
    /// The last ALLOW.
    pub last_used: Option<Timestamp>,
    /// By version, oldest first.
    pub secrets: Vec<SecretUse>,
    /// The token's own grants that an ALLOW rested on, in order.
    pub exercised: Vec<GrantMark>,
    /// How many consumers are kept.
    pub consumers: u64,
}

/// A grant, as far as it must be known again: a hash of how it is written (FNV-1a, 64 bits). Kept in the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GrantMark(pub u64);

/// What is known of a secret's use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SecretUse {
    pub version: u32,
    pub day: Day,
    /// Of that day.
    pub calls: u64,
    pub last_used: Timestamp,
}

/// A service or integration that was seen using a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Consumer {
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub day: Day,
    /// Of that day.
    pub calls: u64,
    /// Of the secret that it used last.
    pub version: u32,
    /// When it last used an older secret than its newest.
    pub old_used: Option<Timestamp>,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.allowed = self.allowed.saturating_add(other.allowed);
        self.denied = self.denied.saturating_add(other.denied);
    }
}

impl Days {
    pub fn add(&mut self, day: Day, counts: Counts) {
        if counts != Counts::default() {
            self.0.entry(day).or_default().add(counts);
        }
    }

    pub fn add_all(&mut self, other: &Self) {
        for (day, counts) in other.iter() {
            self.add(day, counts);
        }
    }

    /// Drops all but the newest days with a use, as many as are kept: at least those of so many days up to now, whatever the clock
    /// said meanwhile.
    pub fn keep_newest(&mut self) {
        while self.0.len() > limits::USAGE_DAYS as usize {
            self.0.pop_first();
        }
    }

    #[must_use]
    pub fn begins_before(&self, first: Day) -> bool {
        self.0
            .first_key_value()
            .is_some_and(|(day, _)| *day < first)
    }

    pub fn forget_before(&mut self, first: Day) {
        self.0.retain(|day, _| *day >= first);
    }

    #[must_use]
    pub fn of(&self, day: Day) -> Counts {
        self.0.get(&day).copied().unwrap_or_default()
    }

    /// Oldest first; days without use are left out.
    pub fn iter(&self) -> impl Iterator<Item = (Day, Counts)> {
        self.0.iter().map(|(day, counts)| (*day, *counts))
    }

    /// The `wanted` days up to `today`, oldest first and without a gap, but none before `first`.
    pub fn filled(
        &self,
        first: Day,
        today: Day,
        wanted: i32,
    ) -> impl Iterator<Item = (Day, Counts)> {
        let ago = (0..wanted.min(limits::USAGE_DAYS)).rev();
        ago.map(move |ago| today.before(ago))
            .filter(move |day| *day >= first)
            .map(|day| (day, self.of(day)))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Day, Counts)> for Days {
    fn from_iter<I: IntoIterator<Item = (Day, Counts)>>(days: I) -> Self {
        let mut all = Self::default();
        days.into_iter()
            .for_each(|(day, counts)| all.add(day, counts));
        all
    }
}

impl Today {
    /// Adds what was counted, and gives what belongs to days that are over.
    pub fn add(&mut self, counted: &Days) -> Days {
        let mut over = Days::default();
        for (day, counts) in counted.iter() {
            if day > self.day {
                over.add(self.day, self.counts);
                *self = Self { day, counts };
            } else if day == self.day {
                self.counts.add(counts);
            } else {
                over.add(day, counts);
            }
        }
        over
    }
}

impl TokenUsage {
    /// Takes in what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        if other.before.is_empty() && other.today.day == self.today.day {
            self.today.counts.add(other.today.counts);
        } else {
            let mut counted = other.before.clone();
            counted.add(other.today.day, other.today.counts);
            let over = self.today.add(&counted);
            self.before.add_all(&over);
            self.before.keep_newest();
        }
        self.last_used = self.last_used.max(other.last_used);
        self.add_secrets(other.secrets.iter().copied());
        self.add_marks(other.exercised.iter().copied());
        self.consumers += other.consumers;
    }

    /// Takes in a use of some of the token's secrets.
    pub fn add_secrets(&mut self, used: impl IntoIterator<Item = SecretUse>) {
        for secret in used {
            match self
                .secrets
                .iter_mut()
                .find(|own| own.version == secret.version)
            {
                Some(own) => own.add(&secret),
                None => self.secrets.push(secret),
            }
        }
        self.secrets.sort_unstable_by_key(|secret| secret.version);
        let beyond = self.secrets.len().saturating_sub(limits::SECRETS_OF_TOKEN);
        self.secrets.drain(..beyond);
    }

    /// Takes in exercised grants.
    pub fn add_marks(&mut self, grants: impl IntoIterator<Item = GrantMark>) {
        for mark in grants {
            if let Err(place) = self.exercised.binary_search(&mark) {
                self.exercised.insert(place, mark);
            }
        }
    }

    /// Whether what is not among the token's grants any more must make room.
    #[must_use]
    pub fn has_too_many_marks(&self) -> bool {
        self.exercised.len() > limits::GRANTS
    }

    /// Drops exercised grants that are not among the token's own.
    pub fn keep_own_marks(&mut self, own: &Grants) {
        let own: Vec<GrantMark> = own.iter().map(GrantMark::of).collect();
        self.exercised.retain(|mark| own.contains(mark));
    }

    /// The grants that no ALLOW rested on.
    pub fn unexercised<'a>(&self, own: &'a Grants) -> impl Iterator<Item = String> + use<'a, '_> {
        let needless = |grant: &&Grant| !self.exercised.contains(&GrantMark::of(*grant));
        own.iter().filter(needless).map(ToString::to_string)
    }

    /// The use of one of the token's secrets, if there was any.
    #[must_use]
    pub fn secret(&self, version: u32) -> Option<&SecretUse> {
        self.secrets.iter().find(|secret| secret.version == version)
    }
}

impl GrantMark {
    #[must_use]
    pub fn of(grant: &impl fmt::Display) -> Self {
        let mut hash = Hash(0xcbf2_9ce4_8422_2325);
        let written = write!(hash, "{grant}");
        debug_assert!(written.is_ok(), "hashing never fails");
        Self(hash.0)
    }
}

struct Hash(u64);

impl fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        Ok(())
    }
}

impl SecretUse {
    pub fn add(&mut self, other: &Self) {
        (self.day, self.calls) = later_calls((self.day, self.calls), (other.day, other.calls));
        self.last_used = self.last_used.max(other.last_used);
    }

    #[must_use]
    pub fn calls_on(&self, day: Day) -> u64 {
        if self.day == day { self.calls } else { 0 }
    }
}

impl Consumer {
    /// One use.
    #[must_use]
    pub fn seen(now: Timestamp, version: u32, calls: u64) -> Self {
        Self {
            first_seen: now,
            last_seen: now,
            day: Day::of(now),
            calls,
            version,
            old_used: None,
        }
    }

    pub fn add(&mut self, other: &Self) {
        let (earlier, later) = if other.last_seen >= self.last_seen {
            (*self, *other)
        } else {
            (*other, *self)
        };
        // Whichever of two secrets is the older: it was used at its side's last use.
        let old = match earlier.version.cmp(&later.version) {
            std::cmp::Ordering::Less => Some(earlier.last_seen),
            std::cmp::Ordering::Greater => Some(later.last_seen),
            std::cmp::Ordering::Equal => None,
        };
        let (day, calls) = later_calls((self.day, self.calls), (other.day, other.calls));
        *self = Self {
            first_seen: self.first_seen.min(other.first_seen),
            last_seen: later.last_seen,
            day,
            calls,
            version: later.version,
            old_used: old.max(self.old_used).max(other.old_used),
        };
    }

    #[must_use]
    pub fn calls_on(&self, day: Day) -> u64 {
        if self.day == day { self.calls } else { 0 }
    }

    /// When it last used a secret older than `current`, as far as that is known.
    #[must_use]
    pub fn used_before(&self, current: u32) -> Option<Timestamp> {
        if self.version < current {
            Some(self.last_seen)
        } else {
            self.old_used
        }
    }
}

/// The calls of the later day; of both where it is the same.
fn later_calls(one: (Day, u64), other: (Day, u64)) -> (Day, u64) {
    match one.0.cmp(&other.0) {
        std::cmp::Ordering::Less => other,
        std::cmp::Ordering::Greater => one,
        std::cmp::Ordering::Equal => (one.0, one.1.saturating_add(other.1)),
    }
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
