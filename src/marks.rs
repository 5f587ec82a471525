//! What a validation leaves to be written: a bounded queue in which the same mark stands once. A worker commits it
//! (`registry::marks`). A mark that is lost is made again by the next use; uses of superseded secrets are counted until they are told.

mod misuse;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use misuse::Misuse;
use misuse::Misuses;
use tokio::sync::Notify;

use crate::domain::id::TokenId;
use crate::domain::secret::{Digest, KeyId};

/// Marks that wait at the most; more are dropped.
const WAITING: usize = 10_000;
/// Marks taken at once, at the most: they fit into one commit of the store, so that a first use does not wait behind thousands.
const TAKEN: usize = 256;
/// How often it is looked whether uses that were held back can be told.
const LOOK: Duration = Duration::from_secs(1);

/// What was seen of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mark {
    /// A pending secret was used: the grace of the older ones begins.
    FirstUse,
    /// The digest was made under a retired key: this is the one under the current key.
    Rehash { key: KeyId, digest: Digest },
    /// An old secret was presented after its grace.
    SupersededUsed(Misuse),
}

/// The secret that a mark is about.
pub type Marked = (TokenId, u32);

/// The queue. Times are those of a steady clock.
#[derive(Debug, Default)]
pub struct Marks {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<(Marked, Kind), Mark>,
    misuses: Misuses,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind {
    FirstUse,
    Rehash,
    SupersededUsed,
}

impl Marks {
    /// Leaves a mark. Never waits for the store; a full queue drops it.
    pub fn leave(&self, marked: Marked, mark: Mark, now: Duration) {
        let mut state = self.lock();
        match mark {
            Mark::FirstUse => state.queue(marked, Kind::FirstUse, mark),
            Mark::Rehash { .. } => state.queue(marked, Kind::Rehash, mark),
            Mark::SupersededUsed(misuse) => state.report(marked, misuse, now),
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Waits until there are marks, and takes some of them: first uses before all others, for a grace is to begin.
    pub async fn take(&self, now: impl Fn() -> Duration) -> Vec<(Marked, Mark)> {
        loop {
            let taken = self.take_waiting(now());
            if !taken.is_empty() {
                return taken;
            }
            let held_back = self.lock().misuses.due().is_some();
            tokio::select! {
                () = self.filled.notified() => {}
                () = tokio::time::sleep(LOOK), if held_back => {}
            }
        }
    }

    /// The same without waiting: none where none are left.
    pub fn take_waiting(&self, now: Duration) -> Vec<(Marked, Mark)> {
        let mut state = self.lock();
        state.release(now);
        state.take()
    }

    /// Takes what is held back as well: the process ends.
    pub fn take_last(&self) -> Vec<(Marked, Mark)> {
        let mut state = self.lock();
        state.release(Duration::MAX);
        state.take()
    }

    /// A mark could not be committed. Uses of superseded secrets wait to be told again; the next use makes every other mark again.
    pub fn lost(&self, marked: Marked, mark: Mark) {
        if let Mark::SupersededUsed(misuse) = mark {
            self.lock().wait(marked, misuse);
            self.filled.notify_one();
        }
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

    fn queue(&mut self, marked: Marked, kind: Kind, mark: Mark) {
        if self.waiting.len() < WAITING {
            self.waiting.insert((marked, kind), mark);
        }
    }

    fn report(&mut self, marked: Marked, misuse: Misuse, now: Duration) {
        if self.waiting.contains_key(&(marked, Kind::SupersededUsed)) {
            self.wait(marked, misuse);
        } else if let Some(misuse) = self.misuses.seen(marked, misuse, now) {
            self.wait(marked, misuse);
        }
    }

    fn release(&mut self, now: Duration) {
        for (marked, misuse) in self.misuses.over(now) {
            self.wait(marked, misuse);
        }
    }

    /// Lets uses of a superseded secret wait, with those that wait already.
    fn wait(&mut self, marked: Marked, misuse: Misuse) {
        let before = match self.waiting.remove(&(marked, Kind::SupersededUsed)) {
            Some(Mark::SupersededUsed(before)) => Some(before),
            _ => None,
        };
        let mark = Mark::SupersededUsed(misuse.after(before));
        self.queue(marked, Kind::SupersededUsed, mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Duration = Duration::ZERO;
    const HOUR: Duration = Duration::from_secs(3_600);
    const MILLISECOND: Duration = Duration::from_millis(1);

    fn id(number: usize) -> TokenId {
        TokenId::parse(&format!("{number:022}")).unwrap()
    }

    fn used(address: &str) -> Mark {
        Mark::SupersededUsed(Misuse::one(address.into(), String::new()))
    }

    fn told(count: u64, address: &str) -> Mark {
        Mark::SupersededUsed(Misuse {
            count,
            client_address: address.into(),
            consumer: String::new(),
        })
    }

    #[tokio::test]
    async fn the_same_mark_stands_once_and_is_taken_once() {
        let marks = Marks::default();
        for _ in 0..3 {
            marks.leave((id(1), 2), Mark::FirstUse, ZERO);
        }
        assert_eq!(marks.take(|| ZERO).await, [((id(1), 2), Mark::FirstUse)]);
        marks.leave((id(2), 1), Mark::FirstUse, ZERO);
        assert_eq!(marks.take(|| ZERO).await, [((id(2), 1), Mark::FirstUse)]);
    }

    #[tokio::test]
    async fn a_full_queue_drops_what_comes() {
        let marks = Marks::default();
        for number in 0..=WAITING {
            marks.leave((id(number), 1), Mark::FirstUse, ZERO);
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
            marks.leave((id(number), 1), rehash(), ZERO);
        }
        marks.leave((id(0), 2), Mark::FirstUse, ZERO);
        let taken = marks.take(|| ZERO).await;
        assert_eq!(taken.len(), TAKEN);
        assert_eq!(taken[0], ((id(0), 2), Mark::FirstUse));
        assert_eq!(marks.take(|| ZERO).await.len(), 2, "the rest");
    }

    #[test]
    fn uses_that_wait_are_told_together() {
        let marks = Marks::default();
        for address in ["a", "b", "c"] {
            marks.leave((id(1), 1), used(address), ZERO);
        }
        assert_eq!(marks.take_waiting(ZERO), [((id(1), 1), told(3, "c"))]);
    }

    #[test]
    fn misuse_that_could_not_be_told_waits_with_what_comes() {
        let marks = Marks::default();
        marks.leave((id(1), 1), used("a"), ZERO);
        let (marked, mark) = marks.take_waiting(ZERO).remove(0);
        marks.leave(marked, used("b"), MILLISECOND);
        marks.lost(marked, mark);
        marks.leave(marked, used("c"), MILLISECOND);
        assert_eq!(marks.take_waiting(MILLISECOND), [(marked, told(2, "c"))]);
        assert_eq!(marks.take_waiting(HOUR), [(marked, told(1, "b"))]);
    }

    #[test]
    fn at_the_end_nothing_is_held_back() {
        let marks = Marks::default();
        marks.leave((id(1), 1), used("a"), ZERO);
        marks.take_waiting(ZERO);
        marks.leave((id(1), 1), used("b"), ZERO);
        assert_eq!(marks.take_waiting(ZERO), []);
        assert_eq!(marks.take_last(), [((id(1), 1), told(1, "b"))]);
        assert_eq!(marks.take_last(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_back_is_told_when_its_hour_is_over_though_nothing_comes() {
        let marks = Marks::default();
        let started = tokio::time::Instant::now();
        marks.leave((id(1), 1), used("a"), ZERO);
        marks.take(|| started.elapsed()).await;
        marks.leave((id(1), 1), used("b"), started.elapsed());
        let taken = marks.take(|| started.elapsed()).await;
        assert_eq!(taken, [((id(1), 1), told(1, "b"))]);
        assert!(started.elapsed() >= HOUR);
    }
}
