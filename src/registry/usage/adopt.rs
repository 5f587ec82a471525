//! Reads back the journals that are in the store as the process starts: what others counted and did not live to fold.
//!
//! Nothing waits for it but what needs it: usage is not read, saved or folded before.

use std::collections::BTreeMap;

use super::Saving;
use super::pass::Pass;
use crate::registry::{Error, Registry};
use crate::store::record::packed::Entries;
use crate::store::record::{UsageFold, UsageLog};
use crate::store::{Reader, StoreError, key};

impl Registry {
    /// Reads them back, once; whoever comes meanwhile waits.
    pub(super) async fn adopt_usage(&self) -> Result<(), Error> {
        let adopt = || async {
            let passes = self.store.read(left_behind).await?;
            let mut saving = self.usage.saving.write().await;
            let Saving { passes: own, .. } = &mut *saving;
            own.extend(passes);
            Ok::<_, Error>(())
        };
        self.usage.adopted.get_or_try_init(adopt).await?;
        Ok(())
    }
}

/// What is to be folded of each journal: first what somebody has begun to fold, then the rest.
fn left_behind(reader: &Reader) -> Result<Vec<Pass>, StoreError> {
    let mut folds: BTreeMap<String, UsageFold> = BTreeMap::new();
    reader.each::<UsageFold>(key::USAGE_FOLDS, |name, fold| {
        let saver = String::from_utf8_lossy(&name[key::USAGE_FOLDS.len()..]);
        folds.insert(saver.into_owned(), fold);
        Ok(())
    })?;
    // Those without any rows are there, too: their fold is tidied away.
    let begun = folds.iter().map(|(saver, fold)| {
        let pass = Pass::new(saver, fold.through, Some(fold.through));
        ((saver.clone(), false), pass)
    });
    let mut passes: BTreeMap<(String, bool), Pass> = begun.collect();
    reader.each::<UsageLog>(key::USAGE_LOGS, |name, log| {
        let Some((saver, sequence)) = key::usage_log_parts(&name) else {
            return Ok(());
        };
        let fold = folds.get(saver);
        let begun = fold.is_some_and(|fold| sequence <= fold.through);
        let place = (saver.to_owned(), !begun);
        let pass = passes
            .entry(place)
            .or_insert_with(|| Pass::new(saver, sequence, fold.map(|fold| fold.through)));
        pass.through = pass.through.max(sequence);
        let after = if begun {
            fold.map_or(&[][..], |fold| &fold.after)
        } else {
            &[]
        };
        for (entry, value) in Entries::of(&log.entries) {
            if key::usage_owner(entry) > after {
                pass.heap.push(entry, value);
            }
        }
        pass.rows.push_back(name.clone());
        Ok(())
    })?;
    let passes = passes.into_values();
    Ok(passes.map(Pass::whole).collect())
}
