//! What a commit touched: told to whoever keeps something that rests on the directory, in the order of commits and before
//! the commit counts as seen.

use std::fmt;

use crate::domain::id::{AccountId, TokenId};
use crate::store::Changed;
use crate::store::backend::Revision;
use crate::store::key;

/// The tokens and accounts whose validations a commit may change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touched {
    pub revision: Revision,
    pub tokens: Vec<TokenId>,
    /// Accounts of which the policy, a principal or a role changed: each of their tokens may be touched.
    pub accounts: Vec<AccountId>,
}

/// Hears of every commit. It is called on the directory's own thread, so it must be quick.
pub trait Observer: Send + Sync + fmt::Debug {
    /// The directory has taken in a commit; lookups see it.
    fn touched(&self, touched: &Touched);

    /// The history was lost and everything loaded anew: anything may have changed.
    fn reloaded(&self, revision: Revision);
}

impl Touched {
    /// What of a commit bears on decisions.
    pub(super) fn by(changed: &Changed) -> Self {
        let mut touched = Self {
            revision: changed.revision,
            tokens: Vec::new(),
            accounts: Vec::new(),
        };
        for (name, _) in &changed.rows {
            if let Some(id) = name.strip_prefix(key::TOKENS) {
                touched.tokens.extend(text(id).and_then(TokenId::parse));
            } else if let Some(account) = account_of(name).and_then(|id| AccountId::parse(id).ok())
                && !touched.accounts.contains(&account)
            {
                touched.accounts.push(account);
            }
        }
        touched
    }
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
        let id = "0123456789ABCDEFGHIJKL";
        let names = [
            format!("token/{id}"),
            format!("account-token/acme/{id}"),
            "account/acme".into(),
            "principal/acme/api".into(),
            "role/shop/reader".into(),
            "tally/shop".into(),
            "head".into(),
        ];
        let changed = Changed {
            revision: Revision(7),
            rows: names.map(|name| (name.into_bytes().into(), None)).into(),
        };
        let account = |id| AccountId::parse(id).unwrap();
        assert_eq!(
            Touched::by(&changed),
            Touched {
                revision: Revision(7),
                tokens: vec![TokenId::parse(id).unwrap()],
                accounts: vec![account("acme"), account("shop")],
            }
        );
    }
}
