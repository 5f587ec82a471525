//! An entry, for as long as it is looked at: its shard takes in no change meanwhile.
//!
//! So it is held for the length of one decision and never across an await, which the compiler sees to; and while one is held, its thread
//! looks nothing else up and draws no tallies, or a change that waits between the two would stop all three. Debug builds, and so all
//! tests, see to that.

use std::ops::Deref;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::entry::Entry;
use super::shard::{Shard, hash};
use super::tally::Use;
use crate::domain::id::TokenId;

/// What a look-up came to: an entry in each case, so that a miss reads as much as a hit. Only in an empty shard there is none.
#[derive(Debug)]
pub struct Sought<'d> {
    shard: Reading<'d>,
    place: u32,
    hit: bool,
}

/// A token's entry.
#[derive(Debug)]
pub struct Found<'d> {
    shard: Reading<'d>,
    place: u32,
}

/// A shard that readers share.
#[derive(Debug)]
pub(super) struct Reading<'d> {
    shard: RwLockReadGuard<'d, Shard>,
    _alone: Alone,
}

/// A shard for whoever changes it.
#[derive(Debug)]
pub(super) struct Writing<'d> {
    shard: RwLockWriteGuard<'d, Shard>,
    _alone: Alone,
}

impl<'d> Sought<'d> {
    pub(super) fn of(shard: Reading<'d>, hash: u64, id: &TokenId) -> Self {
        let place = shard.find(hash, id);
        Self {
            place: place.unwrap_or_else(|| shard.any_place(hash)),
            hit: place.is_some(),
            shard,
        }
    }

    /// Nobody: somebody else's entry, to be read in vain.
    pub(super) fn nobody(shard: Reading<'d>, hash: u64) -> Self {
        Self {
            place: shard.any_place(hash),
            hit: false,
            shard,
        }
    }

    /// The token's entry, or where there is none somebody else's, to be read in vain.
    #[must_use]
    pub fn to_read(&self) -> Option<&Entry> {
        self.shard.entry(self.place)
    }

    /// Is it the token's?
    #[must_use]
    pub fn is_hit(&self) -> bool {
        self.hit
    }

    #[must_use]
    pub fn found(self) -> Option<Found<'d>> {
        (self.hit).then_some(Found {
            shard: self.shard,
            place: self.place,
        })
    }
}

impl Found<'_> {
    /// Counts a decision beside the entry. False where that cannot be: of another secret than the current one, or of another day
    /// than is counted here.
    #[must_use]
    pub fn count(&self, used: &Use) -> bool {
        self.shard.count(self.place, used)
    }
}

impl Deref for Found<'_> {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        let entry = self.shard.entry(self.place);
        entry.expect("it was found, and nothing has changed since")
    }
}

/// A shard's lock. Padded, so that the cores that take one do not slow down those that take its neighbour.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Lock(RwLock<Shard>);

impl Lock {
    /// Waits only while a change of this shard is taken in.
    pub(super) fn read(&self) -> Reading<'_> {
        Reading {
            _alone: Alone::new(),
            shard: self.0.read().unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub(super) fn write(&self) -> Writing<'_> {
        Writing {
            _alone: Alone::new(),
            shard: self.0.write().unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub(super) fn into_inner(self) -> Shard {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Reading<'_> {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        &self.shard
    }
}

impl Deref for Writing<'_> {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        &self.shard
    }
}

impl std::ops::DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }
}

/// This thread holds no shard but one: in debug builds a second one is refused, for it could wait for a change that waits for the
/// first.
#[derive(Debug)]
struct Alone;

#[cfg(debug_assertions)]
thread_local!(static HELD: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });

impl Alone {
    fn new() -> Self {
        #[cfg(debug_assertions)]
        HELD.with(|held| {
            assert!(!held.replace(true), "a thread holds one entry at a time");
        });
        Self
    }
}

#[cfg(debug_assertions)]
impl Drop for Alone {
    fn drop(&mut self) {
        HELD.with(|held| held.set(false));
    }
}

/// The hash of whatever was presented in place of an id.
pub(super) fn hash_of_digest(digest: &[u8; 32]) -> u64 {
    digest
        .first_chunk()
        .map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// The hash by which a token is kept.
pub(super) fn hash_of(id: &TokenId) -> u64 {
    hash(id)
}
