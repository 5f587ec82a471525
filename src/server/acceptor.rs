//! The one door: accepts connections, refuses those there is no room for, and deals the rest to the cores.
//!
//! One acceptor and not SO_REUSEPORT: the kernel's hash deals unevenly, and a second process could take half of the
//! connections unnoticed.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::cores::{Arrival, Core};
use super::drain::End;
use super::seats::{Full, Seats};

/// Waits between failures to accept (out of descriptors, most of all): doubling, so that a lasting one costs nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A listening socket, the room behind it, and who serves.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    pub(super) seats: Arc<Seats>,
    pub(super) cores: Vec<Core>,
}

impl Acceptor {
    /// Accepts until the end is near. Then the listening socket is closed and every core hears that no more will come.
    pub(super) async fn run(self, mut end: End) {
        tokio::select! {
            () = end.closing() => {}
            never = self.accept_for_ever() => match never {},
        }
    }

    async fn accept_for_ever(&self) -> Infallible {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.listener.accept().await {
                Ok((socket, peer)) => {
                    pause = FIRST_PAUSE;
                    if let Err(error) = self.deal(socket, peer) {
                        debug!(%peer, %error, "connection lost before it was served");
                    }
                }
                Err(error) if of_one_connection(&error) => {
                    debug!(%error, "connection gone before it was accepted")
                }
                Err(error) => {
                    warn!(%error, ?pause, "cannot accept connections; trying again");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// To the core with the fewest connections. One too many is closed at once: its client learns that sooner than
    /// by waiting in the backlog, and tries elsewhere.
    fn deal(&self, socket: TcpStream, peer: SocketAddr) -> io::Result<()> {
        // An IPv4 peer of an IPv6 socket is the same peer to every rule and in every log.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let seat = match self.seats.take(peer.ip()) {
            Ok(seat) => seat,
            Err(full) => {
                refused(peer, full);
                return Ok(());
            }
        };
        // Small answers must not wait for a full packet. Dead peers are HTTP/2's own keepalive to find.
        socket.set_nodelay(true)?;
        let arrival = Arrival {
            socket: socket.into_std()?,
            peer,
            seat,
        };
        match self.cores.iter().min_by_key(|core| core.connections()) {
            Some(core) => core.take(arrival),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

fn refused(peer: SocketAddr, full: Full) {
    let cap = match full {
        Full::House => "max-connections",
        Full::Peer => "max-connections-per-peer",
    };
    debug!(%peer, cap, "connection refused");
}

/// The peer's failure, not ours: the next accept may well succeed.
fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::super::cores::Arrivals;
    use super::super::drain::Drain;
    use super::*;

    /// An acceptor for `cores` cores whose arrivals pile up, and where it listens.
    async fn acceptor(
        cores: usize,
        total: usize,
        per_peer: usize,
    ) -> (Acceptor, Vec<Arrivals>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cores, arrivals) = (0..cores).map(|_| Core::new()).unzip();
        let seats = Seats::new(total, per_peer);
        (
            Acceptor {
                listener,
                seats,
                cores,
            },
            arrivals,
            address,
        )
    }

    async fn connect_and_deal(acceptor: &Acceptor, address: SocketAddr) -> TcpStream {
        let client = TcpStream::connect(address).await.unwrap();
        let (socket, peer) = acceptor.listener.accept().await.unwrap();
        acceptor.deal(socket, peer).unwrap();
        client
    }

    fn loads(acceptor: &Acceptor) -> Vec<usize> {
        acceptor.cores.iter().map(Core::connections).collect()
    }

    #[tokio::test]
    async fn connections_are_dealt_to_the_least_loaded_core() {
        let (acceptor, mut arrivals, address) = acceptor(3, 100, 100).await;
        let mut clients = Vec::new();
        for _ in 0..30 {
            clients.push(connect_and_deal(&acceptor, address).await);
        }
        assert_eq!(loads(&acceptor), [10, 10, 10]);

        for _ in 0..4 {
            drop(arrivals[1].next());
        }
        assert_eq!(loads(&acceptor), [10, 6, 10]);
        for _ in 0..4 {
            clients.push(connect_and_deal(&acceptor, address).await);
        }
        assert_eq!(loads(&acceptor), [10, 10, 10]);
    }

    #[tokio::test]
    async fn an_ipv4_peer_of_an_ipv6_socket_is_known_by_its_ipv4_address() {
        let (acceptor, mut arrivals, address) = acceptor(1, 2, 2).await;
        let _client = TcpStream::connect(address).await.unwrap();
        let (socket, peer) = acceptor.listener.accept().await.unwrap();
        let mapped = SocketAddr::new("::ffff:10.0.0.1".parse().unwrap(), peer.port());
        acceptor.deal(socket, mapped).unwrap();
        let (arrival, _load) = arrivals[0].next().unwrap();
        assert_eq!(arrival.peer, SocketAddr::from(([10, 0, 0, 1], peer.port())));
    }

    #[tokio::test]
    async fn the_last_connection_there_is_room_for_is_dealt_and_one_more_is_closed() {
        for (total, per_peer) in [(2, 100), (100, 2)] {
            let (acceptor, mut arrivals, address) = acceptor(1, total, per_peer).await;
            let _first = connect_and_deal(&acceptor, address).await;
            let _last = connect_and_deal(&acceptor, address).await;
            let mut refused = connect_and_deal(&acceptor, address).await;
            assert_eq!(refused.read(&mut [0]).await.unwrap_or(0), 0);
            assert_eq!(loads(&acceptor), [2]);

            drop(arrivals[0].next());
            let _again = connect_and_deal(&acceptor, address).await;
            assert_eq!(loads(&acceptor), [2]);
        }
    }

    #[tokio::test]
    async fn at_the_end_the_door_is_closed_and_the_cores_hear_of_it() {
        let (acceptor, mut arrivals, address) = acceptor(1, 2, 2).await;
        let (drain, end) = Drain::new();
        let running = tokio::spawn(acceptor.run(end));
        let _client = TcpStream::connect(address).await.unwrap();
        assert!(arrivals[0].wait().await);
        drop(drain);
        running.await.unwrap();
        assert!(!arrivals[0].wait().await);
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[test]
    fn only_a_peers_own_failure_is_passed_over_without_a_pause() {
        const ECONNABORTED: i32 = 103;
        const EMFILE: i32 = 24;
        const ENFILE: i32 = 23;
        const ENOMEM: i32 = 12;
        assert!(of_one_connection(&io::Error::from_raw_os_error(
            ECONNABORTED
        )));
        for ours in [EMFILE, ENFILE, ENOMEM] {
            assert!(!of_one_connection(&io::Error::from_raw_os_error(ours)));
        }
    }
}
