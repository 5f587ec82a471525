//! What is checked of a store before a row of it is believed: every row whole, none missing, none too many, none old; the head
//! what the anchor knows or newer; the keyring the one that it was made with.

mod walk;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::StoreError;
use super::anchor::Anchor;
use super::backend::{Backend, Revision, Row};
use super::key;
use super::record::{Head, KeyCheck, Record as _};
use super::seal::{self, Corrupt, Sum};
use crate::keyring::{Key, Keyring};

/// The version of the layout that this version reads and writes.
pub(super) const FORMAT: u32 = 1;

/// Who takes in rows while a store is verified, so that they are read once. Each is what was written under its name; that none
/// is missing or old is known only when all of it has been verified. It is called from several threads.
pub trait Intake: Sync {
    /// The families that must be whole before any other row is taken in, in their order.
    fn first(&self) -> &[&[u8]];

    fn take(&self, name: &[u8], payload: &[u8]) -> Result<(), Corrupt>;
}

/// Nobody.
impl Intake for () {
    fn first(&self) -> &[&[u8]] {
        &[]
    }

    fn take(&self, _: &[u8], _: &[u8]) -> Result<(), Corrupt> {
        Ok(())
    }
}

/// What the head row knows of keys, brought up to the keyring.
pub(super) fn key_checks(known: &[KeyCheck], keyring: &Keyring) -> Vec<KeyCheck> {
    let check = |key: &Key| KeyCheck {
        key: key.id(),
        check: key.check(),
    };
    let kept = known
        .iter()
        .filter(|known| keyring.key(known.key).is_none())
        .copied();
    keyring.keys().iter().map(check).chain(kept).collect()
}

/// The head row, if its bytes are what was written.
pub(super) fn read_head(keyring: &Keyring, row: Option<&Row>) -> Result<Option<Head>, Corrupt> {
    let Some(row) = row else { return Ok(None) };
    let opened = seal::open(keyring, key::HEAD, row)?;
    Head::decode(opened.payload)
        .map(Some)
        .map_err(|wrong| Corrupt::new(key::HEAD, wrong))
}

/// What verification finds wrong.
pub(super) enum Fault {
    Store(StoreError),
    KeyringWrong(u32),
    Anchor(PathBuf, String),
    RolledBack { anchored: Revision, found: Revision },
    Newer(u32),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Corrupt> for Fault {
    fn from(corrupt: Corrupt) -> Self {
        Self::Store(corrupt.into())
    }
}

/// Checks every row against the head, and the head against the anchor.
pub(super) fn verify(
    backend: &dyn Backend,
    keyring: &Keyring,
    anchor: &Anchor,
    intake: &dyn Intake,
) -> Result<Option<Head>, Fault> {
    let head = verify_rows(backend, keyring, intake)?;
    check_anchor(head.as_ref(), keyring, anchor)?;
    Ok(head)
}

/// Checks that the head is what was written, and what the anchor knows or newer; the rows are still to be checked.
pub(super) fn verify_head(
    backend: &dyn Backend,
    keyring: &Keyring,
    anchor: &Anchor,
) -> Result<Option<Head>, Fault> {
    let head = head(backend, keyring)?;
    check_anchor(head.as_ref(), keyring, anchor)?;
    Ok(head)
}

/// Checks that the rows are those that the head row speaks of: each whole, none missing, none too many, none old.
pub(super) fn verify_rows(
    backend: &dyn Backend,
    keyring: &Keyring,
    intake: &dyn Intake,
) -> Result<Option<Head>, Fault> {
    let head = head(backend, keyring)?;
    let (rows, sum) = add_up(backend, keyring, intake)?;
    let corrupt = |wrong: String| Err(Corrupt::new(key::HEAD, wrong).into());
    match &head {
        None if rows > 0 => corrupt("it is missing".into()),
        Some(head) if head.rows != rows => corrupt(format!(
            "it counts {} rows, and there are {rows}",
            head.rows
        )),
        Some(head) if head.sum != sum => {
            corrupt("the rows are not those that it was written with".into())
        }
        _ => Ok(head),
    }
}

/// The head row, of the revision that the store is at.
fn head(backend: &dyn Backend, keyring: &Keyring) -> Result<Option<Head>, Fault> {
    let row = backend.get(key::HEAD).map_err(StoreError::from)?;
    if let Some(row) = &row {
        check_keys(keyring, row)?;
    }
    let head = read_head(keyring, row.as_ref())?;
    match &head {
        Some(head) if head.revision != backend.revision() => Err(Corrupt::new(
            key::HEAD,
            format!(
                "it is of revision {}, and the store is at {}",
                head.revision.0,
                backend.revision().0
            ),
        )
        .into()),
        _ => Ok(head),
    }
}

fn check_anchor(head: Option<&Head>, keyring: &Keyring, anchor: &Anchor) -> Result<(), Fault> {
    let wrong = |wrong: String| Fault::Anchor(anchor.path().to_owned(), wrong);
    let anchored = anchor
        .read(keyring)
        .map_err(wrong)?
        .ok_or_else(|| wrong("it is missing".into()))?;
    let found = head.map_or(Revision(0), |head| head.revision);
    let same = head.is_none_or(|head| (head.rows, head.sum) == (anchored.rows, anchored.sum));
    if anchored.revision > found || (anchored.revision == found && !same) {
        return Err(Fault::RolledBack {
            anchored: anchored.revision,
            found,
        });
    }
    Ok(())
}

/// Looks at the head row before it is believed: a newer layout and a foreign keyring have messages of their own.
fn check_keys(keyring: &Keyring, row: &Row) -> Result<(), Fault> {
    let payload =
        seal::unverified_payload(row).ok_or_else(|| Corrupt::new(key::HEAD, "it is too short"))?;
    let Ok(head) = Head::decode(payload) else {
        return Ok(());
    };
    if head.format > FORMAT {
        return Err(Fault::Newer(head.format));
    }
    let fits = |check: &&KeyCheck| {
        keyring
            .key(check.key)
            .is_some_and(|key| key.check() == check.check)
    };
    match head.keys.iter().find(|check| !fits(check)) {
        Some(check) => Err(Fault::KeyringWrong(check.key.0)),
        None => Ok(()),
    }
}

/// How many rows there are besides the head, and the sum of their MACs; each is verified, and then taken in.
fn add_up(
    backend: &dyn Backend,
    keyring: &Keyring,
    intake: &dyn Intake,
) -> Result<(u64, Sum), Fault> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let visit = |(rows, sum): &mut (u64, Sum), name: &[u8], revision, bytes: &[u8]| {
        if name == key::HEAD {
            return Ok(());
        }
        let opened = seal::open_bytes(keyring, name, revision, bytes)?;
        *rows += 1;
        *sum = sum.plus(opened.mac);
        Ok::<(), StoreError>(intake.take(name, opened.payload)?)
    };
    let shares = walk::walk(backend, threads, intake.first(), visit)?;
    let add = |(rows, sum): (u64, Sum), (more, macs): (u64, Sum)| (rows + more, sum.plus(macs));
    Ok(shares.into_iter().fold((0, Sum::default()), add))
}
