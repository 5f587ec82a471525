//! The verification of a store that is served from already, on a thread of its own.

use std::io;
use std::thread;

use tokio::sync::oneshot;

use crate::store::open::{OpenError, Stop, Verification, Verified};

/// A verification that runs, or has ended.
#[derive(Debug)]
pub(super) struct Verifying {
    stop: Option<Stop>,
    /// `None` once it is known.
    running: Option<oneshot::Receiver<Result<Verified, OpenError>>>,
    ended: io::Result<Verified>,
}

impl Verifying {
    /// Begins it; where there is none it has passed already.
    pub(super) fn begin(verification: Option<Verification>) -> io::Result<Self> {
        let Some(verification) = verification else {
            return Ok(Self {
                stop: None,
                running: None,
                ended: Ok(Verified::Whole),
            });
        };
        let stop = Some(verification.stop());
        let (tell, running) = oneshot::channel();
        thread::Builder::new()
            .name("verification".into())
            .spawn(move || drop(tell.send(verification.run())))?;
        Ok(Self {
            stop,
            running: Some(running),
            ended: Ok(Verified::Stopped),
        })
    }

    /// Waits until it has failed; for ever where it does not.
    pub(super) async fn failed(&mut self) {
        self.wait().await;
        if self.ended.is_ok() {
            std::future::pending::<()>().await;
        }
    }

    /// Stops it where it still runs, and says how it ended.
    pub(super) async fn end(mut self) -> io::Result<Verified> {
        if let Some(stop) = &self.stop {
            stop.stop();
        }
        self.wait().await;
        self.ended
    }

    async fn wait(&mut self) {
        if let Some(running) = &mut self.running {
            let ended = running.await;
            let unexpected = |_| io::Error::other("the store could not be verified");
            self.ended = ended
                .map_err(unexpected)
                .and_then(|ended| ended.map_err(|refused| io::Error::other(refused.to_string())));
            self.running = None;
            if let Err(refused) = &self.ended {
                tracing::error!(%refused, "the store is not what was written; this node ends");
            }
        }
    }
}
