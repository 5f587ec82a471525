//! Which rows of what decisions rest on each commit changed, as a chain of rows that leads from the head back to an image.
//!
//! A commit that changes such rows writes in the same batch which ones, each with the MAC that it was written with, and the link
//! to the change before. The head names the newest. A link has the MAC of the row it names, and that MAC is over the link
//! before, so a head names one history and no other: whoever takes a row of it away, edits it, or puts one in its place from a
//! copy of the store breaks the chain, and nobody without the keyring can mend it.

use std::collections::BTreeMap;

use super::backend::{Backend, Key, Revision};
use super::committer::EVENTS;
use super::key;
use super::record::{Change, Link, Record as _};
use super::seal::{self, Sum};
use super::view::MAX_PAYLOAD;
use crate::keyring::Keyring;

/// Rows that are read one by one to bring an image up to date, at the most: beyond that all rows are read faster in their order.
const FOLLOWED: usize = 500_000;
/// What the rest of a change takes beside its rows' names, at the most, for the change and for each row.
const BESIDE: usize = 64;

/// A row that was changed, as its newest change left it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fate {
    pub(super) revision: Revision,
    /// `None`: it was deleted.
    pub(super) mac: Option<Sum>,
}

/// Whether decisions rest on a row.
pub(super) fn decides(name: &[u8]) -> bool {
    key::DECIDING.iter().any(|family| name.starts_with(family))
}

/// What a commit changed, in as many parts as rows have room for; `previous` is to be filled in.
pub(super) fn parts(rows: Vec<(Key, Option<Sum>)>) -> Vec<Change> {
    let mut parts: Vec<Change> = Vec::new();
    let mut room = 0;
    for row in rows {
        let takes = row.0.len() + BESIDE;
        if takes > room {
            parts.push(Change::default());
            room = MAX_PAYLOAD - 2 * BESIDE;
        }
        room -= takes;
        if let Some(part) = parts.last_mut() {
            part.rows.push(row);
        }
    }
    parts
}

/// The number of a part of a commit's change.
pub(super) fn sequence(revision: Revision, part: usize) -> u64 {
    revision.0 * EVENTS + part as u64
}

/// Every row that was changed after `from`, by the chain that ends in `newest` and leads through `to`. The error says why
/// there is no such chain.
pub(super) fn since(
    backend: &dyn Backend,
    keyring: &Keyring,
    newest: Link,
    to: Link,
    from: Link,
) -> Result<BTreeMap<Key, Fate>, String> {
    let mut fates = BTreeMap::new();
    let mut passed = false;
    let mut link = newest;
    loop {
        passed |= link == to;
        if link == from && passed {
            return Ok(fates);
        }
        if link.sequence <= from.sequence {
            return Err("it is not of this store's past".into());
        }
        let change = read(backend, keyring, link)?;
        for (name, mac) in change.rows {
            let revision = link.commit();
            fates.entry(name).or_insert(Fate { revision, mac });
        }
        if fates.len() > FOLLOWED {
            return Err(format!("more than {FOLLOWED} rows were changed since"));
        }
        if change.previous.sequence >= link.sequence {
            return Err("the changes since do not lead back to it".into());
        }
        link = change.previous;
    }
}

fn read(backend: &dyn Backend, keyring: &Keyring, link: Link) -> Result<Change, String> {
    let name = key::change(link.sequence);
    let row = backend.get(&name).map_err(|fault| fault.to_string())?;
    let row = row.ok_or("of the changes since, some are missing")?;
    let opened = seal::open(keyring, &name, &row).map_err(|corrupt| corrupt.to_string())?;
    if opened.mac != link.mac {
        return Err("the changes since are not those that the head speaks of".into());
    }
    Change::decode(opened.payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_commit_changed_is_told_in_parts_that_fit_a_row() {
        let longest = || Key::from([b'x'; crate::store::backend::MAX_KEY_BYTES]);
        for (rows, expected) in [(0, 0), (1, 1), (56, 1), (57, 2), (500, 9)] {
            let told = parts((0..rows).map(|_| (longest(), Some(Sum([7; 32])))).collect());
            assert_eq!(told.len(), expected, "{rows}");
            assert_eq!(told.iter().map(|part| part.rows.len()).sum::<usize>(), rows);
            for mut part in told {
                part.previous = Link {
                    sequence: u64::MAX,
                    mac: Sum([7; 32]),
                };
                assert!(part.encode().len() <= MAX_PAYLOAD);
            }
        }
    }

    #[test]
    fn decisions_rest_on_five_families() {
        for (name, expected) in [
            (&b"token/x"[..], true),
            (b"import/a/b", true),
            (b"account/a", true),
            (b"principal/a/b", true),
            (b"role/a/b", true),
            (b"account-token/a/b", false),
            (b"head", false),
            (b"usage/x", false),
            (b"change/x", false),
        ] {
            assert_eq!(decides(name), expected);
        }
    }
}
