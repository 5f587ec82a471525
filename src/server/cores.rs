//! The cores: a thread each, with a runtime of its own, serving the connections that it is dealt.
//!
//! A connection lives and dies on one core, so no task ever moves and no lock of a shared scheduler is taken. What cores
//! share (the directory, the registry) is behind the routes they are given.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::service::Routes;
use tonic::transport::Server;
use tracing::{debug, error};

use super::connection::Connection;
use super::drain::End;
use super::layers;
use super::seats::Seat;
use crate::config::ServerSettings;

// HTTP/2's limits for one connection. tonic leaves most of them unlimited.

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
/// A quiet peer is asked whether it lives, and given up when it does not answer.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);

/// A core as the acceptor sees it. When dropped, the core takes no more, finishes what it has, and ends.
#[derive(Debug)]
pub(super) struct Core {
    arrivals: mpsc::UnboundedSender<(Arrival, Load)>,
    connections: Arc<AtomicUsize>,
}

/// The other half of a core: what `serve` works off.
#[derive(Debug)]
pub(super) struct Arrivals(mpsc::UnboundedReceiver<(Arrival, Load)>);

/// A connection that has been accepted and has its seat.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) socket: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) seat: Seat,
}

#[cfg(test)]
impl Arrivals {
    /// The next arrival, if it is there; the connection ends when it is dropped.
    pub(super) fn next(&mut self) -> Option<(Arrival, Load)> {
        self.0.try_recv().ok()
    }

    /// Whether another one arrives.
    pub(super) async fn wait(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}

/// One connection's weight on its core, taken off when dropped.
#[derive(Debug)]
pub(super) struct Load(Arc<AtomicUsize>);

impl Core {
    /// The queue needs no bound of its own: everything in it holds a seat.
    pub(super) fn new() -> (Self, Arrivals) {
        let (arrivals, receiver) = mpsc::unbounded_channel();
        let connections = Arc::default();
        (
            Self {
                arrivals,
                connections,
            },
            Arrivals(receiver),
        )
    }

    /// Connections dealt to this core and not yet ended.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Fails when the core is gone.
    pub(super) fn take(&self, arrival: Arrival) -> io::Result<()> {
        let load = Load::on(&self.connections);
        self.arrivals
            .send((arrival, load))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Load {
    fn on(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(connections))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts a thread that serves what the returned core is dealt. The receiver hears how it ended; it hears nothing, and
/// fails, if the thread panicked.
pub(super) fn start(
    number: usize,
    routes: impl FnOnce() -> Routes + Send + 'static,
    settings: ServerSettings,
    end: End,
) -> io::Result<(Core, oneshot::Receiver<io::Result<()>>)> {
    let (core, arrivals) = Core::new();
    let (ended, ending) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name(format!("core-{number}"))
        .spawn(move || {
            let result = runtime.block_on(serve(arrivals, routes(), &settings, end));
            // Connections that were cut off end with their runtime; say so only afterwards.
            drop(runtime);
            let _ = ended.send(result);
        })?;
    Ok((core, ending))
}

/// Serves connections on this runtime until no more arrive and the last has ended, or until the cut.
pub(super) async fn serve(
    arrivals: Arrivals,
    routes: Routes,
    settings: &ServerSettings,
    mut end: End,
) -> io::Result<()> {
    let connections = connections(arrivals, settings.first_bytes);
    // The end of the arrivals is the signal to close; tonic only says GOAWAY where it was given one that might come.
    let served = builder(settings)
        .layer(layers::all(settings))
        .serve_with_incoming_shutdown(routes.prepare(), connections, pending());
    tokio::select! {
        result = served => result.map_err(io::Error::other),
        () = end.cut() => Ok(()),
    }
}

/// The sockets, at home on this runtime. One that cannot be registered is dropped, and its seat with it.
fn connections(
    Arrivals(arrivals): Arrivals,
    patience: Duration,
) -> impl Stream<Item = Result<Connection<TcpStream, (Seat, Load)>, Infallible>> {
    UnboundedReceiverStream::new(arrivals).filter_map(move |(arrival, load)| {
        let Arrival { socket, peer, seat } = arrival;
        match TcpStream::from_std(socket) {
            Ok(socket) => Some(Ok(Connection::new(socket, peer, patience, (seat, load)))),
            Err(error) => {
                debug!(%peer, %error, "connection lost before it was served");
                None
            }
        }
    })
}

fn builder(settings: &ServerSettings) -> Server {
    let server = Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_pending_accept_reset_streams(Some(MAX_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_RESETS))
        .http2_max_header_list_size(MAX_HEADERS)
        .max_frame_size(MAX_FRAME)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER));
    match settings.max_connection_age {
        Some(age) => server.max_connection_age(age),
        None => server,
    }
}

/// Waits for a core to end.
pub(super) async fn ended(ending: oneshot::Receiver<io::Result<()>>) -> io::Result<()> {
    match ending.await {
        Ok(result) => result,
        Err(_) => {
            error!("a core panicked");
            Err(io::Error::other("a core panicked"))
        }
    }
}
