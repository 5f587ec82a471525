//! A token as it is kept in memory: what decisions need of it, packed into few bytes, with its counts beside it.
//!
//! Nearly all tokens have one secret, which is in the entry itself. What else belongs to a token (its description, labels, times) is
//! read from the store by whoever shows it.

mod packed;

use std::fmt;
use std::sync::Arc;

use super::profile::Profile;
use super::tally::{Drawn, Figures, Tally};
use super::tenant::{Seat, Tenant};
use crate::domain::credential::Credential;
use crate::domain::id::TokenId;
use crate::domain::secret::{Digest, KeyId, Life, Place};
use crate::domain::time::{Day, Timestamp};
use crate::domain::token::{Access, Token};

pub(super) use packed::PACKED;

/// What an entry takes, in bytes, but for its name and what few tokens have.
pub const ENTRY_BYTES: usize = 144;

/// A token that can be looked up.
pub struct Entry {
    id: TokenId,
    flags: Flags,
    /// Of the current secret, where it is the only one: with `key` and the flag `FOREIGN`.
    digest: Digest,
    key: KeyId,
    /// Of the current secret. Its uses are counted in the tally.
    version: u32,
    /// Where the flag `EXPIRES` is set.
    expire_time: Timestamp,
    tenant: Arc<Tenant>,
    seat: Option<Arc<Seat>>,
    profile: Arc<Profile>,
    name: Box<str>,
    more: Option<Box<More>>,
    pub(super) tally: Tally,
}

/// What few tokens have.
struct More {
    /// All secrets, by version, where there is another one than the current: pending, retiring, superseded.
    secrets: Box<[KeptSecret]>,
    foreign_id: Option<Box<str>>,
}

struct KeptSecret {
    digest: Digest,
    key: KeyId,
    foreign: bool,
    version: u32,
    life: Life,
}

/// One of a token's secrets.
#[derive(Clone, Copy, Debug)]
pub struct SecretView<'a> {
    pub digest: &'a Digest,
    pub key: KeyId,
    /// Of an imported text.
    pub foreign: bool,
    pub version: u32,
    pub life: Life,
}

/// Set of bits.
#[derive(Clone, Copy, Debug)]
struct Flags(u8);

impl Flags {
    const READ_ONLY: u8 = 1;
    const INACTIVE: u8 = 2;
    const EXPIRES: u8 = 4;
    /// The current secret is the only one, and in the entry itself.
    const ALONE: u8 = 8;
    /// That secret is an imported text.
    const FOREIGN: u8 = 16;

    fn of(bits: [(u8, bool); 5]) -> Self {
        let set = bits.into_iter().filter(|(_, is_set)| *is_set);
        Self(set.fold(0, |all, (bit, _)| all | bit))
    }

    const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

impl Entry {
    pub(super) fn new(
        token: Token,
        tenant: Arc<Tenant>,
        seat: Option<Arc<Seat>>,
        profile: Arc<Profile>,
    ) -> Self {
        let alone = match &token.secrets[..] {
            [only] if only.place == Place::Current => Some(only),
            _ => None,
        };
        let flags = Flags::of([
            (Flags::READ_ONLY, token.access == Access::ReadOnly),
            (Flags::INACTIVE, token.inactive),
            (Flags::EXPIRES, token.expire_time.is_some()),
            (Flags::ALONE, alone.is_some()),
            (Flags::FOREIGN, alone.is_some_and(|only| only.foreign)),
        ]);
        let none = (Digest::new([0; Digest::LENGTH]), KeyId(0));
        let (digest, key) = alone.map_or(none, |only| (only.digest, only.key));
        Self {
            id: token.id,
            flags,
            digest,
            key,
            version: token.current_version(),
            expire_time: token.expire_time.unwrap_or_default(),
            tenant,
            seat,
            profile,
            more: More::of(&token, alone.is_some()).map(Box::new),
            name: token.name.into_boxed_str(),
            tally: Tally::default(),
        }
    }

    #[must_use]
    pub const fn id(&self) -> TokenId {
        self.id
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub const fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// Its principal's, where it has one.
    #[must_use]
    pub const fn seat(&self) -> Option<&Arc<Seat>> {
        self.seat.as_ref()
    }

    #[must_use]
    pub const fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// What decisions need of it.
    #[must_use]
    pub fn credential(&self) -> Credential<'_> {
        self.profile.credential(
            self.id,
            self.access(),
            self.is_inactive(),
            self.expire_time(),
        )
    }

    /// Its secret at a place among all of them, by version.
    #[must_use]
    pub fn secret(&self, slot: usize) -> Option<SecretView<'_>> {
        if self.flags.has(Flags::ALONE) {
            return (slot == 0).then_some(SecretView {
                digest: &self.digest,
                key: self.key,
                foreign: self.flags.has(Flags::FOREIGN),
                version: self.version,
                life: Life {
                    place: Place::Current,
                    // A current secret's state does not follow from it.
                    create_time: Timestamp::from_millis(0),
                },
            });
        }
        let kept = self.more.as_ref()?.secrets.get(slot)?;
        Some(SecretView {
            digest: &kept.digest,
            key: kept.key,
            foreign: kept.foreign,
            version: kept.version,
            life: kept.life,
        })
    }

    /// In Basic an imported text goes with its own user name, or with its token's id.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        let foreign = self
            .more
            .as_ref()
            .and_then(|more| more.foreign_id.as_deref());
        foreign == Some(name) || self.id.as_str() == name
    }

    /// The version of the secret that the tally counts.
    pub(super) const fn version(&self) -> u32 {
        self.version
    }

    /// What its tally says.
    pub(super) fn look(&self, day: Day) -> Drawn {
        self.told(self.tally.figures(day), day)
    }

    /// The same, and the tally begins anew.
    pub(super) fn draw(&mut self, day: Day) -> Drawn {
        let figures = self.tally.take(day);
        self.told(figures, day)
    }

    fn told(&self, figures: Figures, day: Day) -> Drawn {
        Drawn {
            id: self.id,
            account: self.tenant.id().clone(),
            grants: self.profile.grants.clone(),
            version: self.version,
            day,
            counts: figures.counts,
            last_used: figures.last_used,
            exercised: figures.exercised,
            retired: false,
        }
    }

    /// The same token among the tenants, seats and profiles of another directory.
    pub(super) fn moved(
        self,
        tenant: Arc<Tenant>,
        seat: Option<Arc<Seat>>,
        profile: Arc<Profile>,
    ) -> Self {
        Self {
            tenant,
            seat,
            profile,
            ..self
        }
    }

    const fn access(&self) -> Access {
        if self.flags.has(Flags::READ_ONLY) {
            Access::ReadOnly
        } else {
            Access::Full
        }
    }

    const fn is_inactive(&self) -> bool {
        self.flags.has(Flags::INACTIVE)
    }

    fn expire_time(&self) -> Option<Timestamp> {
        self.flags.has(Flags::EXPIRES).then_some(self.expire_time)
    }
}

impl More {
    fn of(token: &Token, alone: bool) -> Option<Self> {
        let foreign_id = token.foreign_id.as_deref().map(Into::into);
        if alone && foreign_id.is_none() {
            return None;
        }
        let kept = token.secrets.iter().filter(|_| !alone);
        let secrets = kept.map(|secret| KeptSecret {
            digest: secret.digest,
            key: secret.key,
            foreign: secret.foreign,
            version: secret.version,
            life: secret.life(),
        });
        Some(Self {
            secrets: secrets.collect(),
            foreign_id,
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
