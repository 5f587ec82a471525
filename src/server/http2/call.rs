//! One call, as a task of its own: asked of its service, answered, and dropped as soon as its caller resets it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{Request, Response};
use tonic::body::Body;
use tower::ServiceExt as _;
use tracing::debug;

use super::face::Answering;
use super::outgoing;

/// Asks and answers. A caller that is gone costs nobody else anything.
pub(super) async fn answer(
    service: impl Answering,
    request: Request<Body>,
    mut respond: SendResponse<Bytes>,
) {
    let Some(response) = wait(service, request, &mut respond).await else {
        return;
    };
    let (head, body) = response.into_parts();
    let ends = http_body::Body::is_end_stream(&body);
    match respond.send_response(Response::from_parts(head, ()), ends) {
        Ok(_) if ends => {}
        Ok(stream) => outgoing::send(body, stream).await,
        Err(error) => {
            debug!(%error, "an answer could not be sent");
            respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}

/// The answer; none where the caller has given up the call, which is dropped then.
async fn wait(
    service: impl Answering,
    request: Request<Body>,
    respond: &mut SendResponse<Bytes>,
) -> Option<Response<Body>> {
    let mut call = pin!(service.oneshot(request));
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => respond.poll_reset(cx).map(|_| None),
    })
    .await
}
