//! The end of long streams: they are told that the server closes, and end with a status instead of being cut.

use tokio::sync::watch;

/// Turns once, when the server closes its connections.
#[derive(Debug)]
pub(super) struct Closing(watch::Sender<bool>);

impl Default for Closing {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Closing {
    /// Ends every long stream. Cannot be taken back.
    pub(super) fn close(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn is_closing(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the end.
    pub(super) async fn begun(&self) {
        let _ = self.0.subscribe().wait_for(|closing| *closing).await;
    }
}
