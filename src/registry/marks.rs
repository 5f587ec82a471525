//! Commits what validations left to be written.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{Error, Registry, tokens};
use crate::domain::event::{Event, EventKind, Origin};
use crate::domain::id::TokenId;
use crate::domain::token::Token;
use crate::marks::{Mark, Marked, Marks};
use crate::store::{View, key};

/// The pause after a failure, so that a store that is away is not asked as often as tokens are used.
const PAUSE: Duration = Duration::from_millis(250);

impl Registry {
    /// Commits marks as they come; never ends. A mark that cannot be committed is lost, and made again by the next use.
    pub async fn commit_marks(&self, marks: &Marks) {
        loop {
            let taken = marks.take().await;
            if let Err(error) = self.commit_taken(marks, taken).await {
                tracing::warn!(%error, "what validations left could not be written");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Commits marks side by side, so that the committer makes them durable together; an error where any failed.
    pub(super) async fn commit_taken(
        &self,
        marks: &Marks,
        taken: Vec<(Marked, Mark)>,
    ) -> Result<(), Error> {
        let mut commits = JoinSet::new();
        for (marked, mark) in taken {
            let registry = self.clone();
            let (token, version) = marked;
            let change = move |view: &mut View<'_>| apply(view, token, version, &mark);
            commits.spawn(async move { (marked, registry.commit(change).await) });
        }
        let mut outcome = Ok(());
        for (marked, committed) in commits.join_all().await {
            if committed.is_err() {
                marks.lost(marked);
                outcome = committed;
            }
        }
        outcome
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
