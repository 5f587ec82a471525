//! New secrets for a token, and the life of the old ones.

use std::collections::BTreeMap;
use std::time::Duration;

use super::issue::shown_again;
use super::{Issued, check_rights, details, put, token};
use crate::domain::event::EventKind;
use crate::domain::id::TokenId;
use crate::domain::limits;
use crate::domain::refusal::Refusal;
use crate::domain::secret::{Place, Secret};
use crate::domain::text;
use crate::domain::token::{Activation, Token};
use crate::keyring::Keyring;
use crate::random;
use crate::registry::replay::Once;
use crate::registry::usage::OldSecretInUse;
use crate::registry::{Call, Error, Kind, Registry, check_enabled, check_etag, refused};
use crate::store::View;

/// What Rekey takes.
#[derive(Clone, Debug)]
pub struct NewSecret {
    pub token: String,
    /// `None`: the account's.
    pub grace: Option<Duration>,
    pub activation: Activation,
    pub etag: String,
}

impl Registry {
    pub async fn rekey(
        &self,
        call: &Call,
        new: NewSecret,
        once: Option<Once>,
    ) -> Result<Issued, Error> {
        let id = TokenId::parse(&new.token)
            .ok_or_else(|| Error::NotFound(Kind::Token, new.token.clone()))?;
        let secret = text::assemble(&self.environment, id, &random::secret(&*self.random));
        let digest = self.keyring.current().secret_digest(id, secret.reveal());
        let (call, keyring, random) = (call.clone(), self.keyring.clone(), self.random.clone());
        self.commit(move |view| {
            let (mut token, account) = token(view, &call, &new.token)
                .or_else(|error| Err(gone_since(view, &keyring, once.as_ref(), id, error)?))?;
            if let Some(once) = &once
                && let Some(answered) = once.answered::<Token>(view, &keyring, &account.id)?
            {
                return shown_again(view, &call, answered);
            }
            check_etag(&new.etag, &token.etag(), "token", &new.token)?;
            check_enabled(&account)?;
            check_rights(&call, &token)?;
            let grace = new.grace.unwrap_or(account.policy.rekey_grace);
            let now = view.now();
            let before = token.clone();
            let next = Secret {
                version: token.next_version(),
                place: Place::Current,
                digest,
                key: keyring.current().id(),
                foreign: false,
                hint: secret.hint(),
                create_time: now,
            };
            token
                .rekey(next, grace, new.activation, now)
                .map_err(|refusal| refused(refusal, "token", &new.token))?;
            token.touch(now);
            put(view, Some(&before), &token)?;
            let mut event = call.event(EventKind::TokenRekeyed, &account.id, &new.token);
            event.details = rekey_details(&token, grace, new.activation);
            view.log(event);
            if let Some(once) = &once {
                once.keep(view, &keyring, &*random, &account.id, &token, Some(&secret))?;
                once.keep_trace(view, &keyring, id)?;
            }
            Ok(Issued {
                token,
                secret: secret.clone(),
                again: false,
            })
        })
        .await
    }

    /// Ends the grace of every old secret now; if they were not used for some time, where that is asked for.
    pub async fn complete_rekey(
        &self,
        call: &Call,
        id: String,
        etag: String,
        if_old_idle_for: Option<Duration>,
    ) -> Result<Token, Error> {
        let in_hand = match TokenId::parse(&id) {
            Some(id) if if_old_idle_for.is_some() => Some(self.use_in_hand(id).await?),
            _ => None,
        };
        let complete = move |view: &mut View<'_>, token: &mut Token| {
            let (before, now) = (token.clone(), view.now());
            token
                .complete_rekey(now)
                .map_err(|refusal| refused(refusal, "token", before.id.as_str()))?;
            let (Some(idle), Some(in_hand)) = (if_old_idle_for, &in_hand) else {
                return Ok(());
            };
            match in_hand.old_secret_used(view, &before)? {
                Some(last_used) if now.since(last_used) < idle => {
                    Err(Error::OldSecretInUse(OldSecretInUse {
                        token: before.id,
                        last_used,
                        consumers: Vec::new(),
                    }))
                }
                _ => Ok(()),
            }
        };
        let completed = self
            .change_secrets(call, id, etag, EventKind::RekeyCompleted, complete)
            .await;
        match (completed, if_old_idle_for) {
            (Err(Error::OldSecretInUse(in_use)), Some(idle)) => Err(Error::OldSecretInUse(
                self.name_users(call, in_use, idle).await?,
            )),
            (completed, _) => completed,
        }
    }

    /// Drops the pending secret, and keeps the current one.
    pub async fn cancel_rekey(
        &self,
        call: &Call,
        id: String,
        etag: String,
    ) -> Result<Token, Error> {
        let cancel = |view: &mut View<'_>, token: &mut Token| {
            let cancelled = token.cancel_rekey(view.now());
            cancelled.map_err(|refusal| refused(refusal, "token", token.id.as_str()))
        };
        self.change_secrets(call, id, etag, EventKind::RekeyCancelled, cancel)
            .await
    }

    async fn change_secrets(
        &self,
        call: &Call,
        id: String,
        etag: String,
        event: EventKind,
        mut change: impl FnMut(&mut View<'_>, &mut Token) -> Result<(), Error> + Send + 'static,
    ) -> Result<Token, Error> {
        let call = call.clone();
        self.commit(move |view| {
            let (mut token, account) = token(view, &call, &id)?;
            check_etag(&etag, &token.etag(), "token", &id)?;
            let before = token.clone();
            change(view, &mut token)?;
            token.touch(view.now());
            put(view, Some(&before), &token)?;
            view.log(call.event(event, &account.id, &id));
            Ok(token)
        })
        .await
    }
}

/// The error for a token that is not found: a call that was answered before with its new secret hears that it is gone.
fn gone_since(
    view: &mut View<'_>,
    keyring: &Keyring,
    once: Option<&Once>,
    id: TokenId,
    error: Error,
) -> Result<Error, Error> {
    match (&error, once) {
        (Error::NotFound(..), Some(once)) if once.was_answered_for(view, keyring, id)? => {
            Ok(refused(Refusal::ReplayGone, "token", id.as_str()))
        }
        _ => Ok(error),
    }
}

fn rekey_details(
    token: &Token,
    grace: Duration,
    activation: Activation,
) -> BTreeMap<String, String> {
    let activation = match activation {
        Activation::AtOnce => "AT_ONCE",
        Activation::OnFirstUse => "ON_FIRST_USE",
    };
    details([
        ("secret_version", token.last_version.to_string()),
        ("grace_seconds", grace.as_secs().to_string()),
        ("activation", activation.into()),
    ])
}

/// The grace that a request may ask for.
pub fn check_grace(grace: Duration) -> Result<Duration, Error> {
    if grace > limits::REKEY_GRACE {
        return Err(Error::invalid(
            "grace",
            format!(
                "must be at most {} days",
                limits::REKEY_GRACE.as_secs() / 86_400
            ),
        ));
    }
    Ok(grace)
}
