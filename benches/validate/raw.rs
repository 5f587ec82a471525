//! Loads that speak no HTTP/2: bytes that are sent back, and Redis.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use keyward::load::{Tally, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::anchors::redis;

/// What is sent.
#[derive(Clone)]
pub(crate) enum Ask {
    /// This, to be sent back.
    Echo(Rc<Vec<u8>>),
    /// GETs of these keys (text and id), whose values begin with the id.
    Get(Rc<Vec<(String, String)>>),
}

/// So many connections, with so much on its way on each.
pub(crate) struct Raw {
    pub(crate) address: SocketAddr,
    pub(crate) ask: Ask,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) stopped: Cell<bool>,
    pub(crate) tally: RefCell<Tally>,
}

impl Raw {
    pub(crate) async fn run(&self) -> io::Result<()> {
        let connections = (0..self.connections).map(|number| self.connection(number));
        let mut connections: FuturesUnordered<_> = connections.collect();
        while let Some(ended) = connections.next().await {
            ended?;
        }
        Ok(())
    }

    async fn connection(&self, number: usize) -> io::Result<()> {
        let mut socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let (mut out, mut expected) = (Vec::new(), Vec::new());
        let mut received = Vec::new();
        let mut turn = number;
        while !self.stopped.get() {
            self.ask_all(&mut turn, &mut out, &mut expected);
            received.resize(expected.len(), 0);
            let since = Instant::now();
            self.tally.borrow_mut().asked += self.in_flight as u64;
            socket.write_all(&out).await?;
            socket.read_exact(&mut received).await?;
            if received != expected {
                return Err(io::Error::other("a wrong answer"));
            }
            let after = since.elapsed();
            let mut tally = self.tally.borrow_mut();
            (0..self.in_flight).for_each(|_| tally.count(Verdict::Good, after));
        }
        Ok(())
    }

    /// As many at once as may be on their way, and what will come back.
    fn ask_all(&self, turn: &mut usize, out: &mut Vec<u8>, expected: &mut Vec<u8>) {
        const STEP: usize = 7_368_787;
        out.clear();
        expected.clear();
        for _ in 0..self.in_flight {
            match &self.ask {
                Ask::Echo(bytes) => {
                    out.extend(&**bytes);
                    expected.extend(&**bytes);
                }
                Ask::Get(keys) => {
                    *turn = turn.wrapping_add(STEP);
                    let (key, id) = &keys[*turn % keys.len()];
                    redis::get(out, key);
                    redis::value(expected, id);
                }
            }
        }
    }
}
