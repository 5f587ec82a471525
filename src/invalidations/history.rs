//! What the commits of late touched, for as long as it fits, and which one was the last to log an event.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::directory::{Observer, Touched};
use crate::domain::id::{AccountId, TokenId};
use crate::domain::operator::Scope;
use crate::store::backend::Revision;

/// Commits that are remembered, of those that touched anything.
const COMMITS: usize = 16_384;
/// Tokens and accounts that those commits may name in all. The newest commit is kept whatever it names.
const NAMES: usize = 65_536;
/// Tokens and accounts that one message tells, but for the last commit's own.
const TOLD: usize = 1_000;

/// The history that is asked for is kept no more, or was never reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone;

/// What the commits between two revisions touched, as far as one caller reaches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// Everything up to this revision is in it.
    pub revision: Revision,
    pub tokens: BTreeSet<TokenId>,
    pub accounts: BTreeSet<AccountId>,
}

impl Told {
    /// Nothing that the caller reaches was touched.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.tokens.is_empty() && self.accounts.is_empty()
    }
}

/// The commits that touched something, in a ring.
#[derive(Debug, Default)]
pub struct History(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    /// Of every commit after this one it is known what it touched.
    since: Revision,
    newest: Revision,
    commits: VecDeque<Commit>,
    names: usize,
    /// No commit after this one has lines of the audit log.
    logged: Revision,
}

#[derive(Debug)]
struct Commit {
    revision: Revision,
    /// With their accounts, where those are known.
    tokens: Vec<(TokenId, Option<AccountId>)>,
    accounts: Vec<AccountId>,
}

impl Observer for History {
    fn touched(&self, touched: &Touched) {
        let tokens = touched.tokens.iter();
        let commit = Commit {
            revision: touched.revision,
            tokens: tokens
                .map(|id| (*id, touched.owners.get(id).cloned()))
                .collect(),
            accounts: touched.accounts.clone(),
        };
        let mut ring = self.lock();
        ring.push(commit);
        if touched.logged {
            ring.logged = touched.revision;
        }
    }

    fn reloaded(&self, revision: Revision) {
        *self.lock() = Ring {
            since: revision,
            newest: revision,
            logged: revision,
            ..Ring::default()
        };
    }
}

impl History {
    /// The newest commit that is known here.
    #[must_use]
    pub fn newest(&self) -> Revision {
        self.lock().newest
    }

    /// No commit that is known here logged an event after this one.
    #[must_use]
    pub fn logged(&self) -> Revision {
        self.lock().logged
    }

    /// What was touched after a revision, as far as a message takes it and the scope reaches.
    pub fn after(&self, after: Revision, scope: &Scope) -> Result<Told, Gone> {
        self.lock().after(after, scope)
    }

    /// A panic elsewhere cannot leave the ring half changed.
    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn push(&mut self, commit: Commit) {
        self.newest = commit.revision;
        if commit.names() == 0 {
            return;
        }
        self.names += commit.names();
        self.commits.push_back(commit);
        while self.commits.len() > 1 && (self.commits.len() > COMMITS || self.names > NAMES) {
            if let Some(oldest) = self.commits.pop_front() {
                self.names -= oldest.names();
                self.since = oldest.revision;
            }
        }
    }

    fn after(&self, after: Revision, scope: &Scope) -> Result<Told, Gone> {
        if after < self.since || after > self.newest {
            return Err(Gone);
        }
        let mut told = Told {
            revision: self.newest,
            tokens: BTreeSet::new(),
            accounts: BTreeSet::new(),
        };
        let first = self
            .commits
            .partition_point(|commit| commit.revision <= after);
        for commit in self.commits.range(first..) {
            commit.tell(&mut told, scope);
            if told.tokens.len() + told.accounts.len() >= TOLD {
                told.revision = commit.revision;
                break;
            }
        }
        Ok(told)
    }
}

impl Commit {
    fn names(&self) -> usize {
        self.tokens.len() + self.accounts.len()
    }

    fn tell(&self, told: &mut Told, scope: &Scope) {
        let reached = |account: &AccountId| scope.reaches(account.as_str());
        for (token, account) in &self.tokens {
            if *scope == Scope::Every || account.as_ref().is_some_and(reached) {
                told.tokens.insert(*token);
            }
        }
        let accounts = self.accounts.iter().filter(|account| reached(account));
        told.accounts.extend(accounts.cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> TokenId {
        TokenId::parse(&format!("{number:022}")).unwrap()
    }

    fn account(name: &str) -> AccountId {
        AccountId::parse(name).unwrap()
    }

    /// A commit that touched one token of `acme` for each number.
    fn touch(history: &History, revision: u64, tokens: impl IntoIterator<Item = u64>) {
        let tokens: Vec<TokenId> = tokens.into_iter().map(id).collect();
        history.touched(&Touched {
            revision: Revision(revision),
            owners: tokens.iter().map(|id| (*id, account("acme"))).collect(),
            tokens,
            ..Touched::default()
        });
    }

    fn tokens(told: Result<Told, Gone>) -> Result<(u64, usize), Gone> {
        told.map(|told| (told.revision.0, told.tokens.len()))
    }

    #[test]
    fn what_came_after_a_revision_is_told_once_each() {
        let history = History::default();
        history.reloaded(Revision(5));
        touch(&history, 6, [1]);
        touch(&history, 7, []);
        touch(&history, 8, [1, 2]);
        touch(&history, 9, []);
        let after = |revision| tokens(history.after(Revision(revision), &Scope::Every));
        assert_eq!(after(5), Ok((9, 2)));
        assert_eq!(after(6), Ok((9, 2)));
        assert_eq!(after(8), Ok((9, 0)));
        assert_eq!(after(9), Ok((9, 0)));
        assert_eq!(after(4), Err(Gone), "before what was loaded");
        assert_eq!(after(10), Err(Gone), "never reached");
        history.reloaded(Revision(12));
        assert_eq!(after(9), Err(Gone), "the history was lost");
        assert_eq!(after(12), Ok((12, 0)));
    }

    #[test]
    fn the_last_commit_that_logged_is_known_and_after_a_reload_it_may_be_any() {
        let history = History::default();
        history.reloaded(Revision(5));
        assert_eq!(history.logged(), Revision(5));
        for (revision, logged, known) in [(6, false, 5), (7, true, 7), (8, false, 7)] {
            history.touched(&Touched {
                revision: Revision(revision),
                logged,
                ..Touched::default()
            });
            assert_eq!(history.logged(), Revision(known));
        }
    }

    #[test]
    fn a_scoped_caller_hears_of_its_account_and_its_tokens_alone() {
        let history = History::default();
        history.touched(&Touched {
            revision: Revision(1),
            tokens: vec![id(1), id(2), id(3)],
            owners: [(id(1), account("acme")), (id(2), account("shop"))].into(),
            accounts: vec![account("acme"), account("shop")],
            logged: false,
        });
        let told = |scope| history.after(Revision(0), &scope).unwrap();
        let acme = told(Scope::Only(account("acme")));
        assert_eq!(acme.tokens, [id(1)].into());
        assert_eq!(acme.accounts, [account("acme")].into());
        let every = told(Scope::Every);
        assert_eq!((every.tokens.len(), every.accounts.len()), (3, 2));
    }

    #[test]
    fn the_ring_forgets_the_oldest_commit_beyond_its_count_and_its_names() {
        let history = History::default();
        for revision in 1..=COMMITS as u64 {
            touch(&history, revision, [revision]);
        }
        let after = |revision| history.after(Revision(revision), &Scope::Every).map(drop);
        assert_eq!(after(0), Ok(()));
        touch(&history, COMMITS as u64 + 1, [0]);
        assert_eq!((after(0), after(1)), (Err(Gone), Ok(())));

        let history = History::default();
        touch(&history, 1, [1]);
        touch(&history, 2, 2..=NAMES as u64);
        let after = |revision| history.after(Revision(revision), &Scope::Every).map(drop);
        assert_eq!(after(0), Ok(()));
        touch(&history, 3, [0]);
        assert_eq!((after(0), after(1)), (Err(Gone), Ok(())));
    }

    #[test]
    fn a_message_ends_with_the_commit_that_fills_it() {
        let history = History::default();
        touch(&history, 1, 0..TOLD as u64 - 1);
        touch(&history, 2, [10_000, 10_001]);
        touch(&history, 3, [20_000]);
        let after = |revision| tokens(history.after(Revision(revision), &Scope::Every));
        assert_eq!(after(0), Ok((2, TOLD + 1)));
        assert_eq!(after(2), Ok((3, 1)));
    }
}
