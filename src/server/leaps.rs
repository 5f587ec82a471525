//! Watches the wall clock: health and the logs are told when it leaps ahead, and when it is right again.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Health;
use crate::clock::Clock;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Never ends.
pub(super) async fn watch(clock: &dyn Clock, health: &Health) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = false;
    loop {
        tick.tick().await;
        let leapt = clock.leapt();
        health.set_leapt(leapt);
        if leapt && !before {
            let (wall, settled) = (clock.now(), clock.settled());
            tracing::warn!(
                %wall,
                %settled,
                "CLOCK: the wall clock has leapt ahead; decisions follow it, what is written does not"
            );
        } else if before && !leapt {
            tracing::warn!("CLOCK: the wall clock is right again");
        }
        before = leapt;
    }
}
