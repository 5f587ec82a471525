//! What a commit touched: told to whoever keeps something that rests on the directory, in the order of commits and before
//! the commit counts as seen.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::id::{AccountId, TokenId};
use crate::store::Changed;
use crate::store::backend::Revision;
use crate::store::key;

/// The tokens and accounts whose validations a commit may change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Touched {
    pub revision: Revision,
    pub tokens: Vec<TokenId>,
    /// Whose they are, a deleted one's account too.
    pub owners: BTreeMap<TokenId, AccountId>,
    /// Accounts of which the policy, a principal or a role changed: each of their tokens may be touched.
    pub accounts: Vec<AccountId>,
    /// It has lines of the audit log.
    pub logged: bool,
}

/// Hears of every commit. It is called on the directory's own thread, so it must be quick.
pub trait Observer: Send + Sync + fmt::Debug {
    /// The directory has taken in a commit; lookups see it.
    fn touched(&self, touched: &Touched);

    /// Everything was loaded: at the start, and anew when the history was lost. Anything may have changed before it.
    fn reloaded(&self, revision: Revision);
}

impl Touched {
    /// What of a commit bears on decisions; `owner` knows the account of a token that is there.
    pub(super) fn by(changed: &Changed, owner: impl Fn(TokenId) -> Option<AccountId>) -> Self {
        let mut touched = Self {
            revision: changed.revision,
            ..Self::default()
        };
        for (name, _) in &changed.rows {
            if let Some(id) = name.strip_prefix(key::TOKENS) {
                touched.tokens.extend(text(id).and_then(TokenId::parse));
            } else if name.starts_with(key::EVENTS) {
                touched.logged = true;
            } else if let Some((account, id)) =
                name.strip_prefix(key::ACCOUNT_TOKENS).and_then(owner_of)
            {
                touched.owners.insert(id, account);
            } else if let Some(account) = account_of(name).and_then(|id| AccountId::parse(id).ok())
                && !touched.accounts.contains(&account)
            {
                touched.accounts.push(account);
            }
        }
        for id in &touched.tokens {
            if let Some(account) = owner(*id) {
                touched.owners.insert(*id, account);
            }
        }
        touched
    }
}

/// The account and the token in the key of the row that finds it: written as the token is made and as it is deleted.
fn owner_of(rest: &[u8]) -> Option<(AccountId, TokenId)> {
    let (account, id) = text(rest)?.split_once('/')?;
    Some((AccountId::parse(account).ok()?, TokenId::parse(id)?))
}

/// The account that a row of the directory, no token's, speaks of.
fn account_of(name: &[u8]) -> Option<&str> {
    if let Some(id) = name.strip_prefix(key::ACCOUNTS) {
        return text(id);
    }
    let within = name
        .strip_prefix(key::PRINCIPALS)
        .or_else(|| name.strip_prefix(key::ROLES))?;
    text(within)?.split_once('/').map(|(account, _)| account)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_touches_its_tokens_and_the_accounts_of_its_other_rows() {
        let (id, other) = ("0123456789ABCDEFGHIJKL", "M123456789ABCDEFGHIJKL");
        let names = [
            format!("token/{id}"),
            format!("account-token/acme/{id}"),
            format!("token/{other}"),
            "account/acme".into(),
            "principal/acme/api".into(),
            "role/shop/reader".into(),
            "tally/shop".into(),
            "event/12345678".into(),
            "head".into(),
        ];
        let changed = Changed {
            revision: Revision(7),
            rows: names.map(|name| (name.into_bytes().into(), None)).into(),
        };
        let account = |id| AccountId::parse(id).unwrap();
        let (token, kept) = (TokenId::parse(id).unwrap(), TokenId::parse(other).unwrap());
        let owner = |id| (id == kept).then(|| account("shop"));
        assert_eq!(
            Touched::by(&changed, owner),
            Touched {
                revision: Revision(7),
                tokens: vec![token, kept],
                owners: [(token, account("acme")), (kept, account("shop"))].into(),
                accounts: vec![account("acme"), account("shop")],
                logged: true,
            }
        );
    }
}
