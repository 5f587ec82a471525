//! Finishes errors: whoever made one, it leaves with an ErrorInfo, and with the call's id to ask about.
//!
//! What a service says of its own errors is kept as it is; what the transport's (an unknown method, a message too large) lack
//! is filled in. Only an answer that failed is looked at.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic_types::StatusExt as _;
use tower::{Layer, Service};

use super::call_id;
use crate::api::call_id::CallId;
use crate::api::transport;

#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorsLayer;

impl<S> Layer<S> for ErrorsLayer {
    type Service = Errors<S>;

    fn layer(&self, inner: S) -> Errors<S> {
        Errors { inner }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Errors<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Errors<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Future: Unpin>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Finished<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let id = call_id::of(&request);
        Finished {
            inner: self.inner.call(request),
            id,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Finished<F> {
    inner: F,
    id: CallId,
}

impl<F, E> Future for Finished<F>
where
    F: Future<Output = Result<Response<Body>, E>> + Unpin,
{
    type Output = Result<Response<Body>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = ready!(Pin::new(&mut self.inner).poll(cx))?;
        // tonic leaves the status beside the headers that it made of it.
        Poll::Ready(Ok(match response.extensions_mut().remove::<Status>() {
            Some(status) => finish(&status, self.id).into_http(),
            None => response,
        }))
    }
}

fn finish(status: &Status, id: CallId) -> Status {
    let status = transport::told(status);
    let mut details = status.get_error_details();
    if details.request_info().is_none() {
        details.set_request_info(id.as_str(), "");
    }
    Status::with_error_details_and_metadata(
        status.code(),
        status.message(),
        details,
        status.metadata().clone(),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic::Code;
    use tonic_types::ErrorDetails;
    use tower::ServiceExt as _;

    use super::super::ERROR_DOMAIN;
    use super::super::call_id::CallIdLayer;
    use super::super::testing::{call, handler, ok};
    use super::*;

    async fn finished(status: Status) -> Status {
        let handler = handler(move |_| {
            let response = status.clone().into_http();
            async move { response }
        });
        let service = (CallIdLayer, ErrorsLayer).layer(handler);
        let mut request = call("/a/B");
        request
            .headers_mut()
            .insert("x-request-id", "call-7".parse().unwrap());
        let response = service.oneshot(request).await.unwrap();
        Status::from_header_map(response.headers()).unwrap()
    }

    #[tokio::test]
    async fn a_bare_error_gets_an_error_info_by_its_code_and_the_call_id() {
        let status = finished(Status::out_of_range("message too large")).await;
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(
            (status.code(), status.message()),
            (Code::OutOfRange, "message too large")
        );
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("OUT_OF_RANGE", "keyward.v1")
        );
        assert_eq!(details.request_info().unwrap().request_id, "call-7");
    }

    #[tokio::test]
    async fn a_request_that_is_no_message_is_its_sender_s_mistake() {
        use tonic::codec::{Codec as _, Streaming};
        // A frame of one byte: a tag whose wire type there is not.
        let body = "\0\0\0\0\x01\x0f".to_owned();
        let decoder = tonic_prost::ProstCodec::<String, String>::default().decoder();
        let error = Streaming::new_request(decoder, body, None, None)
            .message()
            .await
            .unwrap_err();
        let status = finished(error).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "MALFORMED_REQUEST");
        assert_eq!(
            details.bad_request().unwrap().field_violations[0].field,
            "request"
        );
    }

    #[tokio::test]
    async fn a_request_over_the_limit_is_its_sender_s_mistake() {
        use tonic::codec::{Codec as _, Streaming};
        let body = "\0\0\0\0\x02\x0a\0".to_owned();
        let decoder = tonic_prost::ProstCodec::<String, String>::default().decoder();
        let error = Streaming::new_request(decoder, body, None, Some(1))
            .message()
            .await
            .unwrap_err();
        let status = finished(error).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "REQUEST_TOO_LARGE");
    }

    #[tokio::test]
    async fn what_a_service_says_of_its_error_is_kept() {
        let token = HashMap::from([("token".to_owned(), "t1".to_owned())]);
        let mut details = ErrorDetails::with_error_info("TOKEN_ACTIVE", ERROR_DOMAIN, token);
        details.set_bad_request(vec![tonic_types::FieldViolation::new("name", "too long")]);
        let mut said = Status::with_error_details(Code::FailedPrecondition, "no", details);
        said.metadata_mut().insert("extra", "kept".parse().unwrap());
        let status = finished(said).await;
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "TOKEN_ACTIVE");
        assert_eq!(details.error_info().unwrap().metadata["token"], "t1");
        assert_eq!(
            details.bad_request().unwrap().field_violations[0].field,
            "name"
        );
        assert_eq!(status.metadata().get("extra").unwrap(), "kept");
    }

    #[tokio::test]
    async fn a_good_answer_passes_untouched() {
        let service = ErrorsLayer.layer(handler(|_| async { ok() }));
        let response = service.oneshot(call("/a/B")).await.unwrap();
        assert!(response.headers().is_empty());
    }
}
