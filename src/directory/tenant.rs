//! Accounts and principals as tokens point at them: one place for each, in which it changes, so that who validates looks nothing
//! up by name and waits for nobody.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};

use crate::domain::account::Account;
use crate::domain::decision::Standing;
use crate::domain::grant::Grants;
use crate::domain::id::{AccountId, PrincipalId};
use crate::domain::principal::Principal;

/// An account's place, made when it is first named: its tokens' rows may come before its own. Accounts are never deleted.
#[derive(Debug)]
pub struct Tenant {
    id: AccountId,
    account: ArcSwapOption<Account>,
}

/// A principal's place.
#[derive(Debug)]
pub struct Seat {
    id: PrincipalId,
    member: ArcSwapOption<Member>,
}

/// A principal, with the union of its roles' grants compiled when either changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    pub principal: Principal,
    pub grants: Grants,
}

/// What is in a place now. It stays as it is; holding it keeps nobody from putting another one there.
#[derive(Debug)]
pub struct Current<T>(Guard<Option<Arc<T>>>);

impl Tenant {
    pub(super) fn new(id: AccountId) -> Self {
        Self {
            id,
            account: ArcSwapOption::empty(),
        }
    }

    #[must_use]
    pub const fn id(&self) -> &AccountId {
        &self.id
    }

    /// The account, once its row has come.
    #[must_use]
    pub fn account(&self) -> Option<Current<Account>> {
        Current::of(&self.account)
    }

    pub(super) fn set(&self, account: Option<Arc<Account>>) {
        self.account.store(account);
    }
}

impl Seat {
    pub(super) fn new(id: PrincipalId) -> Self {
        Self {
            id,
            member: ArcSwapOption::empty(),
        }
    }

    #[must_use]
    pub const fn id(&self) -> &PrincipalId {
        &self.id
    }

    /// The principal and what it may do, once its row has come.
    #[must_use]
    pub fn member(&self) -> Option<Current<Member>> {
        Current::of(&self.member)
    }

    pub(super) fn set(&self, member: Option<Arc<Member>>) {
        self.member.store(member);
    }
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

impl<T> Current<T> {
    fn of(place: &ArcSwapOption<T>) -> Option<Self> {
        let current = place.load();
        current.is_some().then_some(Self(current))
    }
}

impl<T> Deref for Current<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        self.0.as_ref().expect("it is only made of something")
    }
}
