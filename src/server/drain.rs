//! The end of life: what ends it, and in which steps.
//!
//! Health says NOT_SERVING, so that no new work is sent here; then closing: no new connections, GOAWAY, watches end, calls
//! in flight finish; then the cut: whatever is left is dropped.

use std::future::Future;
use std::io;
use std::process;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::health::Health;

/// The exit code after a second signal: what was in flight may have been lost.
const IMPATIENT: i32 = 130;

/// How far the end has come. Only ever advances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Closing,
    Cut,
}

/// Held by whoever drives the end.
#[derive(Debug)]
pub(super) struct Drain(watch::Sender<Phase>);

/// Held by everything that has to end.
#[derive(Debug, Clone)]
pub(super) struct End(watch::Receiver<Phase>);

/// SIGTERM and SIGINT, caught from the moment this exists.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Drain {
    pub(super) fn new() -> (Self, End) {
        let (sender, receiver) = watch::channel(Phase::Serving);
        (Self(sender), End(receiver))
    }

    /// Takes the steps in order: `wait` lets callers see NOT_SERVING before connections close, and after `deadline`
    /// whatever has not `finished` is cut off.
    pub(super) async fn run(
        self,
        health: &Health,
        wait: Duration,
        deadline: Duration,
        finished: impl Future<Output = ()>,
    ) {
        info!(?wait, ?deadline, "draining");
        health.drain();
        tokio::time::sleep(wait).await;

        let mut finished = std::pin::pin!(finished);
        health.close();
        self.0.send_replace(Phase::Closing);
        if timeout(deadline, &mut finished).await.is_err() {
            warn!("calls are still in flight at the drain deadline; cutting them off");
            self.0.send_replace(Phase::Cut);
            finished.await;
        }
        info!("drained");
    }
}

impl End {
    /// Ends when no more connections may be taken and open ones shall finish.
    pub(super) async fn closing(&mut self) {
        self.reached(Phase::Closing).await;
    }

    /// Ends when there is no more time to finish.
    pub(super) async fn cut(&mut self) {
        self.reached(Phase::Cut).await;
    }

    /// Nobody left to drive the end is the end, too.
    async fn reached(&mut self, phase: Phase) {
        let _ = self.0.wait_for(|now| *now >= phase).await;
    }
}

impl Signals {
    /// Must be called within a runtime that lives as long as the process.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the first signal. From then on a second one ends the process at once.
    pub async fn first(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            warn!("a second signal: exiting at once");
            process::exit(IMPATIENT);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::time::Instant;

    use super::*;

    const WAIT: Duration = Duration::from_secs(1);
    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn callers_see_not_serving_before_anything_closes() {
        let health = Health::new();
        health.set_ready(true);
        let (drain, mut end) = Drain::new();
        let watcher = health.clone();
        let began = Instant::now();
        let seen = tokio::spawn(async move {
            tokio::time::sleep(WAIT / 2).await;
            let draining = watcher.is_draining();
            end.closing().await;
            (draining, began.elapsed())
        });
        drain.run(&health, WAIT, DEADLINE, ready(())).await;
        let (draining, closed_after) = seen.await.unwrap();
        assert!(draining);
        assert!(closed_after >= WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_finishes_is_cut_at_the_deadline() {
        let (drain, mut end) = Drain::new();
        let cut = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&cut);
        let began = Instant::now();
        let finished = async move {
            end.cut().await;
            told.store(true, Ordering::Relaxed);
        };
        drain.run(&Health::new(), WAIT, DEADLINE, finished).await;
        assert!(cut.load(Ordering::Relaxed));
        assert!(began.elapsed() >= WAIT + DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_finishes_in_time_is_not_cut() {
        let (drain, mut end) = Drain::new();
        let cut = tokio::spawn(async move {
            tokio::select! {
                () = end.cut() => (),
                () = pending() => (),
            }
        });
        let began = Instant::now();
        drain.run(&Health::new(), WAIT, DEADLINE, ready(())).await;
        assert!(began.elapsed() < WAIT + DEADLINE);
        // The driver is gone, which is the last word.
        cut.await.unwrap();
    }
}
