//! A call's transport connection: where it comes from, and how to end it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// In the extensions of each request.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub cut: Cut,
}

impl Peer {
    /// The address that callers' allowed networks are compared with.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}

/// Ends a transport connection, whatever it is doing: for one whose client does not read what it has to know.
#[derive(Clone, Debug, Default)]
pub struct Cut(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cut: AtomicBool,
    /// Whoever reads from the connection.
    reader: Mutex<Option<Waker>>,
}

impl Cut {
    pub fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        if let Some(reader) = self.reader().take() {
            reader.wake();
        }
    }

    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Acquire)
    }

    /// Ready when it is cut; whoever asked last is woken.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut reader = self.reader();
        match &mut *reader {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        drop(reader);
        // After the waker is there: a cut in between is seen here, or wakes it.
        if self.is_cut() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn reader(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
