//! What was counted and is not folded yet, in memory: packed entries, spread over the shares of all names. Adding is appending;
//! reading one name, or taking the next ones in their order, looks through one share.

use crate::store::key;
use crate::store::record::packed::{self, Entries, Entry};

/// Room that a share gets when it is first used, in bytes.
const FIRST_ROOM: usize = 256;

/// Entries by share.
#[derive(Debug)]
pub(super) struct Heap {
    shares: Vec<Vec<u8>>,
    bytes: usize,
}

impl Default for Heap {
    fn default() -> Self {
        Self {
            shares: vec![Vec::new(); key::USAGE_SHARES],
            bytes: 0,
        }
    }
}

impl Heap {
    /// How many bytes of entries were added and not dropped.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, name: &[u8], value: &[u8]) {
        let share = &mut self.shares[key::usage_share(name)];
        let before = share.len();
        let room = share.capacity();
        if before + name.len() + value.len() + packed::MORE > room {
            // A half more than before: a share that has grown leaves a third of its room unused at the most.
            share.reserve_exact(FIRST_ROOM.max(room / 2) + name.len() + value.len());
        }
        packed::push(share, name, value);
        self.bytes += share.len() - before;
    }

    /// The values under a name that lies after `after`.
    pub(super) fn of<'a>(&'a self, name: &'a [u8], after: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let folded = name <= after;
        let share = &self.shares[key::usage_share(name)];
        let own = Entries::of(if folded { &[] } else { share });
        own.filter(move |(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    /// The entries of the consumers of a token, unless the token's name lies up to `after`.
    pub(super) fn consumers<'a>(
        &'a self,
        token: &'a [u8],
        after: &[u8],
    ) -> impl Iterator<Item = Entry<'a>> {
        let folded = token <= after;
        let share = &self.shares[key::usage_share(token)];
        let own = Entries::of(if folded { &[] } else { share });
        own.filter(move |(name, _)| name.len() > token.len() && name.starts_with(token))
    }

    /// Entries after a name in their order, of `most` bytes at the least where there are as many: whole shares.
    pub(super) fn next(&self, after: &[u8], most: usize) -> Vec<Entry<'_>> {
        let mut entries: Vec<Entry<'_>> = Vec::new();
        let mut bytes = 0;
        let first = if after.is_empty() {
            0
        } else {
            key::usage_share(after)
        };
        for share in self.shares.iter().skip(first) {
            let from = entries.len();
            entries.extend(Entries::of(share).filter(|(name, _)| key::usage_owner(name) > after));
            entries[from..].sort_unstable_by_key(|(name, _)| *name);
            if entries.len() > from {
                bytes += share.len();
            }
            if bytes >= most {
                break;
            }
        }
        entries
    }

    /// Drops the shares that lie before a name.
    pub(super) fn drop_through(&mut self, after: &[u8]) {
        for share in self.shares.iter_mut().take(key::usage_share(after)) {
            self.bytes -= std::mem::take(share).len();
        }
    }
}
