//! What was counted beside the tokens, for `meter::usage`: to be looked at, and to be taken when it is saved.

use super::found::hash_of;
use super::{Directory, Drawn, SHARDS};
use crate::domain::id::TokenId;
use crate::domain::time::Day;

impl Directory {
    /// The shard that a token belongs to, of `SHARDS`.
    #[must_use]
    pub fn shard_of_token(id: &TokenId) -> usize {
        Self::shard_of(hash_of(id))
    }

    /// Takes what was counted of a shard's tokens, of so many at the most; a token may be told of twice if it was changed meanwhile. When
    /// nothing is left, tallies of that shard count the day given, if there is one.
    #[must_use]
    pub fn draw(&self, shard: usize, most: usize, day: Option<Day>) -> Vec<Drawn> {
        let lock = &self.tokens[shard % SHARDS];
        let shard = lock.read();
        if shard.is_drawn() && day.is_none_or(|day| day == shard.day()) {
            return Vec::new();
        }
        drop(shard);
        lock.write().draw(most, day)
    }

    /// What was counted of a token and was not taken yet.
    #[must_use]
    pub fn counted(&self, id: &TokenId) -> Vec<Drawn> {
        let hash = hash_of(id);
        self.shard(hash).waiting_of(hash, id)
    }

    /// The same of all tokens, one after the other. Tells of a shard while it is held: nothing else is to be looked up here meanwhile.
    pub fn each_counted(&self, mut tell: impl FnMut(Drawn)) {
        for shard in &self.tokens {
            shard.read().waiting().for_each(&mut tell);
        }
    }
}
