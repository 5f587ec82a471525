//! A connection that carries a call for each question, or for so many of them.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use super::frames::{self, Headers};
use super::link::{Event, Link};
use super::pace::Schedule;
use super::wire::{self, Item};
use super::{Form, Head, Load, Reply};

/// The last stream of a connection; then comes another connection.
const LAST_STREAM: u32 = 1 << 30;

/// Asks until the load is stopped, or the connection has had its time.
pub(super) async fn run(load: &Load, link: &mut Link, schedule: &mut Schedule) {
    let mut calls = Calls {
        load,
        headers: load.headers(),
        ring: VecDeque::new(),
        oldest: 1,
        next: 1,
        open: 0,
        leaving: false,
        message: Vec::new(),
        spare: Vec::new(),
    };
    if calls.replay(link, schedule).await.is_err() {
        calls.lose();
    }
}

struct Calls<'l> {
    load: &'l Load,
    headers: Headers,
    /// By stream, from the oldest one that is open.
    ring: VecDeque<Option<Call>>,
    oldest: u32,
    /// The stream that is opened next.
    next: u32,
    open: usize,
    leaving: bool,
    message: Vec<u8>,
    /// Answers' memory, to be used again.
    spare: Vec<Vec<u8>>,
}

/// A call on its way.
struct Call {
    turn: usize,
    since: Instant,
    head: Head,
    answer: Vec<u8>,
}

impl Calls<'_> {
    async fn replay(&mut self, link: &mut Link, schedule: &mut Schedule) -> io::Result<()> {
        loop {
            let now = Instant::now();
            while self.has_room(link)
                && let Some(since) = schedule.next(now)
            {
                self.ask(link, since);
            }
            if self.open == 0 && !self.goes_on() {
                return Ok(());
            }
            link.flush().await?;
            if schedule.is_closed() {
                link.read().await?;
            } else if !link.try_read()? {
                schedule.pause(&link.socket, self.has_room(link)).await?;
                continue;
            }
            let now = Instant::now();
            while let Some(event) = link.next()? {
                self.hear(event, now);
            }
        }
    }

    fn goes_on(&self) -> bool {
        !self.load.stopped.get() && !self.leaving && self.next < LAST_STREAM
    }

    fn has_room(&self, link: &Link) -> bool {
        self.goes_on()
            && self.open < self.load.plan.in_flight.min(link.max_streams)
            && link.window >= self.load.longest_message() as i64
    }

    fn ask(&mut self, link: &mut Link, since: Instant) {
        let (load, stream) = (self.load, self.next);
        let (turn, questions) = (load.take_turns(load.questions_of_a_call()), &load.questions);
        if let Form::Get(name) = load.plan.form {
            let value = String::from_utf8_lossy(questions.of_turn(turn));
            self.headers
                .open(&mut link.out, stream, true, Some((name, &value)));
        } else {
            self.message.clear();
            wire::message(&mut self.message, |into| match load.plan.form {
                Form::Batch(count) => {
                    (turn..turn + count)
                        .for_each(|turn| wire::batched(into, questions.of_turn(turn)));
                }
                _ => into.extend(questions.of_turn(turn)),
            });
            self.headers.open(&mut link.out, stream, false, None);
            frames::data(&mut link.out, stream, true, &self.message);
            link.window -= self.message.len() as i64;
        }
        self.ring.push_back(Some(Call {
            turn,
            since,
            head: Head::default(),
            answer: self.spare.pop().unwrap_or_default(),
        }));
        self.next += 2;
        self.open += 1;
    }

    fn hear(&mut self, event: Event<'_>, now: Instant) {
        match event {
            Event::Data {
                stream,
                bytes,
                ends,
            } => {
                if let Some(call) = self.call(stream) {
                    call.answer.extend(bytes);
                }
                if ends {
                    self.finish(stream, now);
                }
            }
            Event::Head { stream, head, ends } => {
                if let Some(call) = self.call(stream) {
                    call.head.extend(head);
                }
                if ends {
                    self.finish(stream, now);
                }
            }
            Event::Reset { stream, code } => {
                if self.take(stream).is_some() {
                    let why = format!("stream reset, HTTP/2 code {code}");
                    self.fail(&why);
                }
            }
            Event::Goaway => self.leaving = true,
            Event::Window { .. } => {}
        }
    }

    fn call(&mut self, stream: u32) -> Option<&mut Call> {
        let place = stream.checked_sub(self.oldest)? / 2;
        self.ring.get_mut(place as usize)?.as_mut()
    }

    fn take(&mut self, stream: u32) -> Option<Call> {
        let place = stream.checked_sub(self.oldest)? / 2;
        let call = self.ring.get_mut(place as usize)?.take()?;
        while let Some(None) = self.ring.front() {
            self.ring.pop_front();
            self.oldest += 2;
        }
        self.open -= 1;
        Some(call)
    }

    /// The answer is complete.
    fn finish(&mut self, stream: u32, now: Instant) {
        let Some(mut call) = self.take(stream) else {
            return;
        };
        let (load, after) = (self.load, now.saturating_duration_since(call.since));
        let count = |at, reply| load.count(call.turn + at, reply, after);
        let form = load.plan.form;
        let good = match form {
            Form::Get(_) => call.head.status == Some(200),
            _ => call.head.code == Some(0),
        };
        let message = match form {
            Form::Get(_) => Some(&call.answer[..]),
            _ => call.answer.get(wire::PREFIX..),
        };
        match (form, message) {
            _ if !good => {
                let questions = 0..load.questions_of_a_call();
                questions.for_each(|at| count(at, Reply::Refused(&call.head)));
            }
            (Form::Batch(asked), Some(message)) => {
                let mut answers = wire::items(message);
                for at in 0..asked {
                    count(at, item(answers.next().flatten()));
                }
            }
            (_, Some(message)) => count(0, Reply::Answer(message)),
            (_, None) => count(0, Reply::Broken),
        }
        call.answer.clear();
        self.spare.push(call.answer);
    }

    /// The connection is gone, and with it what was on its way.
    fn lose(&mut self) {
        for _ in 0..self.open {
            self.fail("connection lost");
        }
    }

    fn fail(&self, why: &str) {
        (0..self.load.questions_of_a_call()).for_each(|_| self.load.lost(why));
    }
}

pub(super) fn item(item: Option<Item<'_>>) -> Reply<'_> {
    match item {
        Some(Item::Decided(answer)) => Reply::Answer(answer),
        Some(Item::Undecided(why)) => Reply::Undecided(why),
        None => Reply::Broken,
    }
}
