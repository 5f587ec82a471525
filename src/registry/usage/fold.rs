//! Folds the journals into the pages: some names at a time, in their order, in the background.
//!
//! Each commit checks how far the store says that the journal is folded, and moves that on with the pages that it writes. So
//! nothing is folded twice, whatever became of the commit before, and a process that finds the journal goes on from there.

use std::sync::Arc;
use std::time::Duration;

use super::Saving;
use super::heap::Heap;
use super::pages;
use super::pass::Pass;
use super::step::{self, Found, PAGES, Step};
use crate::registry::{Error, Registry};
use crate::store::backend::Key;
use crate::store::key;
use crate::store::record::UsageFold;

/// Rows of a journal that one commit deletes.
const CLEARED: usize = 64;

impl Registry {
    /// One step of the fold: of the pass that is under way, or of a new one where that is due, or `at_once`. False where there
    /// is nothing to do.
    pub async fn fold_usage(&self, at_once: bool) -> Result<bool, Error> {
        self.adopt_usage().await?;
        let _one_at_a_time = self.usage.folding.lock().await;
        let now = self.clock.steady();
        let began = self
            .usage
            .saving
            .write()
            .await
            .begin(&self.usage.saver, now, at_once);
        if !began {
            return Ok(false);
        }
        let saving = Arc::clone(&self.usage.saving).read_owned().await;
        let directory = Arc::clone(&self.directory);
        let found = self.store.read(move |reader| match saving.passes.front() {
            Some(pass) => step::look(reader, pass, directory),
            None => Ok(Found::Lost),
        });
        match found.await? {
            Found::Step(step) => self.fold_step(step).await?,
            Found::Complete(stored) => self.clear_journal(stored).await?,
            Found::Lost => {
                tracing::warn!("somebody else folds a journal of usage; it is left to them");
                self.usage.saving.write().await.passes.pop_front();
            }
        }
        Ok(true)
    }

    /// Folds all that was saved.
    pub async fn fold_all_usage(&self) -> Result<(), Error> {
        while self.fold_usage(true).await? {}
        Ok(())
    }

    async fn fold_step(&self, step: Step) -> Result<(), Error> {
        let step = Arc::new(step);
        let mut saving = self.usage.saving.write().await;
        let folding = Arc::clone(&step);
        let folded = self.store.update(move |view| step::fold(view, &folding));
        let Some(folded) = folded.await?.value else {
            return Ok(());
        };
        if let Some(pass) = saving.passes.front_mut() {
            pass.heap.drop_through(&step.next.after);
        }
        saving.crowded.extend(folded.crowded);
        saving.consumers = folded.consumers;
        self.move_days(folded.over).await
    }

    /// Moves days that are over from the pages of use to those of histories. What is not moved is moved when the name is
    /// folded again.
    async fn move_days(&self, over: Vec<Box<[u8]>>) -> Result<(), Error> {
        let over = Arc::new(over);
        let mut done = 0;
        while done < over.len() {
            let (names, from) = (Arc::clone(&over), done);
            let located = self.store.read(move |reader| {
                let names = || names[from..].iter().map(|name| &**name);
                let (to, count) = pages::locate(reader, key::USAGE_HISTORIES, names(), PAGES)?;
                let (from, _) =
                    pages::locate(reader, key::USAGE_PAGES, names().take(count), usize::MAX)?;
                Ok((from, to, count))
            });
            let (from_runs, to_runs, count) = located.await?;
            let (names, range) = (Arc::clone(&over), done..done + count);
            let moved = self.store.update(move |view| {
                let names: Vec<&[u8]> = names[range.clone()].iter().map(|name| &**name).collect();
                step::move_days(view, &names, &from_runs, &to_runs)
            });
            moved.await?;
            done += count;
        }
        Ok(())
    }

    /// Deletes rows of a journal, or of its part, that is folded. `stored` is what the store said of it.
    async fn clear_journal(&self, stored: Option<UsageFold>) -> Result<(), Error> {
        let mut saving = self.usage.saving.write().await;
        let Some(pass) = saving.passes.front_mut() else {
            return Ok(());
        };
        // From here on it does not matter what the store says: its row may go, and the commit that takes it be in doubt.
        pass.heap = Heap::default();
        let pass = &saving.passes[0];
        let rows: Vec<Key> = pass.rows.iter().take(CLEARED).cloned().collect();
        let count = rows.len();
        let last = count == pass.rows.len();
        let is_own = pass.saver == self.usage.saver;
        let more = saving
            .passes
            .iter()
            .skip(1)
            .any(|other| other.saver == pass.saver);
        let complete = UsageFold::complete(pass.through);
        let (name, next) = (key::usage_fold(&pass.saver), complete.clone());
        let cleared = self.store.update(move |view| {
            let there: Option<UsageFold> = view.get(&name)?;
            if there != stored {
                return Ok(false);
            }
            rows.iter().try_for_each(|row| view.delete(row.clone()))?;
            if last && !is_own && !more {
                view.delete(name.clone())?;
            } else {
                view.put(name.clone(), &next)?;
            }
            Ok::<_, Error>(true)
        });
        if !cleared.await?.value {
            return Ok(());
        }
        if let Some(pass) = saving.passes.front_mut() {
            pass.rows.drain(..count);
        }
        if last {
            saving.passes.pop_front();
            if is_own {
                saving.folded = Some(complete.through);
            }
        }
        Ok(())
    }
}

impl Saving {
    /// Begins a pass over what was saved, if none is under way and it is time, or `at_once`. Whether one is under way.
    fn begin(&mut self, saver: &str, now: Duration, at_once: bool) -> bool {
        if !self.passes.is_empty() {
            return true;
        }
        if self.growing.bytes() == 0 || !self.unwritten.is_empty() {
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let due = self.growing.bytes() >= self.bounds.fold_at
            || now.saturating_sub(since) >= self.bounds.fold_after;
        if !due && !at_once {
            return false;
        }
        self.since = None;
        let mut pass = Pass::new(saver, self.sequence, self.folded);
        pass.heap = std::mem::take(&mut self.growing);
        pass.rows = std::mem::take(&mut self.rows);
        self.passes.push_back(pass.whole());
        true
    }
}
