//! Tells the audit log of held connections that were cut: of each token and reason once a minute, however many there were.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{Error, Registry};
use crate::domain::event::{Event, EventKind, Origin};
use crate::domain::id::{AccountId, TokenId};

/// How long the first line waits for those that are cut with it.
const GATHERED: Duration = Duration::from_millis(250);
/// How often there is a line on one token and reason.
const EVERY: Duration = Duration::from_secs(60);
/// Pairs of token and reason that are counted at once; further ones are told of one by one no more.
const REMEMBERED: usize = 10_000;
/// Lines that are being written at once: the store's queue is everybody's.
const WRITING: usize = 64;

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
#[derive(Debug)]
pub struct Cuts {
    counted: Mutex<HashMap<(TokenId, &'static str), u64>>,
    writing: Semaphore,
}

impl Default for Cuts {
    fn default() -> Self {
        Self {
            counted: Mutex::default(),
            writing: Semaphore::new(WRITING),
        }
    }
}

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

    /// The log did not take them: they are told of with the next. Where it took them all the same they are told of twice.
    fn put_back(&self, cut: &CutConnection, count: u64) {
        *self.lock().entry((cut.token, cut.reason)).or_default() += count;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(TokenId, &'static str), u64>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
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
            let turn = cuts.writing.acquire().await;
            let count = cuts.take(&cut);
            if count == 0 {
                return;
            }
            if let Err(error) = self.log_cut(&cut, count).await {
                tracing::warn!(%error, token = %cut.token, count, "cut connections are not logged yet");
                cuts.put_back(&cut, count);
            }
            drop(turn);
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn log_cut(&self, cut: &CutConnection, count: u64) -> Result<(), Error> {
        let cut = cut.clone();
        let logged = self.store.update(move |view| {
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
            Ok::<_, Error>(())
        });
        logged.await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::world::World;
    use crate::store::Condition;

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

    #[tokio::test]
    async fn however_many_are_cut_at_once_the_store_has_room_for_their_lines_and_for_others() {
        const MANY: usize = 2 * crate::store::QUEUE;
        let world = World::with_accounts(["acme"]).await;
        tokio::time::pause();
        let cuts = std::sync::Arc::new(Cuts::default());
        for token in 0..MANY {
            let (registry, cuts) = (world.registry.clone(), cuts.clone());
            tokio::spawn(async move { registry.tell_of_cut(&cuts, cut(token, "INACTIVE")).await });
        }
        tokio::time::sleep(GATHERED * 2).await;
        let other = world.registry.store.update(|_| Ok::<_, Error>(()));
        other.await.unwrap();
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_millis(5));
            let told = world.events().await;
            let told = told
                .iter()
                .filter(|line| line.kind == EventKind::ConnectionCut as i32);
            if told.count() == MANY {
                return;
            }
        }
        panic!("some were lost");
    }

    #[tokio::test]
    async fn what_the_store_did_not_take_is_told_later() {
        let world = World::with_accounts(["acme"]).await;
        tokio::time::pause();
        world.backend.set_unavailable(true);
        let cuts = std::sync::Arc::new(Cuts::default());
        for _ in 0..2 {
            let (registry, cuts) = (world.registry.clone(), cuts.clone());
            tokio::spawn(async move { registry.tell_of_cut(&cuts, cut(1, "INACTIVE")).await });
        }
        tokio::time::sleep(GATHERED * 2).await;
        let patience = Duration::from_millis(10);
        std::thread::sleep(patience * 5);
        world.backend.set_unavailable(false);
        let condition = world.registry.store.condition();
        while *condition.borrow() != Condition::Writable {
            std::thread::sleep(patience);
        }
        tokio::time::sleep(EVERY * 2).await;
        for _ in 0..500 {
            let told = world.events().await;
            let told = told
                .iter()
                .find(|line| line.kind == EventKind::ConnectionCut as i32);
            if let Some(line) = told {
                assert_eq!(line.details["count"], "2");
                return;
            }
            std::thread::sleep(patience);
        }
        panic!("they were lost");
    }
}
