//! Ends calls at their deadline: the caller's `grpc-timeout`, or the server's own where that is shorter or missing.
//!
//! It bounds the time until an answer begins, the wait for a request that never comes included. A stream once begun
//! (Watch, reflection) is its caller's to end. tonic's own timeout says CANCELLED; this says what happened.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

const HEADER: &str = "grpc-timeout";
/// The gRPC protocol's own limit.
const MOST_DIGITS: usize = 8;

/// When a call began, in the extensions of one that reaches the layers later than that.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct Began(pub(in crate::server) Instant);

#[derive(Debug, Clone, Copy)]
pub(crate) struct DeadlineLayer {
    longest: Duration,
}

impl DeadlineLayer {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline {
            inner,
            longest: self.longest,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Deadline<S> {
    inner: S,
    longest: Duration,
}

impl<S> Service<Request<Body>> for Deadline<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Future: Unpin>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = InTime<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let asked = timeout(request.headers()).unwrap_or(self.longest);
        let began = request.extensions().get().map(|Began(began)| *began);
        let deadline = began.unwrap_or_else(Instant::now) + asked.min(self.longest);
        InTime {
            inner: self.inner.call(request),
            deadline,
            alarm: None,
        }
    }
}

/// The alarm is set only for a call that must wait: most are answered at once, and a timer costs more than they do.
#[derive(Debug)]
pub(crate) struct InTime<F> {
    inner: F,
    deadline: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<F, E> Future for InTime<F>
where
    F: Future<Output = Result<Response<Body>, E>> + Unpin,
{
    type Output = Result<Response<Body>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(answer) = Pin::new(&mut this.inner).poll(cx) {
            return Poll::Ready(answer);
        }
        let alarm = this
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(this.deadline)));
        ready!(alarm.as_mut().poll(cx));
        let late = "the deadline passed before the answer was there; what was asked may still have been done";
        Poll::Ready(Ok(Status::deadline_exceeded(late).into_http()))
    }
}

/// What the caller allows: up to eight digits and a unit. Anything else is as good as nothing.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > MOST_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tower::ServiceExt as _;

    use super::super::testing::{call, code, handler, ok};
    use super::*;

    const LONGEST: Duration = Duration::from_secs(30);

    /// The outcome, and how long it took, of a call whose handler takes `takes`.
    async fn outcome(takes: Duration, asked: Option<&str>) -> (Code, Duration) {
        let service = DeadlineLayer::new(LONGEST).layer(handler(move |_| async move {
            tokio::time::sleep(takes).await;
            ok()
        }));
        let mut request = call("/a/B");
        if let Some(asked) = asked {
            request.headers_mut().insert(HEADER, asked.parse().unwrap());
        }
        let began = Instant::now();
        let response = service.oneshot(request).await.unwrap();
        (code(&response), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_the_callers_deadline_or_the_servers_whichever_is_sooner() {
        let hour = Duration::from_secs(3600);
        for (asked, ends_after) in [
            (Some("2S"), Duration::from_secs(2)),
            (Some("150m"), Duration::from_millis(150)),
            (Some("1H"), LONGEST),
            (Some("nonsense"), LONGEST),
            (None, LONGEST),
        ] {
            assert_eq!(
                outcome(hour, asked).await,
                (Code::DeadlineExceeded, ends_after),
                "{asked:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_is_given() {
        let (code, took) = outcome(Duration::from_secs(1), Some("2S")).await;
        assert_eq!((code, took), (Code::Ok, Duration::from_secs(1)));
    }

    #[test]
    fn a_timeout_is_up_to_eight_digits_and_a_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("5u", Some(Duration::from_micros(5))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("100000000n", None),
            ("", None),
            ("S", None),
            ("+1S", None),
            ("1", None),
            ("1s", None),
        ] {
            let headers = HeaderMap::from_iter([(HEADER.parse().unwrap(), text.parse().unwrap())]);
            assert_eq!(timeout(&headers), expected, "{text:?}");
        }
    }
}
