//! What goes on for long: each stream is asked for its next message when its reader has room for it (`pull`), so that no reader,
//! however slow, makes anything wait or pile up; how many there may be is counted (`watches`).

mod answers;
mod events;
mod invalidations;
mod pull;
mod waiting;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

pub(super) use self::answers::Answers;
pub(super) use self::events::EventWatch;
pub(super) use self::invalidations::InvalidationWatch;
pub(super) use self::pull::Pull;
pub(super) use self::waiting::Waiting;
pub(super) use self::watches::Watches;

use super::Desk;
use crate::store::backend::Revision;

/// How long a stream waits after a commit for those that follow on its heels.
const COALESCE: Duration = Duration::from_millis(20);

/// Waits until this node has a commit after `seen`, a heartbeat is due, or the server closes.
async fn wait(desk: &Arc<Desk>, seen: Revision, heartbeat: Instant) {
    let commit = async {
        desk.validator.directory().reached(seen.next()).await;
        sleep(COALESCE).await;
    };
    tokio::select! {
        () = commit => {}
        () = sleep_until(heartbeat) => {}
        () = desk.closing.begun() => {}
    }
}
