//! The read model: all that a decision needs, in memory, laid out for one lookup by token id.
//!
//! It is loaded from the store and then follows the store's changes (`follow`). Nothing else writes it, but for the counts beside
//! each token (`tally`). A reader waits only while a change of the same part of the tokens is taken in (`shard`, `found`); who wants to be
//! woken by a change is (`alarms`).

pub mod alarms;
mod counts;
mod entry;
pub mod follow;
mod found;
mod image;
mod imports;
mod load;
mod profile;
mod replace;
mod shard;
mod tally;
mod tenant;
mod touched;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use papaya::HashMap;
use tokio::sync::watch;

pub use entry::{ENTRY_BYTES, Entry, SecretView};
pub use found::{Found, Sought};
pub use profile::Profile;
pub use tally::{Drawn, Use};
pub use tenant::{Current, Member, Seat, Tenant};
pub use touched::{Observer, Touched};

use crate::domain::account::Account;
use crate::domain::id::{AccountId, PrincipalId, RoleId, TokenId};
use crate::domain::role::Role;
use crate::store::backend::Revision;
use found::{Lock, Reading};
use imports::Imports;
use profile::Profiles;

/// Tokens are spread over so many locks.
pub const SHARDS: usize = 1_024;

/// Everything in memory.
#[derive(Debug)]
pub struct Directory {
    tokens: Box<[Lock]>,
    imports: Imports,
    profiles: Profiles,
    tenants: HashMap<AccountId, Arc<Tenant>>,
    seats: HashMap<(AccountId, PrincipalId), Arc<Seat>>,
    roles: HashMap<(AccountId, RoleId), Arc<Role>>,
    /// The state that every lookup from now on is at least as new as: to be read by every core on every call.
    at: AtomicU64,
    /// The same, for those who wait for it.
    revision: watch::Sender<Revision>,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            tokens: (0..SHARDS).map(|_| Lock::default()).collect(),
            imports: Imports::default(),
            profiles: Profiles::default(),
            tenants: HashMap::new(),
            seats: HashMap::new(),
            roles: HashMap::new(),
            at: AtomicU64::new(0),
            revision: watch::Sender::new(Revision(0)),
        }
    }
}

impl Directory {
    /// Looks a token up. No other is looked up before what this gives is let go.
    #[must_use]
    pub fn seek(&self, id: &TokenId) -> Sought<'_> {
        let hash = found::hash_of(id);
        Sought::of(self.shard(hash), hash, id)
    }

    /// The same work for a text that belongs to no token.
    #[must_use]
    pub fn seek_nobody(&self, digest: &[u8; 32]) -> Sought<'_> {
        let hash = found::hash_of_digest(digest);
        Sought::nobody(self.shard(hash), hash)
    }

    #[must_use]
    pub fn find(&self, id: &TokenId) -> Option<Found<'_>> {
        self.seek(id).found()
    }

    /// The token that an imported text belongs to, by the text's digest.
    #[must_use]
    pub fn imported(&self, digest: &[u8; 32]) -> Option<TokenId> {
        self.imports.get(digest)
    }

    /// Whose a token is.
    #[must_use]
    pub fn owner(&self, id: &TokenId) -> Option<AccountId> {
        self.find(id).map(|found| found.tenant().id().clone())
    }

    #[must_use]
    pub fn account(&self, id: &AccountId) -> Option<Arc<Account>> {
        let tenants = self.tenants.pin();
        let account = tenants.get(id)?.account()?;
        Some(Arc::clone(&account))
    }

    #[must_use]
    pub fn member(&self, account: &AccountId, id: &PrincipalId) -> Option<Arc<Member>> {
        let seats = self.seats.pin();
        let member = seats.get(&(account.clone(), id.clone()))?.member()?;
        Some(Arc::clone(&member))
    }

    /// The commit whose changes every lookup from now on sees.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision(self.at.load(Ordering::Acquire))
    }

    /// Waits until lookups see a commit.
    pub async fn reached(&self, revision: Revision) {
        let mut seen = self.revision.subscribe();
        seen.wait_for(|at| *at >= revision)
            .await
            .expect("the directory holds the sender");
    }

    /// How many tokens there are.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens.iter().map(|shard| shard.read().len()).sum()
    }

    /// The number of the shard that a hash belongs to: by bits that the shard's own index does not go by.
    fn shard_of(hash: u64) -> usize {
        (hash >> 40) as usize % SHARDS
    }

    fn shard(&self, hash: u64) -> Reading<'_> {
        self.tokens[Self::shard_of(hash)].read()
    }
}

#[cfg(test)]
mod tests;
