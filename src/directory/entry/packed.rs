//! An entry as bytes, and back: in as many as it needs, so that a million are read in a moment.

use std::sync::Arc;

use super::{Entry, Flags};
use crate::directory::profile::Profile;
use crate::directory::tally::Tally;
use crate::directory::tenant::{Seat, Tenant};
use crate::domain::id::{AccountId, TokenId};
use crate::domain::secret::{Digest, KeyId, Secret};
use crate::domain::time::Timestamp;
use crate::domain::token::Token;

/// Flags, id, digest, key, version and expiry.
pub(in crate::directory) const PACKED: usize = 1 + TokenId::LENGTH + Digest::LENGTH + 4 + 4 + 8;

impl Entry {
    /// The entry but for its name and what it shares with others; `None` for the few that have more than one has room for.
    pub(in crate::directory) fn packed(&self) -> Option<[u8; PACKED]> {
        if self.more.is_some() {
            return None;
        }
        let parts: [&[u8]; 6] = [
            &[self.flags.0],
            self.id.as_bytes(),
            self.digest.as_bytes(),
            &self.key.0.to_be_bytes(),
            &self.version.to_be_bytes(),
            &self.expire_time.as_millis().to_be_bytes(),
        ];
        parts.concat().try_into().ok()
    }

    /// The other way; `None` for what no entry is packed into.
    pub(in crate::directory) fn unpacked(
        packed: &[u8; PACKED],
        name: &str,
        tenant: Arc<Tenant>,
        seat: Option<Arc<Seat>>,
        profile: Arc<Profile>,
    ) -> Option<Self> {
        let ([flags], rest) = packed.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk::<{ TokenId::LENGTH }>()?;
        let (digest, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let expire_time = rest.first_chunk()?;
        let flags = Flags(*flags);
        flags.has(Flags::ALONE).then_some(())?;
        Some(Self {
            id: TokenId::parse(std::str::from_utf8(id).ok()?)?,
            flags,
            digest: Digest::new(*digest),
            key: KeyId(u32::from_be_bytes(*key)),
            version: u32::from_be_bytes(*version),
            expire_time: Timestamp::from_millis(i64::from_be_bytes(*expire_time)),
            tenant,
            seat,
            profile,
            name: name.into(),
            more: None,
            tally: Tally::default(),
        })
    }

    /// A token that makes this entry; what entries do not have is empty.
    pub(in crate::directory) fn token(&self) -> Token {
        let profile = self.profile();
        let secrets = (0..).map_while(|slot| self.secret(slot));
        let secrets: Vec<Secret> = secrets
            .map(|secret| Secret {
                version: secret.version,
                place: secret.life.place,
                digest: *secret.digest,
                key: secret.key,
                foreign: secret.foreign,
                hint: String::new(),
                create_time: secret.life.create_time,
            })
            .collect();
        Token {
            id: self.id,
            account: self.account(),
            name: self.name.to_string(),
            description: String::new(),
            principal: self.seat.as_ref().map(|seat| seat.id().clone()),
            access: self.access(),
            grants: profile.grants.clone(),
            networks: profile.networks.to_vec(),
            rate_limit: profile.rate_limit,
            max_connections: profile.max_connections,
            inactive: self.is_inactive(),
            deactivations: 0,
            expire_time: self.expire_time(),
            create_time: Timestamp::default(),
            created_by: String::new(),
            update_time: Timestamp::default(),
            rekey_time: None,
            last_version: self.version,
            secrets,
            labels: std::collections::BTreeMap::new(),
            generation: 0,
            scope: profile.scope.clone(),
            imported: false,
            foreign_id: self
                .more
                .as_ref()
                .and_then(|more| more.foreign_id.as_deref().map(Into::into)),
        }
    }

    fn account(&self) -> AccountId {
        self.tenant.id().clone()
    }
}
