//! Who holds how many of a token's connections, and which nodes are alive.

use std::collections::HashSet;

use prost::Message as _;

use super::{Record, parse, stored};
use crate::domain::time::Timestamp;

/// The slots of one token.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Slots(pub Vec<Holder>);

/// What one life of a node holds of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    pub node: String,
    pub life: u64,
    pub count: u32,
}

/// A node that holds slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Node {
    /// Rises with each start.
    pub life: u64,
    /// Its slots count until then; `None`: until its next life.
    pub alive_until: Option<Timestamp>,
}

impl Record for Slots {
    fn encode(&self) -> Vec<u8> {
        let holder = |holder: &Holder| stored::SlotHolder {
            node: holder.node.clone(),
            life: holder.life,
            count: holder.count,
        };
        let holders = self.0.iter().map(holder).collect();
        stored::Slots { holders }.encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::Slots = parse(payload)?;
        let holder = |holder: stored::SlotHolder| Holder {
            node: holder.node,
            life: holder.life,
            count: holder.count,
        };
        let holders: Vec<Holder> = stored.holders.into_iter().map(holder).collect();
        let nodes: HashSet<&str> = holders.iter().map(|holder| holder.node.as_str()).collect();
        if nodes.len() < holders.len() {
            return Err("a node holds slots twice".into());
        }
        Ok(Self(holders))
    }
}

impl Record for Node {
    fn encode(&self) -> Vec<u8> {
        stored::Node {
            life: self.life,
            alive_until_ms: self.alive_until.map(Timestamp::as_millis),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::Node = parse(payload)?;
        Ok(Self {
            life: stored.life,
            alive_until: stored.alive_until_ms.map(Timestamp::from_millis),
        })
    }
}
