//! Changes of what decisions rest on, by which an image is brought up to date, and what an image says of itself.

use prost::Message as _;

use super::{Record, bytes32, parse, stored};
use crate::store::backend::{Key, Revision};
use crate::store::committer::EVENTS;
use crate::store::seal::Sum;

/// Names a change, and with its MAC all changes before it. The default stands before the first one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Link {
    pub sequence: u64,
    pub mac: Sum,
}

/// The rows that a commit wrote or deleted, or some of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    pub previous: Link,
    /// With the MAC that each was written with, `None` where it was deleted.
    pub rows: Vec<(Key, Option<Sum>)>,
}

/// What an image says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImageFooter {
    /// The version of the form that its blocks have.
    pub form: u32,
    pub blocks: u64,
    /// Of these, the first ones, which are taken in before the others.
    pub leading: u64,
    /// All changes up to this one are in it.
    pub from: Link,
    /// Of the changes after that, up to this one, some are in it.
    pub to: Link,
    /// The head as it was begun: its revision, and the rows and their sum.
    pub revision: Revision,
    pub rows: u64,
    pub sum: Sum,
}

impl Link {
    /// The commit that it is of.
    #[must_use]
    pub fn commit(self) -> Revision {
        Revision(self.sequence / EVENTS)
    }

    pub(super) fn stored(self) -> Option<stored::Link> {
        (self != Self::default()).then(|| stored::Link {
            sequence: self.sequence,
            mac: self.mac.0.to_vec(),
        })
    }

    pub(super) fn read(stored: Option<&stored::Link>) -> Result<Self, String> {
        let Some(stored) = stored else {
            return Ok(Self::default());
        };
        Ok(Self {
            sequence: stored.sequence,
            mac: Sum(bytes32("a change's MAC", &stored.mac)?),
        })
    }
}

impl Record for Change {
    fn encode(&self) -> Vec<u8> {
        let row = |(key, mac): &(Key, Option<Sum>)| stored::ChangedRow {
            key: key.to_vec(),
            mac: mac.map_or_else(Vec::new, |mac| mac.0.to_vec()),
        };
        stored::Change {
            previous: self.previous.stored(),
            rows: self.rows.iter().map(row).collect(),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::Change = parse(payload)?;
        let row = |row: stored::ChangedRow| {
            let mac = match row.mac.is_empty() {
                true => None,
                false => Some(Sum(bytes32("a row's MAC", &row.mac)?)),
            };
            Ok((row.key.into(), mac))
        };
        Ok(Self {
            previous: Link::read(stored.previous.as_ref())?,
            rows: stored
                .rows
                .into_iter()
                .map(row)
                .collect::<Result<_, String>>()?,
        })
    }
}

impl Record for ImageFooter {
    fn encode(&self) -> Vec<u8> {
        stored::ImageFooter {
            form: self.form,
            blocks: self.blocks,
            leading: self.leading,
            from: self.from.stored(),
            to: self.to.stored(),
            revision: self.revision.0,
            rows: self.rows,
            row_sum: self.sum.0.to_vec(),
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::ImageFooter = parse(payload)?;
        Ok(Self {
            form: stored.form,
            blocks: stored.blocks,
            leading: stored.leading,
            from: Link::read(stored.from.as_ref())?,
            to: Link::read(stored.to.as_ref())?,
            revision: Revision(stored.revision),
            rows: stored.rows,
            sum: Sum(bytes32("the sum", &stored.row_sum)?),
        })
    }
}
