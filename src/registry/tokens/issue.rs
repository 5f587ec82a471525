//! New tokens: made with a secret of ours, or taken over from elsewhere by the digest of theirs.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::{
    Expiry, Issued, check_end, check_principal, check_reserved, check_rights, check_scope, details,
    put,
};
use crate::domain::account::Account;
use crate::domain::event::EventKind;
use crate::domain::grant::Grants;
use crate::domain::id::{AccountId, PrincipalId, TokenId};
use crate::domain::network::Network;
use crate::domain::rate::RateLimit;
use crate::domain::refusal::Refusal;
use crate::domain::secret::{Digest, KeyId, Place, Secret};
use crate::domain::text;
use crate::domain::time::Timestamp;
use crate::domain::token::{Access, Token};
use crate::random;
use crate::registry::replay::{Answered, Once};
use crate::registry::{Call, Error, Kind, Registry, enabled_account, refused};
use crate::store::record::{Pointer, Tally};
use crate::store::{View, key};

/// What CreateToken takes.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// As it was named; empty: the operator's own.
    pub account: String,
    pub name: String,
    pub description: String,
    pub principal: Option<PrincipalId>,
    pub access: Access,
    pub grants: Grants,
    pub networks: Vec<Network>,
    pub rate_limit: Option<RateLimit>,
    pub max_connections: Option<NonZeroU32>,
    pub expiry: Option<Expiry>,
    pub labels: BTreeMap<String, String>,
    /// As it was named; empty: every account.
    pub scope: String,
}

/// What ImportToken takes besides.
#[derive(Clone)]
pub struct Imported {
    /// Of the foreign text as callers present it.
    pub sha256: [u8; 32],
    pub foreign_id: Option<String>,
    pub hint: String,
}

impl std::fmt::Debug for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imported")
            .field("foreign_id", &self.foreign_id)
            .finish_non_exhaustive()
    }
}

impl Registry {
    pub async fn create_token(
        &self,
        call: &Call,
        new: NewToken,
        once: Option<Once>,
    ) -> Result<Issued, Error> {
        let account = call.account(&new.account)?;
        let id = random::token_id(&*self.random);
        let secret = text::assemble(&self.environment, id, &random::secret(&*self.random));
        let key = self.keyring.current();
        let first = FirstSecret {
            digest: key.secret_digest(id, secret.reveal()),
            key: key.id(),
            foreign: false,
            hint: secret.hint(),
        };
        let making = Making {
            call: call.clone(),
            account,
            id,
            new,
            first,
            imported: None,
        };
        let (keyring, random) = (self.keyring.clone(), self.random.clone());
        self.commit(move |view| {
            if let Some(once) = &once
                && let Some(answered) = once.answered::<Token>(view, &keyring, &making.account)?
            {
                return shown_again(view, &making.call, answered);
            }
            let token = making.make(view, "", EventKind::TokenCreated)?;
            if let Some(once) = &once {
                once.keep(
                    view,
                    &keyring,
                    &*random,
                    &making.account,
                    &token,
                    Some(&secret),
                )?;
            }
            Ok(Issued {
                token,
                secret: secret.clone(),
                again: false,
            })
        })
        .await
    }

    pub async fn import_token(
        &self,
        call: &Call,
        new: NewToken,
        imported: Imported,
        once: Option<Once>,
    ) -> Result<Token, Error> {
        let account = call.account(&new.account)?;
        if account.is_system() {
            return Err(Error::invalid(
                "token.account_id",
                "must not be system: operators' secrets are never imported",
            ));
        }
        let key = self.keyring.current();
        let first = FirstSecret {
            digest: key.import_digest(account.as_str(), &imported.sha256),
            key: key.id(),
            foreign: true,
            hint: imported.hint.clone(),
        };
        let id = random::token_id(&*self.random);
        let other_digests: Vec<Digest> = self.keyring.keys()[1..]
            .iter()
            .map(|key| key.import_digest(account.as_str(), &imported.sha256))
            .collect();
        let making = Making {
            call: call.clone(),
            account,
            id,
            new,
            first,
            imported: Some(imported),
        };
        let (keyring, random) = (self.keyring.clone(), self.random.clone());
        self.commit(move |view| {
            if let Some(once) = &once
                && let Some(answered) = once.answered::<Token>(view, &keyring, &making.account)?
            {
                check_unchanged(view, &answered.record)?;
                return Ok(answered.record);
            }
            for digest in &other_digests {
                if view
                    .get::<Pointer>(&key::import(&making.account, digest))?
                    .is_some()
                {
                    return Err(Error::AlreadyExists(Kind::Token, "with this sha256".into()));
                }
            }
            let token = making.make(view, "token.", EventKind::TokenImported)?;
            if let Some(once) = &once {
                once.keep(view, &keyring, &*random, &making.account, &token, None)?;
            }
            Ok(token)
        })
        .await
    }
}

/// The answer of a call that was made before: its secret is shown once more only while it is still the token's, and good, and
/// while the operator may still hand out what the token gives.
pub(super) fn shown_again(
    view: &mut View<'_>,
    call: &Call,
    answered: Answered<Token>,
) -> Result<Issued, Error> {
    let shown = answered.record;
    let current = check_unchanged(view, &shown)?;
    check_rights(call, &current)?;
    let gone = || refused(Refusal::ReplayGone, "token", shown.id.as_str());
    let secret = answered.secret.ok_or_else(gone)?;
    Ok(Issued {
        token: shown,
        secret,
        again: true,
    })
}

/// The token of an answer that was given before, as it is now: neither rekeyed nor deactivated nor deleted since.
fn check_unchanged(view: &mut View<'_>, shown: &Token) -> Result<Token, Error> {
    let gone = || refused(Refusal::ReplayGone, "token", shown.id.as_str());
    let current: Token = view.get(&key::token(shown.id))?.ok_or_else(gone)?;
    let newest = shown.secrets.last().map(|secret| secret.version);
    let rekeyed = current.last_version != shown.last_version
        || !current
            .secrets
            .iter()
            .any(|secret| Some(secret.version) == newest);
    if rekeyed || current.deactivations != shown.deactivations {
        return Err(gone());
    }
    Ok(current)
}

/// A token in the making.
struct Making {
    call: Call,
    account: AccountId,
    id: TokenId,
    new: NewToken,
    first: FirstSecret,
    imported: Option<Imported>,
}

struct FirstSecret {
    digest: Digest,
    key: KeyId,
    foreign: bool,
    hint: String,
}

impl Making {
    /// `prefix` leads to the fields in the request.
    fn make(&self, view: &mut View<'_>, prefix: &str, event: EventKind) -> Result<Token, Error> {
        let account = enabled_account(view, &self.account)?;
        let now = view.now();
        let end_field = format!(
            "{prefix}{}",
            self.new.expiry.map_or("expire_time", Expiry::field)
        );
        let end = self.new.expiry.map(|expiry| expiry.end(now));
        let token = self.token(end, now)?;
        check_reserved(&token, prefix)?;
        check_end(&account, end, now, &end_field)?;
        check_principal(
            view,
            &account,
            token.principal.as_ref(),
            &format!("{prefix}principal_id"),
        )?;
        check_scope(view, token.scope.as_ref())?;
        check_rights(&self.call, &token)?;
        count_one_more(view, &account)?;
        put(view, None, &token)?;
        view.put(
            key::account_token(&account.id, token.id),
            &Pointer(token.id.to_string()),
        )?;
        let mut event = self.call.event(event, &account.id, token.id.as_str());
        event.details = details([
            ("name", token.name.clone()),
            ("principal_id", text_of(token.principal.as_ref())),
        ]);
        view.log(event);
        Ok(token)
    }

    fn token(&self, end: Option<Timestamp>, now: Timestamp) -> Result<Token, Error> {
        let new = &self.new;
        let missing = || Error::NotFound(Kind::Account, new.scope.clone());
        let scope =
            (!new.scope.is_empty()).then(|| AccountId::parse(&new.scope).map_err(|_| missing()));
        let first = Secret {
            version: 1,
            place: Place::Current,
            digest: self.first.digest,
            key: self.first.key,
            foreign: self.first.foreign,
            hint: self.first.hint.clone(),
            create_time: now,
        };
        let foreign_id = |imported: &Imported| imported.foreign_id.clone();
        Ok(Token {
            description: new.description.clone(),
            principal: new.principal.clone(),
            access: new.access,
            grants: new.grants.clone(),
            networks: new.networks.clone(),
            rate_limit: new.rate_limit,
            max_connections: new.max_connections,
            expire_time: end,
            labels: new.labels.clone(),
            scope: scope.transpose()?,
            imported: self.imported.is_some(),
            foreign_id: self.imported.as_ref().and_then(foreign_id),
            ..Token::new(
                self.id,
                self.account.clone(),
                new.name.clone(),
                self.call.origin.actor.clone(),
                first,
            )
        })
    }
}

/// One more token, if the account's policy lets there be one: counted in the commit that makes it.
fn count_one_more(view: &mut View<'_>, account: &Account) -> Result<(), Error> {
    let name = key::tally(&account.id);
    let Tally(tokens) = view.get(&name)?.unwrap_or_default();
    match account.policy.max_tokens {
        Some(limit) if tokens >= u64::from(limit) => Err(Error::TokenLimit {
            account: account.id.to_string(),
            limit,
        }),
        _ => Ok(view.put(name, &Tally(tokens + 1))?),
    }
}

fn text_of(id: Option<&PrincipalId>) -> String {
    id.map(ToString::to_string).unwrap_or_default()
}
