//! Imported texts: which token one belongs to, by the digest that it is kept under.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;

use crate::domain::id::TokenId;

/// Imported texts are spread over so many locks.
const SHARDS: usize = 64;
/// What of a digest is kept: enough that no two are alike. All of it is compared when the token is found.
pub(super) const KEPT: usize = 16;

/// HMAC over an account and a text's SHA-256. The account is in it, so the digest alone is the key; and nobody can choose it.
pub(super) type ImportKey = [u8; 32];

#[derive(Debug)]
pub(super) struct Imports([RwLock<HashTable<Import>>; SHARDS]);

#[derive(Debug)]
struct Import {
    digest: [u8; KEPT],
    token: TokenId,
}

impl Default for Imports {
    fn default() -> Self {
        Self(std::array::from_fn(|_| RwLock::default()))
    }
}

impl Imports {
    pub(super) fn get(&self, digest: &ImportKey) -> Option<TokenId> {
        let kept = kept(digest);
        let shard = read(self.shard(&kept));
        let found = shard.find(hash(&kept), |import| import.digest == kept);
        found.map(|import| import.token)
    }

    pub(super) fn put(&self, digest: &ImportKey, token: TokenId) {
        self.put_kept(kept(digest), token);
    }

    pub(super) fn remove(&self, digest: &ImportKey) {
        let kept = kept(digest);
        let mut shard = write(self.shard(&kept));
        if let Ok(found) = shard.find_entry(hash(&kept), |import| import.digest == kept) {
            found.remove();
        }
    }

    /// Becomes like another: removals first.
    pub(super) fn become_like(&self, fresh: &Self) {
        for (own, fresh) in self.0.iter().zip(&fresh.0) {
            let fresh = read(fresh);
            let is_kept = |import: &mut Import| {
                let same = |other: &Import| other.digest == import.digest;
                fresh.find(hash(&import.digest), same).is_some()
            };
            write(own).retain(is_kept);
        }
        for fresh in &fresh.0 {
            for import in read(fresh).iter() {
                self.put_kept(import.digest, import.token);
            }
        }
    }

    /// Shows everything, a shard at a time.
    pub(super) fn each_shard<E>(
        &self,
        mut see: impl FnMut(Vec<([u8; KEPT], TokenId)>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.0.iter().try_for_each(|shard| {
            let imports = read(shard)
                .iter()
                .map(|import| (import.digest, import.token))
                .collect();
            see(imports)
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|shard| read(shard).is_empty())
    }

    pub(super) fn put_kept(&self, digest: [u8; KEPT], token: TokenId) {
        let mut shard = write(self.shard(&digest));
        match shard.find_mut(hash(&digest), |import| import.digest == digest) {
            Some(import) => import.token = token,
            None => drop(
                shard.insert_unique(hash(&digest), Import { digest, token }, |import| {
                    hash(&import.digest)
                }),
            ),
        }
    }

    fn shard(&self, digest: &[u8; KEPT]) -> &RwLock<HashTable<Import>> {
        &self.0[usize::from(digest[KEPT - 1]) % SHARDS]
    }
}

fn kept(digest: &ImportKey) -> [u8; KEPT] {
    std::array::from_fn(|place| digest[place])
}

/// Digests are evenly spread as they are.
fn hash(digest: &[u8; KEPT]) -> u64 {
    digest
        .first_chunk()
        .map_or(0, |eight| u64::from_le_bytes(*eight))
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
