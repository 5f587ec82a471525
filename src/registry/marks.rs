//! Commits what validations left to be written.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{Error, Registry, tokens};
use crate::domain::event::{Event, EventKind, Origin};
use crate::domain::id::TokenId;
use crate::domain::secret::SecretState;
use crate::domain::token::Token;
use crate::marks::{Mark, Marked, Marks, Misuse};
use crate::store::{StoreError, View, key};

/// The pause after a failure, so that a store that is away is not asked as often as tokens are used.
const PAUSE: Duration = Duration::from_millis(250);

impl Registry {
    /// Commits marks as they come; never ends. A mark that cannot be committed is lost, and made again by the next use, but for
    /// those that count.
    pub async fn commit_marks(&self, marks: &Marks) {
        let mut failing = false;
        loop {
            let taken = marks.take(|| self.clock.steady()).await;
            let outcome = self.commit_taken(marks, taken).await;
            if let Err(error) = &outcome {
                if !failing {
                    tracing::warn!(%error, "what validations left could not be written");
                }
                tokio::time::sleep(PAUSE).await;
            }
            failing = outcome.is_err();
        }
    }

    /// Commits the marks that are left when the process ends, those that were held back among them.
    pub async fn commit_last_marks(&self, marks: &Marks) -> Result<(), Error> {
        loop {
            let taken = marks.take_last();
            if taken.is_empty() {
                return Ok(());
            }
            self.commit_taken(marks, taken).await?;
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
            let change = {
                let mark = mark.clone();
                move |view: &mut View<'_>| apply(view, token, version, &mark)
            };
            commits.spawn(async move { (marked, mark, registry.commit(change).await) });
        }
        let mut outcome = Ok(());
        for (marked, mark, committed) in commits.join_all().await {
            if let Err(error) = committed {
                if matches!(error, Error::Store(StoreError::Away(_))) {
                    marks.lost(marked, mark);
                }
                outcome = Err(error);
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
            view.log(event(EventKind::RekeyActivated, &token, version));
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
        Mark::SupersededUsed(misuse) => {
            // A wall clock that leaps takes secrets for superseded that are in their grace: that is not told.
            let mut secrets = token.secrets.iter();
            if let Some(secret) = secrets.find(|secret| secret.version == version)
                && token.secret_state(secret, now) == Some(SecretState::Superseded)
            {
                view.log(misused(&token, version, misuse));
            }
            return Ok(());
        }
    }
    tokens::put(view, Some(&before), &token)
}

fn misused(token: &Token, version: u32, misuse: &Misuse) -> Event {
    let mut event = event(EventKind::SupersededSecretUsed, token, version);
    let said = [
        ("count", misuse.count.to_string()),
        ("client_address", misuse.client_address.clone()),
        ("consumer", misuse.consumer.clone()),
    ];
    let said = said.into_iter().filter(|(_, value)| !value.is_empty());
    event
        .details
        .extend(said.map(|(name, value)| (name.to_owned(), value)));
    event
}

fn event(kind: EventKind, token: &Token, version: u32) -> Event {
    Event {
        kind,
        account: token.account.clone(),
        subject: token.id.to_string(),
        origin: Origin::keyward(),
        details: [("secret_version".to_owned(), version.to_string())].into(),
    }
}
