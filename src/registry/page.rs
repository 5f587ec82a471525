//! Page tokens: where a list goes on. Opaque to callers, bound to the method, the filter and whoever listed; without authority.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::{Error, Registry};
use crate::domain::limits;
use crate::domain::operator::Scope;
use crate::keyring::Keyring;
use crate::store::backend::Key;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Page {
    pub size: usize,
    /// As the caller gave it; empty begins.
    pub token: String,
    /// What the token is bound to: the method, and the filter as it was sent.
    pub method: &'static str,
    pub filter: Vec<u8>,
}

/// One page of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paged<T> {
    pub items: Vec<T>,
    /// Empty at the end.
    pub next: String,
}

/// Bytes of the proof in a page token.
const PROOF: usize = 16;

impl Page {
    /// The size that a request asks for: none means the default.
    pub fn size(asked: i32) -> Result<usize, Error> {
        match usize::try_from(asked) {
            Ok(0) => Ok(limits::PAGE_SIZE_DEFAULT),
            Ok(size) if size <= limits::PAGE_SIZE => Ok(size),
            _ => Err(Error::invalid(
                "page_size",
                format!("must be 0 to {}", limits::PAGE_SIZE),
            )),
        }
    }

    /// The key after which the page begins.
    pub(super) fn after(&self, keyring: &Keyring, scope: &Scope) -> Result<Option<Key>, Error> {
        if self.token.is_empty() {
            return Ok(None);
        }
        let bytes = URL_SAFE_NO_PAD.decode(&self.token).unwrap_or_default();
        let after = bytes
            .split_first_chunk::<PROOF>()
            .and_then(|(proof, after)| {
                let ours = keyring
                    .keys()
                    .iter()
                    .any(|key| self.proof(key, scope, after).ct_eq(proof).into());
                ours.then(|| after.into())
            });
        after.map(Some).ok_or_else(|| {
            Error::invalid(
                "page_token",
                "is not one that this list gave for the same filter",
            )
        })
    }

    /// The token of the page that begins after a key.
    pub(super) fn next(&self, keyring: &Keyring, scope: &Scope, last: &[u8]) -> String {
        let proof = self.proof(keyring.current(), scope, last);
        URL_SAFE_NO_PAD.encode([&proof[..], last].concat())
    }

    fn proof(&self, key: &crate::keyring::Key, scope: &Scope, after: &[u8]) -> [u8; PROOF] {
        let scope = match scope {
            Scope::Every => "",
            Scope::Only(account) => account.as_str(),
        };
        let mac = key.page_mac(&[
            self.method.as_bytes(),
            scope.as_bytes(),
            &self.filter,
            after,
        ]);
        *mac.first_chunk().expect("a MAC is longer than its proof")
    }
}

impl Registry {
    /// A page of rows, read with the page's size as their limit.
    pub(super) fn paged<T>(&self, page: &Page, scope: &Scope, rows: Vec<(Key, T)>) -> Paged<T> {
        self.filtered(page, scope, rows, page.size, |_| true)
    }

    /// The rows that are wanted among those read, up to the page's size. The next page begins after the last row looked at.
    pub(super) fn filtered<T>(
        &self,
        page: &Page,
        scope: &Scope,
        rows: Vec<(Key, T)>,
        limit: usize,
        keep: impl Fn(&T) -> bool,
    ) -> Paged<T> {
        let complete = rows.len() < limit;
        let mut items = Vec::new();
        let mut rows = rows.into_iter();
        let mut last = None;
        for (key, row) in rows.by_ref() {
            if keep(&row) {
                items.push(row);
            }
            last = Some(key);
            if items.len() == page.size {
                break;
            }
        }
        let ended = complete && rows.next().is_none();
        let next = last
            .filter(|_| !ended)
            .map(|last| page.next(&self.keyring, scope, &last))
            .unwrap_or_default();
        Paged { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::AccountId;
    use crate::random::testing::SeededRandom;

    fn page(token: &str) -> Page {
        Page {
            size: 50,
            token: token.into(),
            method: "ListTokens",
            filter: b"f".to_vec(),
        }
    }

    #[test]
    fn sizes_end_at_a_thousand() {
        for (asked, size) in [
            (0, Some(50)),
            (1, Some(1)),
            (1_000, Some(1_000)),
            (1_001, None),
            (-1, None),
        ] {
            assert_eq!(Page::size(asked).ok(), size, "{asked}");
        }
    }

    #[test]
    fn a_token_goes_on_only_with_its_own_list() {
        let keyring = Keyring::generate(&SeededRandom::new(1));
        let acme = Scope::Only(AccountId::parse("acme").unwrap());
        let token = page("").next(&keyring, &Scope::Every, b"last");
        assert_eq!(
            page(&token)
                .after(&keyring, &Scope::Every)
                .unwrap()
                .as_deref(),
            Some(&b"last"[..])
        );
        assert!(
            page(&token).after(&keyring, &acme).is_err(),
            "another scope"
        );
        let other_filter = Page {
            filter: b"g".to_vec(),
            ..page(&token)
        };
        assert!(other_filter.after(&keyring, &Scope::Every).is_err());
        let other_method = Page {
            method: "ListRoles",
            ..page(&token)
        };
        assert!(other_method.after(&keyring, &Scope::Every).is_err());
        for forged in ["x", "bGFzdA", &token[1..]] {
            assert!(
                page(forged).after(&keyring, &Scope::Every).is_err(),
                "{forged}"
            );
        }
    }
}
