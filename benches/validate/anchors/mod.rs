//! Servers that others wrote, where they are installed: each does as near the same as it can.

pub(crate) mod envoy;
pub(crate) mod nginx;
pub(crate) mod redis;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::time::{Duration, Instant};

/// What an anchor came to.
pub(crate) struct Anchor {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// How many keys it holds: the first ones.
    pub(crate) keys: usize,
    pub(crate) version: String,
}

/// An address that nobody listens on just now.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound")
}

/// Waits until it takes connections; else ends it and says why not.
pub(crate) fn serving(
    mut child: Child,
    address: SocketAddr,
    patience: Duration,
) -> Result<Child, String> {
    let began = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("it ended at once, {status}"));
        }
        if TcpStream::connect(address).is_ok() {
            return Ok(child);
        }
        if began.elapsed() > patience {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("it did not serve within {patience:?}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
