//! A request's body as tonic reads it: what is taken makes room for more.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::Frame;
use tonic::body::Body;

/// The body of a request, of which something may have been `taken` already. Trailers are none of gRPC's in a request, and are not
/// read.
pub(super) fn body(taken: Bytes, stream: RecvStream) -> Body {
    Body::new(Incoming { taken, stream })
}

struct Incoming {
    taken: Bytes,
    stream: RecvStream,
}

impl Incoming {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        if self.taken.is_empty() {
            self.stream.poll_data(cx)
        } else {
            Poll::Ready(Some(Ok(std::mem::take(&mut self.taken))))
        }
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        Poll::Ready(match ready!(self.poll_data(cx)) {
            Some(Ok(data)) => {
                // Fails where the stream is gone, and its window with it.
                let _ = self.stream.flow_control().release_capacity(data.len());
                Some(Ok(Frame::data(data)))
            }
            // The peer wants no more of the answer, and has said all it had to say.
            Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => None,
            Some(Err(error)) => Some(Err(error)),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.taken.is_empty() && self.stream.is_end_stream()
    }
}
