//! A name for each call, the same in the caller's logs and in ours.
//!
//! Taken from the caller's `x-request-id` where that is fit to be logged, else made; found in the request's extensions,
//! and sent back in the response's headers. Error details get it in `errors.rs`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use crate::api::call_id::{CallId, HEADER};

/// The id of the call that `request` is; every layer within this one finds one.
pub(super) fn of<B>(request: &Request<B>) -> CallId {
    request
        .extensions()
        .get()
        .copied()
        .unwrap_or_else(CallId::made)
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct CallIdLayer;

impl<S> Layer<S> for CallIdLayer {
    type Service = WithCallId<S>;

    fn layer(&self, inner: S) -> WithCallId<S> {
        WithCallId { inner }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct WithCallId<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for WithCallId<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Future: Unpin>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Echoed<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let id = CallId::of(request.headers());
        request.extensions_mut().insert(id);
        Echoed {
            inner: self.inner.call(request),
            id,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Echoed<F> {
    inner: F,
    id: CallId,
}

impl<F, E> Future for Echoed<F>
where
    F: Future<Output = Result<Response<Body>, E>> + Unpin,
{
    type Output = Result<Response<Body>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = ready!(Pin::new(&mut self.inner).poll(cx))?;
        let id = HeaderValue::from_bytes(self.id.as_bytes())
            .expect("its characters are fit for a header");
        response.headers_mut().insert(HEADER, id);
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;

    use super::super::testing::{call, handler, ok};
    use super::*;
    use crate::api::call_id::{LONGEST, MADE};

    /// What the handler saw, and what the caller got.
    async fn seen_and_echoed(presented: Option<&[u8]>) -> (String, String) {
        let mut request = call("/a/B");
        if let Some(presented) = presented {
            let value = HeaderValue::from_bytes(presented).unwrap();
            request.headers_mut().insert(HEADER, value);
        }
        let service = CallIdLayer.layer(handler(|request| async move {
            let mut response = ok();
            let seen = request.extensions().get::<CallId>().unwrap().to_string();
            response.headers_mut().insert("seen", seen.parse().unwrap());
            response
        }));
        let response = service.oneshot(request).await.unwrap();
        let text = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        (text("seen"), text("x-request-id"))
    }

    #[tokio::test]
    async fn a_fit_id_is_kept_and_any_other_replaced() {
        let longest = [b'a'; LONGEST];
        let too_long = [b'a'; LONGEST + 1];
        for (presented, kept) in [
            (&b"Trace-1_a.b"[..], true),
            (&longest, true),
            (&too_long, false),
            (b"", false),
            (b"two words", false),
            (b"colon:", false),
            (b"\xc3\xa9", false),
        ] {
            let (seen, echoed) = seen_and_echoed(Some(presented)).await;
            assert_eq!(seen, echoed);
            assert_eq!(
                seen.as_bytes() == presented,
                kept,
                "{presented:?} became {seen}"
            );
        }
    }

    #[tokio::test]
    async fn a_call_without_an_id_gets_one_of_its_own() {
        let (first, echoed) = seen_and_echoed(None).await;
        let (second, _) = seen_and_echoed(None).await;
        assert_eq!(first, echoed);
        assert_eq!(first.len(), MADE);
        assert_ne!(first, second);
    }
}
