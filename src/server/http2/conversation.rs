//! A stream of questions, answered where they are read: what one read brought is answered together.
//!
//! It is a body like any other: asked for more only while its reader has room. It reads no further than it can answer, so what the peer
//! may send is bounded by HTTP/2's flow control, and what waits by a limit.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::RecvStream;
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

use super::message;
use super::outgoing;
use crate::api::hot::{Late, Outcome, Stream};
use crate::api::transport;

/// Once there are so many bytes of answers they are handed on.
const GATHERED: usize = 16 * 1024;

/// The answers to the questions in `asked`.
pub(super) fn body(stream: Stream, asked: RecvStream) -> Body {
    Body::new(Conversation {
        closing: Box::pin(stream.closing()),
        stream,
        questions: Questions {
            asked,
            unread: BytesMut::new(),
            taken: 0,
            all: false,
        },
        late: Late::new(),
        end: None,
        told: false,
    })
}

struct Conversation {
    stream: Stream,
    questions: Questions,
    late: Late,
    closing: Pin<Box<dyn Future<Output = Status> + Send>>,
    /// How it ends, once that is known.
    end: Option<Status>,
    told: bool,
}

/// The questions that have come, as bytes.
struct Questions {
    asked: RecvStream,
    unread: BytesMut,
    /// Of what the peer may send, so many bytes are to be given back.
    taken: usize,
    /// Whether the caller has asked everything.
    all: bool,
}

impl Conversation {
    /// Adds all answers that are there.
    fn answer(&mut self, out: &mut BytesMut, cx: &mut Context<'_>) -> Result<(), Status> {
        self.answer_late(out, cx)?;
        while self.late.has_room() && out.len() < GATHERED {
            let Some((question, rest)) = message::first(&self.questions.unread)? else {
                return Ok(());
            };
            let next = self.questions.unread.len() - rest.len();
            match self.stream.message(question, out) {
                Outcome::Answered => {}
                Outcome::Refused(status) => return Err(status),
                Outcome::Waits(answer) => {
                    self.late.push(question.len(), answer);
                    // Once it has been polled it tells when it is there.
                    self.answer_late(out, cx)?;
                }
            }
            self.questions.unread.advance(next);
        }
        Ok(())
    }

    /// Adds the answers that were waited for.
    fn answer_late(&mut self, out: &mut BytesMut, cx: &mut Context<'_>) -> Result<(), Status> {
        while let Poll::Ready(Some(answer)) = self.late.poll_next(cx) {
            out.extend_from_slice(&answer?);
        }
        Ok(())
    }

    /// Waits for more to answer.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        if self.questions.all || !self.late.has_room() {
            return Poll::Pending;
        }
        self.questions.poll_more(cx)
    }

    /// How it ends, where everything was asked and answered.
    fn over(&self) -> Option<Status> {
        if !self.questions.all || !self.late.is_empty() {
            None
        } else if self.questions.unread.is_empty() {
            Some(Status::ok(""))
        } else {
            Some(message::cut_short())
        }
    }

    /// The answers to all that has come, together; none where it ends without any more.
    fn poll_answers(&mut self, cx: &mut Context<'_>) -> Poll<BytesMut> {
        let mut out = BytesMut::new();
        if let Poll::Ready(status) = self.closing.as_mut().poll(cx) {
            self.end = Some(status);
        }
        while self.end.is_none() {
            if let Err(status) = self.answer(&mut out, cx) {
                self.end = Some(status);
                break;
            }
            if out.len() >= GATHERED {
                break;
            }
            self.end = self.over();
            if self.end.is_some() {
                break;
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(status)) => self.end = Some(status),
                Poll::Pending if out.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(out)
    }
}

impl http_body::Body for Conversation {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.told {
            return Poll::Ready(None);
        }
        if this.end.is_none() {
            let answers = ready!(this.poll_answers(cx));
            if !answers.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(answers.freeze()))));
            }
        }
        this.told = true;
        let trailers = this.end.as_ref().map(outgoing::trailers_of);
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

impl Questions {
    /// Waits for more bytes, or for the end of them. What was read before makes room first.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        if self.taken > 0 {
            // Fails where the stream is gone, and its window with it.
            let _ = self.asked.flow_control().release_capacity(self.taken);
            self.taken = 0;
        }
        if self.unread.is_empty() {
            // A quiet stream keeps no buffer.
            self.unread = BytesMut::new();
        }
        match ready!(self.asked.poll_data(cx)) {
            Some(Ok(data)) => {
                self.taken = data.len();
                self.unread.extend_from_slice(&data);
            }
            Some(Err(error)) => {
                let status = Status::from_error(Box::new(error));
                return Poll::Ready(Err(transport::told(&status)));
            }
            None => self.all = true,
        }
        Poll::Ready(Ok(()))
    }
}
