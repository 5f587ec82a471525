//! A part of the tokens: their entries in chunks, so that nothing is moved as they grow in number, and an index by id.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hashbrown::HashTable;

use super::entry::Entry;
use super::tally::{Drawn, Use};
use crate::domain::id::TokenId;
use crate::domain::time::Day;

/// Entries of a chunk: few chunks, so that finding one touches no memory that is not touched all the time. What of the last one is unused
/// is address space, not memory.
const CHUNK: usize = 1_024;
/// Places that one word of `touched` speaks of.
const WORD: usize = u64::BITS as usize;

/// Entries have places, which they keep until they are removed.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// Places by the hash of the id. Who presents ids of its own choice finds nothing, and puts nothing in.
    index: HashTable<u32>,
    chunks: Vec<Vec<Option<Entry>>>,
    free: Vec<u32>,
    /// Places whose tally counted something, a bit each.
    touched: Vec<AtomicU64>,
    /// The day that tallies count.
    day: Day,
    /// What was counted of entries that have been replaced or removed since.
    retired: Vec<Drawn>,
    /// The word of `touched` at which the next one to draw begins, so that none waits for ever behind the others.
    next: usize,
}

/// Spreads an id over all bits: ids are drawn at random, but spelled in a few characters.
pub(super) fn hash(id: &TokenId) -> u64 {
    const KEYS: [u64; 3] = [
        0x9E37_79B9_7F4A_7C15,
        0xC2B2_AE3D_27D4_EB4F,
        0x1656_67B1_9E37_79F9,
    ];
    let bytes = id.as_bytes();
    let word = |at: usize| {
        let eight = bytes[at..].first_chunk();
        eight.map_or(0, |eight| u64::from_le_bytes(*eight))
    };
    let tail = fold(word(8) ^ KEYS[1], word(TokenId::LENGTH - 8) ^ KEYS[2]);
    fold(word(0) ^ KEYS[0], tail ^ KEYS[1])
}

fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Shard {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The place of a token.
    pub(super) fn find(&self, hash: u64, id: &TokenId) -> Option<u32> {
        let is_it = |place: &u32| self.entry(*place).is_some_and(|entry| entry.id() == *id);
        self.index.find(hash, is_it).copied()
    }

    /// A place to look at where there is no such token: any, and mostly somebody's.
    pub(super) fn any_place(&self, hash: u64) -> u32 {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        let places = full + self.chunks.last().map_or(0, Vec::len);
        (hash >> 32).checked_rem(places as u64).unwrap_or(0) as u32
    }

    pub(super) fn entry(&self, place: u32) -> Option<&Entry> {
        let place = place as usize;
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)?.as_ref()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flatten().flatten()
    }

    /// Puts a token in, in place of itself as it was.
    pub(super) fn put(&mut self, hash: u64, entry: Entry) {
        if let Some(place) = self.find(hash, &entry.id()) {
            self.retire(place);
            self.set(place, Some(entry));
            return;
        }
        let place = match self.free.pop() {
            Some(place) => place,
            None => self.grow(),
        };
        self.set(place, Some(entry));
        let Self { index, chunks, .. } = self;
        index.insert_unique(hash, place, |place| {
            let place = *place as usize;
            let entry = chunks[place / CHUNK][place % CHUNK].as_ref();
            entry.map_or(0, |entry| self::hash(&entry.id()))
        });
    }

    pub(super) fn remove(&mut self, hash: u64, id: &TokenId) -> Option<Entry> {
        let place = self.find(hash, id)?;
        self.retire(place);
        if let Ok(found) = self.index.find_entry(hash, |at| *at == place) {
            found.remove();
        }
        self.free.push(place);
        self.set(place, None)
    }

    /// Everything in it; what was counted goes with it.
    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.chunks.into_iter().flatten().flatten()
    }

    /// Counts a decision in an entry's tally. False where a tally cannot hold it.
    pub(super) fn count(&self, place: u32, used: &Use) -> bool {
        let Some(entry) = self.entry(place) else {
            return false;
        };
        let counted_here = used.version == entry.version() || !used.allowed;
        if !counted_here || Day::of(used.now) != self.day || !entry.tally.count(used, self.day) {
            return false;
        }
        let (word, bit) = bit(place);
        if let Some(word) = self.touched.get(word)
            && word.load(Relaxed) & bit == 0
        {
            word.fetch_or(bit, Relaxed);
        }
        true
    }

    /// Does nothing wait to be drawn?
    pub(super) fn is_drawn(&self) -> bool {
        self.retired.is_empty() && self.touched.iter().all(|word| word.load(Relaxed) == 0)
    }

    pub(super) fn day(&self) -> Day {
        self.day
    }

    /// What was counted and was not drawn yet.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Drawn> {
        let words = self.touched.iter().enumerate();
        let places = words.flat_map(|(at, word)| places(at, word.load(Relaxed)));
        let counted = places.filter_map(|place| self.entry(place));
        let counted = counted.map(|entry| entry.look(self.day));
        self.retired.iter().cloned().chain(counted)
    }

    /// The same of one token.
    pub(super) fn waiting_of(&self, hash: u64, id: &TokenId) -> Vec<Drawn> {
        let retired = self.retired.iter().filter(|drawn| drawn.id == *id);
        let touched = self.find(hash, id).filter(|place| self.is_touched(*place));
        let counted = touched.and_then(|place| self.entry(place));
        let counted = counted.map(|entry| entry.look(self.day));
        retired.cloned().chain(counted).collect()
    }

    /// Takes what was counted, of so many tokens at the most. Once nothing waits, tallies count the day given.
    pub(super) fn draw(&mut self, most: usize, day: Option<Day>) -> Vec<Drawn> {
        let from_retired = self.retired.len().min(most);
        let mut drawn: Vec<Drawn> = self.retired.drain(..from_retired).collect();
        let words = self.touched.len();
        for step in 0..words {
            let at = (self.next + step) % words;
            let waiting = *self.touched[at].get_mut();
            if waiting != 0 && drawn.len() >= most {
                self.next = at;
                return drawn;
            }
            for place in places(at, waiting).take(most - drawn.len()) {
                *self.touched[at].get_mut() &= !bit(place).1;
                let day = self.day;
                drawn.extend(self.entry_mut(place).map(|entry| entry.draw(day)));
            }
        }
        if self.is_drawn() {
            self.day = day.unwrap_or(self.day);
        }
        drawn
    }

    fn is_touched(&self, place: u32) -> bool {
        let (word, bit) = bit(place);
        let word = self.touched.get(word);
        word.is_some_and(|word| word.load(Relaxed) & bit != 0)
    }

    /// Keeps what was counted of an entry that is about to go.
    fn retire(&mut self, place: u32) {
        if !self.is_touched(place) {
            return;
        }
        let (word, bit) = bit(place);
        *self.touched[word].get_mut() &= !bit;
        let day = self.day;
        let Some(mut drawn) = self.entry_mut(place).map(|entry| entry.draw(day)) else {
            return;
        };
        drawn.retired = true;
        if !self.retired.iter_mut().any(|before| before.add(&drawn)) {
            self.retired.push(drawn);
        }
    }

    fn entry_mut(&mut self, place: u32) -> Option<&mut Entry> {
        let place = place as usize;
        self.chunks
            .get_mut(place / CHUNK)?
            .get_mut(place % CHUNK)?
            .as_mut()
    }

    fn set(&mut self, place: u32, entry: Option<Entry>) -> Option<Entry> {
        let place = place as usize;
        std::mem::replace(&mut self.chunks[place / CHUNK][place % CHUNK], entry)
    }

    /// A place more.
    fn grow(&mut self) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let full = (self.chunks.len() - 1) * CHUNK;
        let last = &mut self.chunks.last_mut().expect("there is one");
        last.push(None);
        let place = full + last.len() - 1;
        if place / WORD == self.touched.len() {
            self.touched.push(AtomicU64::new(0));
        }
        u32::try_from(place).expect("a shard has no four billion tokens")
    }
}

/// The word and the bit of a place.
fn bit(place: u32) -> (usize, u64) {
    let place = place as usize;
    (place / WORD, 1 << (place % WORD))
}

/// The places whose bits are set in a word.
fn places(at: usize, mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some((at * WORD) as u32 + bit)
    })
}

#[cfg(test)]
#[path = "shard_tests.rs"]
mod tests;
