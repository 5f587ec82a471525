//! Tokens into their places, one at a time, or all of those that another directory was loaded with.

use std::sync::Arc;

use super::entry::Entry;
use super::found::hash_of;
use super::{Directory, Profile, Seat, Tenant};
use crate::domain::id::{AccountId, PrincipalId, TokenId};
use crate::domain::token::Token;

impl Directory {
    /// There is nothing in it, not even a name.
    pub(super) fn is_empty(&self) -> bool {
        let named = self.tenants.len() + self.seats.len() + self.roles.len();
        named == 0 && self.imports.is_empty() && self.tokens() == 0
    }

    pub(super) fn put_token(&self, token: Token) {
        let tenant = self.tenant(&token.account);
        let principal = token.principal.as_ref();
        let seat = principal.map(|id| self.seat(tenant.id(), id));
        let profile = self.profiles.one(Profile::of(&token));
        self.put(Entry::new(token, tenant, seat, profile));
    }

    pub(super) fn remove_token(&self, id: &TokenId) {
        let hash = hash_of(id);
        // What it frees is freed once the lock is let go.
        let removed = self.tokens[Self::shard_of(hash)].write().remove(hash, id);
        drop(removed);
    }

    /// The place of an account, made where it is named for the first time.
    pub(super) fn tenant(&self, id: &AccountId) -> Arc<Tenant> {
        let tenants = self.tenants.pin();
        if let Some(tenant) = tenants.get(id) {
            return Arc::clone(tenant);
        }
        let new = || Arc::new(Tenant::new(id.clone()));
        Arc::clone(tenants.get_or_insert_with(id.clone(), new))
    }

    /// The place of a principal, the same way.
    pub(super) fn seat(&self, account: &AccountId, id: &PrincipalId) -> Arc<Seat> {
        let seats = self.seats.pin();
        let name = (account.clone(), id.clone());
        if let Some(seat) = seats.get(&name) {
            return Arc::clone(seat);
        }
        let new = || Arc::new(Seat::new(id.clone()));
        Arc::clone(seats.get_or_insert_with(name, new))
    }

    /// Becomes like one that was loaded: what is gone goes first.
    pub(super) fn become_like(&self, fresh: Self) {
        self.remove_what_is_not_in(&fresh);
        for shard in fresh.tokens {
            for entry in shard.into_inner().into_entries() {
                self.put_moved(entry);
            }
        }
        self.imports.become_like(&fresh.imports);
        for (id, tenant) in &fresh.tenants.pin() {
            let account = tenant.account().map(|account| Arc::clone(&account));
            self.tenant(id).set(account);
        }
        let (roles, fresh_roles) = (self.roles.pin(), fresh.roles.pin());
        roles.retain(|name, _| fresh_roles.contains_key(name));
        for (name, role) in &fresh_roles {
            roles.insert(name.clone(), Arc::clone(role));
        }
        let (seats, fresh_seats) = (self.seats.pin(), fresh.seats.pin());
        for ((account, id), seat) in &fresh_seats {
            let member = seat.member().map(|member| Arc::clone(&member));
            self.seat(account, id).set(member);
        }
        let gone = seats
            .iter()
            .filter(|(name, _)| !fresh_seats.contains_key(*name));
        gone.for_each(|(_, seat)| seat.set(None));
    }

    fn remove_what_is_not_in(&self, fresh: &Self) {
        for (own, fresh) in self.tokens.iter().zip(&fresh.tokens) {
            let ids: Vec<TokenId> = own.read().entries().map(Entry::id).collect();
            let fresh = fresh.read();
            let is_gone = |id: &TokenId| fresh.find(hash_of(id), id).is_none();
            let gone: Vec<TokenId> = ids.into_iter().filter(is_gone).collect();
            drop(fresh);
            gone.iter().for_each(|id| self.remove_token(id));
        }
    }

    fn put_moved(&self, entry: Entry) {
        let tenant = self.tenant(entry.tenant().id());
        let seat = entry.seat().map(|seat| self.seat(tenant.id(), seat.id()));
        let profile = self.profiles.one(Profile::clone(entry.profile()));
        self.put(entry.moved(tenant, seat, profile));
    }

    pub(super) fn put(&self, entry: Entry) {
        let hash = hash_of(&entry.id());
        self.tokens[Self::shard_of(hash)].write().put(hash, entry);
    }
}
