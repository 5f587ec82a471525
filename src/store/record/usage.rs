//! How often things were used.

use prost::Message as _;

use super::{Record, packed, parse, stored};
use crate::domain::time::{Day, Timestamp};
use crate::domain::usage::Consumer;

/// A part of what a save adds to its journal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UsageLog {
    /// Packed, in any order.
    pub entries: Vec<u8>,
}

/// A page of the use of many.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UsagePage {
    /// The name at which the next page begins.
    pub next: Option<Vec<u8>>,
    /// Packed, in the order of their names.
    pub entries: Vec<u8>,
}

/// How far a journal is folded: of the saves up to `through` the entries up to `after`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UsageFold {
    pub through: u64,
    pub after: Vec<u8>,
}

impl Record for UsageLog {
    fn encode(&self) -> Vec<u8> {
        stored::UsageLog {
            entries: self.entries.clone(),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::UsageLog = parse(payload)?;
        packed::check(&stored.entries)?;
        Ok(Self {
            entries: stored.entries,
        })
    }
}

impl Record for UsagePage {
    fn encode(&self) -> Vec<u8> {
        stored::UsagePage {
            next: self.next.clone(),
            entries: self.entries.clone(),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::UsagePage = parse(payload)?;
        packed::check(&stored.entries)?;
        Ok(Self {
            next: stored.next,
            entries: stored.entries,
        })
    }
}

impl Record for UsageFold {
    fn encode(&self) -> Vec<u8> {
        stored::UsageFold {
            through: self.through,
            after: self.after.clone(),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::UsageFold = parse(payload)?;
        Ok(Self {
            through: stored.through,
            after: stored.after,
        })
    }
}

impl Record for Consumer {
    fn encode(&self) -> Vec<u8> {
        stored::Consumer {
            first_seen_ms: self.first_seen.as_millis(),
            last_seen_ms: self.last_seen.as_millis(),
            day: self.day.number(),
            calls: self.calls,
            secret_version: self.version,
            old_used_ms: self.old_used.map(Timestamp::as_millis),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::Consumer = parse(payload)?;
        Ok(Self {
            first_seen: Timestamp::from_millis(stored.first_seen_ms),
            last_seen: Timestamp::from_millis(stored.last_seen_ms),
            day: Day::numbered(stored.day),
            calls: stored.calls,
            version: stored.secret_version,
            old_used: stored.old_used_ms.map(Timestamp::from_millis),
        })
    }
}
