//! The read model: all that a decision needs, in memory, laid out for one lookup by token id.
//!
//! It is loaded from the store and then follows the store's changes (`follow`). Nothing else writes it. Readers never wait; who
//! wants to be woken by a change does (`alarms`).

pub mod alarms;
pub mod follow;
mod image;
mod load;
mod touched;

use std::sync::Arc;

use papaya::HashMap;
use tokio::sync::watch;

pub use touched::{Observer, Touched};

use crate::domain::account::Account;
use crate::domain::decision::Standing;
use crate::domain::grant::Grants;
use crate::domain::id::{AccountId, PrincipalId, RoleId, TokenId};
use crate::domain::principal::Principal;
use crate::domain::role::Role;
use crate::domain::token::Token;
use crate::store::backend::Revision;

/// Everything in memory. Lookups give values that stay as they are while the directory moves on.
#[derive(Debug)]
pub struct Directory {
    tokens: HashMap<TokenId, Arc<Token>>,
    /// The digests of imported texts, by the account and digest that they are kept under.
    imports: HashMap<ImportKey, TokenId>,
    accounts: HashMap<AccountId, Arc<Account>>,
    principals: HashMap<(AccountId, PrincipalId), Arc<Member>>,
    roles: HashMap<(AccountId, RoleId), Arc<Role>>,
    /// The state that every lookup from now on is at least as new as.
    revision: watch::Sender<Revision>,
}

/// What finds an imported text: HMAC over its account and SHA-256. The account is in it, so the digest alone is the key.
type ImportKey = [u8; 32];

/// A principal, with the union of its roles' grants compiled when either changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    pub principal: Principal,
    pub grants: Grants,
}

impl Member {
    #[must_use]
    pub fn standing(&self) -> Standing<'_> {
        Standing {
            principal: &self.principal,
            grants: &self.grants,
        }
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            tokens: HashMap::new(),
            imports: HashMap::new(),
            accounts: HashMap::new(),
            principals: HashMap::new(),
            roles: HashMap::new(),
            revision: watch::Sender::new(Revision(0)),
        }
    }
}

impl Directory {
    #[must_use]
    pub fn token(&self, id: TokenId) -> Option<Arc<Token>> {
        self.tokens.pin().get(&id).cloned()
    }

    /// The token that an imported text belongs to, by the text's digest.
    #[must_use]
    pub fn imported(&self, digest: &[u8; 32]) -> Option<TokenId> {
        self.imports.pin().get(digest).copied()
    }

    #[must_use]
    pub fn account(&self, id: &AccountId) -> Option<Arc<Account>> {
        self.accounts.pin().get(id).cloned()
    }

    #[must_use]
    pub fn member(&self, account: &AccountId, id: &PrincipalId) -> Option<Arc<Member>> {
        self.principals
            .pin()
            .get(&(account.clone(), id.clone()))
            .cloned()
    }

    /// The commit whose changes every lookup from now on sees.
    #[must_use]
    pub fn revision(&self) -> Revision {
        *self.revision.borrow()
    }

    /// Waits until lookups see a commit.
    pub async fn reached(&self, revision: Revision) {
        let mut seen = self.revision.subscribe();
        seen.wait_for(|at| *at >= revision)
            .await
            .expect("the directory holds the sender");
    }

    /// How many tokens there are.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }
}

#[cfg(test)]
mod tests;
