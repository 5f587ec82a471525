//! Writes down what was counted, once a second: the journal, rows that are only ever added.
//!
//! What is taken from the counters is in memory for readers and for the fold from that moment on. Its rows have names that no
//! other rows ever have, so a commit whose outcome is in doubt is made again as it was, and adds nothing twice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::heap::Heap;
use super::{Saving, counted};
use crate::domain::id::AccountId;
use crate::domain::usage::{Days, Today, TokenUsage};
use crate::meter::usage::{Batch, Counted};
use crate::registry::{Error, Registry};
use crate::store::backend::Key;
use crate::store::record::UsageLog;
use crate::store::record::packed::{self, Packed as _};
use crate::store::{StoreError, View, key};

/// How often a node saves.
pub const EVERY: Duration = Duration::from_secs(1);
/// Tokens and consumers that are taken at once, about; the rest is taken as soon as they are written.
const TAKEN: usize = 1 << 20;
/// Entries of one row, in bytes: a row is full with the first that does not fit.
pub(super) const ROW: usize = 30 << 10;
/// Rows of one commit: other changes wait meanwhile.
const ROWS: usize = 32;

/// Rows that are written in one commit.
pub(super) type Rows = Arc<Vec<(Key, UsageLog)>>;

impl Registry {
    /// Writes what was counted until now. False where there was nothing to do, or the journal is full.
    pub async fn save_usage(&self) -> Result<bool, Error> {
        self.adopt_usage().await?;
        let mut wrote = self.write_journal().await?;
        loop {
            let taken = self.take_counted().await?;
            wrote |= self.write_journal().await?;
            if taken < TAKEN {
                return Ok(wrote);
            }
        }
    }

    /// Saves until nothing waits: for the end of the process.
    pub async fn save_all_usage(&self) -> Result<(), Error> {
        loop {
            while self.save_usage().await? {}
            if !self.usage.saving.read().await.is_full() {
                return Ok(());
            }
            self.fold_usage(true).await?;
        }
    }

    /// Moves what waits in the counters into memory here, and makes the journal's rows of it. How much that was; nothing while
    /// earlier rows are not written, or the journal is full.
    async fn take_counted(&self) -> Result<usize, Error> {
        let mut saving = Arc::clone(&self.usage.saving).write_owned().await;
        if !saving.unwritten.is_empty() || saving.is_full() {
            return Ok(0);
        }
        let ledger = Arc::clone(&self.usage);
        let take = move || {
            let Some(batch) = ledger.counted.take(TAKEN, saving.sequence + 1) else {
                return 0;
            };
            let taken = saving.add(&batch, &ledger.saver);
            ledger.counted.written();
            taken
        };
        let taken = tokio::task::spawn_blocking(take).await;
        Ok(taken.map_err(|_| StoreError::Away("usage could not be packed".into()))?)
    }

    /// Writes the rows that wait, some at a time. Whether there were any.
    async fn write_journal(&self) -> Result<bool, Error> {
        let mut wrote = false;
        loop {
            let next = self.usage.saving.read().await.unwritten.front().cloned();
            let Some(rows) = next else {
                return Ok(wrote);
            };
            let written = Arc::clone(&rows);
            self.store
                .update(move |view: &mut View<'_>| {
                    let mut each = written.iter();
                    each.try_for_each(|(name, row)| view.put(name.clone(), row))
                })
                .await
                .map_err(|error: StoreError| Error::from(error))?;
            self.usage.saving.write().await.written(&rows);
            wrote = true;
        }
    }
}

impl Saving {
    /// Takes in what was counted. How many tokens and consumers that were.
    fn add(&mut self, batch: &Batch, saver: &str) -> usize {
        self.sequence = batch.sequence;
        let before = self.growing.bytes();
        let mut rows = Journal::default();
        let (mut usage, mut value) = (TokenUsage::default(), Vec::new());
        let mut taken = 0;
        for counted in &batch.tokens {
            let token = counted::token(counted);
            counted::take(counted, &mut usage);
            value.clear();
            usage.pack(&mut value);
            rows.push(&mut self.growing, &key::token_name(token), &value);
            taken += 1;
            for (consumer, seen) in counted.consumers() {
                taken += 1;
                value.clear();
                seen.pack(&mut value);
                rows.push(
                    &mut self.growing,
                    &key::consumer_name(token, consumer),
                    &value,
                );
            }
        }
        for (account, days) in by_account(&batch.tokens) {
            let mut today = Today::default();
            let before = today.add(&days);
            let usage = TokenUsage {
                today,
                before,
                ..TokenUsage::default()
            };
            value.clear();
            usage.pack(&mut value);
            rows.push(&mut self.growing, &key::account_name(account), &value);
        }
        self.unwritten = rows.commits(saver, batch.sequence);
        self.added += self.growing.bytes() - before;
        taken
    }

    /// The first rows that waited are in the store.
    fn written(&mut self, rows: &Rows) {
        let first = self.unwritten.front();
        if first.is_some_and(|first| Arc::ptr_eq(first, rows)) {
            self.unwritten.pop_front();
            let names = rows.iter().map(|(name, _)| name.clone());
            self.rows.extend(names);
        }
    }
}

/// The days of each account's tokens together, those of tokens that were deleted since among them.
fn by_account(tokens: &[Counted]) -> HashMap<&AccountId, Days> {
    let mut accounts: HashMap<&AccountId, Days> = HashMap::new();
    for counted in tokens {
        let days = accounts.entry(counted::account(counted)).or_default();
        for (day, counts) in counted.days() {
            days.add(day, counts);
        }
    }
    accounts
}

/// Entries on their way into rows.
#[derive(Debug, Default)]
struct Journal(Vec<UsageLog>);

impl Journal {
    /// Adds an entry here and to the heap.
    fn push(&mut self, heap: &mut Heap, name: &[u8], value: &[u8]) {
        heap.push(name, value);
        let length = name.len() + value.len() + packed::MORE;
        match self.0.last_mut() {
            Some(row) if row.entries.len() + length <= ROW => {
                packed::push(&mut row.entries, name, value);
            }
            _ => {
                let mut entries = Vec::with_capacity(ROW);
                packed::push(&mut entries, name, value);
                self.0.push(UsageLog { entries });
            }
        }
    }

    /// The rows under their names, by commit.
    fn commits(self, saver: &str, sequence: u64) -> VecDeque<Rows> {
        let names = (0..).map(|part| key::usage_log(saver, sequence, part));
        let mut rows = names.zip(self.0).peekable();
        let mut commits = VecDeque::new();
        while rows.peek().is_some() {
            commits.push_back(Arc::new(rows.by_ref().take(ROWS).collect()));
        }
        commits
    }
}
