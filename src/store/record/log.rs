//! The audit log's lines and checkpoints, the kept answers of requests, and the head row.

use std::collections::BTreeMap;

use prost::Message as _;

use super::{Link, Record, bytes32, parse, stored};
use crate::domain::id::AccountId;
use crate::domain::limits;
use crate::domain::secret::KeyId;
use crate::domain::time::Timestamp;
use crate::store::backend::Revision;
use crate::store::seal::Sum;

/// A line of the audit log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoggedEvent {
    pub sequence: u64,
    pub time: Timestamp,
    /// `EventKind`'s number; a later version's kinds are kept as they are.
    pub kind: i32,
    pub account: AccountId,
    pub subject: String,
    pub actor: String,
    pub address: String,
    pub call_id: String,
    pub details: BTreeMap<String, String>,
    /// HMAC over this line and the value of the line before it.
    pub chain: [u8; 32],
    pub chain_id: String,
    /// From 1, without gaps.
    pub chain_index: u64,
    /// The key that `chain` was made under.
    pub key: KeyId,
}

impl LoggedEvent {
    /// What the chain's value is over: the line without that value.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        stored::Event {
            chain: Vec::new(),
            ..self.stored()
        }
        .encode_to_vec()
    }

    fn stored(&self) -> stored::Event {
        stored::Event {
            sequence: self.sequence,
            time_ms: self.time.as_millis(),
            r#type: self.kind,
            account_id: self.account.to_string(),
            subject_id: self.subject.clone(),
            actor: self.actor.clone(),
            actor_address: self.address.clone(),
            call_id: self.call_id.clone(),
            details: self.details.clone(),
            chain: self.chain.to_vec(),
            chain_id: self.chain_id.clone(),
            chain_index: self.chain_index,
            key_id: self.key.0,
        }
    }
}

impl Record for LoggedEvent {
    fn encode(&self) -> Vec<u8> {
        self.stored().encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::Event = parse(payload)?;
        Ok(Self {
            sequence: stored.sequence,
            time: Timestamp::from_millis(stored.time_ms),
            kind: stored.r#type,
            account: AccountId::parse(&stored.account_id)?,
            subject: stored.subject_id,
            actor: stored.actor,
            address: stored.actor_address,
            call_id: stored.call_id,
            details: stored.details,
            chain: bytes32("a chain value", &stored.chain)?,
            chain_id: stored.chain_id,
            chain_index: stored.chain_index,
            key: KeyId(stored.key_id),
        })
    }
}

/// Where a chain of events begins: after this line, the last one that was swept. The default stands before the first line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Checkpoint {
    pub chain_id: String,
    pub chain_index: u64,
    pub chain: [u8; 32],
    pub sequence: u64,
}

impl From<&LoggedEvent> for Checkpoint {
    fn from(line: &LoggedEvent) -> Self {
        Self {
            chain_id: line.chain_id.clone(),
            chain_index: line.chain_index,
            chain: line.chain,
            sequence: line.sequence,
        }
    }
}

impl Record for Checkpoint {
    fn encode(&self) -> Vec<u8> {
        stored::Checkpoint {
            chain_id: self.chain_id.clone(),
            chain_index: self.chain_index,
            chain: self.chain.to_vec(),
            sequence: self.sequence,
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::Checkpoint = parse(payload)?;
        Ok(Self {
            chain_id: stored.chain_id,
            chain_index: stored.chain_index,
            chain: bytes32("a checkpoint", &stored.chain)?,
            sequence: stored.sequence,
        })
    }
}

/// The kept answer of a call with a request id.
#[derive(Clone, PartialEq, Eq)]
pub struct Replay {
    pub create_time: Timestamp,
    pub payload_hash: [u8; 32],
    /// The record's payload as it was answered.
    pub subject: Vec<u8>,
    /// The secret, sealed under `key`; empty where the answer had none.
    pub sealed_secret: Vec<u8>,
    pub key: KeyId,
}

impl Replay {
    /// When it is given no more.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.create_time.after(limits::REPLAY_KEPT)
    }
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("create_time", &self.create_time)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for stored::Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("create_time_ms", &self.create_time_ms)
            .finish_non_exhaustive()
    }
}

impl Record for Replay {
    fn encode(&self) -> Vec<u8> {
        stored::Replay {
            create_time_ms: self.create_time.as_millis(),
            payload_hash: self.payload_hash.to_vec(),
            subject: self.subject.clone(),
            sealed_secret: self.sealed_secret.clone(),
            key_id: self.key.0,
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::Replay = parse(payload)?;
        Ok(Self {
            create_time: Timestamp::from_millis(stored.create_time_ms),
            payload_hash: bytes32("a payload hash", &stored.payload_hash)?,
            subject: stored.subject,
            sealed_secret: stored.sealed_secret,
            key: KeyId(stored.key_id),
        })
    }
}

/// The one row that speaks of all others: rewritten by every commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The version of the layout.
    pub format: u32,
    pub revision: Revision,
    /// How many rows there are besides this one, and the sum of their MACs.
    pub rows: u64,
    pub sum: Sum,
    /// The clock's floor at the last commit.
    pub floor: Timestamp,
    pub chain: ChainEnd,
    /// The newest change of what decisions rest on.
    pub change: Link,
    /// Every key that rows may need.
    pub keys: Vec<KeyCheck>,
}

/// Where a committer's chain of events ends.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChainEnd {
    pub id: String,
    /// How many lines it has had.
    pub length: u64,
    /// The newest line's value.
    pub value: [u8; 32],
}

/// Tells a wrong keyring from a right one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyCheck {
    pub key: KeyId,
    pub check: [u8; 32],
}

impl Record for Head {
    fn encode(&self) -> Vec<u8> {
        stored::Head {
            format: self.format,
            revision: self.revision.0,
            rows: self.rows,
            row_sum: self.sum.0.to_vec(),
            time_floor_ms: self.floor.as_millis(),
            chain_id: self.chain.id.clone(),
            chain_length: self.chain.length,
            chain: self.chain.value.to_vec(),
            change: self.change.stored(),
            keys: self
                .keys
                .iter()
                .map(|key| stored::KeyCheck {
                    key_id: key.key.0,
                    check: key.check.to_vec(),
                })
                .collect(),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::Head = parse(payload)?;
        let check = |key: &stored::KeyCheck| {
            Ok(KeyCheck {
                key: KeyId(key.key_id),
                check: bytes32("a key's check", &key.check)?,
            })
        };
        Ok(Self {
            format: stored.format,
            revision: Revision(stored.revision),
            rows: stored.rows,
            sum: Sum(bytes32("the sum", &stored.row_sum)?),
            floor: Timestamp::from_millis(stored.time_floor_ms),
            chain: ChainEnd {
                id: stored.chain_id,
                length: stored.chain_length,
                value: bytes32("the chain's end", &stored.chain)?,
            },
            change: Link::read(stored.change.as_ref())?,
            keys: stored
                .keys
                .iter()
                .map(check)
                .collect::<Result<_, String>>()?,
        })
    }
}
