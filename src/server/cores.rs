//! The cores: a thread each, with a runtime of its own, serving the connections that it is dealt.
//!
//! A connection lives and dies on one core, so no task ever moves and no lock of a shared scheduler is taken. What cores
//! share (the directory, the registry) is behind the routes they are given.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tonic::service::Routes;
use tracing::{debug, error};

use super::connection::Connection;
use super::drain::End;
use super::http2::{self, Validates};
use super::layers::Layers;
use super::seats::Seat;
use crate::config::ServerSettings;

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
    hot: Option<Arc<dyn Validates>>,
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
            let result = runtime.block_on(serve(arrivals, routes(), hot, &settings, end));
            // Connections that were cut off end with their runtime; say so only afterwards.
            drop(runtime);
            let _ = ended.send(result);
        })?;
    Ok((core, ending))
}

/// Serves connections on this runtime until no more arrive and the last has ended, or until the cut.
pub(super) async fn serve(
    Arrivals(mut arrivals): Arrivals,
    routes: Routes,
    hot: Option<Arc<dyn Validates>>,
    settings: &ServerSettings,
    mut end: End,
) -> io::Result<()> {
    let face = http2::routed(routes, Layers::new(settings), hot);
    let closing = end.clone();
    let mut connections = JoinSet::new();
    let served = async {
        loop {
            tokio::select! {
                arrival = arrivals.recv() => {
                    let Some((arrival, load)) = arrival else { break };
                    if let Some(connection) = connection(arrival, load, settings.first_bytes) {
                        let age = settings.max_connection_age;
                        connections.spawn(http2::serve(connection, face.clone(), age, closing.clone()));
                    }
                }
                Some(ended) = connections.join_next() => tell_of_panic(ended),
            }
        }
        while let Some(ended) = connections.join_next().await {
            tell_of_panic(ended);
        }
    };
    tokio::select! {
        () = served => {}
        () = end.cut() => {}
    }
    Ok(())
}

/// The socket, at home on this runtime. One that cannot be registered is dropped, and its seat with it.
fn connection(
    arrival: Arrival,
    load: Load,
    patience: Duration,
) -> Option<Connection<TcpStream, (Seat, Load)>> {
    let Arrival { socket, peer, seat } = arrival;
    match TcpStream::from_std(socket) {
        Ok(socket) => Some(Connection::new(socket, peer, patience, (seat, load))),
        Err(error) => {
            debug!(%peer, %error, "connection lost before it was served");
            None
        }
    }
}

/// A connection that panicked is gone; the others go on.
fn tell_of_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a connection panicked");
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
