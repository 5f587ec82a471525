//! The history of recent commits, from which the local back ends tell their followers what happened.
//!
//! It is the one home of a local back end's revision, so that nobody can read a revision that `follow` does not know yet.
//! It stores nothing: durability, and when a commit may be told, is the back end's business.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::backend::{Commit, Follow, Gone, Revision};

/// How many commits are kept for followers that lag behind.
pub const MAX_COMMITS: usize = 4096;

/// How many bytes of keys and values those commits may hold. The newest commit is kept whatever its size.
pub const MAX_BYTES: usize = 16 << 20;

/// The newest revision and the commits that led to it, as far back as the limits reach.
#[derive(Debug)]
pub struct Feed {
    shared: Arc<Shared>,
}

impl Feed {
    /// A feed without a past, standing at `newest`.
    #[must_use]
    pub fn new(newest: Revision) -> Self {
        let history = History {
            newest,
            ..History::default()
        };
        Self {
            shared: Arc::new(Shared {
                history: Mutex::new(history),
                arrived: Condvar::new(),
            }),
        }
    }

    /// The revision of the last commit told.
    #[must_use]
    pub fn newest(&self) -> Revision {
        self.shared.lock().newest
    }

    /// Tells all followers of a commit, which must be the one after `newest`.
    pub fn push(&self, commit: Commit) {
        self.shared.lock().push(commit);
        self.shared.arrived.notify_all();
    }

    /// The back end came back and stands at `found`. Where that is not `newest` the history is void: it begins anew from
    /// there, and everybody who follows hears `Gone`.
    pub fn reset(&self, found: Revision) {
        let mut history = self.shared.lock();
        if history.newest != found {
            *history = History {
                newest: found,
                era: history.era + 1,
                ..History::default()
            };
            self.shared.arrived.notify_all();
        }
    }

    /// Every commit after `after`. A revision that was never reached, like one that is kept no more, is `Gone`.
    #[must_use]
    pub fn follow(&self, after: Revision) -> Box<dyn Follow> {
        let history = self.shared.lock();
        Box::new(Follower {
            shared: Arc::clone(&self.shared),
            after,
            era: (after <= history.newest).then_some(history.era),
        })
    }
}

#[derive(Debug)]
struct Shared {
    history: Mutex<History>,
    arrived: Condvar,
}

impl Shared {
    /// A panic elsewhere cannot leave the history half changed, so a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct History {
    newest: Revision,
    /// Without gaps, the last one being `newest`.
    commits: VecDeque<Arc<Commit>>,
    bytes: usize,
    /// Rises when the history is rewritten.
    era: u64,
}

impl History {
    fn push(&mut self, commit: Commit) {
        assert_eq!(
            commit.revision,
            self.newest.next(),
            "commits are told in order"
        );
        self.newest = commit.revision;
        self.bytes += size(&commit);
        self.commits.push_back(Arc::new(commit));
        while self.commits.len() > 1 && (self.commits.len() > MAX_COMMITS || self.bytes > MAX_BYTES)
        {
            self.bytes -= self.commits.pop_front().map_or(0, |oldest| size(&oldest));
        }
    }

    /// The commit after `after`, `None` where that is the newest.
    fn after(&self, after: Revision) -> Result<Option<Arc<Commit>>, Gone> {
        if after == self.newest {
            return Ok(None);
        }
        let oldest = self.commits.front().ok_or(Gone)?.revision;
        let place = after.next().0.checked_sub(oldest.0).ok_or(Gone)?;
        let place = usize::try_from(place).map_err(|_| Gone)?;
        self.commits.get(place).cloned().map(Some).ok_or(Gone)
    }
}

fn size(commit: &Commit) -> usize {
    let write = |(key, value): &(Box<[u8]>, Option<Arc<[u8]>>)| {
        key.len() + value.as_ref().map_or(0, |bytes| bytes.len())
    };
    commit.writes.iter().map(write).sum()
}

#[derive(Debug)]
struct Follower {
    shared: Arc<Shared>,
    after: Revision,
    /// The era that `after` belongs to; `None` for a revision that no era has reached.
    era: Option<u64>,
}

impl Follow for Follower {
    fn next(&mut self, patience: Duration) -> Result<Option<Arc<Commit>>, Gone> {
        let nothing_new =
            |history: &mut History| Some(history.era) == self.era && history.newest == self.after;
        let (history, _) = self
            .shared
            .arrived
            .wait_timeout_while(self.shared.lock(), patience, nothing_new)
            .unwrap_or_else(PoisonError::into_inner);
        if Some(history.era) != self.era {
            return Err(Gone);
        }
        let commit = history.after(self.after)?;
        if let Some(commit) = &commit {
            self.after = commit.revision;
        }
        Ok(commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::ZERO;

    fn commit(revision: u64, bytes: usize) -> Commit {
        let value: Arc<[u8]> = vec![0; bytes].into();
        Commit {
            revision: Revision(revision),
            writes: vec![(Box::from(*b"k"), Some(value))],
        }
    }

    fn filled(commits: usize, bytes: usize) -> Feed {
        let feed = Feed::new(Revision(0));
        for revision in 1..=commits {
            feed.push(commit(revision as u64, bytes));
        }
        feed
    }

    fn first_after(feed: &Feed, after: u64) -> Result<Option<u64>, Gone> {
        let next = feed.follow(Revision(after)).next(SOON)?;
        Ok(next.map(|commit| commit.revision.0))
    }

    #[test]
    fn the_ring_forgets_the_oldest_commit_beyond_its_count() {
        let feed = filled(MAX_COMMITS, 0);
        assert_eq!(first_after(&feed, 0), Ok(Some(1)));
        feed.push(commit(MAX_COMMITS as u64 + 1, 0));
        assert_eq!(first_after(&feed, 0), Err(Gone));
        assert_eq!(first_after(&feed, 1), Ok(Some(2)));
    }

    #[test]
    fn the_ring_forgets_the_oldest_commit_beyond_its_bytes() {
        let half = MAX_BYTES / 2 - b"k".len();
        let feed = filled(2, half);
        assert_eq!(first_after(&feed, 0), Ok(Some(1)));
        feed.push(commit(3, 0));
        assert_eq!(first_after(&feed, 0), Err(Gone));
        assert_eq!(first_after(&feed, 1), Ok(Some(2)));
    }

    #[test]
    fn the_newest_commit_is_kept_whatever_its_size() {
        let feed = filled(1, MAX_BYTES + 1);
        assert_eq!(first_after(&feed, 0), Ok(Some(1)));
    }

    #[test]
    fn a_revision_that_was_never_reached_is_gone_for_good() {
        let feed = filled(1, 0);
        let mut follower = feed.follow(Revision(2));
        assert_eq!(follower.next(SOON), Err(Gone));
        feed.push(commit(2, 0));
        assert_eq!(follower.next(SOON), Err(Gone));
    }

    #[test]
    fn a_reset_to_another_revision_is_heard_as_gone_and_to_the_same_one_not_at_all() {
        for (found, heard) in [(1, Err(Gone)), (2, Ok(None)), (3, Err(Gone))] {
            let feed = filled(2, 0);
            let mut follower = feed.follow(Revision(2));
            feed.reset(Revision(found));
            assert_eq!(follower.next(SOON), heard, "found {found}");
            assert_eq!(feed.newest(), Revision(found));
        }
    }

    #[test]
    fn a_follower_of_a_void_history_hears_nothing_of_the_new_one() {
        let feed = filled(2, 0);
        let mut follower = feed.follow(Revision(2));
        feed.reset(Revision(1));
        feed.push(commit(2, 0));
        feed.push(commit(3, 0));
        assert_eq!(follower.next(SOON), Err(Gone));
        assert_eq!(first_after(&feed, 1), Ok(Some(2)));
    }

    #[test]
    fn a_waiting_follower_is_woken_by_a_commit_and_by_a_reset() {
        let feed = filled(1, 0);
        std::thread::scope(|threads| {
            let mut follower = feed.follow(Revision(1));
            let mut wait = move || {
                follower
                    .next(Duration::MAX)
                    .map(|next| next.unwrap().revision.0)
            };
            let heard = threads.spawn(move || [wait(), wait()]);
            feed.push(commit(2, 0));
            feed.reset(Revision(9));
            // Where the reset overtakes the follower it hears `Gone` at once.
            let heard = heard.join().unwrap();
            assert!(
                heard == [Ok(2), Err(Gone)] || heard == [Err(Gone); 2],
                "{heard:?}"
            );
        });
    }
}
