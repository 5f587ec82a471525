//! HTTP/2 on one connection, with its limits. `driver` reads what comes and `keepalive` tells the living from the dead. A validation is
//! answered where it is read (`hot`, and `conversation` on streams); every other call is a task of its own (`call`).
//!
//! It is spoken with `h2` and not through tonic's server: that leaves most of these limits out, and its parts cost more than
//! a validation does.

mod call;
mod conversation;
mod driver;
mod face;
mod hot;
mod incoming;
mod keepalive;
mod leaving;
mod message;
mod outgoing;
mod patience;

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use self::driver::Driver;
pub(super) use self::face::routed;
use self::face::{Face, Services};
pub use self::hot::{Hot, Validates};
use super::connection::Connection;
use super::drain::End;

/// Calls open at once.
const MAX_STREAMS: u32 = 256;
/// Streams the peer reset before we looked at them, and streams we had to reset, before the connection is closed.
const MAX_RESETS: usize = 64;
/// Bytes of request headers.
const MAX_HEADERS: u32 = 8 * 1024;
/// Bytes of one frame: the smallest that HTTP/2 allows as maximum.
const MAX_FRAME: u32 = 16 * 1024;
/// Bytes of one call's request, and of all calls of a connection, that may be on their way unread.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of one call's answer that are kept for a peer that has room for them and does not read; then the answer is not asked for more.
const MAX_UNSENT: usize = 64 * 1024;

/// Serves one connection until it ends. At its `age`, and at the server's end, it takes no more calls and ends with those it has.
pub(super) async fn serve<IO, Room>(
    io: Connection<IO, Room>,
    face: Face<impl Services>,
    age: Option<Duration>,
    end: End,
) where
    IO: AsyncRead + AsyncWrite + Unpin,
    Room: Unpin,
{
    let (peer, heard) = (io.peer().clone(), io.heard().clone());
    let leaving = leaving::leaving(peer.address.port(), age, end);
    match limits().handshake(io).await {
        Ok(http2) => Driver::new(http2, peer, heard, face, leaving).await,
        Err(error) => debug!(peer = %peer.address, %error, "no HTTP/2 connection"),
    }
}

fn limits() -> h2::server::Builder {
    let mut limits = h2::server::Builder::new();
    limits
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(Some(MAX_RESETS))
        .max_header_list_size(MAX_HEADERS)
        .max_frame_size(MAX_FRAME)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(MAX_UNSENT);
    limits
}

#[cfg(test)]
mod tests;
