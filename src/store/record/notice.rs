//! What was told of a token's expiry.

use prost::Message as _;

use super::{Record, parse, stored};
use crate::domain::notice::Told;
use crate::domain::time::Timestamp;

impl Record for Told {
    fn encode(&self) -> Vec<u8> {
        stored::Notice {
            expire_time_ms: self.expire_time.as_millis(),
            told_until_ms: self.until.map(Timestamp::as_millis),
            next_ms: self.next.map(Timestamp::as_millis),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::Notice = parse(payload)?;
        Ok(Self {
            expire_time: Timestamp::from_millis(stored.expire_time_ms),
            until: stored.told_until_ms.map(Timestamp::from_millis),
            next: stored.next_ms.map(Timestamp::from_millis),
        })
    }
}
