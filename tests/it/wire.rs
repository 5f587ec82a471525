//! What comes over the wire in another form than clients send it: answered or refused alike, whether it is a validation, which is
//! answered where it is read, or any other call.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot speak to its server has failed"
)]

use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use keyward::api::proto::{
    BatchValidateCredentialsRequest, StreamValidateCredentialsRequest,
    StreamValidateCredentialsResponse, ValidateCredentialsResponse,
};
use prost::Message as _;
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{ALLOW, Home, Server, decision, error, presenting, refused};

const VALIDATE: &str = "ValidateCredentials";
const BATCH: &str = "BatchValidateCredentials";
const STREAM: &str = "StreamValidateCredentials";
/// Of no validation.
const GET: &str = "GetToken";

/// A connection on which anything can be said, as the first operator.
struct Wire {
    send: SendRequest<Bytes>,
    authorization: String,
}

/// The messages of an answer, and how it ended.
struct Answer {
    headers: HeaderMap,
    messages: Vec<Vec<u8>>,
    status: Status,
}

impl Wire {
    async fn to(server: &Server) -> Self {
        let socket = TcpStream::connect(server.address).await.unwrap();
        // One that does not mind small frames: some of the tests read late.
        let mut client = h2::client::Builder::new();
        client
            .data_frame_budget(usize::MAX)
            .initial_connection_window_size(16 * 1024 * 1024);
        let (send, connection) = client.handshake(socket).await.unwrap();
        tokio::spawn(connection);
        Self {
            send: send.ready().await.unwrap(),
            authorization: format!("Bearer {}", server.operator_text()),
        }
    }

    fn begin(
        &mut self,
        method: &str,
        headers: &[(&'static str, &str)],
    ) -> (ResponseFuture, h2::SendStream<Bytes>) {
        let path = format!("http://keyward/keyward.v1.CredentialService/{method}");
        let mut request = Request::post(path)
            .header("authorization", &self.authorization)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        self.send.send_request(request, false).unwrap()
    }

    /// A call whose whole body is `pieces`.
    async fn call(
        &mut self,
        method: &str,
        headers: &[(&'static str, &str)],
        pieces: &[Bytes],
    ) -> Answer {
        let (answer, mut body) = self.begin(method, headers);
        for piece in pieces {
            body.send_data(piece.clone(), false).unwrap();
        }
        body.send_data(Bytes::new(), true).unwrap();
        answered(answer).await
    }
}

async fn answered(answer: ResponseFuture) -> Answer {
    let (head, mut body) = answer.await.unwrap().into_parts();
    let mut data = Vec::new();
    while let Some(more) = body.data().await {
        let more = more.unwrap();
        body.flow_control().release_capacity(more.len()).unwrap();
        data.extend_from_slice(&more);
    }
    let trailers = body.trailers().await.unwrap().unwrap_or_default();
    let status = Status::from_header_map(&trailers).or(Status::from_header_map(&head.headers));
    Answer {
        headers: head.headers,
        messages: messages(&data),
        status: status.expect("an answer has a status"),
    }
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

fn messages(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some((prefix, rest)) = data.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap());
        let (message, rest) = rest.split_at(usize::try_from(length).unwrap());
        messages.push(message.to_vec());
        data = rest;
    }
    messages
}

#[tokio::test]
async fn what_is_no_message_is_refused_in_the_same_words_whatever_it_is_sent_to() {
    let home = Home::new();
    let server = home.start().await;
    let mut wire = Wire::to(&server).await;
    let good = framed(b"");
    let large = 64 * 1024;
    let malformed = error(Code::InvalidArgument, "MALFORMED_REQUEST");
    let too_large = error(Code::InvalidArgument, "REQUEST_TOO_LARGE");
    let internal = error(Code::Internal, "INTERNAL");
    for (what, headers, body, expected) in [
        ("no wire type", &[][..], framed(&[0x0f]), malformed.clone()),
        ("no UTF-8", &[], framed(&[0x0a, 1, 0xff]), malformed.clone()),
        ("the largest", &[], framed(&vec![0x0f; large]), malformed),
        (
            "too large",
            &[],
            framed(&vec![0x0f; large + 1]),
            too_large.clone(),
        ),
        (
            "lies",
            &[],
            Bytes::from_static(&[0, 0xff, 0, 0, 0, 1]),
            too_large,
        ),
        (
            "cut short",
            &[],
            Bytes::from_static(&[0, 0, 0, 0, 9, 1]),
            internal.clone(),
        ),
        ("half a prefix", &[], good.slice(..3), internal.clone()),
        ("nothing", &[], Bytes::new(), internal.clone()),
        (
            "compressed",
            &[],
            Bytes::from_static(&[1, 0, 0, 0, 0]),
            internal.clone(),
        ),
        (
            "a flag of its own",
            &[],
            Bytes::from_static(&[7, 0, 0, 0, 0]),
            internal,
        ),
        (
            "an encoding",
            &[("grpc-encoding", "gzip")],
            good.clone(),
            error(Code::Unimplemented, "UNIMPLEMENTED"),
        ),
    ] {
        for method in [VALIDATE, BATCH, STREAM, GET] {
            let answer = wire
                .call(method, headers, std::slice::from_ref(&body))
                .await;
            if (what, method) == ("nothing", STREAM) {
                assert_eq!(answer.status.code(), Code::Ok, "no questions, no answers");
                continue;
            }
            assert_eq!(
                refused(Err::<(), _>(answer.status)),
                expected,
                "{what} to {method}"
            );
        }
    }
}

#[tokio::test]
async fn a_validation_is_answered_however_its_body_is_cut() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let secret = operator.token("acme", "t").await.secret;
    let mut wire = Wire::to(&server).await;
    let message = framed(&presenting(&secret).encode_to_vec());
    let bytes: Vec<Bytes> = (0..message.len())
        .map(|at| message.slice(at..=at))
        .collect();
    let two = [message.clone(), framed(b"")];
    for (what, pieces) in [
        ("whole", &[message.clone()][..]),
        ("by the byte", &bytes),
        ("with another message behind it", &two),
    ] {
        let answer = wire.call(VALIDATE, &[], pieces).await;
        assert_eq!(
            answer.status.code(),
            Code::Ok,
            "{what}: {:?}",
            answer.status
        );
        let [message] = &answer.messages[..] else {
            panic!("{what}: {:?}", answer.messages);
        };
        let message = ValidateCredentialsResponse::decode(&message[..]).unwrap();
        assert_eq!(decision(&message), ALLOW, "{what}");
    }

    let requests = vec![presenting(&secret); 100];
    let batch = BatchValidateCredentialsRequest { requests }.encode_to_vec();
    assert!(batch.len() < 16 * 1024);
    let answer = wire.call(BATCH, &[], &[framed(&batch)]).await;
    assert_eq!((answer.status.code(), answer.messages.len()), (Code::Ok, 1));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up_at_the_callers_deadline() {
    let home = Home::new();
    let server = home.start().await;
    let mut wire = Wire::to(&server).await;
    for method in [VALIDATE, BATCH, GET] {
        for sent in [0, 3] {
            let (answer, mut body) = wire.begin(method, &[("grpc-timeout", "50m")]);
            body.send_data(framed(b"abc").slice(..sent), false).unwrap();
            let answer = answered(answer).await;
            let expected = error(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
            assert_eq!(
                refused(Err::<(), _>(answer.status)),
                expected,
                "{method} {sent}"
            );
        }
    }
}

#[tokio::test]
async fn a_calls_id_comes_back_where_the_caller_gave_one_or_the_call_was_refused() {
    let home = Home::new();
    let server = home.start().await;
    let mut wire = Wire::to(&server).await;
    let given = [("x-request-id", "call-7")];
    let good = framed(&presenting("nothing").encode_to_vec());
    let bad = framed(&[0x0f]);
    for method in [VALIDATE, STREAM] {
        for body in [&good, &bad] {
            let answer = wire.call(method, &given, std::slice::from_ref(body)).await;
            assert_eq!(answer.headers["x-request-id"], "call-7", "{method}");
        }
    }
    let refused = wire.call(VALIDATE, &[], &[bad]).await;
    let told = refused.status.get_details_request_info().unwrap();
    assert_eq!(refused.headers["x-request-id"], told.request_id);
}

#[tokio::test]
async fn questions_on_a_stream_are_answered_however_they_are_cut() {
    let home = Home::new();
    let server = home.start().await;
    let mut wire = Wire::to(&server).await;
    let question = |correlation_id| {
        let request = Some(presenting("nothing"));
        let question = StreamValidateCredentialsRequest {
            correlation_id,
            request,
        };
        framed(&question.encode_to_vec())
    };
    const COUNT: u64 = 300;
    let all: Bytes = (1..=COUNT).flat_map(question).collect();
    let tenths: Vec<Bytes> = all.chunks(10).map(Bytes::copy_from_slice).collect();
    for pieces in [&[all.clone()][..], &tenths] {
        let answer = wire.call(STREAM, &[], pieces).await;
        assert_eq!(answer.status.code(), Code::Ok);
        let ids = answer.messages.iter().map(|message| {
            let answer = StreamValidateCredentialsResponse::decode(&message[..]).unwrap();
            answer.correlation_id
        });
        assert!(ids.eq(1..=COUNT));
    }
    let answer = wire
        .call(STREAM, &[], &[question(1), question(2).slice(..9)])
        .await;
    assert_eq!(answer.messages.len(), 1, "what was whole is answered");
    assert_eq!(answer.status.code(), Code::Internal);
}

#[tokio::test]
async fn who_does_not_read_its_answers_is_not_read_from_for_long() {
    let home = Home::new();
    let server = home.start().await;
    let mut wire = Wire::to(&server).await;
    let question = StreamValidateCredentialsRequest {
        correlation_id: 1,
        request: Some(presenting("nothing")),
    };
    // Many in a frame: h2 takes many small frames that are not read for an attack.
    let question: Bytes = framed(&question.encode_to_vec()).repeat(20).into();
    let (answer, mut body) = wire.begin(STREAM, &[]);
    let mut sent = 0;
    loop {
        body.reserve_capacity(question.len());
        let room = std::future::poll_fn(|cx| body.poll_capacity(cx));
        match tokio::time::timeout(Duration::from_secs(1), room).await {
            Ok(room) => drop(room.unwrap().unwrap()),
            Err(_) => break,
        }
        if body.capacity() >= question.len() {
            body.send_data(question.clone(), false).unwrap();
            sent += question.len();
        }
        assert!(sent < 1024 * 1024, "{sent} bytes were taken");
    }
    body.send_reset(h2::Reason::CANCEL);
    drop(answer);
    let good = framed(&presenting("nothing").encode_to_vec());
    let next = wire.call(VALIDATE, &[], &[good]).await;
    assert_eq!(next.status.code(), Code::Ok, "the others go on");
}
