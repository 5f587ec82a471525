//! Rows into the read model: one at a time as they change, or all of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Directory, Member};
use crate::domain::account::Account;
use crate::domain::grant::Grants;
use crate::domain::id::{AccountId, PrincipalId, RoleId, TokenId};
use crate::domain::principal::Principal;
use crate::domain::role::Role;
use crate::domain::token::Token;
use crate::store::backend::Revision;
use crate::store::key;
use crate::store::record::{Pointer, Record};
use crate::store::seal::Corrupt;
use crate::store::{Changed, Intake, Reader, StoreError};

impl Directory {
    /// Takes in one commit. A reader may see part of it until `seen` says that all of it is there.
    pub fn apply(&self, changed: &Changed) -> Result<(), Corrupt> {
        for (name, payload) in &changed.rows {
            self.set(name, payload.as_deref())?;
        }
        Ok(())
    }

    /// All of a commit is there.
    pub(super) fn seen(&self, revision: Revision) {
        self.at.store(revision.0, Ordering::Release);
        self.revision.send_replace(revision);
    }

    /// Everything in the store, in place of what is here. What is gone from the store goes first from here: a token that was
    /// deactivated or deleted while nobody listened is refused before anything else is put right.
    pub(super) fn load(&self, store: &Reader) -> Result<Revision, StoreError> {
        let revision = store.revision();
        let seen = self.revision();
        if revision < seen {
            let why = format!(
                "it is at revision {}, and this node has seen {}",
                revision.0, seen.0
            );
            return Err(StoreError::Away(why));
        }
        if self.is_empty() {
            self.load_families(store)?;
        } else {
            let fresh = Self::default();
            fresh.load_families(store)?;
            self.become_like(fresh);
        }
        Ok(revision)
    }

    fn load_families(&self, store: &Reader) -> Result<(), StoreError> {
        for family in [
            key::ACCOUNTS,
            key::ROLES,
            key::PRINCIPALS,
            key::TOKENS,
            key::IMPORTS,
        ] {
            self.load_family(store, family)?;
        }
        Ok(())
    }

    fn load_family(&self, store: &Reader, family: &[u8]) -> Result<(), StoreError> {
        store.each::<Raw>(family, |name, payload| {
            Ok(self.set(&name, Some(&payload.0))?)
        })
    }

    /// Takes in one row; rows that decisions do not need are passed over.
    pub(super) fn set(&self, name: &[u8], payload: Option<&[u8]>) -> Result<(), Corrupt> {
        let corrupt = |wrong: String| Corrupt::new(name, wrong);
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).map_err(|_| corrupt("its key is no text".into()))
        };
        if let Some(id) = name.strip_prefix(key::TOKENS) {
            let id = TokenId::parse(&text(id)?)
                .ok_or_else(|| corrupt("its key is no token id".into()))?;
            match payload.map(Token::decode).transpose().map_err(corrupt)? {
                Some(token) => self.put_token(token),
                None => self.remove_token(&id),
            }
        } else if let Some(rest) = name.strip_prefix(key::IMPORTS) {
            let digest = rest
                .last_chunk::<32>()
                .ok_or_else(|| corrupt("its key has no digest".into()))?;
            let pointer = payload.map(Pointer::decode).transpose().map_err(corrupt)?;
            let id = pointer.and_then(|pointer| TokenId::parse(&pointer.0));
            match id {
                Some(id) => self.imports.put(digest, id),
                None => self.imports.remove(digest),
            }
        } else if let Some(id) = name.strip_prefix(key::ACCOUNTS) {
            let id = AccountId::parse(&text(id)?).map_err(corrupt)?;
            let account = decode::<Account>(payload).map_err(corrupt)?;
            self.tenant(&id).set(account);
        } else if let Some(rest) = name.strip_prefix(key::PRINCIPALS) {
            let (account, id) = in_account(&text(rest)?).map_err(corrupt)?;
            let id = PrincipalId::parse(&id).map_err(corrupt)?;
            let principal = payload
                .map(Principal::decode)
                .transpose()
                .map_err(corrupt)?;
            let member = principal.map(|principal| Arc::new(self.member_of(principal)));
            self.seat(&account, &id).set(member);
        } else if let Some(rest) = name.strip_prefix(key::ROLES) {
            let (account, id) = in_account(&text(rest)?).map_err(corrupt)?;
            let id = RoleId::parse(&id).map_err(corrupt)?;
            put(
                &self.roles,
                (account.clone(), id.clone()),
                decode::<Role>(payload).map_err(corrupt)?,
            );
            self.recompile(&account, &id);
        }
        Ok(())
    }

    fn member_of(&self, principal: Principal) -> Member {
        let roles = self.roles.pin();
        let own = principal
            .roles
            .iter()
            .filter_map(|id| roles.get(&(principal.account.clone(), id.clone())));
        let grants = Grants::union(own.map(|role| &role.grants));
        Member { principal, grants }
    }

    /// A role changed: so did what its principals may do.
    fn recompile(&self, account: &AccountId, role: &RoleId) {
        let seats = self.seats.pin();
        for ((of, _), seat) in &seats {
            if of != account {
                continue;
            }
            let member = seat.member();
            if let Some(member) = member.filter(|member| member.principal.roles.contains(role)) {
                seat.set(Some(Arc::new(self.member_of(member.principal.clone()))));
            }
        }
    }
}

/// Rows as a store that is opened verifies them.
impl Intake for Directory {
    fn first(&self) -> &[&[u8]] {
        &[key::ACCOUNTS, key::ROLES, key::PRINCIPALS]
    }

    fn take(&self, name: &[u8], payload: &[u8]) -> Result<(), Corrupt> {
        self.set(name, Some(payload))
    }
}

/// A payload that is decoded by its key.
struct Raw(Vec<u8>);

impl Record for Raw {
    fn encode(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        Ok(Self(payload.to_vec()))
    }
}

fn decode<R: Record>(payload: Option<&[u8]>) -> Result<Option<Arc<R>>, String> {
    payload
        .map(R::decode)
        .transpose()
        .map(|record| record.map(Arc::new))
}

fn in_account(rest: &str) -> Result<(AccountId, String), String> {
    let (account, id) = rest.split_once('/').ok_or("its key names no account")?;
    Ok((AccountId::parse(account)?, id.to_owned()))
}

fn put<K: std::hash::Hash + Eq, V>(map: &papaya::HashMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.pin().insert(key, value)),
        None => drop(map.pin().remove(&key)),
    }
}
