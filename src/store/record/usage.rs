//! How often things were used.

use prost::Message as _;

use super::{Record, parse, stored};
use crate::domain::time::{Day, Timestamp};
use crate::domain::usage::{Consumer, Counts, Days, SecretUse, Today, TokenUsage};

/// An account's newest day with a use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AccountUsage(pub Today);

/// The newest save of one process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UsageSave {
    pub sequence: u64,
    pub time: Timestamp,
}

impl Record for TokenUsage {
    fn encode(&self) -> Vec<u8> {
        stored::TokenUsage {
            today: Some(stored_day(self.today.day, self.today.counts)),
            last_used_ms: self.last_used.map(Timestamp::as_millis),
            secrets: self.secrets.iter().map(stored_secret).collect(),
            exercised_grants: self.exercised.iter().cloned().collect(),
            consumers: self.consumers,
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::TokenUsage = parse(payload)?;
        Ok(Self {
            today: today(stored.today),
            last_used: stored.last_used_ms.map(Timestamp::from_millis),
            secrets: stored.secrets.iter().map(secret).collect(),
            exercised: stored.exercised_grants.into_iter().collect(),
            consumers: stored.consumers,
        })
    }
}

impl Record for AccountUsage {
    fn encode(&self) -> Vec<u8> {
        stored::AccountUsage {
            today: Some(stored_day(self.0.day, self.0.counts)),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        parse(payload).map(|stored: stored::AccountUsage| Self(today(stored.today)))
    }
}

impl Record for Days {
    fn encode(&self) -> Vec<u8> {
        stored::UsageHistory {
            days: self
                .iter()
                .map(|(day, counts)| stored_day(day, counts))
                .collect(),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::UsageHistory = parse(payload)?;
        Ok(stored.days.into_iter().map(day).collect())
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

impl Record for UsageSave {
    fn encode(&self) -> Vec<u8> {
        stored::UsageSave {
            sequence: self.sequence,
            time_ms: self.time.as_millis(),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::UsageSave = parse(payload)?;
        Ok(Self {
            sequence: stored.sequence,
            time: Timestamp::from_millis(stored.time_ms),
        })
    }
}

fn stored_day(day: Day, counts: Counts) -> stored::DayCounts {
    stored::DayCounts {
        day: day.number(),
        allowed: counts.allowed,
        denied: counts.denied,
    }
}

fn day(stored: stored::DayCounts) -> (Day, Counts) {
    let counts = Counts {
        allowed: stored.allowed,
        denied: stored.denied,
    };
    (Day::numbered(stored.day), counts)
}

fn today(stored: Option<stored::DayCounts>) -> Today {
    let (day, counts) = stored.map(day).unwrap_or_default();
    Today { day, counts }
}

fn stored_secret(secret: &SecretUse) -> stored::SecretUse {
    stored::SecretUse {
        version: secret.version,
        day: secret.day.number(),
        calls: secret.calls,
        last_used_ms: secret.last_used.as_millis(),
    }
}

fn secret(stored: &stored::SecretUse) -> SecretUse {
    SecretUse {
        version: stored.version,
        day: Day::numbered(stored.day),
        calls: stored.calls,
        last_used: Timestamp::from_millis(stored.last_used_ms),
    }
}
