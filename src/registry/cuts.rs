//! Tells the audit log of held connections that were cut: of each token and reason once a minute, however many there were.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Error, Registry};
use crate::domain::event::{Event, EventKind, Origin};
use crate::domain::id::{AccountId, TokenId};

/// How long the first line waits for those that are cut with it.
const GATHERED: Duration = Duration::from_millis(250);
/// How often there is a line on one token and reason.
const EVERY: Duration = Duration::from_secs(60);
/// Pairs of token and reason that are counted at once; further ones are told of one by one no more.
const REMEMBERED: usize = 10_000;

/// A connection that was cut.
#[derive(Clone, Debug)]
pub struct CutConnection {
    pub token: TokenId,
    pub account: AccountId,
    /// As the contract writes it.
    pub reason: &'static str,
    /// The operator that held it.
    pub holder: TokenId,
    /// Of whom it was held for; empty where nobody said.
    pub client_address: String,
    /// The same of the service that it was held for.
    pub consumer: String,
}

/// Those that the log has not heard of.
#[derive(Debug, Default)]
pub struct Cuts(Mutex<HashMap<(TokenId, &'static str), u64>>);

impl Cuts {
    /// Counts one; whether somebody has to begin to tell of this token and reason.
    fn count(&self, cut: &CutConnection) -> bool {
        let mut counted = self.lock();
        if let Some(count) = counted.get_mut(&(cut.token, cut.reason)) {
            *count += 1;
            return false;
        }
        let begins = counted.len() < REMEMBERED;
        if begins {
            counted.insert((cut.token, cut.reason), 1);
        }
        begins
    }

    /// How many there were since this was last asked; with none, the token and reason are forgotten.
    fn take(&self, cut: &CutConnection) -> u64 {
        let mut counted = self.lock();
        let pair = (cut.token, cut.reason);
        let count = counted.get_mut(&pair).map_or(0, std::mem::take);
        if count == 0 {
            counted.remove(&pair);
        }
        count
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(TokenId, &'static str), u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Tells the log of this one, together with those like it; to be given a task of its own, which ends when no more come.
    pub async fn tell_of_cut(&self, cuts: &Cuts, cut: CutConnection) {
        if !cuts.count(&cut) {
            return;
        }
        tokio::time::sleep(GATHERED).await;
        loop {
            let count = cuts.take(&cut);
            if count == 0 {
                return;
            }
            if let Err(error) = self.log_cut(&cut, count).await {
                tracing::warn!(%error, token = %cut.token, count, "cut connections could not be logged");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn log_cut(&self, cut: &CutConnection, count: u64) -> Result<(), Error> {
        let cut = cut.clone();
        self.commit(move |view| {
            let mut details = BTreeMap::from([
                ("reason".to_owned(), cut.reason.to_owned()),
                ("count".to_owned(), count.to_string()),
                ("holder".to_owned(), cut.holder.to_string()),
            ]);
            let said = [
                ("client_address", &cut.client_address),
                ("consumer", &cut.consumer),
            ];
            for (name, value) in said.into_iter().filter(|(_, value)| !value.is_empty()) {
                details.insert(name.to_owned(), value.clone());
            }
            view.log(Event {
                kind: EventKind::ConnectionCut,
                account: cut.account.clone(),
                subject: cut.token.to_string(),
                origin: Origin::keyward(),
                details,
            });
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(token: usize, reason: &'static str) -> CutConnection {
        let token = TokenId::parse(&format!("{token:022}")).unwrap();
        CutConnection {
            token,
            account: AccountId::parse("acme").unwrap(),
            reason,
            holder: token,
            client_address: String::new(),
            consumer: String::new(),
        }
    }

    #[test]
    fn those_of_one_token_and_reason_are_told_together() {
        let cuts = Cuts::default();
        let (one, other) = (cut(1, "INACTIVE"), cut(1, "EXPIRED"));
        assert!(cuts.count(&one) && cuts.count(&other));
        assert!(!cuts.count(&one), "somebody tells of them already");
        assert_eq!((cuts.take(&one), cuts.take(&other)), (2, 1));
        assert!(!cuts.count(&one), "within the minute");
        assert_eq!((cuts.take(&one), cuts.take(&one)), (1, 0));
        assert!(cuts.count(&one), "it begins anew");
    }

    #[test]
    fn as_many_tokens_and_reasons_are_remembered_as_there_is_room_for() {
        let cuts = Cuts::default();
        for token in 0..REMEMBERED {
            assert!(cuts.count(&cut(token, "INACTIVE")));
        }
        assert!(!cuts.count(&cut(REMEMBERED, "INACTIVE")));
        assert_eq!(cuts.take(&cut(7, "INACTIVE")), 1);
        assert_eq!(cuts.take(&cut(7, "INACTIVE")), 0, "and forgotten");
        assert!(cuts.count(&cut(REMEMBERED, "INACTIVE")));
    }
}
