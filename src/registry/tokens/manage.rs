//! A token's life besides its secrets: changed, deactivated, reactivated, deleted.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::{check_end, check_principal, check_reserved, check_rights, details, put, token};
use crate::domain::event::EventKind;
use crate::domain::grant::Grants;
use crate::domain::id::PrincipalId;
use crate::domain::network::Network;
use crate::domain::rate::RateLimit;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::domain::token::{Access, Token, TokenState};
use crate::registry::{Call, Error, Kind, Registry, check_etag, notices, refused, usage};
use crate::store::record::Tally;
use crate::store::{View, key};

/// What UpdateToken changes.
#[derive(Clone, Debug, Default)]
pub struct TokenPatch {
    pub name: Option<String>,
    pub description: Option<String>,
    pub principal: Option<Option<PrincipalId>>,
    pub expire_time: Option<Option<Timestamp>>,
    pub grants: Option<Grants>,
    pub access: Option<Access>,
    pub networks: Option<Vec<Network>>,
    pub rate_limit: Option<Option<RateLimit>>,
    pub max_connections: Option<Option<NonZeroU32>>,
    pub labels: Option<BTreeMap<String, String>>,
}

impl TokenPatch {
    /// Does it touch what an account's policy may freeze?
    fn touches_frozen(&self) -> bool {
        self.name.is_some() || self.principal.is_some() || self.expire_time.is_some()
    }

    /// Does it touch what the token is good for?
    fn touches_rights(&self) -> bool {
        self.grants.is_some()
            || self.access.is_some()
            || self.networks.is_some()
            || self.expire_time.is_some()
    }
}

impl Registry {
    /// In every state; but an expired token's expiry is for good.
    pub async fn update_token(
        &self,
        call: &Call,
        id: String,
        etag: String,
        patch: TokenPatch,
    ) -> Result<Token, Error> {
        let call = call.clone();
        self.commit(move |view| {
            let (mut token, account) = token(view, &call, &id)?;
            check_etag(&etag, &token.etag(), "token", &id)?;
            let now = view.now();
            if account.policy.freeze_tokens && patch.touches_frozen() {
                return Err(refused(Refusal::TokenFrozen, "token", &id));
            }
            if patch.expire_time.is_some() && token.state(now) == TokenState::Expired {
                return Err(refused(Refusal::TokenExpired, "token", &id));
            }
            let before = token.clone();
            apply(&mut token, &patch);
            if token == before {
                return Ok(token);
            }
            check_reserved(&token, "token.")?;
            // What stays as it is was checked when it came to be.
            if token.expire_time != before.expire_time {
                check_end(&account, token.expire_time, now, "token.expire_time")?;
            }
            if token.principal != before.principal {
                check_principal(
                    view,
                    &account,
                    token.principal.as_ref(),
                    "token.principal_id",
                )?;
            }
            if patch.touches_rights() {
                check_rights(&call, &token)?;
            }
            token.touch(now);
            put(view, Some(&before), &token)?;
            view.log(call.event(EventKind::TokenUpdated, &account.id, &id));
            Ok(token)
        })
        .await
    }

    /// Never refused for the token's state; a second time changes nothing.
    pub async fn deactivate_token(
        &self,
        call: &Call,
        id: String,
        etag: String,
        why: String,
        validate_only: bool,
    ) -> Result<Token, Error> {
        let call = call.clone();
        self.commit(move |view| {
            let (mut token, account) = token(view, &call, &id)?;
            check_etag(&etag, &token.etag(), "token", &id)?;
            if token.inactive {
                return Ok(token);
            }
            let before = token.clone();
            token.inactive = true;
            token.deactivations += 1;
            if validate_only {
                return Ok(token);
            }
            token.touch(view.now());
            put(view, Some(&before), &token)?;
            let mut event = call.event(EventKind::TokenDeactivated, &account.id, &id);
            event.details = details([("why", why.clone())]);
            view.log(event);
            Ok(token)
        })
        .await
    }

    /// An active token stays as it is; an expired one is not resumed.
    pub async fn reactivate_token(
        &self,
        call: &Call,
        id: String,
        etag: String,
    ) -> Result<Token, Error> {
        let call = call.clone();
        self.commit(move |view| {
            let (mut token, account) = token(view, &call, &id)?;
            check_etag(&etag, &token.etag(), "token", &id)?;
            check_rights(&call, &token)?;
            let before = token.clone();
            let now = view.now();
            let resumed = token
                .reactivate(now)
                .map_err(|refusal| refused(refusal, "token", &id))?;
            if resumed {
                token.touch(now);
                put(view, Some(&before), &token)?;
                view.log(call.event(EventKind::TokenReactivated, &account.id, &id));
            }
            Ok(token)
        })
        .await
    }

    /// For good; only an inactive or expired token.
    pub async fn delete_token(
        &self,
        call: &Call,
        id: String,
        etag: String,
        validate_only: bool,
    ) -> Result<(), Error> {
        let call = call.clone();
        self.commit(move |view| {
            let (token, account) = token(view, &call, &id)?;
            check_etag(&etag, &token.etag(), "token", &id)?;
            token
                .deletable(view.now())
                .map_err(|refusal| refused(refusal, "token", &id))?;
            if validate_only {
                return Ok(());
            }
            remove(view, &token)?;
            let mut event = call.event(EventKind::TokenDeleted, &account.id, &id);
            event.details = details([("name", token.name.clone())]);
            view.log(event);
            Ok(())
        })
        .await
    }

    pub async fn get_token(&self, call: &Call, id: &str) -> Result<Token, Error> {
        let missing = || Error::NotFound(Kind::Token, id.to_owned());
        let parsed = crate::domain::id::TokenId::parse(id).ok_or_else(missing)?;
        let token: Token = self
            .store
            .get(key::token(parsed))
            .await?
            .ok_or_else(missing)?;
        if call.operator.scope.reaches(token.account.as_str()) {
            Ok(token)
        } else {
            Err(missing())
        }
    }
}

fn apply(token: &mut Token, patch: &TokenPatch) {
    if let Some(name) = &patch.name {
        token.name.clone_from(name);
    }
    if let Some(description) = &patch.description {
        token.description.clone_from(description);
    }
    if let Some(principal) = &patch.principal {
        token.principal.clone_from(principal);
    }
    if let Some(end) = patch.expire_time {
        token.expire_time = end;
    }
    if let Some(grants) = &patch.grants {
        token.grants = grants.clone();
    }
    if let Some(access) = patch.access {
        token.access = access;
    }
    if let Some(networks) = &patch.networks {
        token.networks.clone_from(networks);
    }
    if let Some(limit) = patch.rate_limit {
        token.rate_limit = limit;
    }
    if let Some(most) = patch.max_connections {
        token.max_connections = most;
    }
    if let Some(labels) = &patch.labels {
        token.labels.clone_from(labels);
    }
}

/// The token, the rows that find it, what is known of its use, its slots, and its place in the account's count.
fn remove(view: &mut View<'_>, token: &Token) -> Result<(), Error> {
    for digest in super::foreign_digests(token) {
        view.delete(key::import(&token.account, &digest))?;
    }
    usage::forget(view, token.id)?;
    notices::forget(view, token.id)?;
    view.delete(key::token(token.id))?;
    view.delete(key::slots(token.id))?;
    view.delete(key::account_token(&token.account, token.id))?;
    let tally = key::tally(&token.account);
    let Tally(tokens) = view.get(&tally)?.unwrap_or_default();
    view.put(tally, &Tally(tokens.saturating_sub(1)))?;
    Ok(())
}
