//! Wakes those who wait for a change of a token or an account, or for a time: held connections are decided again then.
//!
//! A commit costs the directory's own thread no more than a note of what it touched, however many wait; one task, `keep`,
//! rings whoever waits for that. It compares deadlines with the clock that decisions are made by, every few milliseconds of
//! real time, so that no leap of that clock is missed and nobody sleeps too long.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Observer, Touched};
use crate::domain::id::{AccountId, TokenId};
use crate::domain::time::Timestamp;
use crate::store::backend::Revision;

/// How often deadlines are compared with the clock, and how often whoever waits for the same is rung at the most.
const TICK: Duration = Duration::from_millis(20);

/// All alarms of this node. Their number is bounded.
#[derive(Debug)]
pub struct Alarms {
    most: usize,
    state: Mutex<State>,
    /// There is something to ring for, or a first deadline.
    stirred: Notify,
}

/// Rings until it is dropped. What it waits for can be set anew.
#[derive(Debug)]
pub struct Alarm {
    alarms: Arc<Alarms>,
    id: u64,
    bell: Arc<Notify>,
}

/// What an alarm waits for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Watched {
    pub tokens: Vec<TokenId>,
    pub accounts: Vec<AccountId>,
    pub deadline: Option<Timestamp>,
}

/// There are as many alarms as there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

#[derive(Debug, Default)]
struct State {
    last: u64,
    alarms: HashMap<u64, (Watched, Arc<Notify>)>,
    by_token: HashMap<TokenId, HashSet<u64>>,
    by_account: HashMap<AccountId, HashSet<u64>>,
    deadlines: BTreeSet<(Timestamp, u64)>,
    /// What was touched, and somebody waits for it who has not been rung.
    touched: Stir,
}

#[derive(Debug, Default)]
struct Stir {
    all: bool,
    tokens: HashSet<TokenId>,
    accounts: HashSet<AccountId>,
}

impl Alarms {
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            state: Mutex::default(),
            stirred: Notify::new(),
        }
    }

    /// An alarm that waits for nothing yet, where there is room for one more.
    pub fn alarm(self: &Arc<Self>) -> Result<Alarm, Full> {
        let mut state = self.lock();
        if state.alarms.len() >= self.most {
            return Err(Full);
        }
        state.last += 1;
        let (id, bell) = (state.last, Arc::new(Notify::new()));
        state
            .alarms
            .insert(id, (Watched::default(), Arc::clone(&bell)));
        drop(state);
        Ok(Alarm {
            alarms: Arc::clone(self),
            id,
            bell,
        })
    }

    /// Rings everybody, soon.
    pub fn ring_all(&self) {
        self.lock().touched.all = true;
        self.stirred.notify_one();
    }

    /// Rings whoever is to be rung, as it comes to be; never ends. `now` is the clock of decisions.
    pub async fn keep(&self, now: impl Fn() -> Timestamp) {
        loop {
            let timed = !self.lock().deadlines.is_empty();
            if timed {
                let _ = tokio::time::timeout(TICK, self.stirred.notified()).await;
            } else {
                self.stirred.notified().await;
            }
            if self.ring(now()) {
                tokio::time::sleep(TICK).await;
            }
        }
    }

    /// Rings for what was touched and for the deadlines that have come; whether anything was touched.
    fn ring(&self, now: Timestamp) -> bool {
        let mut state = self.lock();
        while let Some((deadline, id)) = state.deadlines.first().copied()
            && deadline <= now
        {
            state.deadlines.pop_first();
            if let Some((watched, bell)) = state.alarms.get_mut(&id) {
                watched.deadline = None;
                bell.notify_one();
            }
        }
        let touched = std::mem::take(&mut state.touched);
        if touched.all {
            state
                .alarms
                .values()
                .for_each(|(_, bell)| bell.notify_one());
            return true;
        }
        let of_tokens = touched
            .tokens
            .iter()
            .filter_map(|id| state.by_token.get(id));
        let of_accounts = touched
            .accounts
            .iter()
            .filter_map(|id| state.by_account.get(id));
        for id in of_tokens.chain(of_accounts).flatten() {
            state.alarms[id].1.notify_one();
        }
        !touched.tokens.is_empty() || !touched.accounts.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Alarms {
    fn touched(&self, touched: &Touched) {
        let mut state = self.lock();
        let State {
            by_token,
            by_account,
            touched: stir,
            ..
        } = &mut *state;
        let tokens = touched.tokens.iter().copied();
        let tokens = tokens.filter(|id| by_token.contains_key(id));
        let accounts = touched.accounts.iter().cloned();
        let accounts = accounts.filter(|id| by_account.contains_key(id));
        let before = stir.tokens.len() + stir.accounts.len();
        stir.tokens.extend(tokens);
        stir.accounts.extend(accounts);
        if stir.tokens.len() + stir.accounts.len() > before {
            drop(state);
            self.stirred.notify_one();
        }
    }

    fn reloaded(&self, _: Revision) {
        self.ring_all();
    }
}

impl Alarm {
    /// Waits for this from now on, and for nothing that it waited for before. A deadline that is past rings at once.
    pub fn watch(&self, watched: Watched) {
        let mut state = self.alarms.lock();
        state.forget(self.id);
        let timed = watched.deadline.is_some();
        state.remember(self.id, watched, Arc::clone(&self.bell));
        drop(state);
        if timed {
            self.alarms.stirred.notify_one();
        }
    }

    /// Waits until it rings. One ring is kept for who comes late.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.alarms.lock().forget(self.id);
    }
}

impl State {
    fn remember(&mut self, id: u64, watched: Watched, bell: Arc<Notify>) {
        for token in &watched.tokens {
            self.by_token.entry(*token).or_default().insert(id);
        }
        for account in &watched.accounts {
            self.by_account
                .entry(account.clone())
                .or_default()
                .insert(id);
        }
        self.deadlines.extend(watched.deadline.map(|at| (at, id)));
        self.alarms.insert(id, (watched, bell));
    }

    fn forget(&mut self, id: u64) {
        let Some((watched, _)) = self.alarms.remove(&id) else {
            return;
        };
        for token in &watched.tokens {
            take_out(&mut self.by_token, token, id);
        }
        for account in &watched.accounts {
            take_out(&mut self.by_account, account, id);
        }
        if let Some(at) = watched.deadline {
            self.deadlines.remove(&(at, id));
        }
    }
}

fn take_out<K: Eq + Hash>(index: &mut HashMap<K, HashSet<u64>>, key: &K, id: u64) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
#[path = "alarms_tests.rs"]
mod tests;
