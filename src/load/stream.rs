//! A connection that carries one call, and over it questions and answers as they come.

use std::io;
use std::time::{Duration, Instant};

use super::calls::item;
use super::frames;
use super::link::{Event, Link};
use super::pace::Schedule;
use super::wire;
use super::{Head, Load, Reply};

/// The call's stream.
const STREAM: u32 = 1;
/// Bytes of questions that wait for the server's windows; no more are made before some have gone.
const WAITING: usize = 1 << 18;
/// The server ends the call within this time when it is asked to.
const FAREWELL: Duration = Duration::from_secs(1);

/// Asks until the load is stopped, or the call has ended.
pub(super) async fn run(load: &Load, link: &mut Link, schedule: &mut Schedule) {
    let in_flight = load.plan.in_flight;
    let mut call = Call {
        load,
        open: vec![None; in_flight],
        free: (0..in_flight).rev().collect(),
        waiting: Vec::new(),
        window: link.first_window,
        answers: Vec::new(),
        received: 0,
        head: Head::default(),
        ended: false,
    };
    load.headers().open(&mut link.out, STREAM, false, None);
    if call.replay(link, schedule).await.is_err() {
        call.lose("connection lost");
    }
}

struct Call<'l> {
    load: &'l Load,
    /// By correlation id: the turn of a question on its way, and since when it is.
    open: Vec<Option<(usize, Instant)>>,
    free: Vec<usize>,
    /// Questions that the windows have had no room for.
    waiting: Vec<u8>,
    window: i64,
    /// Bytes of an answer that is not complete.
    answers: Vec<u8>,
    received: u32,
    head: Head,
    ended: bool,
}

impl Call<'_> {
    async fn replay(&mut self, link: &mut Link, schedule: &mut Schedule) -> io::Result<()> {
        while !self.ended {
            let now = Instant::now();
            while self.has_room()
                && let Some(since) = schedule.next(now)
            {
                self.ask(since);
            }
            if self.load.stopped.get() && self.free.len() == self.open.len() {
                return self.leave(link).await;
            }
            self.send(link);
            link.flush().await?;
            if schedule.is_closed() {
                link.read().await?;
            } else if !link.try_read()? {
                schedule.pause(&link.socket, self.has_room()).await?;
                continue;
            }
            self.hear_all(link)?;
        }
        self.end();
        Ok(())
    }

    fn has_room(&self) -> bool {
        !self.load.stopped.get() && !self.free.is_empty() && self.waiting.len() < WAITING
    }

    fn ask(&mut self, since: Instant) {
        let Some(id) = self.free.pop() else { return };
        let turn = self.load.take_turns(1);
        let question = self.load.questions.of_turn(turn);
        wire::message(&mut self.waiting, |into| {
            wire::correlated(into, id as u64, question)
        });
        self.open[id] = Some((turn, since));
    }

    /// As much as the windows let through.
    fn send(&mut self, link: &mut Link) {
        let room = usize::try_from(link.window.min(self.window)).unwrap_or(0);
        let now = room.min(self.waiting.len());
        frames::data(&mut link.out, STREAM, false, &self.waiting[..now]);
        self.waiting.drain(..now);
        link.window -= now as i64;
        self.window -= now as i64;
    }

    fn hear_all(&mut self, link: &mut Link) -> io::Result<()> {
        let now = Instant::now();
        while let Some(event) = link.next()? {
            match event {
                Event::Data { bytes, ends, .. } => {
                    self.received += bytes.len() as u32;
                    self.answers.extend(bytes);
                    self.ended |= ends;
                    self.read_answers(now);
                }
                Event::Head { head, ends, .. } => {
                    self.head.extend(head);
                    self.ended |= ends;
                }
                Event::Window { by } => self.window += i64::from(by),
                Event::Reset { .. } | Event::Goaway => self.ended = true,
            }
        }
        if self.received > frames::WINDOW / 2 {
            frames::window_update(&mut link.out, STREAM, self.received);
            self.received = 0;
        }
        Ok(())
    }

    fn read_answers(&mut self, now: Instant) {
        let mut read = 0;
        while let Some(&[_, a, b, c, d]) = self.answers[read..].first_chunk() {
            let from = read + wire::PREFIX;
            let to = from + u32::from_be_bytes([a, b, c, d]) as usize;
            let Some(answer) = self.answers.get(from..to) else {
                break;
            };
            read = to;
            let (id, reply) = match wire::correlation(answer) {
                Some((id, decided)) => (id as usize, item(Some(decided))),
                None => (usize::MAX, Reply::Broken),
            };
            match self.open.get_mut(id).and_then(Option::take) {
                Some((turn, since)) => {
                    self.free.push(id);
                    self.load
                        .count(turn, reply, now.saturating_duration_since(since));
                }
                None => self.load.lost("an answer to nothing that was asked"),
            }
        }
        self.answers.drain(..read);
    }

    /// Ends the call as a client does that has no more to ask.
    async fn leave(&mut self, link: &mut Link) -> io::Result<()> {
        frames::data(&mut link.out, STREAM, true, &[]);
        link.flush().await?;
        let ending = async {
            while !self.ended {
                link.read().await?;
                self.hear_all(link)?;
            }
            Ok(())
        };
        tokio::time::timeout(FAREWELL, ending)
            .await
            .unwrap_or(Ok(()))
    }

    /// The server has ended the call: what it says of it is the answer to all that is open.
    fn end(&mut self) {
        let head = std::mem::take(&mut self.head);
        if head.code.is_none_or(|code| code == 0) {
            return self.lose("the stream ended");
        }
        for (turn, since) in self.open.iter_mut().filter_map(Option::take) {
            self.load
                .count(turn, Reply::Refused(&head), since.elapsed());
        }
    }

    fn lose(&mut self, why: &str) {
        let open = self.open.iter_mut().filter_map(Option::take);
        open.for_each(|_| self.load.lost(why));
    }
}
