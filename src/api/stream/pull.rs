//! A stream that is made as it is read: its source is asked for one message at a time, and only while the reader has room.
//!
//! hyper asks a response for more only when the peer's flow control lets it send. Every source has something to say each second, so
//! a stream that was not asked for longer has a reader that does not read.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
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
    state: State<S>,
    asked: Instant,
}

enum State<S: Source> {
    Idle(S),
    Busy(Pin<Box<dyn Future<Output = Given<S>> + Send>>),
    Ended,
}

/// The source again, and what it gave.
type Given<S> = (S, Result<<S as Source>::Message, Status>);

impl<S: Source> Pull<S> {
    pub(in crate::api) fn new(source: S) -> Self {
        Self {
            state: State::Idle(source),
            asked: Instant::now(),
        }
    }
}

impl<S: Source + Unpin> Stream for Pull<S> {
    type Item = Result<S::Message, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let now = Instant::now();
        let silent = now - std::mem::replace(&mut self.asked, now);
        let mut busy = match std::mem::replace(&mut self.state, State::Ended) {
            State::Ended => return Poll::Ready(None),
            _ if silent > SLOWEST => return Poll::Ready(Some(Err(status::slow_reader()))),
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

impl<S: Source> fmt::Debug for Pull<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pull").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
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
    async fn a_reader_that_waits_for_the_next_message_is_not_slow() {
        let (mut stream, _) = counter(99);
        for number in 0..99 {
            assert_eq!(stream.next().await.unwrap().unwrap(), number);
        }
    }
}
