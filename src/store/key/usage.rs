//! Where usage is kept: the journals and how far each is folded, the pages, and the names that pages are ordered by.

use super::{DELETED_TOKENS, Key, join};
use crate::domain::id::{AccountId, BASE62, TokenId};

/// What was counted and is not folded yet, by whoever saved it.
pub const USAGE_LOGS: &[u8] = b"usage-log/";
/// How far each journal is folded.
pub const USAGE_FOLDS: &[u8] = b"usage-fold/";
/// What is known of the use of tokens and accounts, but for its history.
pub const USAGE_PAGES: &[u8] = b"usage-page/";
/// The days before the newest one.
pub const USAGE_HISTORIES: &[u8] = b"usage-history/";

/// What nobody who follows the store needs to hear of: it is much, and read where it is wanted.
pub const UNTOLD: &[&[u8]] = &[USAGE_LOGS, USAGE_FOLDS, USAGE_PAGES, USAGE_HISTORIES];

/// How the names of a kind begin; accounts stand before tokens.
const OF_ACCOUNT: u8 = b'a';
const OF_TOKEN: u8 = b't';
/// Digits that spread the names of accounts, whose ids often begin alike.
const SPREAD: usize = 4;
/// The length of a token's name.
const TOKEN_NAME: usize = 1 + TokenId::LENGTH;

/// A part of what one save adds to its journal.
#[must_use]
pub fn usage_log(saver: &str, sequence: u64, part: u32) -> Key {
    join(&[
        USAGE_LOGS,
        saver.as_bytes(),
        b"/",
        &sequence.to_be_bytes(),
        &part.to_be_bytes(),
    ])
}

/// The saver and the sequence in a journal row's key.
#[must_use]
pub fn usage_log_parts(key: &[u8]) -> Option<(&str, u64)> {
    let (rest, _part) = key.strip_prefix(USAGE_LOGS)?.split_last_chunk::<4>()?;
    let (saver, sequence) = rest.split_last_chunk::<8>()?;
    let saver = std::str::from_utf8(saver.strip_suffix(b"/")?).ok()?;
    Some((saver, u64::from_be_bytes(*sequence)))
}

#[must_use]
pub fn usage_fold(saver: &str) -> Key {
    join(&[USAGE_FOLDS, saver.as_bytes()])
}

/// The page of a family (usage or history) that begins with this name; the first one begins with the empty name.
#[must_use]
pub fn page(family: &[u8], from: &[u8]) -> Key {
    join(&[family, from])
}

/// A token's name in the pages, and what the names of its consumers in a journal begin with.
#[must_use]
pub fn token_name(id: TokenId) -> Box<[u8]> {
    join(&[&[OF_TOKEN], id.as_bytes()])
}

#[must_use]
pub fn account_name(id: &AccountId) -> Box<[u8]> {
    let mut name = Vec::with_capacity(1 + SPREAD + id.as_str().len());
    name.push(OF_ACCOUNT);
    let mut hash = crc32fast::hash(id.as_str().as_bytes()) as usize;
    for _ in 0..SPREAD {
        name.push(BASE62[hash % BASE62.len()]);
        hash /= BASE62.len();
    }
    name.extend(id.as_str().as_bytes());
    name.into()
}

/// A consumer's name in a journal: it stands after its token's.
#[must_use]
pub fn consumer_name(token: TokenId, consumer: &str) -> Box<[u8]> {
    join(&[&[OF_TOKEN], token.as_bytes(), b"/", consumer.as_bytes()])
}

/// Whose use a name in a journal speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Named<'a> {
    Account,
    Token(TokenId),
    Consumer(TokenId, &'a str),
}

#[must_use]
pub fn usage_name(name: &[u8]) -> Option<Named<'_>> {
    if name.first() == Some(&OF_ACCOUNT) {
        return Some(Named::Account);
    }
    let (token, consumer) = name.split_at_checked(TOKEN_NAME)?;
    let token = TokenId::parse(std::str::from_utf8(token.strip_prefix(&[OF_TOKEN])?).ok()?)?;
    match consumer.split_first() {
        None => Some(Named::Token(token)),
        Some((_, consumer)) => Some(Named::Consumer(token, std::str::from_utf8(consumer).ok()?)),
    }
}

/// The name of the token or account that a name in a journal belongs to.
#[must_use]
pub fn usage_owner(name: &[u8]) -> &[u8] {
    match name.first() {
        Some(&OF_TOKEN) => &name[..name.len().min(TOKEN_NAME)],
        _ => name,
    }
}

/// A key before those of the deleted tokens whose names are this one or greater.
#[must_use]
pub fn deleted_before(name: &[u8]) -> Key {
    let id = match usage_name(name) {
        Some(Named::Token(id) | Named::Consumer(id, _)) => Some(id),
        _ => None,
    };
    let before = id
        .as_ref()
        .map_or(&[][..], |id| &id.as_bytes()[..TokenId::LENGTH - 1]);
    join(&[DELETED_TOKENS, before])
}

/// How many shares `usage_share` has.
pub const USAGE_SHARES: usize = 2 * BASE62.len() * BASE62.len();

/// One of many shares of all names; a token's own and its consumers' are in the same one. Shares have the order of the names.
#[must_use]
pub fn usage_share(name: &[u8]) -> usize {
    let digit = |place: usize| match name.get(place) {
        Some(byte @ b'0'..=b'9') => usize::from(byte - b'0'),
        Some(byte @ b'A'..=b'Z') => usize::from(byte - b'A') + 10,
        Some(byte @ b'a'..=b'z') => usize::from(byte - b'a') + 36,
        _ => 0,
    };
    let within = digit(1) * BASE62.len() + digit(2);
    match name.first() {
        Some(&OF_TOKEN) => USAGE_SHARES / 2 + within,
        _ => within,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::key::show;

    fn id() -> TokenId {
        TokenId::parse("0123456789ABCDEFGHIJKL").unwrap()
    }

    #[test]
    fn the_spelling_of_version_1_is_frozen() {
        let account = AccountId::parse("acme").unwrap();
        let table = [
            (
                usage_log("abc", 0x6162, 0x63),
                "usage-log/abc/\0\0\0\0\0\0ab\0\0\0c".to_owned(),
            ),
            (usage_fold("abc"), "usage-fold/abc".into()),
            (
                page(USAGE_PAGES, &token_name(id())),
                format!("usage-page/t{}", id()),
            ),
            (page(USAGE_HISTORIES, b""), "usage-history/".into()),
            (account_name(&account), "aca4Yacme".into()),
            (consumer_name(id(), "a/b"), format!("t{}/a/b", id())),
        ];
        for (key, spelled) in table {
            assert_eq!(show(&key), show(spelled.as_bytes()));
        }
    }

    #[test]
    fn names_are_read_back_and_a_token_s_consumers_are_its_own() {
        let (token, consumer) = (token_name(id()), consumer_name(id(), "a/b"));
        let account = account_name(&AccountId::parse("acme").unwrap());
        assert_eq!(usage_name(&token), Some(Named::Token(id())));
        assert_eq!(usage_name(&consumer), Some(Named::Consumer(id(), "a/b")));
        assert_eq!(usage_name(&account), Some(Named::Account));
        assert_eq!(
            (usage_owner(&consumer), usage_owner(&account)),
            (&*token, &*account)
        );
        for wrong in [&b""[..], b"t", b"x", &token[..20]] {
            assert_eq!(usage_name(wrong), None);
        }
        let log = usage_log("abc", 7, 1);
        assert_eq!(usage_log_parts(&log), Some(("abc", 7)));
    }

    #[test]
    fn shares_have_the_order_of_the_names() {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for first in [b'0', b'9', b'A', b'Z', b'a', b'z'] {
            for second in [b'0', b'z'] {
                let text = [&[first, second][..], &[b'0'; 20]].concat();
                let id = TokenId::parse(std::str::from_utf8(&text).unwrap()).unwrap();
                names.extend([token_name(id), consumer_name(id, "c")]);
            }
        }
        names.extend(
            (0..50).map(|n| account_name(&AccountId::parse(&format!("acme-{n}")).unwrap())),
        );
        names.sort_unstable();
        assert!(names.is_sorted_by_key(|name| usage_share(name)));
        assert!(names.iter().all(|name| usage_share(name) < USAGE_SHARES));
    }
}
