//! A handler that panics fails its own call, and nothing else.
//!
//! The caller hears INTERNAL; what went wrong is in the log (the panic hook writes where), under the call's id.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::error;

use super::call_id;
use crate::api::call_id::CallId;

#[derive(Debug, Clone, Copy)]
pub(crate) struct PanicLayer;

impl<S> Layer<S> for PanicLayer {
    type Service = CatchPanic<S>;

    fn layer(&self, inner: S) -> CatchPanic<S> {
        CatchPanic { inner }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct CatchPanic<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for CatchPanic<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Future: Unpin>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Caught<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let id = call_id::of(&request);
        Caught {
            inner: catch_unwind(AssertUnwindSafe(|| self.inner.call(request))).ok(),
            id,
        }
    }
}

/// Without an inner future once that has panicked.
#[derive(Debug)]
pub(crate) struct Caught<F> {
    inner: Option<F>,
    id: CallId,
}

impl<F, E> Future for Caught<F>
where
    F: Future<Output = Result<Response<Body>, E>> + Unpin,
{
    type Output = Result<Response<Body>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = this
            .inner
            .as_mut()
            .and_then(|inner| catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll(cx))).ok());
        polled.unwrap_or_else(|| {
            this.inner = None;
            Poll::Ready(Ok(failed(this.id).into_http()))
        })
    }
}

/// What the caller hears of a handler that panicked, and the log.
pub(in crate::server) fn failed(id: CallId) -> Status {
    error!(call_id = %id, "a handler panicked");
    Status::internal("the server failed; its log tells of this call")
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tower::ServiceExt as _;

    use super::super::testing::{Answer, call, code, handler, ok};
    use super::*;

    #[tokio::test]
    async fn a_panic_fails_its_own_call_only() {
        let service = PanicLayer.layer(handler(|request: Request<Body>| async move {
            assert_ne!(request.uri().path(), "/a/Bad", "as the test wants it");
            ok()
        }));
        let bad = service.clone().oneshot(call("/a/Bad")).await.unwrap();
        assert_eq!(code(&bad), Code::Internal);
        let good = service.oneshot(call("/a/Good")).await.unwrap();
        assert_eq!(code(&good), Code::Ok);
    }

    #[tokio::test]
    async fn a_panic_before_the_first_await_is_caught_too() {
        let service = PanicLayer.layer(tower::service_fn(|_: Request<Body>| -> Answer {
            panic!("at once")
        }));
        let response = service.oneshot(call("/a/Bad")).await.unwrap();
        assert_eq!(code(&response), Code::Internal);
    }
}
