//! What drives a connection: it reads and writes, starts the calls that come, and ends the connection in its time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::face::{Face, Services};
use super::hot::Inline;
use super::keepalive::Keepalive;
use super::leaving::Leaving;
use crate::api::peer::Peer;
use crate::server::connection::Heard;

/// A connection after its handshake. It ends when the connection does; the calls it started hear of that by themselves.
pub(super) struct Driver<IO, S> {
    http2: Connection<IO, Bytes>,
    peer: Peer,
    face: Face<S>,
    inline: Inline,
    keepalive: Keepalive,
    /// `None` once the peer has been told to go.
    leaving: Option<Leaving>,
}

impl<IO, S> Driver<IO, S>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Services,
{
    pub(super) fn new(
        http2: Connection<IO, Bytes>,
        peer: Peer,
        heard: Heard,
        face: Face<S>,
        leaving: Leaving,
    ) -> Self {
        Self {
            http2,
            inline: Inline::new(&face, &peer),
            peer,
            face,
            keepalive: Keepalive::new(heard),
            leaving: Some(leaving),
        }
    }

    /// Says GOAWAY when it is time: calls that are open, or on their way, are still answered.
    fn poll_leaving(&mut self, cx: &mut Context<'_>) {
        let due = |leaving: &mut Leaving| leaving.as_mut().poll(cx).is_ready();
        if self.leaving.as_mut().is_some_and(due) {
            self.leaving = None;
            self.http2.graceful_shutdown();
        }
    }

    /// Takes what has come, answers what can be answered at once, and sends. Ready when the connection is over.
    ///
    /// Each look at the connection may write to it: so all that has come is taken before any of it is answered, and the answers leave
    /// together.
    fn poll_calls(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.http2.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => self.begin(request, respond),
                Poll::Ready(Some(Err(error))) => {
                    debug!(peer = %self.peer.address, %error, "connection failed");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending if self.inline.answer(&self.face, cx) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn begin(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        if request.method() != Method::POST {
            refuse_method(&mut respond);
            return;
        }
        if let Some((mut request, respond)) = self.inline.take(request, respond) {
            request.extensions_mut().insert(self.peer.clone());
            self.face.serve(request, Bytes::new(), respond);
        }
    }
}

impl<IO, S> Future for Driver<IO, S>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Services,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.poll_leaving(cx);
        if this.poll_calls(cx).is_ready() {
            return Poll::Ready(());
        }
        if this.keepalive.poll(cx, &mut this.http2).is_ready() {
            debug!(peer = %this.peer.address, "the peer does not answer; its connection is closed");
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// gRPC knows POST alone. CONNECT, above all, makes no tunnel here.
fn refuse_method(respond: &mut SendResponse<Bytes>) {
    let mut refusal = Response::new(());
    *refusal.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    let allowed = http::HeaderValue::from_static("POST");
    refusal.headers_mut().insert(http::header::ALLOW, allowed);
    if respond.send_response(refusal, true).is_err() {
        respond.send_reset(Reason::INTERNAL_ERROR);
    }
}
