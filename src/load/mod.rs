//! A replay load: questions that were encoded once, asked over HTTP/2 connections of its own, each answer read and timed.
//!
//! It knows bytes alone: what is asked is given to it, and what an answer means is told by a [`Judge`]. One thread carries it, at
//! a fraction of what a gRPC client costs, so that a server on another core is what is measured. `keyward bench` and `benches/`
//! share it; nothing that serves knows of it.

mod calls;
mod frames;
mod hpack;
mod huffman;
mod link;
mod pace;
mod questions;
mod stream;
mod tally;
#[cfg(test)]
mod tests;
mod wire;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use zeroize::Zeroizing;

use self::link::Link;
use self::pace::Schedule;

pub use self::hpack::Head;
pub use self::pace::{Arrivals, Pace};
pub use self::questions::Questions;
pub use self::tally::{Tally, Verdict};

/// The longest message that is sent: the window that a stream begins with, less some.
pub const LONGEST_MESSAGE: usize = 60_000;

/// How often a connection is tried that cannot be opened, and the pause before each new one.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// How one question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A gRPC call for each.
    Unary,
    /// A gRPC call for so many.
    Batch(usize),
    /// One gRPC call for each connection: questions and answers as they come, matched by correlation id.
    Stream,
    /// A GET for each, which carries it in a header of this name.
    Get(&'static str),
}

/// Whom to ask, and how much of it at once.
#[derive(Clone)]
pub struct Plan {
    pub address: SocketAddr,
    pub authority: String,
    /// The method's path.
    pub path: String,
    /// The value of the `authorization` header, where the server wants one.
    pub authorization: Option<Rc<Zeroizing<String>>>,
    pub form: Form,
    pub connections: usize,
    /// Calls on their way on each connection; of a stream, questions.
    pub in_flight: usize,
    pub pace: Pace,
}

/// Never the authorization: it is a secret.
impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("address", &self.address)
            .field("path", &self.path)
            .field("form", &self.form)
            .field("connections", &self.connections)
            .field("in_flight", &self.in_flight)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Debug)]
pub enum Reply<'a> {
    /// The message.
    Answer(&'a [u8]),
    /// The `Undecided` of a batch's item or a stream's message.
    Undecided(&'a [u8]),
    /// No message: HTTP's status is not 200, or gRPC's not 0.
    Refused(&'a Head),
    /// Bytes that are no answer.
    Broken,
}

/// Tells what a reply means.
pub trait Judge: fmt::Debug {
    /// `question` is the place of what was asked.
    fn judge(&self, question: usize, reply: Reply<'_>) -> Verdict;
}

/// A load that is made up, or runs.
#[derive(Debug)]
pub struct Load {
    plan: Plan,
    questions: Rc<Questions>,
    judge: Rc<dyn Judge>,
    tally: RefCell<Tally>,
    stopped: Cell<bool>,
    turn: Cell<usize>,
}

impl Load {
    #[must_use]
    pub fn new(plan: Plan, questions: Rc<Questions>, judge: Rc<dyn Judge>) -> Self {
        Self {
            plan,
            questions,
            judge,
            tally: RefCell::default(),
            stopped: Cell::new(false),
            turn: Cell::new(0),
        }
    }

    /// Asks until it is stopped and every question is answered; fails where a server cannot be reached any more, or a message
    /// would be too long.
    pub async fn run(&self) -> io::Result<()> {
        if self.longest_message() > LONGEST_MESSAGE || self.questions.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let connections = (0..self.plan.connections).map(|number| self.connection(number));
        let mut connections: FuturesUnordered<_> = connections.collect();
        while let Some(ended) = connections.next().await {
            ended?;
        }
        Ok(())
    }

    /// Nothing new is asked from now on.
    pub fn stop(&self) {
        self.stopped.set(true);
    }

    /// The counts so far.
    #[must_use]
    pub fn tally(&self) -> std::cell::Ref<'_, Tally> {
        self.tally.borrow()
    }

    /// The length of the longest message, prefix included.
    #[must_use]
    pub fn longest_message(&self) -> usize {
        wire::PREFIX + self.questions_of_a_call() * (self.questions.longest() + wire::AROUND)
    }

    fn questions_of_a_call(&self) -> usize {
        match self.plan.form {
            Form::Batch(count) => count,
            Form::Unary | Form::Stream | Form::Get(_) => 1,
        }
    }

    /// Keeps one connection open, anew where the server ends it.
    async fn connection(&self, number: usize) -> io::Result<()> {
        let plan = &self.plan;
        let mut schedule = Schedule::new(plan.pace, number, plan.connections, Instant::now());
        let mut tries = 0;
        while !self.stopped.get() {
            match Link::open(plan.address).await {
                Ok(mut link) => {
                    tries = 0;
                    match plan.form {
                        Form::Stream => stream::run(self, &mut link, &mut schedule).await,
                        _ => calls::run(self, &mut link, &mut schedule).await,
                    }
                }
                Err(error) if tries == TRIES => return Err(error),
                Err(_) => tries += 1,
            }
            if !self.stopped.get() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// The turn of the next question, and of so many after it.
    fn take_turns(&self, count: usize) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(count));
        self.tally.borrow_mut().asked += count as u64;
        turn
    }

    fn headers(&self) -> frames::Headers {
        let plan = &self.plan;
        let mut fields = vec![(":path", &*plan.path), (":authority", &*plan.authority)];
        if !matches!(plan.form, Form::Get(_)) {
            fields.extend([("content-type", "application/grpc"), ("te", "trailers")]);
        }
        fields.push((
            "user-agent",
            concat!("keyward-bench/", env!("CARGO_PKG_VERSION")),
        ));
        if let Some(authorization) = &plan.authorization {
            fields.push(("authorization", authorization));
        }
        frames::Headers::new(!matches!(plan.form, Form::Get(_)), fields)
    }

    fn count(&self, turn: usize, reply: Reply<'_>, after: Duration) {
        let verdict = self.judge.judge(self.questions.place(turn), reply);
        self.tally.borrow_mut().count(verdict, after);
    }

    fn lost(&self, why: &str) {
        let verdict = Verdict::Failed(why.into());
        self.tally.borrow_mut().count(verdict, Duration::ZERO);
    }
}
