//! Tokens and their secrets' digests.

use std::num::NonZeroU32;
use std::time::Duration;

use prost::Message as _;

use super::{Record, bytes32, directory, millis, parse, stored};
use crate::domain::id::{AccountId, PrincipalId, TokenId};
use crate::domain::network::Network;
use crate::domain::rate::RateLimit;
use crate::domain::secret::{Digest, KeyId, Place, Secret};
use crate::domain::time::Timestamp;
use crate::domain::token::{Access, Token};

impl Record for Token {
    fn encode(&self) -> Vec<u8> {
        stored::Token {
            id: self.id.to_string(),
            account_id: self.account.to_string(),
            name: self.name.clone(),
            description: self.description.clone(),
            principal_id: self
                .principal
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            read_only: self.access == Access::ReadOnly,
            grants: self.grants.iter().map(ToString::to_string).collect(),
            allowed_networks: self.networks.iter().map(ToString::to_string).collect(),
            rate_limit: self.rate_limit.map(stored_rate_limit),
            max_connections: self.max_connections.map_or(0, NonZeroU32::get),
            inactive: self.inactive,
            deactivations: self.deactivations,
            expire_time_ms: self.expire_time.map(Timestamp::as_millis),
            create_time_ms: self.create_time.as_millis(),
            created_by: self.created_by.clone(),
            update_time_ms: self.update_time.as_millis(),
            rekey_time_ms: self.rekey_time.map(Timestamp::as_millis),
            secrets: self.secrets.iter().map(stored_secret).collect(),
            labels: self.labels.clone(),
            generation: self.generation,
            scope_account_id: self
                .scope
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            imported: self.imported,
            foreign_id: self.foreign_id.clone().unwrap_or_default(),
            last_version: self.last_version,
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::Token = parse(payload)?;
        let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(Self {
            id: TokenId::parse(&stored.id).ok_or("a token has no id")?,
            account: AccountId::parse(&stored.account_id)?,
            name: stored.name,
            description: stored.description,
            principal: optional(&stored.principal_id)
                .map(|id| PrincipalId::parse(&id))
                .transpose()?,
            access: if stored.read_only {
                Access::ReadOnly
            } else {
                Access::Full
            },
            grants: directory::grants(&stored.grants)?,
            networks: stored
                .allowed_networks
                .iter()
                .map(|text| Network::parse(text))
                .collect::<Result<_, _>>()?,
            rate_limit: stored.rate_limit.map(rate_limit).transpose()?,
            max_connections: NonZeroU32::new(stored.max_connections),
            inactive: stored.inactive,
            deactivations: stored.deactivations,
            expire_time: stored.expire_time_ms.map(Timestamp::from_millis),
            create_time: Timestamp::from_millis(stored.create_time_ms),
            created_by: stored.created_by,
            update_time: Timestamp::from_millis(stored.update_time_ms),
            rekey_time: stored.rekey_time_ms.map(Timestamp::from_millis),
            secrets: stored
                .secrets
                .iter()
                .map(secret)
                .collect::<Result<_, _>>()?,
            last_version: stored.last_version,
            labels: stored.labels,
            generation: stored.generation,
            scope: optional(&stored.scope_account_id)
                .map(|id| AccountId::parse(&id))
                .transpose()?,
            imported: stored.imported,
            foreign_id: optional(&stored.foreign_id),
        })
    }
}

fn stored_rate_limit(limit: RateLimit) -> stored::RateLimit {
    stored::RateLimit {
        calls: limit.calls.get(),
        per_ms: millis(limit.per),
        burst: limit.burst.get(),
    }
}

fn rate_limit(stored: stored::RateLimit) -> Result<RateLimit, String> {
    let per = Duration::from_millis(stored.per_ms);
    RateLimit::new(stored.calls, per, stored.burst)
        .map_err(|_| "a rate limit is not one that can be".into())
}

fn stored_secret(secret: &Secret) -> stored::Secret {
    let (place, good_until_ms, grace_ms) = match secret.place {
        Place::Pending { grace } => (stored::SecretPlace::Pending, None, Some(millis(grace))),
        Place::Current => (stored::SecretPlace::Current, None, None),
        Place::Old { good_until } => (stored::SecretPlace::Old, Some(good_until.as_millis()), None),
    };
    stored::Secret {
        version: secret.version,
        place: place.into(),
        key_id: secret.key.0,
        digest: secret.digest.as_bytes().to_vec(),
        foreign: secret.foreign,
        hint: secret.hint.clone(),
        create_time_ms: secret.create_time.as_millis(),
        good_until_ms,
        grace_ms,
    }
}

fn secret(stored: &stored::Secret) -> Result<Secret, String> {
    let place = match (stored.place(), stored.good_until_ms, stored.grace_ms) {
        (stored::SecretPlace::Pending, _, Some(grace)) => Place::Pending {
            grace: Duration::from_millis(grace),
        },
        (stored::SecretPlace::Current, ..) => Place::Current,
        (stored::SecretPlace::Old, Some(end), _) => Place::Old {
            good_until: Timestamp::from_millis(end),
        },
        _ => return Err(format!("secret {} has no place", stored.version)),
    };
    Ok(Secret {
        version: stored.version,
        place,
        digest: Digest::new(bytes32("a digest", &stored.digest)?),
        key: KeyId(stored.key_id),
        foreign: stored.foreign,
        hint: stored.hint.clone(),
        create_time: Timestamp::from_millis(stored.create_time_ms),
    })
}

impl std::fmt::Debug for stored::Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
