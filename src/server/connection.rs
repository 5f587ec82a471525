//! One client's connection: the bytes, what is known of the peer, and the room it takes up.
//!
//! It adds four things to a socket. Who says nothing is dropped: h2 waits for a client's preface for ever, so the
//! first bytes have a deadline here. It never claims vectored writes: h2 then copies small frames together and
//! writes once, where it would spend a system call on every answer over 256 bytes. It can be cut by whoever has a call on it.
//! And it tells whether the peer was heard of late.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::api::peer::{Cut, Peer};

/// What a client must have sent before the deadline: the HTTP/2 preface (24 bytes) and the header of its SETTINGS (9).
/// From there on, keepalive tells the living from the dead.
const FIRST_BYTES: usize = 33;

/// A connection as HTTP/2 is spoken on it. `room` is whatever must be given back when it ends.
#[derive(Debug)]
pub(super) struct Connection<IO, Room> {
    io: IO,
    peer: Peer,
    heard: Heard,
    silence: Option<Silence>,
    _room: Room,
}

/// Whether bytes came from the peer since somebody asked last.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl Heard {
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Until the first bytes are here: how many are missing, and how long they may.
#[derive(Debug)]
struct Silence {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

impl<IO, Room> Connection<IO, Room> {
    /// Must be called within the runtime that serves it.
    pub(super) fn new(io: IO, address: SocketAddr, patience: Duration, room: Room) -> Self {
        Self {
            io,
            peer: Peer {
                address,
                cut: Cut::default(),
            },
            heard: Heard::default(),
            silence: Some(Silence {
                missing: FIRST_BYTES,
                deadline: Box::pin(sleep(patience)),
            }),
            _room: room,
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn heard(&self) -> &Heard {
        &self.heard
    }
}

impl<IO: AsyncRead + Unpin, Room: Unpin> AsyncRead for Connection<IO, Room> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.peer.cut.is_cut() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.io).poll_read(cx, buf) {
            this.heard.0.store(true, Ordering::Relaxed);
            if let Some(silence) = &mut this.silence {
                silence.missing = silence.missing.saturating_sub(buf.filled().len() - before);
                if silence.missing == 0 {
                    this.silence = None;
                }
            }
            return Poll::Ready(read);
        }
        if this.peer.cut.poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let Some(silence) = &mut this.silence else {
            return Poll::Pending;
        };
        ready!(silence.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<IO: AsyncWrite + Unpin, Room: Unpin> AsyncWrite for Connection<IO, Room> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn connection() -> (DuplexStream, Connection<DuplexStream, ()>) {
        let (client, server) = duplex(1024);
        let peer = SocketAddr::from(([10, 0, 0, 1], 4000));
        (client, Connection::new(server, peer, PATIENCE, ()))
    }

    async fn read(
        connection: &mut Connection<DuplexStream, ()>,
        count: usize,
    ) -> io::Result<usize> {
        connection.read_exact(&mut vec![0; count]).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_dropped_at_the_deadline() {
        let (_client, mut connection) = connection();
        let began = tokio::time::Instant::now();
        let error = read(&mut connection, 1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn one_byte_short_of_the_first_bytes_is_still_silence() {
        let (mut client, mut connection) = connection();
        client.write_all(&[0; FIRST_BYTES - 1]).await.unwrap();
        read(&mut connection, FIRST_BYTES - 1).await.unwrap();
        let error = read(&mut connection, 1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn after_its_first_bytes_a_client_may_be_quiet() {
        let (mut client, mut connection) = connection();
        client.write_all(&[0; FIRST_BYTES]).await.unwrap();
        read(&mut connection, FIRST_BYTES).await.unwrap();
        let quiet = tokio::time::timeout(PATIENCE * 100, read(&mut connection, 1)).await;
        assert!(quiet.is_err(), "the connection ended: {quiet:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_cut_ends_whether_it_is_quiet_or_busy() {
        for busy in [false, true] {
            let (mut client, mut connection) = connection();
            client.write_all(&[0; 2 * FIRST_BYTES]).await.unwrap();
            read(&mut connection, FIRST_BYTES).await.unwrap();
            if !busy {
                read(&mut connection, FIRST_BYTES).await.unwrap();
            }
            let cut = connection.peer().cut.clone();
            let reading = tokio::spawn(async move { read(&mut connection, FIRST_BYTES + 1).await });
            tokio::task::yield_now().await;
            cut.cut();
            let error = reading.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted, "{busy}");
        }
    }

    #[tokio::test]
    async fn writes_are_never_vectored() {
        let (_client, connection) = connection();
        assert!(!connection.is_write_vectored());
    }
}
