//! What a validation leaves to be written: a bounded queue in which the same mark stands once. A worker commits it
//! (`registry::marks`). A mark that is lost is made again by the next use.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::domain::id::TokenId;
use crate::domain::secret::{Digest, KeyId};
use crate::domain::time::Timestamp;

/// Marks that wait at the most; more are dropped.
const WAITING: usize = 10_000;
/// Marks taken at once, at the most: they fit into one commit of the store, so that a first use does not wait behind thousands.
const TAKEN: usize = 256;
/// Secrets whose misuse is remembered, so that it is not reported again within `REPORT_EVERY`.
const REPORTED: usize = 10_000;
/// How often the use of one superseded secret is reported.
const REPORT_EVERY: Duration = Duration::from_secs(3_600);

/// What was seen of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mark {
    /// A pending secret was used: the grace of the older ones begins.
    FirstUse,
    /// The digest was made under a retired key: this is the one under the current key.
    Rehash { key: KeyId, digest: Digest },
    /// An old secret was presented after its grace.
    SupersededUsed { client_address: String },
}

/// The secret that a mark is about.
pub type Marked = (TokenId, u32);

/// The queue.
#[derive(Debug, Default)]
pub struct Marks {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<(Marked, Kind), Mark>,
    reported: HashMap<Marked, Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind {
    FirstUse,
    Rehash,
    SupersededUsed,
}

impl Marks {
    /// Leaves a mark. Never waits for the store; a full queue drops it.
    pub fn leave(&self, marked: Marked, mark: Mark, now: Timestamp) {
        let kind = match mark {
            Mark::FirstUse => Kind::FirstUse,
            Mark::Rehash { .. } => Kind::Rehash,
            Mark::SupersededUsed { .. } => Kind::SupersededUsed,
        };
        let mut state = self.lock();
        if state.waiting.len() >= WAITING
            || (kind == Kind::SupersededUsed && !state.report(marked, now))
        {
            return;
        }
        state.waiting.insert((marked, kind), mark);
        drop(state);
        self.filled.notify_one();
    }

    /// Waits until there are marks, and takes some of them: first uses before all others, for a grace is to begin.
    pub async fn take(&self) -> Vec<(Marked, Mark)> {
        loop {
            let taken = self.take_waiting();
            if !taken.is_empty() {
                return taken;
            }
            self.filled.notified().await;
        }
    }

    /// The same without waiting: none where none are left.
    pub fn take_waiting(&self) -> Vec<(Marked, Mark)> {
        self.lock().take()
    }

    /// A mark could not be committed: the next use makes it again.
    pub fn lost(&self, marked: Marked) {
        self.lock().reported.remove(&marked);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Vec<(Marked, Mark)> {
        let first_uses = self
            .waiting
            .keys()
            .filter(|(_, kind)| *kind == Kind::FirstUse);
        let others = self
            .waiting
            .keys()
            .filter(|(_, kind)| *kind != Kind::FirstUse);
        let names: Vec<_> = first_uses.chain(others).take(TAKEN).copied().collect();
        names
            .into_iter()
            .filter_map(|name| Some((name.0, self.waiting.remove(&name)?)))
            .collect()
    }

    /// Is it time to report this secret's misuse? Remembers that it was.
    fn report(&mut self, marked: Marked, now: Timestamp) -> bool {
        if self
            .reported
            .get(&marked)
            .is_some_and(|last| now.since(*last) < REPORT_EVERY)
        {
            return false;
        }
        if self.reported.len() >= REPORTED {
            self.reported
                .retain(|_, last| now.since(*last) < REPORT_EVERY);
        }
        if self.reported.len() >= REPORTED {
            return false;
        }
        self.reported.insert(marked, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> TokenId {
        TokenId::parse(&format!("{number:022}")).unwrap()
    }

    #[tokio::test]
    async fn the_same_mark_stands_once_and_is_taken_once() {
        let marks = Marks::default();
        for _ in 0..3 {
            marks.leave((id(1), 2), Mark::FirstUse, Timestamp::default());
        }
        assert_eq!(marks.take().await, [((id(1), 2), Mark::FirstUse)]);
        marks.leave((id(2), 1), Mark::FirstUse, Timestamp::default());
        assert_eq!(marks.take().await, [((id(2), 1), Mark::FirstUse)]);
    }

    #[tokio::test]
    async fn a_full_queue_drops_what_comes() {
        let marks = Marks::default();
        for number in 0..=WAITING {
            marks.leave((id(number), 1), Mark::FirstUse, Timestamp::default());
        }
        assert_eq!(marks.lock().waiting.len(), WAITING);
    }

    #[tokio::test]
    async fn a_first_use_does_not_wait_behind_the_others() {
        let marks = Marks::default();
        let rehash = || Mark::Rehash {
            key: KeyId(2),
            digest: Digest::new([0; Digest::LENGTH]),
        };
        for number in 0..=TAKEN {
            marks.leave((id(number), 1), rehash(), Timestamp::default());
        }
        marks.leave((id(0), 2), Mark::FirstUse, Timestamp::default());
        let taken = marks.take().await;
        assert_eq!(taken.len(), TAKEN);
        assert_eq!(taken[0], ((id(0), 2), Mark::FirstUse));
        assert_eq!(marks.take().await.len(), 2, "the rest");
    }

    #[tokio::test]
    async fn misuse_of_one_secret_is_reported_once_an_hour() {
        let marks = Marks::default();
        let used = || Mark::SupersededUsed {
            client_address: String::new(),
        };
        let hour = REPORT_EVERY.as_millis() as i64;
        let mut reports = 0;
        for now in [0, 1, hour - 1, hour, hour + 1] {
            marks.leave((id(1), 1), used(), Timestamp::from_millis(now));
            reports += std::mem::take(&mut marks.lock().waiting).len();
        }
        assert_eq!(reports, 2);
    }
}
