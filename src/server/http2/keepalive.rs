//! Tells the living peers from the dead: one that is quiet is asked, and is given up when it stays so.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::server::Connection;
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

use crate::server::connection::Heard;

/// A peer that is quiet for so long is asked whether it lives.
const QUIET: Duration = Duration::from_secs(10);
/// So long it has to answer.
const ANSWER: Duration = Duration::from_secs(5);

pub(super) struct Keepalive {
    heard: Heard,
    last: Instant,
    asked: bool,
    alarm: Pin<Box<Sleep>>,
    /// Taken when a peer is asked first: h2 looks after it with each frame from then on.
    pings: Option<PingPong>,
}

impl Keepalive {
    /// Must be called within the runtime that serves the connection.
    pub(super) fn new(heard: Heard) -> Self {
        Self {
            heard,
            last: Instant::now(),
            asked: false,
            alarm: Box::pin(sleep(QUIET)),
            pings: None,
        }
    }

    /// To be polled after each read. Ready when the peer is to be given up.
    pub(super) fn poll<IO: AsyncRead + AsyncWrite + Unpin, B: bytes::Buf>(
        &mut self,
        cx: &mut Context<'_>,
        http2: &mut Connection<IO, B>,
    ) -> Poll<()> {
        if self.heard.take() {
            self.last = Instant::now();
            self.asked = false;
        }
        while self.alarm.as_mut().poll(cx).is_ready() {
            let patience = if self.asked { QUIET + ANSWER } else { QUIET };
            if self.last.elapsed() < patience {
                self.alarm.as_mut().reset(self.last + patience);
            } else if self.asked {
                return Poll::Ready(());
            } else {
                self.ask(cx, http2);
                self.asked = true;
                self.alarm.as_mut().reset(Instant::now() + ANSWER);
            }
        }
        Poll::Pending
    }

    fn ask<IO: AsyncRead + AsyncWrite + Unpin, B: bytes::Buf>(
        &mut self,
        cx: &mut Context<'_>,
        http2: &mut Connection<IO, B>,
    ) {
        if self.pings.is_none() {
            self.pings = http2.ping_pong();
        }
        if let Some(pings) = &mut self.pings {
            // The last answer, if it was not looked at: any byte is as good a sign of life.
            let _ = pings.poll_pong(cx);
            let _ = pings.send_ping(Ping::opaque());
        }
        // It is sent when the connection is polled next.
        cx.waker().wake_by_ref();
    }
}
