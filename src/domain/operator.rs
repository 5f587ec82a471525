//! Operators: whoever calls Keyward itself, and what each may do.

use super::credential::Credential;
use super::grant::{Grant, Grants, Permission};
use super::id::{AccountId, TokenId};
use super::token::{Access, Token};

/// An authenticated caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operator {
    pub token: TokenId,
    pub grants: Grants,
    pub access: Access,
    pub scope: Scope,
}

/// Which accounts an operator reaches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scope {
    Every,
    Only(AccountId),
}

impl Scope {
    /// The accounts that a token of the system account reaches.
    #[must_use]
    pub fn of(credential: &Credential<'_>) -> Self {
        credential.scope.cloned().map_or(Self::Every, Self::Only)
    }

    #[must_use]
    pub fn reaches(&self, account: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Only(own) => own.as_str() == account,
        }
    }

    /// Does it reach every account that `other` reaches?
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        *self == Self::Every || self == other
    }

    /// The account meant where a request names none.
    #[must_use]
    pub fn own_account(&self) -> AccountId {
        match self {
            Self::Every => AccountId::system(),
            Self::Only(own) => own.clone(),
        }
    }
}

impl Operator {
    /// The operator that a token of the system account makes its holder.
    #[must_use]
    pub fn of(credential: &Credential<'_>) -> Self {
        Self {
            token: credential.id,
            grants: credential.grants.clone(),
            access: credential.access,
            scope: Scope::of(credential),
        }
    }

    /// What a token of the system account would give that this operator does not hold itself: nobody raises its rights.
    #[must_use]
    pub fn lacks_for(&self, token: &Token) -> Option<Lack> {
        if !self.scope.covers(&Scope::of(&token.credential())) {
            return Some(Lack::Scope);
        }
        let reserved = Grants::new(
            token
                .grants
                .iter()
                .filter(|grant| grant.is_reserved())
                .cloned(),
        );
        if let Some(grant) = self.grants.first_uncovered(&reserved) {
            return Some(Lack::Grant(grant.clone()));
        }
        let widened =
            self.access == Access::ReadOnly && token.access == Access::Full && !reserved.is_empty();
        widened.then_some(Lack::FullAccess)
    }
}

/// May a token with these grants do this in Keyward? A read-only one passes the action `read` and no other.
#[must_use]
pub fn may(grants: &Grants, access: Access, needed: &Permission<'_>) -> bool {
    grants.allow(needed) && (access == Access::Full || needed.is_read())
}

/// What keeps an operator from handing out a right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lack {
    Grant(Grant),
    Scope,
    FullAccess,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::token::tests::token;

    fn operator(grants: &[&str], access: Access) -> Operator {
        Operator {
            token: TokenId::parse("0123456789ABCDEFGHIJKL").unwrap(),
            grants: Grants::new(grants.iter().map(|text| Grant::parse(text).unwrap())),
            access,
            scope: Scope::Every,
        }
    }

    #[test]
    fn operators_may_do_what_they_are_granted_and_no_more() {
        let read = Permission::parse("keyward/tokens", "read").unwrap();
        let write = Permission::parse("keyward/tokens", "write").unwrap();
        let table = [
            (&["keyward/tokens:read"][..], Access::Full, true, false),
            (&["keyward/tokens"], Access::Full, true, true),
            (&["keyward/tokens"], Access::ReadOnly, true, false),
            (&["*"], Access::Full, false, false),
            (&[], Access::Full, false, false),
        ];
        for (grants, access, reads, writes) in table {
            let operator = operator(grants, access);
            assert_eq!(
                (
                    may(&operator.grants, access, &read),
                    may(&operator.grants, access, &write)
                ),
                (reads, writes),
                "{grants:?} {access:?}"
            );
        }
    }

    #[test]
    fn nobody_hands_out_a_wider_scope_than_its_own() {
        let scope = |id: &str| AccountId::parse(id).unwrap();
        let table = [
            (None, None, true),
            (None, Some("acme"), true),
            (Some("system"), Some("system"), true),
            // An operator of the system account reaches the tokens there, and yet no account but that one.
            (Some("system"), None, false),
            (Some("system"), Some("acme"), false),
            (Some("acme"), None, false),
        ];
        for (own, given, expected) in table {
            let mut operator = operator(&["keyward/tokens:write"], Access::Full);
            operator.scope = own.map_or(Scope::Every, |id| Scope::Only(scope(id)));
            let result = Token {
                account: AccountId::system(),
                scope: given.map(scope),
                ..token()
            };
            let lack = (!expected).then_some(Lack::Scope);
            assert_eq!(operator.lacks_for(&result), lack, "{own:?} gives {given:?}");
        }
    }

    #[test]
    fn a_scope_reaches_its_account_alone() {
        let acme = AccountId::parse("acme").unwrap();
        assert!(Scope::Every.reaches("anything"));
        assert!(Scope::Only(acme.clone()).reaches("acme"));
        assert!(!Scope::Only(acme.clone()).reaches("acme-2"));
        assert_eq!(Scope::Every.own_account(), AccountId::system());
        assert_eq!(Scope::Only(acme.clone()).own_account(), acme);
    }
}
