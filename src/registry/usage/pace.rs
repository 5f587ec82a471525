//! How fast the fold goes: each second some times what was added meanwhile, so that a pass ends long before the next one is due
//! and its cost is spread; and without a pause once the journals hold much more than they should.

use super::Saving;
use super::save::ROW;
use crate::registry::{Error, Registry};

/// The fold does so many times the work that is added.
const FASTER: usize = 4;
/// A pass takes no more than so many steps of a second, however little is added.
const STEPS: usize = 30;

impl Registry {
    /// What is to be folded within a second, and consumers removed for which there is no room.
    pub async fn keep_usage_folded(&self) -> Result<(), Error> {
        let mut before = self.usage.saving.read().await.work();
        let mut goal = self.usage.saving.write().await.goal();
        while goal > 0 && self.fold_usage(false).await? {
            let work = self.usage.saving.read().await.work();
            // A step that found nothing to do, or began a pass, is some work, too.
            goal = goal.saturating_sub(before.saturating_sub(work).max(1));
            before = work;
        }
        while self.make_room().await? {}
        Ok(())
    }
}

impl Saving {
    /// What is left of the pass that is under way: entries to be folded, and rows to be deleted, in bytes.
    fn work(&self) -> usize {
        let pass = self.passes.front();
        pass.map_or(0, |pass| pass.heap.bytes() + pass.rows.len() * ROW)
    }

    /// How much of it is to be done now.
    fn goal(&mut self) -> usize {
        let added = std::mem::take(&mut self.added);
        if self.journal_bytes() > 2 * self.bounds.fold_at {
            return usize::MAX;
        }
        let whole = self.passes.front().map_or(1, |pass| 2 * pass.bytes);
        (FASTER * added).max(whole.div_ceil(STEPS)).max(1)
    }
}
