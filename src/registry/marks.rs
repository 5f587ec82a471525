//! Commits what validations left to be written.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{Error, Registry, tokens};
use crate::domain::event::{Event, EventKind, Origin};
use crate::domain::id::TokenId;
use crate::domain::token::Token;
use crate::marks::{Mark, Marks};
use crate::store::{View, key};

/// How long nothing is written after the store took none: each further use would only be refused, and told of, again.
const PAUSE: Duration = Duration::from_secs(1);

impl Registry {
    /// Commits marks as they come, those that wait together in one commit; never ends. A mark that cannot be committed is
    /// lost, and made again by the next use.
    pub async fn commit_marks(&self, marks: &Marks) {
        loop {
            let mut commits = JoinSet::new();
            for ((token, version), mark) in marks.take().await {
                let registry = self.clone();
                commits.spawn(async move {
                    let commit = registry.commit(move |view| apply(view, token, version, &mark));
                    commit.await
                });
            }
            let done = commits.join_all().await;
            let lost: Vec<Error> = done.into_iter().filter_map(Result::err).collect();
            if let Some(error) = lost.first() {
                tracing::warn!(%error, marks = lost.len(), "what validations left could not be written");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn apply(view: &mut View<'_>, id: TokenId, version: u32, mark: &Mark) -> Result<(), Error> {
    let Some(mut token) = view.get::<Token>(&key::token(id))? else {
        return Ok(());
    };
    let before = token.clone();
    let now = view.now();
    match mark {
        Mark::FirstUse => {
            if !token.activate_pending(version, now) {
                return Ok(());
            }
            token.touch(now);
            view.log(event(EventKind::RekeyActivated, &token, version, ""));
        }
        Mark::Rehash { key, digest } => {
            let stale = token
                .secrets
                .iter_mut()
                .find(|secret| secret.version == version && secret.key != *key);
            let Some(secret) = stale else { return Ok(()) };
            secret.key = *key;
            secret.digest = *digest;
        }
        Mark::SupersededUsed { client_address } => {
            view.log(event(
                EventKind::SupersededSecretUsed,
                &token,
                version,
                client_address,
            ));
            return Ok(());
        }
    }
    tokens::put(view, Some(&before), &token)
}

fn event(kind: EventKind, token: &Token, version: u32, client_address: &str) -> Event {
    let mut event = Event {
        kind,
        account: token.account.clone(),
        subject: token.id.to_string(),
        origin: Origin::keyward(),
        details: [("secret_version".to_owned(), version.to_string())].into(),
    };
    if !client_address.is_empty() {
        event
            .details
            .insert("client_address".into(), client_address.to_owned());
    }
    event
}
