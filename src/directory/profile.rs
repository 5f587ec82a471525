//! What many tokens have in common: the same grants, networks and limits are kept once.

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hashbrown::HashTable;

use crate::domain::credential::Credential;
use crate::domain::grant::Grants;
use crate::domain::id::{AccountId, TokenId};
use crate::domain::network::Network;
use crate::domain::rate::RateLimit;
use crate::domain::time::Timestamp;
use crate::domain::token::{Access, Token};

/// What a token may do, and from where and how often. Of equal ones there is one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Profile {
    pub grants: Grants,
    pub networks: Box<[Network]>,
    pub rate_limit: Option<RateLimit>,
    pub max_connections: Option<NonZeroU32>,
    /// An operator token's one account.
    pub scope: Option<AccountId>,
}

/// All profiles that some token has.
#[derive(Debug, Default)]
pub(super) struct Profiles {
    hasher: RandomState,
    /// By hash. One that no token has any more goes when the table would grow.
    known: Mutex<HashTable<(u64, Weak<Profile>)>>,
}

impl Profile {
    pub(super) fn of(token: &Token) -> Self {
        Self {
            grants: token.grants.clone(),
            networks: token.networks.clone().into(),
            rate_limit: token.rate_limit,
            max_connections: token.max_connections,
            scope: token.scope.clone(),
        }
    }

    /// The view of a token that has this profile.
    #[must_use]
    pub fn credential(
        &self,
        id: TokenId,
        access: Access,
        inactive: bool,
        expire_time: Option<Timestamp>,
    ) -> Credential<'_> {
        Credential {
            id,
            access,
            grants: &self.grants,
            networks: &self.networks,
            rate_limit: self.rate_limit,
            max_connections: self.max_connections,
            inactive,
            expire_time,
            scope: self.scope.as_ref(),
        }
    }
}

impl Profiles {
    /// The one profile that is equal to this.
    pub(super) fn one(&self, profile: Profile) -> Arc<Profile> {
        let hash = self.hasher.hash_one(&profile);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |(of, kept): &(u64, Weak<Profile>)| {
            *of == hash && kept.upgrade().is_some_and(|kept| *kept == profile)
        };
        if let Some(kept) = known.find(hash, same).and_then(|(_, kept)| kept.upgrade()) {
            return kept;
        }
        if known.len() == known.capacity() {
            known.retain(|(_, kept)| kept.strong_count() > 0);
            let as_many_again = known.len() + 1;
            known.reserve(as_many_again, |(hash, _)| *hash);
        }
        let profile = Arc::new(profile);
        known.insert_unique(hash, (hash, Arc::downgrade(&profile)), |(hash, _)| *hash);
        profile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(calls: u32) -> Profile {
        Profile {
            grants: Grants::default(),
            networks: Box::default(),
            rate_limit: None,
            max_connections: NonZeroU32::new(calls),
            scope: None,
        }
    }

    #[test]
    fn equal_profiles_are_one_and_those_without_a_token_go() {
        let profiles = Profiles::default();
        let kept: Vec<_> = (0..100).map(|calls| profiles.one(profile(calls))).collect();
        for calls in 0..100 {
            let again = profiles.one(profile(calls));
            assert!(Arc::ptr_eq(&again, &kept[calls as usize]));
        }
        drop(kept);
        (0..10_000).for_each(|calls| drop(profiles.one(profile(calls))));
        let known = profiles.known.lock().unwrap().len();
        assert!(known <= 200, "{known} are left");
    }
}
