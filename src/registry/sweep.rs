//! Removes what has ended, in bounded steps: kept answers after their ten minutes, the counts of days gone by,
//! the usage of what is gone or long ago.

use std::time::Duration;

use super::usage::Walk;
use super::{Error, Registry, leases};
use crate::domain::time::Timestamp;
use crate::meter::Meter;
use crate::store::backend::{Direction, Key};
use crate::store::record::{Pointer, Replay};
use crate::store::{Wanted, key};

/// How often the sweeper looks.
pub const EVERY: Duration = Duration::from_secs(30);
/// Rows that one step removes at the most.
pub const STEP: usize = 500;

impl Registry {
    /// Sweeps now and again; never ends.
    pub async fn sweep(&self, meter: &Meter) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut walk = Walk::default();
        loop {
            tick.tick().await;
            meter.rates.forget_whole(self.clock.steady());
            if let Err(error) = self.sweep_all(&mut walk).await {
                tracing::debug!(%error, "what has ended could not be swept");
            }
        }
    }

    async fn sweep_all(&self, walk: &mut Walk) -> Result<(), Error> {
        while self.sweep_replays().await? == STEP {}
        while self.sweep_quotas().await? == leases::SWEPT {}
        while self.sweep_deleted_tokens().await? {}
        *walk = self.sweep_old_usage(walk.clone()).await?;
        Ok(())
    }

    /// Removes kept answers that have ended; how many that were. Call again while it is `STEP`.
    pub async fn sweep_replays(&self) -> Result<usize, Error> {
        let now = self.clock.settled();
        let wanted = Wanted {
            prefix: key::REPLAY_ENDS.into(),
            after: None,
            direction: Direction::Forward,
            limit: STEP,
        };
        let ends: Vec<(Key, Pointer)> = self.store.scan(wanted).await?;
        let ended: Vec<(Key, [u8; 32])> = ends
            .into_iter()
            .filter_map(|(name, _)| ended(name, now))
            .collect();
        if ended.is_empty() {
            return Ok(0);
        }
        let count = ended.len();
        self.commit(move |view| {
            for (name, request) in &ended {
                view.delete(name.clone())?;
                let answer = key::replay(request);
                // The same request may have been answered anew since: that answer has an end of its own.
                let kept = view.get::<Replay>(&answer)?;
                if kept.is_some_and(|kept| view.now() >= kept.end()) {
                    view.delete(answer)?;
                }
            }
            Ok(())
        })
        .await?;
        Ok(count)
    }
}

fn ended(name: Key, now: Timestamp) -> Option<(Key, [u8; 32])> {
    let (end, request) = key::replay_end_parts(&name)?;
    (now >= end).then_some((name, request))
}
