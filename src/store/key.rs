//! The key space: which rows there are, and how their keys are spelled. Each family has a readable prefix, so that a key in an
//! error message says what it is.

mod usage;

pub use usage::*;

use super::backend::Key;
use crate::domain::id::{AccountId, PrincipalId, RoleId, TokenId};
use crate::domain::secret::Digest;
use crate::domain::time::{Day, Timestamp};

/// The row that speaks of all others; no family contains it.
pub const HEAD: &[u8] = b"head";

/// What decisions rest on; the order in which each is read after those that it rests on.
pub const DECIDING: [&[u8]; 5] = [ACCOUNTS, ROLES, PRINCIPALS, TOKENS, IMPORTS];

// The families that are read as a whole.
pub const ACCOUNTS: &[u8] = b"account/";
pub const PRINCIPALS: &[u8] = b"principal/";
pub const ROLES: &[u8] = b"role/";
pub const TOKENS: &[u8] = b"token/";
pub const ACCOUNT_TOKENS: &[u8] = b"account-token/";
pub const IMPORTS: &[u8] = b"import/";
pub const EVENTS: &[u8] = b"event/";
/// Where chains of events begin whose oldest lines were swept.
pub const CHECKPOINTS: &[u8] = b"checkpoint/";
/// Which rows of what decisions rest on were changed since an image was made of them.
pub const CHANGES: &[u8] = b"change/";
/// Calls leased of each account's day, oldest day first.
pub const QUOTAS: &[u8] = b"quota/";
/// Who holds the connections of tokens.
pub const SLOTS: &[u8] = b"slots/";
/// When kept answers end, oldest first.
pub const REPLAY_ENDS: &[u8] = b"replay-end/";
/// Tokens of which something is to be told, the earliest first.
pub const DUE: &[u8] = b"due/";
/// Accounts whose tokens' notices are to be looked through, with how far that has come.
pub const RENOTICES: &[u8] = b"renotice/";
/// How far the accounts of a store from before there were notices were seen to; empty: all of them.
pub const NOTICED: &[u8] = b"noticed";

pub const CONSUMERS: &[u8] = b"consumer/";
pub const DELETED_TOKENS: &[u8] = b"deleted-token/";
/// How many consumers there are in all.
pub const CONSUMER_TALLY: &[u8] = b"consumer-tally";

#[must_use]
pub fn account(id: &str) -> Key {
    join(&[ACCOUNTS, id.as_bytes()])
}

/// How many tokens an account has.
#[must_use]
pub fn tally(account: &AccountId) -> Key {
    join(&[b"tally/", account.as_str().as_bytes()])
}

#[must_use]
pub fn principals(account: &AccountId) -> Key {
    join(&[PRINCIPALS, account.as_str().as_bytes(), b"/"])
}

#[must_use]
pub fn principal(account: &AccountId, id: &PrincipalId) -> Key {
    join(&[&principals(account), id.as_str().as_bytes()])
}

#[must_use]
pub fn roles(account: &AccountId) -> Key {
    join(&[ROLES, account.as_str().as_bytes(), b"/"])
}

#[must_use]
pub fn role(account: &AccountId, id: &RoleId) -> Key {
    join(&[&roles(account), id.as_str().as_bytes()])
}

/// How many principals have a role.
#[must_use]
pub fn role_tally(account: &AccountId, id: &RoleId) -> Key {
    join(&[
        b"role-tally/",
        account.as_str().as_bytes(),
        b"/",
        id.as_str().as_bytes(),
    ])
}

#[must_use]
pub fn token(id: TokenId) -> Key {
    join(&[TOKENS, id.as_bytes()])
}

/// The tokens of an account, by id.
#[must_use]
pub fn account_tokens(account: &AccountId) -> Key {
    join(&[ACCOUNT_TOKENS, account.as_str().as_bytes(), b"/"])
}

#[must_use]
pub fn account_token(account: &AccountId, id: TokenId) -> Key {
    join(&[&account_tokens(account), id.as_bytes()])
}

/// The token that an imported text belongs to.
#[must_use]
pub fn import(account: &AccountId, digest: &Digest) -> Key {
    join(&[
        IMPORTS,
        account.as_str().as_bytes(),
        b"/",
        digest.as_bytes(),
    ])
}

#[must_use]
pub fn event(sequence: u64) -> Key {
    join(&[EVENTS, &sequence.to_be_bytes()])
}

/// The sequence in an event's key.
#[must_use]
pub fn event_sequence(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(
        key.strip_prefix(EVENTS)?.try_into().ok()?,
    ))
}

/// A part of what a commit changed.
#[must_use]
pub fn change(sequence: u64) -> Key {
    join(&[CHANGES, &sequence.to_be_bytes()])
}

/// The last line of a chain that was swept.
#[must_use]
pub fn checkpoint(chain: &str) -> Key {
    join(&[CHECKPOINTS, chain.as_bytes()])
}

/// The calls leased of an account's day.
#[must_use]
pub fn quota(day: Day, account: &AccountId) -> Key {
    join(&[
        QUOTAS,
        &day.number().to_be_bytes(),
        account.as_str().as_bytes(),
    ])
}

/// The day in a quota's key.
#[must_use]
pub fn quota_day(key: &[u8]) -> Option<Day> {
    let (day, _) = key.strip_prefix(QUOTAS)?.split_first_chunk::<4>()?;
    Some(Day::numbered(i32::from_be_bytes(*day)))
}

/// Who holds the connections of a token.
#[must_use]
pub fn slots(token: TokenId) -> Key {
    join(&[SLOTS, token.as_bytes()])
}

/// A node that holds slots.
#[must_use]
pub fn node(name: &str) -> Key {
    join(&[b"node/", name.as_bytes()])
}

/// The kept answer of a request, by the request's hash.
#[must_use]
pub fn replay(request: &[u8; 32]) -> Key {
    join(&[b"replay/", request])
}

#[must_use]
pub fn replay_end(end: Timestamp, request: &[u8; 32]) -> Key {
    join(&[REPLAY_ENDS, &end.as_millis().to_be_bytes(), request])
}

/// The end and the request in a replay end's key.
#[must_use]
pub fn replay_end_parts(key: &[u8]) -> Option<(Timestamp, [u8; 32])> {
    let (end, request) = key.strip_prefix(REPLAY_ENDS)?.split_first_chunk::<8>()?;
    Some((
        Timestamp::from_millis(i64::from_be_bytes(*end)),
        request.try_into().ok()?,
    ))
}

/// The consumers of a token, by name.
#[must_use]
pub fn consumers(token: TokenId) -> Key {
    join(&[CONSUMERS, token.as_bytes(), b"/"])
}

#[must_use]
pub fn consumer(token: TokenId, name: &str) -> Key {
    join(&[&consumers(token), name.as_bytes()])
}

/// The token and the name in a consumer's key.
#[must_use]
pub fn consumer_parts(key: &[u8]) -> Option<(TokenId, &str)> {
    let (token, name) = std::str::from_utf8(key.strip_prefix(CONSUMERS)?)
        .ok()?
        .split_once('/')?;
    Some((TokenId::parse(token)?, name))
}

/// A deleted token of which consumers are still there.
#[must_use]
pub fn deleted_token(id: TokenId) -> Key {
    join(&[DELETED_TOKENS, id.as_bytes()])
}

/// What was told of a token's expiry.
#[must_use]
pub fn notice(token: TokenId) -> Key {
    join(&[b"notice/", token.as_bytes()])
}

/// What lies before 1970 stands at its beginning: it is due.
#[must_use]
pub fn due(time: Timestamp, token: TokenId) -> Key {
    let time = time.max(Timestamp::default());
    join(&[DUE, &time.as_millis().to_be_bytes(), token.as_bytes()])
}

/// The time and the token in a due key.
#[must_use]
pub fn due_parts(key: &[u8]) -> Option<(Timestamp, TokenId)> {
    let (time, token) = key.strip_prefix(DUE)?.split_first_chunk::<8>()?;
    Some((
        Timestamp::from_millis(i64::from_be_bytes(*time)),
        TokenId::parse(std::str::from_utf8(token).ok()?)?,
    ))
}

#[must_use]
pub fn renotice(account: &AccountId) -> Key {
    join(&[RENOTICES, account.as_str().as_bytes()])
}

/// The account in a renotice's key.
#[must_use]
pub fn renotice_account(key: &[u8]) -> Option<AccountId> {
    let account = key.strip_prefix(RENOTICES)?;
    AccountId::parse(std::str::from_utf8(account).ok()?).ok()
}

/// A key as it is shown to people.
#[must_use]
pub fn show(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

fn join(parts: &[&[u8]]) -> Key {
    parts.concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_s_rows_never_stand_among_another_s() {
        let (short, long) = (
            AccountId::parse("acme").unwrap(),
            AccountId::parse("acme-2").unwrap(),
        );
        let id = TokenId::parse("0123456789ABCDEFGHIJKL").unwrap();
        assert!(account_token(&short, id).starts_with(&account_tokens(&short)));
        assert!(!account_token(&long, id).starts_with(&account_tokens(&short)));
    }

    #[test]
    fn the_spelling_of_version_1_is_frozen() {
        let account = AccountId::parse("acme").unwrap();
        let principal = PrincipalId::parse("api").unwrap();
        let role = RoleId::parse("reader").unwrap();
        let id = TokenId::parse("0123456789ABCDEFGHIJKL").unwrap();
        let end = Timestamp::from_millis(0x6162);
        let a = "a".repeat(32);
        let table = [
            (HEAD.into(), "head".to_owned()),
            (super::account("acme"), "account/acme".into()),
            (tally(&account), "tally/acme".into()),
            (
                super::principal(&account, &principal),
                "principal/acme/api".into(),
            ),
            (super::role(&account, &role), "role/acme/reader".into()),
            (role_tally(&account, &role), "role-tally/acme/reader".into()),
            (token(id), format!("token/{id}")),
            (
                account_token(&account, id),
                format!("account-token/acme/{id}"),
            ),
            (
                import(&account, &Digest::new([b'a'; 32])),
                format!("import/acme/{a}"),
            ),
            (event(0x6162), "event/\0\0\0\0\0\0ab".into()),
            (change(0x6162), "change/\0\0\0\0\0\0ab".into()),
            (checkpoint("c1"), "checkpoint/c1".into()),
            (
                quota(Day::numbered(0x6162), &account),
                "quota/\0\0abacme".into(),
            ),
            (slots(id), format!("slots/{id}")),
            (node("one"), "node/one".into()),
            (replay(&[b'a'; 32]), format!("replay/{a}")),
            (
                replay_end(end, &[b'a'; 32]),
                format!("replay-end/\0\0\0\0\0\0ab{a}"),
            ),
            (consumer(id, "a/b c"), format!("consumer/{id}/a/b c")),
            (CONSUMER_TALLY.into(), "consumer-tally".into()),
            (deleted_token(id), format!("deleted-token/{id}")),
            (notice(id), format!("notice/{id}")),
            (due(end, id), format!("due/\0\0\0\0\0\0ab{id}")),
            (renotice(&account), "renotice/acme".into()),
            (NOTICED.into(), "noticed".into()),
        ];
        for (key, spelled) in table {
            assert_eq!(show(&key), show(spelled.as_bytes()));
        }
    }

    #[test]
    fn keys_are_read_back() {
        assert_eq!(event_sequence(&event(77)), Some(77));
        let day = Day::numbered(20_000);
        let account = AccountId::parse("acme").unwrap();
        assert_eq!(quota_day(&quota(day, &account)), Some(day));
        let end = Timestamp::from_millis(5);
        assert_eq!(
            replay_end_parts(&replay_end(end, &[9; 32])),
            Some((end, [9; 32]))
        );
        let token = TokenId::parse("0123456789ABCDEFGHIJKL").unwrap();
        let named = consumer(token, "a/b");
        assert_eq!(consumer_parts(&named), Some((token, "a/b")));
        assert_eq!(due_parts(&due(end, token)), Some((end, token)));
        let long_ago = Timestamp::from_millis(-1);
        assert_eq!(
            due_parts(&due(long_ago, token)),
            Some((Timestamp::default(), token))
        );
        let account = AccountId::parse("acme").unwrap();
        assert_eq!(renotice_account(&renotice(&account)), Some(account));
        assert_eq!(
            show(&event(1)),
            "event/\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01"
        );
    }
}
