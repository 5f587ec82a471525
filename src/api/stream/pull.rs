//! A stream that is made as it is read: its source is asked for one message at a time, and only while the reader has room.
//!
//! A response is asked for more only when the peer's flow control lets it send. Every source has something to say each second, so
//! a stream that was not asked for longer has a reader that does not read. Nothing is kept for it then but what it is to be told.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use tokio_stream::Stream;
use tonic::Status;

use super::super::status;

/// How long a reader may read nothing before it is cut off.
pub(super) const SLOWEST: Duration = Duration::from_secs(30);

/// Where the messages of a stream come from.
pub(in crate::api) trait Source: Send + 'static {
    type Message: Send + 'static;

    /// The next message, or the status that ends the stream. Waits for less than [`SLOWEST`].
    fn next(&mut self) -> impl Future<Output = Result<Self::Message, Status>> + Send;
}

/// The stream over a source.
pub(in crate::api) struct Pull<S: Source> {
    pulled: Arc<Mutex<Pulled<S>>>,
    /// Ends with the stream.
    cutter: AbortHandle,
}

struct Pulled<S: Source> {
    state: State<S>,
    asked: Instant,
}

enum State<S: Source> {
    Idle(S),
    Busy(Pin<Box<dyn Future<Output = Given<S>> + Send>>),
    /// The reader was too slow, and has not been told yet.
    Slow,
    Ended,
}

/// The source again, and what it gave.
type Given<S> = (S, Result<<S as Source>::Message, Status>);

impl<S: Source> Pull<S> {
    /// Must be called within the runtime that serves the stream.
    pub(in crate::api) fn new(source: S) -> Self {
        let pulled = Arc::new(Mutex::new(Pulled {
            state: State::Idle(source),
            asked: Instant::now(),
        }));
        let cutter = tokio::spawn(cut_off(Arc::downgrade(&pulled)));
        Self {
            pulled,
            cutter: cutter.abort_handle(),
        }
    }
}

/// Lets go of the source of a reader that is too slow: a stream that nobody reads is not asked for anything, and would hold it
/// for as long as the peer likes.
async fn cut_off<S: Source>(stream: Weak<Mutex<Pulled<S>>>) {
    let next = || stream.upgrade().and_then(|pulled| lock(&pulled).due());
    while let Some(due) = next() {
        sleep_until(due).await;
        // Dropped once the lock is released.
        let _given_up = stream.upgrade().map(|pulled| lock(&pulled).give_up());
    }
}

/// A panic in a source leaves its stream ended, and the lock as good as before.
fn lock<S: Source>(pulled: &Mutex<Pulled<S>>) -> MutexGuard<'_, Pulled<S>> {
    pulled.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Source> Pulled<S> {
    /// When its reader will have been too slow, unless it asks before; `None` where nothing is held for it.
    fn due(&self) -> Option<Instant> {
        let held = !matches!(self.state, State::Slow | State::Ended);
        held.then(|| self.asked + SLOWEST + Duration::from_millis(1))
    }

    /// What is held for a reader that has been too slow.
    fn give_up(&mut self) -> Option<State<S>> {
        let late = self.due().is_some_and(|due| due <= Instant::now());
        late.then(|| std::mem::replace(&mut self.state, State::Slow))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<S::Message, Status>>> {
        drop(self.give_up());
        self.asked = Instant::now();
        let mut busy = match std::mem::replace(&mut self.state, State::Ended) {
            State::Ended => return Poll::Ready(None),
            State::Slow => return Poll::Ready(Some(Err(status::slow_reader()))),
            State::Busy(busy) => busy,
            State::Idle(mut source) => Box::pin(async move {
                let message = source.next().await;
                (source, message)
            }),
        };
        let Poll::Ready((source, message)) = busy.as_mut().poll(cx) else {
            self.state = State::Busy(busy);
            return Poll::Pending;
        };
        if message.is_ok() {
            self.state = State::Idle(source);
        }
        Poll::Ready(Some(message))
    }
}

impl<S: Source> Stream for Pull<S> {
    type Item = Result<S::Message, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        lock(&self.pulled).poll(cx)
    }
}

impl<S: Source> Drop for Pull<S> {
    fn drop(&mut self) {
        self.cutter.abort();
    }
}

impl<S: Source> fmt::Debug for Pull<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pull").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio_stream::StreamExt as _;
    use tonic::Code;

    use super::*;

    /// Counts, one message a second, and refuses to go on after `last`.
    struct Counter {
        made: Arc<AtomicU64>,
        last: u64,
    }

    impl Source for Counter {
        type Message = u64;

        async fn next(&mut self) -> Result<u64, Status> {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let number = self.made.fetch_add(1, Ordering::Relaxed);
            if number < self.last {
                Ok(number)
            } else {
                Err(Status::aborted("that was all"))
            }
        }
    }

    fn counter(last: u64) -> (Pull<Counter>, Arc<AtomicU64>) {
        let made = Arc::new(AtomicU64::new(0));
        let source = Counter {
            made: Arc::clone(&made),
            last,
        };
        (Pull::new(source), made)
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_made_before_it_is_read() {
        let (mut stream, made) = counter(9);
        assert_eq!(stream.next().await.unwrap().unwrap(), 0);
        tokio::time::sleep(SLOWEST).await;
        assert_eq!(made.load(Ordering::Relaxed), 1);
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_status_ends_the_stream() {
        let (mut stream, _) = counter(1);
        assert!(stream.next().await.unwrap().is_ok());
        let ended = stream.next().await.unwrap().unwrap_err();
        assert_eq!(ended.code(), Code::Aborted);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_reads_nothing_for_too_long_is_cut_off_when_it_hears_again() {
        for (pause, served) in [
            (SLOWEST, true),
            (SLOWEST + Duration::from_millis(1), false),
            (SLOWEST * 100, false),
        ] {
            let (mut stream, _) = counter(9);
            assert!(stream.next().await.unwrap().is_ok());
            tokio::time::sleep(pause).await;
            match stream.next().await.unwrap() {
                Ok(_) => assert!(served, "{pause:?}"),
                Err(status) => {
                    assert!(!served, "{pause:?}");
                    assert_eq!(status.code(), Code::ResourceExhausted);
                    assert!(stream.next().await.is_none());
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_reads_nothing_for_too_long_holds_nothing() {
        for reads_first in [true, false] {
            let (mut stream, made) = counter(9);
            if reads_first {
                assert!(stream.next().await.unwrap().is_ok());
            }
            tokio::time::sleep(SLOWEST).await;
            assert_eq!(Arc::strong_count(&made), 2, "as long as it is not too slow");
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_eq!(Arc::strong_count(&made), 1, "{reads_first}");
            let status = stream.next().await.unwrap().unwrap_err();
            assert_eq!(status.code(), Code::ResourceExhausted);
            assert!(stream.next().await.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_waits_for_the_next_message_is_not_slow() {
        let (mut stream, _) = counter(99);
        for number in 0..99 {
            assert_eq!(stream.next().await.unwrap().unwrap(), number);
        }
    }
}
