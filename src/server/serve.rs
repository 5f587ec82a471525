//! From bound sockets to the end of life: starts the cores and the doors, and ends them in order.
//!
//! The caller owns the sockets and says when to stop; tests and production start the same thing.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::service::Routes;

use super::acceptor::Acceptor;
use super::cores::{self, Core};
use super::drain::{Drain, End};
use super::health::Health;
use super::http2::Validates;
use super::seats::Seats;
use crate::config::ServerSettings;

/// Connections that the side listener takes: probes and scrapers are few.
const SIDE_CONNECTIONS: usize = 64;

/// The sockets, bound and listening: whoever connects from now on is served once `serve` runs.
#[derive(Debug)]
pub struct Listeners {
    main: TcpListener,
    side: TcpListener,
}

impl Listeners {
    /// Binds both addresses; an error names the flag and the address.
    pub async fn bind(main: SocketAddr, side: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            main: bind("--listen", main).await?,
            side: bind("--side-listen", side).await?,
        })
    }

    /// Where the service is, the port being known also where 0 was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.main.local_addr()
    }

    /// Where health is in plaintext.
    pub fn side_address(&self) -> io::Result<SocketAddr> {
        self.side.local_addr()
    }
}

/// What is served where. Health is added to both.
#[derive(Debug)]
pub struct Faces<F> {
    /// Makes the services anew for each core.
    pub main: F,
    /// What answers validations on the main listener where they are read; without it, they go to the services like all else.
    pub hot: Option<Arc<dyn Validates>>,
    /// On the side listener.
    pub side: Routes,
}

/// Serves until `shutdown` ends, then drains, and returns when the last connection is gone. It fails early when a core does.
///
/// Runs on the caller's runtime: that is where the acceptors and the side listener live.
pub async fn serve<F>(
    listeners: Listeners,
    faces: Faces<F>,
    health: Health,
    settings: &ServerSettings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    F: Fn() -> Routes + Clone + Send + 'static,
{
    let (drain, end) = Drain::new();
    let mut running = JoinSet::new();
    let cores = start_cores(&mut running, faces.main, faces.hot, &health, settings, &end)?;
    running.spawn(open(
        listeners.main,
        Seats::new(settings.max_connections, settings.max_connections_per_peer),
        cores,
        end.clone(),
    ));
    start_side(
        &mut running,
        listeners.side,
        faces.side,
        &health,
        settings,
        &end,
    );

    tokio::select! {
        () = shutdown => {}
        early = first_ended(&mut running) => return early.and(Err(io::Error::other("a listener ended by itself"))),
    }

    let mut outcome = Ok(());
    let finished = async {
        while !running.is_empty() {
            let ended = first_ended(&mut running).await;
            outcome = std::mem::replace(&mut outcome, Ok(())).and(ended);
        }
    };
    drain
        .run(
            &health,
            settings.drain_wait,
            settings.drain_deadline,
            finished,
        )
        .await;
    outcome
}

async fn bind(flag: &str, address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("{flag} {address}: {error}")))
}

fn start_cores<F>(
    running: &mut JoinSet<io::Result<()>>,
    routes: F,
    hot: Option<Arc<dyn Validates>>,
    health: &Health,
    settings: &ServerSettings,
    end: &End,
) -> io::Result<Vec<Core>>
where
    F: Fn() -> Routes + Clone + Send + 'static,
{
    let mut all = Vec::with_capacity(settings.cores.get());
    for number in 0..settings.cores.get() {
        let (routes, health) = (routes.clone(), health.clone());
        let with_health = move || routes().add_service(health.service());
        let (core, ending) = cores::start(
            number,
            with_health,
            hot.clone(),
            settings.clone(),
            end.clone(),
        )?;
        running.spawn(cores::ended(ending));
        all.push(core);
    }
    Ok(all)
}

/// The side listener is a core like the others, on this runtime: it must answer while the cores are busy.
fn start_side(
    running: &mut JoinSet<io::Result<()>>,
    listener: TcpListener,
    routes: Routes,
    health: &Health,
    settings: &ServerSettings,
    end: &End,
) {
    let (core, arrivals) = Core::new();
    let routes = routes.add_service(health.service());
    let (own_settings, own_end) = (settings.clone(), end.clone());
    running
        .spawn(async move { cores::serve(arrivals, routes, None, &own_settings, own_end).await });
    let seats = Seats::new(SIDE_CONNECTIONS, SIDE_CONNECTIONS);
    running.spawn(open(listener, seats, vec![core], end.clone()));
}

async fn open(
    listener: TcpListener,
    seats: Arc<Seats>,
    cores: Vec<Core>,
    end: End,
) -> io::Result<()> {
    Acceptor {
        listener,
        seats,
        cores,
    }
    .run(end)
    .await;
    Ok(())
}

/// Waits for the next of what is running to end. With nothing running it is over at once.
async fn first_ended(running: &mut JoinSet<io::Result<()>>) -> io::Result<()> {
    match running.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(io::Error::other(error)),
        None => Ok(()),
    }
}
