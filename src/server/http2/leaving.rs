//! When a connection's peer is told to go: once the server ends, or the connection is old enough.

use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use tokio::time::sleep;

use crate::server::drain::End;

pub(super) type Leaving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How much younger than its age a connection may be told to go, at most: a tenth.
const SPREAD: u32 = 10;
/// So many moments there are within it.
const MOMENTS: u16 = 100;

/// Ends when the peer on `port` is to be told to go.
pub(super) fn leaving(port: u16, age: Option<Duration>, mut end: End) -> Leaving {
    Box::pin(async move {
        tokio::select! {
            () = end.closing() => {}
            () = old(port, age) => {}
        }
    })
}

async fn old(port: u16, age: Option<Duration>) {
    match age {
        Some(age) => sleep(spread(age, port)).await,
        None => pending().await,
    }
}

/// Connections that began together do not end together; which ends when is told apart by their ports.
fn spread(age: Duration, port: u16) -> Duration {
    age - age / SPREAD * u32::from(port % MOMENTS) / u32::from(MOMENTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_end_within_the_last_tenth_of_their_age() {
        let age = Duration::from_secs(1000);
        for (port, expected) in [(0, 1000), (50, 950), (99, 901), (100, 1000), (49_999, 901)] {
            assert_eq!(spread(age, port), Duration::from_secs(expected), "{port}");
        }
    }
}
