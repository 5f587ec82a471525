//! Says in the audit log that tokens are expiring, and that they have: each notice once, at its time, whatever restarts and changed
//! policies lie between.
//!
//! A token that ends has a row that says what was told of its expiry, and a row among the due ones, by time, for what comes next.
//! Both are written in the commit that sets the expiry. A worker reads what is due, so that idle tokens cost nothing. Where a
//! policy's notices change, a to-do row makes the worker walk that account's tokens in steps.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::{Error, Registry, account};
use crate::domain::account::Account;
use crate::domain::event::{Event, EventKind, Origin};
use crate::domain::id::{AccountId, TokenId};
use crate::domain::notice::{Notice, Told};
use crate::domain::time::Timestamp;
use crate::domain::token::Token;
use crate::store::backend::{Direction, Key};
use crate::store::record::{Pointer, Record};
use crate::store::seal::Corrupt;
use crate::store::{StoreError, View, Wanted, key};

/// How often the worker looks.
const EVERY: Duration = Duration::from_millis(500);
/// Tokens of one commit, at the most.
pub(super) const STEP: usize = 256;

/// Puts a token's expiry among what is to be told, in place of an earlier one of the same token.
pub(super) fn schedule(view: &mut View<'_>, token: &Token) -> Result<(), Error> {
    let before = view.get(&key::notice(token.id))?;
    let Some(end) = token.expire_time else {
        return place(view, token.id, before, None);
    };
    let policy = account(view, &token.account)?.policy;
    let ahead = &policy.notify_before_expiry;
    let told = match before {
        Some(told) if told.expire_time == end => told.with(ahead),
        _ => Told::nothing(end, ahead),
    };
    if before == Some(told) {
        return Ok(());
    }
    place(view, token.id, before, Some(told))
}

/// A deleted token's expiry is nobody's business any more; what came to be due before is told.
pub(super) fn forget(view: &mut View<'_>, token: TokenId) -> Result<(), Error> {
    tell(view, token)?;
    let before = view.get(&key::notice(token))?;
    place(view, token, before, None)
}

/// The notices of an account's policy are others now.
pub(super) fn renotice(view: &mut View<'_>, account: &AccountId) -> Result<(), Error> {
    Ok(view.put(key::renotice(account), &Pointer(String::new()))?)
}

/// Every token of this store has its notices: so it is from a new store's first commit on.
pub(super) fn complete(view: &mut View<'_>) -> Result<(), Error> {
    Ok(view.put(key::NOTICED.into(), &Pointer(String::new()))?)
}

impl Registry {
    /// Announces tokens as their times come; never ends.
    pub async fn announce(&self) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut begun = false;
        loop {
            tick.tick().await;
            let announced = async {
                if !begun {
                    self.begin_notices().await?;
                }
                self.tell_all().await
            };
            match announced.await {
                Ok(()) => begun = true,
                Err(error) => tracing::debug!(%error, "expiring tokens could not be announced"),
            }
        }
    }

    /// Sees to it, in steps, that the tokens of a store from before there were notices get theirs.
    pub(super) async fn begin_notices(&self) -> Result<(), Error> {
        loop {
            let place: Option<Pointer> = self.store.get(key::NOTICED.into()).await?;
            let after = match place {
                Some(Pointer(account)) if account.is_empty() => return Ok(()),
                place => place.map(|Pointer(account)| key::account(&account)),
            };
            let accounts: Vec<(Key, Account)> =
                self.page(key::ACCOUNTS.into(), after, STEP).await?;
            self.commit(move |view| {
                for (_, account) in &accounts {
                    renotice(view, &account.id)?;
                }
                match accounts.last() {
                    Some((_, last)) => {
                        Ok(view.put(key::NOTICED.into(), &Pointer(last.id.to_string()))?)
                    }
                    None => complete(view),
                }
            })
            .await?;
        }
    }

    /// Tells all that is due, in steps, also while there is much to walk over; commits nothing where nothing is due.
    pub(super) async fn tell_all(&self) -> Result<(), Error> {
        loop {
            let walked = self.walk_on().await?;
            while self.tell_due().await? {}
            if !walked {
                return Ok(());
            }
        }
    }

    /// One step of a walk over an account's tokens, whose notices are others now; false when there is none to make.
    async fn walk_on(&self) -> Result<bool, Error> {
        let todo: Vec<(Key, Pointer)> = self.page(key::RENOTICES.into(), None, 1).await?;
        let Some((todo, place)) = todo.into_iter().next() else {
            return Ok(false);
        };
        let account = key::renotice_account(&todo)
            .ok_or_else(|| StoreError::Corrupt(Corrupt::new(&todo, "it names no account")))?;
        let after = TokenId::parse(&place.0).map(|token| key::account_token(&account, token));
        let prefix = key::account_tokens(&account);
        let tokens: Vec<(Key, Pointer)> = self.page(prefix, after, STEP).await?;
        self.commit(move |view| {
            if view.get(&todo)?.as_ref() != Some(&place) {
                return Ok(());
            }
            for (_, token) in &tokens {
                let token = TokenId::parse(&token.0).map(key::token);
                if let Some(token) = token.map(|token| view.get(&token)).transpose()?.flatten() {
                    schedule(view, &token)?;
                }
            }
            match tokens.last() {
                Some((_, last)) => view.put(todo.clone(), last)?,
                None => view.delete(todo.clone())?,
            }
            Ok(())
        })
        .await?;
        Ok(true)
    }

    /// One step of what is due; false when nothing is.
    async fn tell_due(&self) -> Result<bool, Error> {
        let page: Vec<(Key, Pointer)> = self.page(key::DUE.into(), None, STEP).await?;
        let now = self.clock.settled();
        let due: Vec<(Key, TokenId)> = page
            .into_iter()
            .map_while(|(name, _)| {
                let (time, token) = key::due_parts(&name)?;
                (time <= now).then_some((name, token))
            })
            .collect();
        if due.is_empty() {
            return Ok(false);
        }
        self.commit(move |view| {
            due.iter().try_for_each(|(name, token)| {
                view.delete(name.clone())?;
                tell(view, *token)
            })
        })
        .await?;
        Ok(true)
    }

    async fn page<R: Record + Send + 'static>(
        &self,
        prefix: Key,
        after: Option<Key>,
        limit: usize,
    ) -> Result<Vec<(Key, R)>, Error> {
        let wanted = Wanted {
            prefix,
            after,
            direction: Direction::Forward,
            limit,
        };
        Ok(self.store.scan(wanted).await?)
    }
}

/// Tells what is due of one token, and puts what comes next among the due ones.
fn tell(view: &mut View<'_>, id: TokenId) -> Result<(), Error> {
    let before: Option<Told> = view.get(&key::notice(id))?;
    let (Some(token), Some(told)) = (view.get::<Token>(&key::token(id))?, before) else {
        return place(view, id, before, None);
    };
    let ahead = account(view, &token.account)?.policy.notify_before_expiry;
    let (notices, left) = told.tell(&ahead, view.now());
    for notice in notices {
        view.log(event(&token, notice, told.expire_time));
    }
    place(view, id, before, Some(left))
}

/// Writes what was told of a token, and moves it among the due ones to where it belongs.
fn place(
    view: &mut View<'_>,
    id: TokenId,
    before: Option<Told>,
    after: Option<Told>,
) -> Result<(), Error> {
    if let Some(time) = before.and_then(|before| before.next) {
        view.delete(key::due(time, id))?;
    }
    if let Some(time) = after.and_then(|after| after.next) {
        view.put(key::due(time, id), &Pointer(id.to_string()))?;
    }
    match after {
        Some(told) => view.put(key::notice(id), &told)?,
        None if before.is_some() => view.delete(key::notice(id))?,
        None => {}
    }
    Ok(())
}

fn event(token: &Token, notice: Notice, end: Timestamp) -> Event {
    let mut details: BTreeMap<_, _> = [("expire_time".to_owned(), end.to_string())].into();
    let kind = match notice {
        Notice::Expiring(span) => {
            details.insert("notice_seconds".into(), span.as_secs_f64().to_string());
            EventKind::TokenExpiring
        }
        Notice::Expired => EventKind::TokenExpired,
    };
    Event {
        kind,
        account: token.account.clone(),
        subject: token.id.to_string(),
        origin: Origin::keyward(),
        details,
    }
}
