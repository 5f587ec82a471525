//! How a row's bytes are protected: a format, the key's id, the payload, and a MAC over all of it, the row's name and its commit.
//!
//! The sum of all MACs tells that no row is missing, and no older one back.

use std::fmt;

use subtle::ConstantTimeEq as _;

use super::backend::{Revision, Row};
use super::key;
use crate::domain::secret::KeyId;
use crate::keyring::{Key, Keyring};

/// The layout of stored rows that this version writes.
pub const FORMAT: u8 = 1;
const HEADER: usize = 5;
const MAC: usize = 32;
/// What protection adds to a payload, in bytes.
pub const OVERHEAD: usize = HEADER + MAC;

/// A row that is not what Keyward wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Corrupt {
    /// The row's key, as it is shown to people.
    pub key: String,
    pub wrong: String,
}

impl Corrupt {
    pub(crate) fn new(key: &[u8], wrong: impl Into<String>) -> Self {
        Self {
            key: key::show(key),
            wrong: wrong.into(),
        }
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}: {}", self.key, self.wrong)
    }
}

impl std::error::Error for Corrupt {}

/// A row that was found whole.
#[derive(Debug)]
pub struct Opened<'a> {
    pub payload: &'a [u8],
    pub mac: Sum,
    /// The key that it is protected by.
    pub key_id: KeyId,
}

/// The bytes to store for a payload, and their share in the sum.
#[must_use]
pub fn seal(keyring: &Keyring, name: &[u8], revision: Revision, payload: &[u8]) -> (Vec<u8>, Sum) {
    let key = keyring.current();
    let mut bytes = Vec::with_capacity(HEADER + payload.len() + MAC);
    bytes.push(FORMAT);
    bytes.extend(key.id().0.to_be_bytes());
    bytes.extend(payload);
    let mac = mac_of(key, name, revision, &bytes);
    bytes.extend(mac);
    (bytes, Sum(mac))
}

/// The payload of a stored row, if it is the one that was written under this name.
pub fn open<'a>(keyring: &Keyring, name: &[u8], row: &'a Row) -> Result<Opened<'a>, Corrupt> {
    open_bytes(keyring, name, row.revision, &row.bytes)
}

/// The same, of a row that is only looked at.
pub fn open_bytes<'a>(
    keyring: &Keyring,
    name: &[u8],
    revision: Revision,
    bytes: &'a [u8],
) -> Result<Opened<'a>, Corrupt> {
    let corrupt = |wrong: &str| Corrupt::new(name, wrong);
    let (sealed, mac) = bytes
        .split_last_chunk::<MAC>()
        .ok_or_else(|| corrupt("it is too short"))?;
    let (header, payload) = sealed
        .split_first_chunk::<HEADER>()
        .ok_or_else(|| corrupt("it is too short"))?;
    if header[0] > FORMAT {
        return Err(corrupt(&format!(
            "it was written by a newer version (format {}, this one knows {FORMAT})",
            header[0]
        )));
    }
    let key_id = KeyId(u32::from_be_bytes([
        header[1], header[2], header[3], header[4],
    ]));
    let key = keyring.key(key_id).ok_or_else(|| {
        corrupt(&format!(
            "it needs key {}, which the keyring lacks",
            key_id.0
        ))
    })?;
    if !bool::from(mac_of(key, name, revision, sealed).ct_eq(mac)) {
        return Err(corrupt("its bytes are not what was written"));
    }
    Ok(Opened {
        payload,
        mac: Sum(*mac),
        key_id,
    })
}

/// A row's payload before it is believed, to tell a foreign keyring or a newer layout from a corrupt row.
#[must_use]
pub fn unverified_payload(row: &Row) -> Option<&[u8]> {
    row.bytes.get(HEADER..row.bytes.len().checked_sub(MAC)?)
}

/// The MAC over the name, the commit and the bytes; the name's length keeps it apart from what follows.
fn mac_of(key: &Key, name: &[u8], revision: Revision, sealed: &[u8]) -> [u8; MAC] {
    key.record_mac(&[
        &(name.len() as u64).to_be_bytes(),
        name,
        &revision.0.to_be_bytes(),
        sealed,
    ])
}

/// A MAC, or a sum of them, modulo 2^256; most significant byte first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum(pub [u8; MAC]);

impl Sum {
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let mut carry = 0;
        let mut sum = [0; MAC];
        for at in (0..MAC).rev() {
            let digit = u16::from(self.0[at]) + u16::from(other.0[at]) + carry;
            sum[at] = digit.to_be_bytes()[1];
            carry = digit >> 8;
        }
        Self(sum)
    }

    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let complement = Self(other.0.map(|byte| !byte));
        let mut one = Self::default();
        one.0[MAC - 1] = 1;
        self.plus(complement).plus(one)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;
    use crate::keyring::KEY_LENGTH;

    fn keyring(id: u32, byte: u8) -> Keyring {
        Keyring::new(vec![Key::new(
            KeyId(id),
            Zeroizing::new([byte; KEY_LENGTH]),
        )])
        .unwrap()
    }

    fn row(revision: u64, bytes: Vec<u8>) -> Row {
        Row {
            revision: Revision(revision),
            bytes: bytes.into(),
        }
    }

    #[test]
    fn a_row_opens_only_as_it_was_written() {
        let keyring = keyring(1, 1);
        let (bytes, sum) = seal(&keyring, b"name", Revision(7), b"payload");
        let whole = row(7, bytes.clone());
        let opened = open(&keyring, b"name", &whole).unwrap();
        assert_eq!(
            (opened.payload, opened.mac, opened.key_id),
            (&b"payload"[..], sum, KeyId(1))
        );
        assert!(
            open(&keyring, b"other", &row(7, bytes.clone())).is_err(),
            "moved to another name"
        );
        assert!(
            open(&keyring, b"name", &row(8, bytes.clone())).is_err(),
            "brought back from another commit"
        );
        assert!(
            open(&keyring, b"name", &row(7, bytes[..20].to_vec())).is_err(),
            "truncated"
        );
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(
                open(&keyring, b"name", &row(7, flipped)).is_err(),
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_newer_format_and_a_missing_key_are_named() {
        let (mut bytes, _) = seal(&keyring(1, 1), b"name", Revision(7), b"payload");
        let wrong = open(&keyring(2, 1), b"name", &row(7, bytes.clone()))
            .unwrap_err()
            .wrong;
        assert!(wrong.contains("key 1"), "{wrong}");
        bytes[0] = FORMAT + 1;
        let wrong = open(&keyring(1, 1), b"name", &row(7, bytes))
            .unwrap_err()
            .wrong;
        assert!(wrong.contains("newer"), "{wrong}");
    }

    proptest! {
        #[test]
        fn sums_come_out_the_same_in_any_order_and_back(a: [u8; 32], b: [u8; 32], c: [u8; 32]) {
            let (a, b, c) = (Sum(a), Sum(b), Sum(c));
            prop_assert_eq!(a.plus(b).plus(c), c.plus(a).plus(b));
            prop_assert_eq!(a.plus(b).minus(b), a);
            prop_assert_eq!(a.minus(a), Sum::default());
        }
    }
}
