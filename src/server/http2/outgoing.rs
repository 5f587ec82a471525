//! An answer's body on its way: as fast as its reader takes it, and no faster.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;
use tracing::debug;

/// What a body has to say next.
enum Next {
    Data {
        data: Bytes,
        last: bool,
    },
    Trailers(HeaderMap),
    Failed,
    /// Nobody reads it any more.
    Gone,
}

/// Sends all of it. A body that fails resets its stream; a stream that is reset drops its body.
pub(super) async fn send(mut body: Body, mut stream: SendStream<Bytes>) {
    if let Err(error) = send_all(&mut body, &mut stream).await {
        debug!(%error, "an answer could not be sent to its end");
    }
}

async fn send_all(body: &mut Body, stream: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    loop {
        match next(body, stream).await {
            Next::Data { data, last } => {
                if !data.is_empty() {
                    room(stream).await?;
                }
                stream.send_data(data, last)?;
                if last {
                    return Ok(());
                }
            }
            Next::Trailers(trailers) => return stream.send_trailers(trailers),
            Next::Failed => {
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
            Next::Gone => return Ok(()),
        }
    }
}

async fn next(body: &mut Body, stream: &mut SendStream<Bytes>) -> Next {
    poll_fn(|cx| {
        let frame = match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => return stream.poll_reset(cx).map(|_| Next::Gone),
        };
        Poll::Ready(match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => Next::Data {
                data,
                last: body.is_end_stream(),
            },
            Some(Ok(Err(frame))) => Next::Trailers(frame.into_trailers().unwrap_or_default()),
            Some(Err(_)) => Next::Failed,
            None => Next::Data {
                data: Bytes::new(),
                last: true,
            },
        })
    })
    .await
}

/// Waits until the peer has room. Of that no more is asked for than is needed to begin: h2 asks for the rest itself, once it has
/// the data.
async fn room(stream: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    stream.reserve_capacity(1);
    poll_fn(|cx| poll_room(stream, cx)).await
}

fn poll_room(stream: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
    while stream.capacity() == 0 {
        match ready!(stream.poll_capacity(cx)) {
            Some(given) => drop(given?),
            // The stream is gone.
            None => return Poll::Ready(Err(Reason::CANCEL.into())),
        }
    }
    Poll::Ready(Ok(()))
}

/// The headers of every answer.
pub(super) fn headers() -> HeaderMap {
    let grpc = HeaderValue::from_static("application/grpc");
    HeaderMap::from_iter([(http::header::CONTENT_TYPE, grpc)])
}

/// The trailers of one that went well.
pub(super) fn trailers() -> HeaderMap {
    trailers_of(&Status::ok(""))
}

pub(super) fn trailers_of(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("13"));
    }
    trailers
}

/// An answer that begins well.
pub(super) fn answer(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.headers_mut() = headers();
    response
}

/// The body of one message, prefix included, that ends well.
pub(super) fn whole(message: Bytes) -> Body {
    Body::new(Whole {
        message: Some(message),
        trailers: Some(trailers()),
    })
}

struct Whole {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.message.take().map(Frame::data);
        let frame = data.or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }
}
