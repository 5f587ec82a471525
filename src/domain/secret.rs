//! Secrets: the text that a caller holds, the digest that is kept instead, and the versions that a token has.

use std::fmt;
use std::time::Duration;

use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

use super::limits;
use super::time::Timestamp;

/// A secret in the clear. It is shown once; it cannot be printed by accident, and is wiped when dropped.
#[derive(Clone)]
pub struct SecretText(Zeroizing<Box<str>>);

impl SecretText {
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself: for the answer that shows it, and for the digest.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The last four characters, by which people tell secrets apart.
    #[must_use]
    pub fn hint(&self) -> String {
        let skip = self.0.chars().count().saturating_sub(limits::HINT_CHARS);
        self.0.chars().skip(skip).collect()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText([redacted])")
    }
}

/// What is kept of a secret: a keyed hash. Compared in constant time.
#[derive(Clone, Copy)]
pub struct Digest([u8; Self::LENGTH]);

impl Digest {
    pub const LENGTH: usize = 32;

    #[must_use]
    pub const fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        let (words, _) = self.0.as_chunks();
        words.iter().map(|word| u64::from_ne_bytes(*word))
    }
}

/// Word by word: the same time whatever differs, with one barrier in place of one for each byte. Every slot is compared on every
/// call.
impl ConstantTimeEq for Digest {
    fn ct_eq(&self, other: &Self) -> Choice {
        let pairs = self.words().zip(other.words());
        let difference = pairs.fold(0, |difference, (own, its)| difference | (own ^ its));
        difference.ct_eq(&0)
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for Digest {}

impl Zeroize for Digest {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest([redacted])")
    }
}

/// Which key of the keyring a digest was made under.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyId(pub u32);

/// One secret of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Secret {
    /// 1 for a token's first, rising by one.
    pub version: u32,
    pub place: Place,
    pub digest: Digest,
    pub key: KeyId,
    /// Of an imported text: its digest is found by an index, and made over account and SHA-256.
    pub foreign: bool,
    pub hint: String,
    pub create_time: Timestamp,
}

/// Where a secret stands among its token's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Issued by a rekey ON_FIRST_USE and not used yet; `grace` is what the older ones get then.
    Pending {
        grace: Duration,
    },
    Current,
    /// Replaced: good until its end (retiring), and after that only recognised (superseded).
    Old {
        good_until: Timestamp,
    },
}

/// What a secret's state follows from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    pub place: Place,
    pub create_time: Timestamp,
}

/// A secret's state as callers see it, at some `now`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecretState {
    Pending,
    Current,
    Retiring { good_until: Timestamp },
    Superseded,
}

impl Secret {
    #[must_use]
    pub const fn life(&self) -> Life {
        Life {
            place: self.place,
            create_time: self.create_time,
        }
    }

    /// The state at `now`; `None` when it is not kept any more, and so unknown.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> Option<SecretState> {
        self.life().state(now)
    }
}

impl Life {
    /// The state at `now`; `None` when the secret is not kept any more, and so unknown.
    #[must_use]
    pub fn state(self, now: Timestamp) -> Option<SecretState> {
        match self.place {
            Place::Current => Some(SecretState::Current),
            Place::Pending { .. } => {
                (now < self.create_time.after(limits::PENDING_KEPT)).then_some(SecretState::Pending)
            }
            Place::Old { good_until } if now < good_until => {
                Some(SecretState::Retiring { good_until })
            }
            Place::Old { good_until } => {
                (now < good_until.after(limits::SUPERSEDED_KEPT)).then_some(SecretState::Superseded)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(place: Place) -> Secret {
        Secret {
            version: 1,
            place,
            digest: Digest::new([7; 32]),
            key: KeyId(1),
            foreign: false,
            hint: "abcd".into(),
            create_time: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn states_change_to_the_millisecond() {
        let end = Timestamp::from_millis(1_000);
        let kept = limits::SUPERSEDED_KEPT.as_millis() as i64;
        let week = limits::PENDING_KEPT.as_millis() as i64;
        let old = Place::Old { good_until: end };
        let pending = Place::Pending {
            grace: Duration::ZERO,
        };
        let table = [
            (old, 999, Some(SecretState::Retiring { good_until: end })),
            (old, 1_000, Some(SecretState::Superseded)),
            (old, 999 + kept, Some(SecretState::Superseded)),
            (old, 1_000 + kept, None),
            (pending, week - 1, Some(SecretState::Pending)),
            (pending, week, None),
            (Place::Current, i64::MAX, Some(SecretState::Current)),
        ];
        for (place, now, expected) in table {
            assert_eq!(
                secret(place).state(Timestamp::from_millis(now)),
                expected,
                "{place:?} at {now}"
            );
        }
    }

    #[test]
    fn digests_are_equal_where_no_bit_differs() {
        let one = Digest::new(std::array::from_fn(|place| place as u8));
        assert!(bool::from(one.ct_eq(&Digest::new(*one.as_bytes()))));
        for bit in 0..Digest::LENGTH * 8 {
            let mut bytes = *one.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!bool::from(one.ct_eq(&Digest::new(bytes))), "bit {bit}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let printed = format!(
            "{:?} {:?}",
            SecretText::new("kw_hush"),
            secret(Place::Current)
        );
        assert!(
            !printed.contains("hush") && !printed.contains("7, 7"),
            "{printed}"
        );
    }

    #[test]
    fn a_hint_is_the_last_four_characters() {
        assert_eq!(SecretText::new("kw_hush").hint(), "hush");
        assert_eq!(SecretText::new("ab").hint(), "ab");
    }
}
