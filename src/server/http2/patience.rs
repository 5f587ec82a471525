//! How long a call may be unfinished before it goes to its service: long enough for a body that is sent right behind its head.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// It is not asked of every call by itself, so it may be twice as long.
const LONGEST: Duration = Duration::from_millis(20);

/// One alarm for all calls of a connection. Most are finished before it rings; it is set anew only when it has rung.
#[derive(Default)]
pub(super) struct Patience(Option<Pin<Box<Sleep>>>);

impl Patience {
    /// Ready once in a while.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let alarm = self.0.get_or_insert_with(|| Box::pin(sleep(LONGEST)));
        let rings = alarm.as_mut().poll(cx);
        if rings.is_ready() {
            alarm.as_mut().reset(Instant::now() + LONGEST);
        }
        rings
    }
}

/// Whether what has begun then is unfinished for too long.
pub(super) fn is_over(began: Instant) -> bool {
    began.elapsed() >= LONGEST
}
