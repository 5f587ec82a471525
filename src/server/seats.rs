//! Counts the connections that are open, in all and by peer, and says when there is no room for one more.
//!
//! Whether a refused peer is told anything, and who holds a seat for how long, is its callers' affair.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The house: at most `total` connections, at most `per_peer` of them from one peer.
#[derive(Debug)]
pub(super) struct Seats {
    total: usize,
    per_peer: usize,
    taken: Mutex<Taken>,
}

/// Room for one connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    peer: IpAddr,
}

/// Which cap a connection ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    House,
    Peer,
}

/// Bounded by the cap itself: a peer without connections has no entry.
#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_peer: HashMap<IpAddr, usize>,
}

impl Seats {
    pub(super) fn new(total: usize, per_peer: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            per_peer,
            taken: Mutex::default(),
        })
    }

    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Result<Seat, Full> {
        let peer = one_peer(peer);
        let mut taken = self.taken();
        if taken.total >= self.total {
            return Err(Full::House);
        }
        let held = taken.by_peer.get(&peer).copied().unwrap_or(0);
        if held >= self.per_peer {
            return Err(Full::Peer);
        }
        taken.by_peer.insert(peer, held + 1);
        taken.total += 1;
        Ok(Seat {
            seats: Arc::clone(self),
            peer,
        })
    }

    /// The numbers stay right whoever panicked: each change to them is whole before the lock is let go.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.total -= 1;
        if let Some(held) = taken.by_peer.get_mut(&self.peer) {
            *held -= 1;
            if *held == 0 {
                taken.by_peer.remove(&self.peer);
            }
        }
    }
}

/// Who counts as one peer: an IPv4 address however it is written, or the /64 that one IPv6 customer has to itself.
fn one_peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_house_fills_to_its_cap_and_a_seat_given_back_is_taken_again() {
        let seats = Seats::new(2, 2);
        let first = seats.take(ip("10.0.0.1")).unwrap();
        let _second = seats.take(ip("10.0.0.2")).unwrap();
        assert_eq!(seats.take(ip("10.0.0.3")).unwrap_err(), Full::House);
        drop(first);
        assert!(seats.take(ip("10.0.0.3")).is_ok());
    }

    #[test]
    fn one_peer_cannot_take_the_whole_house() {
        let seats = Seats::new(10, 2);
        let held: Vec<_> = (0..2)
            .map(|_| seats.take(ip("10.0.0.1")).unwrap())
            .collect();
        assert_eq!(seats.take(ip("10.0.0.1")).unwrap_err(), Full::Peer);
        assert!(seats.take(ip("10.0.0.2")).is_ok());
        drop(held);
        assert!(seats.take(ip("10.0.0.1")).is_ok());
    }

    #[test]
    fn nothing_is_remembered_of_a_peer_that_left() {
        let seats = Seats::new(10, 2);
        drop(seats.take(ip("10.0.0.1")).unwrap());
        assert!(seats.taken().by_peer.is_empty());
        assert_eq!(seats.taken().total, 0);
    }

    #[test]
    fn mapped_addresses_and_neighbours_in_a_64_are_one_peer() {
        for (a, b, same) in [
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            assert_eq!(one_peer(ip(a)) == one_peer(ip(b)), same, "{a} and {b}");
        }
    }
}
