//! Tests: questions on one stream, and its caller's standing before each.

use std::task::{Context, Poll, Waker};

use super::*;
use crate::api::proto::stream_validate_credentials_response::Answer;
use crate::api::proto::{
    StreamValidateCredentialsRequest as Question, StreamValidateCredentialsResponse as Reply,
};
use crate::domain::limits;
use crate::domain::token::Activation;

struct Talk(Stream);

impl Talk {
    fn begin(line: &mut Line, caller: &Issued) -> Self {
        let opened = line.hot.open(&head(caller.secret.reveal()), CallId::made());
        Self(opened.unwrap())
    }

    fn send(&mut self, correlation_id: u64, request: Option<Request>) -> Came {
        let question = Question {
            correlation_id,
            request,
        };
        let mut out = BytesMut::new();
        let outcome = self.0.message(&question.encode_to_vec(), &mut out);
        Came::of(outcome, out)
    }

    fn ask(&mut self, correlation_id: u64, text: &str) -> Told {
        told(self.send(correlation_id, Some(request(text))))
    }
}

/// The id and the decision, or why there is none; or how the stream ended.
type Told = Result<(u64, Result<DenyReason, String>), (Code, String)>;

fn told(came: Came) -> Told {
    came.answer::<Reply>().map(|reply| {
        let answer = match reply.answer.unwrap() {
            Answer::Response(response) => Ok(response.reason()),
            Answer::Undecided(undecided) => Err(undecided.reason),
        };
        (reply.correlation_id, answer)
    })
}

fn allowed(correlation_id: u64) -> Told {
    Ok((correlation_id, Ok(DenyReason::Unspecified)))
}

#[tokio::test]
async fn each_question_is_answered_by_its_id_and_one_bad_one_spoils_nothing() {
    let mut line = Line::new().await;
    let (caller, token) = (line.caller().await, line.world.token("acme").await);
    let text = token.secret.reveal();
    let mut talk = Talk::begin(&mut line, &caller);
    assert_eq!(talk.ask(7, text), allowed(7));
    assert_eq!(talk.ask(0, text), allowed(0));
    let wrong = Request {
        consumer: "ü".into(),
        ..request(text)
    };
    let undecided = Ok((u64::MAX, Err("INVALID_FIELD".to_owned())));
    assert_eq!(told(talk.send(u64::MAX, Some(wrong))), undecided);
    assert_eq!(told(talk.send(1, None)), Ok((1, Ok(DenyReason::Missing))));
    assert_eq!(talk.ask(1, text), allowed(1), "an id may be used again");
    let mut out = BytesMut::new();
    let outcome = talk.0.message(&[0xff], &mut out);
    let malformed = (Code::InvalidArgument, "MALFORMED_REQUEST".to_owned());
    assert_eq!(told(Came::of(outcome, out)), Err(malformed));
    line.hot.settle();
    assert_eq!(
        line.counted(caller.token.id),
        1,
        "a stream is one call of its caller"
    );
}

#[tokio::test]
async fn a_stream_ends_on_the_very_next_message_with_its_caller_s_rights() {
    let mut line = Line::new().await;
    let (caller, token) = (line.caller().await, line.world.token("acme").await);
    let text = token.secret.reveal();
    let mut talk = Talk::begin(&mut line, &caller);
    assert_eq!(talk.ask(1, text), allowed(1));
    line.world.deactivate(token.token.id).await;
    assert_eq!(talk.ask(2, text), Ok((2, Ok(DenyReason::Inactive))));
    line.world.deactivate(caller.token.id).await;
    assert_eq!(talk.ask(3, text), unauthenticated("INACTIVE"));
    line.world.reactivate(caller.token.id).await.unwrap();
    let rekeyed = line.world.rekey(caller.token.id, HOUR, Activation::AtOnce);
    let new = rekeyed.await.unwrap();
    let mut other = Talk::begin(&mut line, &new);
    line.world.clock.advance(HOUR - MILLI);
    assert!(talk.ask(4, text).is_ok());
    line.world.clock.advance(MILLI);
    assert_eq!(
        talk.ask(5, text),
        unauthenticated("SUPERSEDED"),
        "by time alone"
    );
    assert!(other.ask(6, text).is_ok());
    line.desk.close();
    let closed = Err((Code::Unavailable, "SHUTTING_DOWN".to_owned()));
    assert_eq!(other.ask(7, text), closed);
    assert_eq!(other.0.closing().await.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_question_that_waited_is_not_answered_to_a_caller_that_lost_its_rights() {
    for lost in [false, true] {
        let mut line = Line::new().await;
        let (caller, token) = (line.caller().await, line.world.token("acme").await);
        let next = line.desk.validator.directory().revision().0 + 1;
        let waiting = Request {
            min_revision: next,
            ..request(token.secret.reveal())
        };
        let mut talk = Talk::begin(&mut line, &caller);
        let came = talk.send(1, Some(waiting));
        assert!(matches!(came, Came::Waits(_)));
        assert_eq!(
            talk.ask(2, token.secret.reveal()),
            allowed(2),
            "it holds nobody back"
        );
        let ended = if lost { &caller } else { &token };
        line.world.deactivate(ended.token.id).await;
        let expected = if lost {
            unauthenticated("INACTIVE")
        } else {
            Ok((1, Ok(DenyReason::Inactive)))
        };
        assert_eq!(told(came.at_last().await), expected);
    }
}

#[tokio::test]
async fn what_was_not_decided_in_time_is_told_by_its_id() {
    let mut line = Line::new().await;
    let caller = line.caller().await;
    let mut talk = Talk::begin(&mut line, &caller);
    let waiting = Request {
        min_revision: u64::MAX,
        ..request("x")
    };
    let came = talk.send(9, Some(waiting));
    tokio::time::pause();
    let undecided = Ok((9, Err("REVISION_NOT_REACHED".to_owned())));
    assert_eq!(told(came.at_last().await), undecided);
}

#[test]
fn what_waits_is_bounded() {
    let mut late = Late::new();
    assert!(late.is_empty());
    for _ in 0..limits::STREAM_WAITING {
        assert!(late.has_room());
        late.push(1, Box::pin(async { Ok(Bytes::from_static(b"late")) }));
    }
    assert!(!late.has_room() && !late.is_empty());
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(Ok(answer))) = late.poll_next(&mut cx) else {
        panic!("it is there");
    };
    assert_eq!((&answer[..], late.has_room()), (&b"late"[..], true));
}
