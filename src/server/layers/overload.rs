//! A cap on the calls in hand on one core; one more is refused at once, where waiting would only make everybody late.
//!
//! A call counts until its answer begins: streams are bounded by HTTP/2, not by this. Health is always answered.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Layer, Service};

use super::ERROR_DOMAIN;

/// When a refused caller may try again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

const EXEMPT: &str = "/grpc.health.v1.Health/";

#[derive(Debug, Clone)]
pub(crate) struct OverloadLayer {
    calls: Calls,
}

impl OverloadLayer {
    /// At most `most` calls in hand, over all services made by this layer and their clones.
    pub(super) fn new(most: usize) -> Self {
        Self {
            calls: Calls {
                most,
                in_hand: Arc::default(),
            },
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.calls.in_hand.load(Ordering::Relaxed) >= self.calls.most
    }
}

impl<S> Layer<S> for OverloadLayer {
    type Service = Overload<S>;

    fn layer(&self, inner: S) -> Overload<S> {
        Overload {
            inner,
            calls: self.calls.clone(),
        }
    }
}

/// The counter. It is one core's own, so that counting never waits for another core's cache line.
#[derive(Debug, Clone)]
struct Calls {
    most: usize,
    in_hand: Arc<AtomicUsize>,
}

/// One call in hand; counted until dropped.
#[derive(Debug)]
struct InHand(Arc<AtomicUsize>);

impl Calls {
    fn take(&self) -> Option<InHand> {
        let call = InHand(Arc::clone(&self.in_hand));
        (self.in_hand.fetch_add(1, Ordering::Relaxed) < self.most).then_some(call)
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Overload<S> {
    inner: S,
    calls: Calls,
}

impl<S> Service<Request<Body>> for Overload<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Future: Unpin>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Admitted<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let counted = if request.uri().path().starts_with(EXEMPT) {
            None
        } else {
            match self.calls.take() {
                Some(call) => Some(call),
                None => {
                    return Admitted {
                        inner: None,
                        _counted: None,
                    };
                }
            }
        };
        Admitted {
            inner: Some(self.inner.call(request)),
            _counted: counted,
        }
    }
}

/// Without an inner future where there was no room.
#[derive(Debug)]
pub(crate) struct Admitted<F> {
    inner: Option<F>,
    _counted: Option<InHand>,
}

impl<F, E> Future for Admitted<F>
where
    F: Future<Output = Result<Response<Body>, E>> + Unpin,
{
    type Output = Result<Response<Body>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll(cx),
            None => Poll::Ready(Ok(refusal().into_http())),
        }
    }
}

fn refusal() -> Status {
    let mut details = ErrorDetails::with_error_info("OVERLOADED", ERROR_DOMAIN, HashMap::new());
    details.set_retry_info(Some(RETRY_AFTER));
    Status::with_error_details(
        Code::Unavailable,
        "too many calls in hand; try again",
        details,
    )
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::JoinHandle;
    use tower::ServiceExt as _;

    use super::super::testing::{call, handler, ok};
    use super::*;

    const MOST: usize = 3;

    /// Calls to `/a/Slow` never end by themselves.
    fn service()
    -> impl Service<Request<Body>, Response = Response<Body>, Error: std::fmt::Debug, Future: Send>
    + Clone
    + Send
    + 'static {
        OverloadLayer::new(MOST).layer(handler(|request: Request<Body>| async move {
            if request.uri().path() == "/a/Slow" {
                pending::<()>().await;
            }
            ok()
        }))
    }

    async fn fill<S>(service: &S, calls: usize) -> Vec<JoinHandle<()>>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error: std::fmt::Debug, Future: Send>
            + Clone
            + Send
            + 'static,
    {
        let slow = (0..calls)
            .map(|_| {
                let service = service.clone();
                tokio::spawn(async move { drop(service.oneshot(call("/a/Slow")).await) })
            })
            .collect();
        tokio::task::yield_now().await;
        slow
    }

    #[tokio::test]
    async fn the_last_call_there_is_room_for_is_served_and_one_more_is_refused() {
        let service = service();
        let mut slow = fill(&service, MOST - 1).await;
        let last = service.clone().oneshot(call("/a/Quick")).await.unwrap();
        assert!(Status::from_header_map(last.headers()).is_none());

        slow.extend(fill(&service, 1).await);
        let refused = service.clone().oneshot(call("/a/Quick")).await.unwrap();
        let status = Status::from_header_map(refused.headers()).unwrap();
        let details = status.get_error_details();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(details.error_info().unwrap().reason, "OVERLOADED");
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(RETRY_AFTER));
    }

    #[tokio::test]
    async fn a_call_given_up_makes_room_and_a_refused_one_takes_none() {
        let service = service();
        let slow = fill(&service, MOST).await;
        for _ in 0..MOST {
            let refused = service.clone().oneshot(call("/a/Quick")).await.unwrap();
            assert!(Status::from_header_map(refused.headers()).is_some());
        }
        for call in slow {
            call.abort();
            assert!(call.await.unwrap_err().is_cancelled());
        }
        let served = service.oneshot(call("/a/Quick")).await.unwrap();
        assert!(Status::from_header_map(served.headers()).is_none());
    }

    #[tokio::test]
    async fn health_is_answered_however_full_it_is() {
        let service = service();
        let _slow = fill(&service, MOST).await;
        let health = service
            .oneshot(call("/grpc.health.v1.Health/Check"))
            .await
            .unwrap();
        assert!(Status::from_header_map(health.headers()).is_none());
    }
}
