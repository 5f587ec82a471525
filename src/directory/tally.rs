//! What was counted of a token since it was last asked: beside its entry, so that counting touches no more memory than deciding did.
//!
//! A tally counts the entry's current secret on one day, its shard's. What it cannot hold is counted elsewhere: `meter::usage`.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::domain::grant::Grants;
use crate::domain::id::{AccountId, TokenId};
use crate::domain::time::{Day, Timestamp};
use crate::domain::usage::Counts;

/// Denials that a tally holds at the most, about; calls, `CALLS`. Others go elsewhere, so that no count runs over.
const DENIALS: u32 = u32::MAX / 2;
const CALLS: u64 = u64::MAX / 2;

/// One decision on a token, as it is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Use {
    /// Of the secret.
    pub version: u32,
    pub allowed: bool,
    pub cost: u64,
    /// The token's grants that an ALLOW rested on, a bit each.
    pub exercised: u64,
    pub now: Timestamp,
}

/// What a tally counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drawn {
    pub id: TokenId,
    pub account: AccountId,
    /// The token's, which the bits of `exercised` speak of.
    pub grants: Grants,
    /// Of the secret that was allowed.
    pub version: u32,
    pub day: Day,
    pub counts: Counts,
    pub last_used: Option<Timestamp>,
    pub exercised: u64,
    /// Its entry has been replaced or removed since: another count of the same token may follow.
    pub retired: bool,
}

/// Counts, written by readers of the shard and taken by whoever has the shard to itself.
#[derive(Debug, Default)]
pub(super) struct Tally {
    allowed: AtomicU64,
    exercised: AtomicU64,
    denied: AtomicU32,
    /// Milliseconds of the day and one more; 0: there was no ALLOW.
    last_used: AtomicU32,
}

/// The figures of a tally.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) counts: Counts,
    pub(super) exercised: u64,
    pub(super) last_used: Option<Timestamp>,
}

impl Tally {
    /// Whether it could be counted here; `used.now` is of the tally's day.
    pub(super) fn count(&self, used: &Use, day: Day) -> bool {
        if !used.allowed {
            let room = self.denied.load(Relaxed) < DENIALS;
            if room {
                self.denied.fetch_add(1, Relaxed);
            }
            return room;
        }
        if self.allowed.load(Relaxed) >= CALLS || used.cost >= CALLS {
            return false;
        }
        self.allowed.fetch_add(used.cost, Relaxed);
        if used.exercised & !self.exercised.load(Relaxed) != 0 {
            self.exercised.fetch_or(used.exercised, Relaxed);
        }
        let at = used.now.since(day.start()).as_millis();
        let at = u32::try_from(at).unwrap_or(u32::MAX - 1) + 1;
        if self.last_used.load(Relaxed) < at {
            self.last_used.fetch_max(at, Relaxed);
        }
        true
    }

    pub(super) fn figures(&self, day: Day) -> Figures {
        Figures {
            counts: Counts {
                allowed: self.allowed.load(Relaxed),
                denied: u64::from(self.denied.load(Relaxed)),
            },
            exercised: self.exercised.load(Relaxed),
            last_used: last_used(self.last_used.load(Relaxed), day),
        }
    }

    /// The figures, which are nothing from now on.
    pub(super) fn take(&mut self, day: Day) -> Figures {
        std::mem::take(self).figures(day)
    }
}

impl Drawn {
    /// Adds what was counted of the same; false where it is of another secret, day or set of grants.
    pub(super) fn add(&mut self, other: &Self) -> bool {
        let same = (self.id, self.version, self.day) == (other.id, other.version, other.day)
            && self.grants == other.grants;
        if same {
            self.counts.add(other.counts);
            self.last_used = self.last_used.max(other.last_used);
            self.exercised |= other.exercised;
        }
        same
    }
}

fn last_used(kept: u32, day: Day) -> Option<Timestamp> {
    let millis = kept.checked_sub(1)?;
    Some(Timestamp::from_millis(
        day.start().as_millis() + i64::from(millis),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Day = Day::numbered(20_833);

    fn used(allowed: bool, cost: u64, now: Timestamp) -> Use {
        Use {
            version: 1,
            allowed,
            cost,
            exercised: 0,
            now,
        }
    }

    #[test]
    fn the_last_use_is_kept_to_the_millisecond_from_the_first_to_the_last_of_the_day() {
        let last = Timestamp::from_millis(DAY.end().as_millis() - 1);
        let mut tally = Tally::default();
        assert_eq!(tally.figures(DAY).last_used, None);
        for now in [DAY.start(), last, DAY.start()] {
            assert!(tally.count(&used(true, 1, now), DAY));
        }
        let figures = tally.take(DAY);
        assert_eq!((figures.counts.allowed, figures.last_used), (3, Some(last)));
        assert_eq!(tally.figures(DAY).last_used, None, "it was taken");
    }

    #[test]
    fn what_would_run_over_is_counted_elsewhere() {
        let now = DAY.start();
        let tally = Tally::default();
        assert!(!tally.count(&used(true, CALLS, now), DAY));
        assert!(tally.count(&used(true, CALLS - 1, now), DAY));
        assert!(tally.count(&used(true, CALLS - 1, now), DAY));
        assert!(!tally.count(&used(true, 1, now), DAY), "it is full");
        tally.denied.store(DENIALS - 1, Relaxed);
        assert!(tally.count(&used(false, 9, now), DAY));
        assert!(!tally.count(&used(false, 9, now), DAY));
        let counts = tally.figures(DAY).counts;
        assert_eq!(counts.denied, u64::from(DENIALS));
        assert_eq!(counts.allowed, 2 * (CALLS - 1));
    }
}
