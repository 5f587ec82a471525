//! Names of things: token, account, principal and role ids, and the public account key.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::field::{Rule, is_segment};
use super::limits;

/// The digits that ids, secrets and checks are written in.
pub const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A token's public id: 22 base62 characters, drawn at random (131 bits) and never decoded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId([u8; Self::LENGTH]);

impl TokenId {
    pub const LENGTH: usize = 22;

    /// The id that `text` spells, if it has an id's shape.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; Self::LENGTH] = text.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(u8::is_ascii_alphanumeric)
            .then_some(Self(bytes))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII is let in")
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $shape:expr, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id that `text` spells, or the rule that it breaks.
            pub fn parse(text: &str) -> Result<Self, Rule> {
                let fits: fn(&str) -> bool = $shape;
                if fits(text) { Ok(Self(text.into())) } else { Err($rule.into()) }
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// An account's id: chosen by the operator, 3 to 40 of `a-z0-9-`.
    AccountId,
    |text| {
        limits::ACCOUNT_ID.contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    },
    "must be 3 to 40 characters of a-z, 0-9 and -"
);
text_id!(
    /// A principal's id, unique in its account.
    PrincipalId,
    |text| text.len() <= limits::LOCAL_ID_BYTES && is_segment(text),
    "must be 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'"
);
text_id!(
    /// A role's id, unique in its account.
    RoleId,
    |text| text.len() <= limits::LOCAL_ID_BYTES && is_segment(text),
    "must be 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'"
);
text_id!(
    /// An account's permanent, public key: an identifier that travels beside a token, not a secret.
    AccountKey,
    |text| text.len() == AccountKey::LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric()),
    "must be 32 base62 characters"
);

impl AccountKey {
    pub const LENGTH: usize = 32;
}

impl AccountId {
    /// The built-in account that operators belong to.
    pub const SYSTEM: &'static str = "system";

    #[must_use]
    pub fn system() -> Self {
        Self(Self::SYSTEM.into())
    }

    #[must_use]
    pub fn is_system(&self) -> bool {
        &*self.0 == Self::SYSTEM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_ids_are_three_to_forty_of_their_alphabet() {
        for good in ["abc", "acme-2", &"a".repeat(40)] {
            assert!(AccountId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "ab", &"a".repeat(41), "Acme", "a_b", "a/b", "äöü"] {
            assert!(AccountId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn principal_ids_are_one_segment() {
        for good in ["a", "Jane.Doe_1", &"a".repeat(64)] {
            assert!(PrincipalId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "*", &"a".repeat(65)] {
            assert!(PrincipalId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn token_ids_are_twenty_two_base62_characters() {
        assert!(TokenId::parse("0123456789ABCDEFGHIJab").is_some());
        for bad in [
            "",
            "0123456789ABCDEFGHIJa",
            "0123456789ABCDEFGHIJabc",
            "0123456789ABCDEFGHIJ-b",
        ] {
            assert!(TokenId::parse(bad).is_none(), "{bad}");
        }
    }
}
