//! Questions on one long stream: each is answered as soon as it is decided, most of them at once.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use prost::Message as _;
use tokio_stream::Stream;
use tonic::{Status, Streaming};

use crate::api::convert::validation::Asked;
use crate::api::gate::Caller;
use crate::api::proto::stream_validate_credentials_response::Answer;
use crate::api::stream::waiting::{Pending, Waiting};
use crate::api::{Desk, proto, standing, status, transport};

type Question = proto::StreamValidateCredentialsRequest;
type Reply = proto::StreamValidateCredentialsResponse;

/// The answers to a stream of questions. It reads no further than it can answer, so the peer's sending is bounded by HTTP/2's
/// flow control, and what waits by a limit.
pub(in crate::api) struct Answers {
    desk: Arc<Desk>,
    caller: Arc<Caller>,
    /// `None` once the caller has asked everything.
    questions: Option<Streaming<Question>>,
    waiting: Waiting<Reply>,
    closing: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
}

impl Answers {
    pub(in crate::api) fn new(
        desk: Arc<Desk>,
        caller: Caller,
        questions: Streaming<Question>,
    ) -> Self {
        let told = Arc::clone(&desk);
        Self {
            desk,
            caller: Arc::new(caller),
            questions: Some(questions),
            waiting: Waiting::new(),
            closing: Box::pin(async move { told.closing.begun().await }),
            ended: false,
        }
    }

    /// The next question, or why there is none now.
    fn poll_question(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Question, Status>>> {
        let Some(questions) = &mut self.questions else {
            return Poll::Ready(None);
        };
        if !self.waiting.has_room() {
            return Poll::Pending;
        }
        let question = Pin::new(questions).poll_next(cx);
        question.map_err(|error| transport::told(&error))
    }

    /// The answer where it can be given at once; else it waits with the others.
    fn answer(&mut self, question: Question, cx: &mut Context<'_>) -> Option<Reply> {
        let (desk, caller) = (Arc::clone(&self.desk), Arc::clone(&self.caller));
        let bytes = question.encoded_len();
        let mut pending: Pending<Reply> =
            Box::pin(async move { (bytes, reply(&desk, &caller, question).await) });
        match pending.as_mut().poll(cx) {
            Poll::Ready((_, reply)) => Some(reply),
            Poll::Pending => {
                self.waiting.push(bytes, pending);
                None
            }
        }
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Reply, Status>>> {
        if self.closing.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(status::shutting_down())));
        }
        loop {
            if let Poll::Ready(Some(reply)) = self.waiting.poll_next(cx) {
                standing::check(&self.desk, &self.caller)?;
                return Poll::Ready(Some(Ok(reply)));
            }
            match self.poll_question(cx) {
                Poll::Ready(Some(Ok(question))) => {
                    standing::check(&self.desk, &self.caller)?;
                    if let Some(reply) = self.answer(question, cx) {
                        return Poll::Ready(Some(Ok(reply)));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => {
                    self.questions = None;
                    if self.waiting.is_empty() {
                        return Poll::Ready(None);
                    }
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Stream for Answers {
    type Item = Result<Reply, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let reply = self.poll_reply(cx);
        self.ended = matches!(reply, Poll::Ready(None | Some(Err(_))));
        reply
    }
}

async fn reply(desk: &Arc<Desk>, caller: &Caller, question: Question) -> Reply {
    let asked = question.request.unwrap_or_default();
    let asked = Asked::of(&asked);
    let answer = match desk.validate(caller, &asked).await {
        Ok(response) => Answer::Response(response),
        Err(error) => Answer::Undecided(status::undecided(&error)),
    };
    Reply {
        correlation_id: question.correlation_id,
        answer: Some(answer),
    }
}
