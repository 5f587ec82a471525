//! The load: connections that replay questions, so many in flight on each, and check what comes back.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::cpu;
use crate::frames::{self, Headers, Said};
use crate::servers::{Kind, Server};

/// How often the server's CPU is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// A round ends at last after this, whatever the server has used.
const LONGEST: Duration = Duration::from_secs(60);

/// The slowest answer that is told apart, in nanoseconds.
const SLOWEST: u64 = 60_000_000_000;

/// What one round came to.
pub(crate) struct Outcome {
    pub(crate) calls: u64,
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// From sending to the end of the answer, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// The part of the cores that neither the server nor the load used.
    pub(crate) strangers: f64,
}

/// What the connections of a round share.
struct Round {
    stop: bool,
    calls: u64,
    latency: Histogram<u64>,
    next: usize,
}

/// Runs until the server has used so much CPU.
pub(crate) fn run(server: &Server, connections: usize, in_flight: usize, cpu: Duration) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let round = Rc::new(RefCell::new(Round {
        stop: false,
        calls: 0,
        latency: Histogram::new_with_bounds(1, SLOWEST, 3).expect("the bounds are possible"),
        next: 0,
    }));
    let own = std::process::id();
    let begun = (
        Instant::now(),
        cpu::of(server.pid()),
        cpu::of(own),
        cpu::of_all(),
    );
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let running: Vec<_> = (0..connections)
            .map(|_| {
                let (round, server) = (Rc::clone(&round), server.target());
                tokio::task::spawn_local(async move {
                    let ended = match server.kind {
                        Kind::Echo => echo(&server, in_flight, &round).await,
                        _ => replay(&server, in_flight, &round).await,
                    };
                    ended.unwrap_or_else(|error| panic!("{:?}: {error}", server.kind));
                })
            })
            .collect();
        while cpu::of(server.pid()) - begun.1 < cpu && begun.0.elapsed() < LONGEST {
            tokio::time::sleep(LOOK).await;
        }
        round.borrow_mut().stop = true;
        for connection in running {
            connection.await.expect("every answer was right");
        }
    });
    let wall = begun.0.elapsed();
    let used = cpu::of(server.pid()) - begun.1;
    let known = used + (cpu::of(own) - begun.2);
    let strangers = (cpu::of_all() - begun.3).saturating_sub(known);
    let round = Rc::try_unwrap(round)
        .ok()
        .expect("all connections have ended")
        .into_inner();
    Outcome {
        calls: round.calls,
        cpu: used,
        wall,
        latency: round.latency,
        strangers: strangers.as_secs_f64() / (2.0 * wall.as_secs_f64()),
    }
}

/// A server as a connection sees it.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) path: &'static str,
    pub(crate) authorization: Rc<str>,
    /// What is asked, encoded, and the beginning of the right answer.
    pub(crate) questions: Rc<Vec<Question>>,
}

/// A message, and what its answer must hold.
pub(crate) struct Question {
    pub(crate) message: Vec<u8>,
    pub(crate) holds: Vec<u8>,
}

/// One call on its way.
struct Call {
    question: usize,
    sent: Instant,
    right: bool,
}

async fn replay(target: &Target, in_flight: usize, round: &RefCell<Round>) -> io::Result<()> {
    let mut socket = TcpStream::connect(target.address).await?;
    socket.set_nodelay(true)?;
    let headers = Headers::new(target.path, &target.authorization);
    let mut out = frames::preface();
    let mut calls: std::collections::HashMap<u32, Call> = std::collections::HashMap::new();
    let (mut stream, mut received) = (1_u32, 0_u32);
    let mut buffer: Vec<u8> = Vec::with_capacity(1 << 16);
    loop {
        while calls.len() < in_flight && !round.borrow().stop {
            let question = next_question(target, round);
            headers.call(&mut out, stream, &target.questions[question].message);
            let call = Call {
                question,
                sent: Instant::now(),
                right: false,
            };
            calls.insert(stream, call);
            stream += 2;
        }
        if calls.is_empty() {
            return Ok(());
        }
        if !out.is_empty() {
            socket.write_all(&out).await?;
            out.clear();
        }
        if socket.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut read = 0;
        while let Some((said, length)) = frames::next(&buffer[read..]) {
            read += length;
            match said {
                Said::Data(id, payload) => {
                    received += u32::try_from(payload.len()).unwrap_or(0);
                    let call = calls
                        .get_mut(&id)
                        .ok_or_else(|| wrong("an unknown stream"))?;
                    let expected = &target.questions[call.question].holds;
                    call.right |= holds(payload, expected);
                }
                Said::End(id) => {
                    let call = calls
                        .remove(&id)
                        .ok_or_else(|| wrong("an unknown stream"))?;
                    if !call.right {
                        return Err(wrong("a wrong answer"));
                    }
                    answered(round, call.sent);
                }
                Said::Settings => out.extend(frames::settings_ack()),
                Said::Ping(payload) => out.extend(frames::pong(payload)),
                Said::Reset(_) => return Err(wrong("a stream was reset")),
                Said::Goaway => return Err(wrong("the server said goodbye")),
                Said::Nothing => {}
            }
        }
        buffer.drain(..read);
        if received > frames::WINDOW / 2 {
            out.extend(frames::window_update(received));
            received = 0;
        }
    }
}

/// The same bytes sent and read back, with no protocol at all.
async fn echo(target: &Target, in_flight: usize, round: &RefCell<Round>) -> io::Result<()> {
    let mut socket = TcpStream::connect(target.address).await?;
    socket.set_nodelay(true)?;
    let message = &target.questions[0].message;
    let all = message.repeat(in_flight);
    let mut answer = vec![0; all.len()];
    while !round.borrow().stop {
        let sent = Instant::now();
        socket.write_all(&all).await?;
        socket.read_exact(&mut answer).await?;
        if answer != all {
            return Err(wrong("another echo"));
        }
        (0..in_flight).for_each(|_| answered(round, sent));
    }
    Ok(())
}

/// Spread over all questions, so that no cache helps: a step that has no divisor in common with their number.
fn next_question(target: &Target, round: &RefCell<Round>) -> usize {
    const STEP: usize = 7_368_787;
    let mut round = round.borrow_mut();
    round.next = round.next.wrapping_add(STEP);
    round.next % target.questions.len()
}

fn answered(round: &RefCell<Round>, sent: Instant) {
    let nanos = u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let mut round = round.borrow_mut();
    round.calls += 1;
    round.latency.saturating_record(nanos);
}

fn holds(payload: &[u8], part: &[u8]) -> bool {
    payload.windows(part.len()).any(|window| window == part)
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(what)
}
