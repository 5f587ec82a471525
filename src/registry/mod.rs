//! The use cases that change something, and the lists that operators read: a file a resource.
//!
//! A change is a function over a view of the store; it answers after the commit is durable and this node's directory has seen
//! it, so that whoever made it reads its own writes. Who may call what is decided before (`api::gate`); what depends on
//! the account or the token is decided here.

pub mod accounts;
pub mod bootstrap;
pub mod cuts;
mod error;
pub mod events;
pub mod leases;
pub mod marks;
pub mod notices;
pub mod page;
pub mod principals;
pub mod replay;
pub mod retention;
pub mod roles;
pub mod slots;
pub mod sweep;
pub mod tokens;
pub mod usage;
pub mod verify;
pub mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use error::{Error, Kind};

use crate::clock::Clock;
use crate::directory::Directory;
use crate::domain::account::Account;
use crate::domain::event::{Event, EventKind, Origin};
use crate::domain::id::AccountId;
use crate::domain::operator::{Operator, Scope};
use crate::domain::refusal::Refusal;
use crate::domain::text::Environment;
use crate::keyring::Keyring;
use crate::random::Random;
use crate::store::{Store, StoreError, View, key};

/// How long a change waits, once durable, for this node's directory to have it.
const DIRECTORY_PATIENCE: Duration = Duration::from_secs(5);

/// What all use cases need.
#[derive(Clone, Debug)]
pub struct Registry {
    pub store: Store,
    pub directory: Arc<Directory>,
    pub keyring: Arc<Keyring>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub environment: Environment,
    pub usage: Arc<usage::Ledger>,
}

/// Who calls, and what the audit log says of the call.
#[derive(Clone, Debug)]
pub struct Call {
    pub operator: Operator,
    pub origin: Origin,
}

impl Call {
    /// The account that a request means: the operator's own where it names none. One that the operator does not reach, or
    /// that no account could have, is not found.
    pub fn account(&self, named: &str) -> Result<AccountId, Error> {
        if named.is_empty() {
            return Ok(self.operator.scope.own_account());
        }
        let account = AccountId::parse(named)
            .ok()
            .filter(|id| self.operator.scope.reaches(id.as_str()));
        account.ok_or_else(|| Error::NotFound(Kind::Account, named.to_owned()))
    }

    fn system_wide(&self, what: &'static str) -> Result<(), Error> {
        match self.operator.scope {
            Scope::Every => Ok(()),
            Scope::Only(_) => Err(Error::SystemWideOnly(what)),
        }
    }

    fn event(&self, kind: EventKind, account: &AccountId, subject: &str) -> Event {
        Event {
            kind,
            account: account.clone(),
            subject: subject.to_owned(),
            origin: self.origin.clone(),
            details: BTreeMap::new(),
        }
    }
}

impl Registry {
    /// Commits a change, and answers when this node's directory has it.
    async fn commit<T, F>(&self, change: F) -> Result<T, Error>
    where
        F: FnMut(&mut View<'_>) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let committed = self.store.update(change).await?;
        let seen = tokio::time::timeout(
            DIRECTORY_PATIENCE,
            self.directory.reached(committed.revision),
        )
        .await;
        seen.map_err(|_| {
            StoreError::Away("the change is durable, but this node has not seen it yet".into())
        })?;
        Ok(committed.value)
    }
}

/// An account that must exist.
fn account(view: &mut View<'_>, id: &AccountId) -> Result<Account, Error> {
    let found = view.get(&key::account(id.as_str()))?;
    found.ok_or_else(|| Error::NotFound(Kind::Account, id.to_string()))
}

/// An account in which something may be made.
fn enabled_account(view: &mut View<'_>, id: &AccountId) -> Result<Account, Error> {
    let account = account(view, id)?;
    check_enabled(&account)?;
    Ok(account)
}

fn check_enabled(account: &Account) -> Result<(), Error> {
    if account.disabled {
        return Err(refused(
            Refusal::AccountDisabled,
            "account",
            account.id.as_str(),
        ));
    }
    Ok(())
}

fn refused(refusal: Refusal, kind: &str, id: &str) -> Error {
    Error::Refused {
        refusal,
        subject: format!("{kind} {id}"),
    }
}

/// An etag given by the caller must be the current one; none given is fine.
fn check_etag(given: &str, current: &str, kind: &str, id: &str) -> Result<(), Error> {
    if given.is_empty() || given == current {
        Ok(())
    } else {
        Err(Error::EtagMismatch {
            subject: format!("{kind} {id}"),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
