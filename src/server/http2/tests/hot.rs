//! Calls that are answered where they are read, by a stand-in that does what the message says; and which calls are not.

use std::sync::Mutex;

use bytes::{BufMut as _, BytesMut};
use http::{HeaderMap, HeaderName};
use tonic::{Code, Status};

use super::*;
use crate::api::call_id::CallId;
use crate::api::hot::{Outcome, Route, Stream};
use crate::api::peer::Peer;

const UNARY: &str = "/keyward.v1.CredentialService/ValidateCredentials";
const BATCH: &str = "/keyward.v1.CredentialService/BatchValidateCredentials";
const ID: HeaderName = HeaderName::from_static("x-request-id");

/// What was asked of the stand-in.
#[derive(Debug, Default)]
pub(super) struct Asked {
    made: AtomicUsize,
    calls: Mutex<Vec<String>>,
    /// How many there were whenever it was to settle.
    settled: Mutex<Vec<usize>>,
}

struct StandIn(Arc<Asked>);

impl Validates for Asked {
    fn hot(self: Arc<Self>, _: &Peer) -> Box<dyn Hot> {
        self.made.fetch_add(1, Ordering::Relaxed);
        Box::new(StandIn(self))
    }
}

impl Hot for StandIn {
    fn call(
        &mut self,
        _: Route,
        _: &HeaderMap,
        id: CallId,
        message: &[u8],
        out: &mut BytesMut,
    ) -> Outcome {
        let message = String::from_utf8(message.to_vec()).unwrap();
        self.0.calls.lock().unwrap().push(message.clone());
        match message.as_str() {
            "panic" => {
                out.put(&b"half an answer"[..]);
                panic!("as the test wants it");
            }
            "refuse" => Outcome::Refused(Status::permission_denied(id.to_string())),
            "never" => Outcome::Waits(Box::pin(std::future::pending())),
            "late" => Outcome::Waits(Box::pin(async {
                sleep(SECOND).await;
                Ok(framed(b"late"))
            })),
            _ => {
                out.put(framed(message.as_bytes()));
                Outcome::Answered
            }
        }
    }

    fn open(&mut self, _: &HeaderMap, _: CallId) -> Result<Stream, Status> {
        Err(Status::unauthenticated("nobody"))
    }

    fn settle(&mut self) {
        let calls = self.0.calls.lock().unwrap().len();
        self.0.settled.lock().unwrap().push(calls);
    }
}

/// A message with its prefix.
fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

struct Client {
    send: h2::client::SendRequest<Bytes>,
    served: Served,
    asked: Arc<Asked>,
}

/// An answer: its headers, its body, and its trailers, which are empty where there is no body.
#[derive(Debug)]
struct Answer(HeaderMap, Vec<u8>, HeaderMap);

impl Answer {
    fn code(&self) -> Code {
        let status = Status::from_header_map(&self.2).or(Status::from_header_map(&self.0));
        status.expect("an answer has a status").code()
    }

    fn id(&self) -> Option<&str> {
        self.0.get(ID).map(|id| id.to_str().unwrap())
    }
}

impl Client {
    async fn new() -> Self {
        let asked = Arc::<Asked>::default();
        let (pipe, served) = Served::with(WIDE, None, Some(Arc::clone(&asked) as _));
        let (send, connection) = h2::client::handshake(pipe).await.unwrap();
        tokio::spawn(connection);
        let send = send.ready().await.unwrap();
        Self {
            send,
            served,
            asked,
        }
    }

    fn calls(&self) -> usize {
        self.asked.calls.lock().unwrap().len()
    }

    /// Sends a call whose body is `pieces`, one after the other; the answer comes later.
    fn begin(
        &mut self,
        path: &str,
        headers: &[(&'static str, &str)],
        pieces: &[&[u8]],
    ) -> impl Future<Output = Answer> + use<> {
        let mut request = post(path);
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (answer, mut body) = self.send.send_request(request, pieces.is_empty()).unwrap();
        for (place, piece) in pieces.iter().enumerate() {
            let last = place + 1 == pieces.len();
            body.send_data(Bytes::copy_from_slice(piece), last).unwrap();
        }
        async move {
            let (head, mut body) = answer.await.unwrap().into_parts();
            let mut data = Vec::new();
            while let Some(more) = body.data().await {
                data.extend_from_slice(&more.unwrap());
            }
            let trailers = body.trailers().await.unwrap().unwrap_or_default();
            Answer(head.headers, data, trailers)
        }
    }

    async fn ask(&mut self, headers: &[(&'static str, &str)], message: &str) -> Answer {
        self.begin(UNARY, headers, &[&framed(message.as_bytes())])
            .await
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_come_whole_is_answered_where_it_is_read() {
    let mut client = Client::new().await;
    let message = framed(b"a question");
    let (head, tail) = message.split_at(3);
    for (path, pieces) in [
        (UNARY, &[&message[..]][..]),
        (BATCH, &[&message, b""]),
        (UNARY, &[head, tail]),
    ] {
        let answer = client.begin(path, &[], pieces).await;
        assert_eq!(answer.0["content-type"], "application/grpc");
        assert_eq!(answer.1, &message[..]);
        assert_eq!(answer.code(), Code::Ok);
    }
    assert_eq!(client.calls(), 3);
    assert_eq!(client.served.open(), 0, "no service was asked");
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_together_are_counted_together_before_they_are_answered() {
    let asked = Arc::<Asked>::default();
    let (mut peer, _served) = Served::with(WIDE, None, Some(Arc::clone(&asked) as _));
    let calls = (0..10).flat_map(|number| {
        let id = 2 * number + 1;
        [
            raw::call(id, 0, UNARY, None),
            frame(raw::DATA, END_STREAM, id, &framed(b"x")),
        ]
    });
    let calls: Vec<_> = [hello(&[])].into_iter().chain(calls).collect();
    say(&mut peer, &calls).await;
    hear_of(&mut peer, raw::DATA).await.unwrap();
    assert_eq!(*asked.settled.lock().unwrap(), [10]);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_its_body_is_waited_for_a_while_and_then_left_to_its_service() {
    let mut client = Client::new().await;
    let message = framed(b"a question");
    let (answer, mut body) = client.send.send_request(post(UNARY), false).unwrap();
    settle().await;
    body.send_data(message.slice(..3), false).unwrap();
    settle().await;
    body.send_data(message.slice(3..), true).unwrap();
    assert_eq!(
        answer.await.unwrap().headers()["content-type"],
        "application/grpc"
    );
    assert_eq!((client.calls(), client.served.open()), (1, 0));

    let (_answer, _body) = client.send.send_request(post(UNARY), false).unwrap();
    settle().await;
    assert_eq!(client.served.open(), 0);
    sleep(SECOND).await;
    assert_eq!((client.calls(), client.served.open()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_so_many_calls_are_waited_for() {
    let mut client = Client::new().await;
    let mut begun = Vec::new();
    for (count, left) in [(UNFINISHED, 0), (1, 1)] {
        for _ in 0..count {
            begun.push(client.send.send_request(post(UNARY), false).unwrap());
        }
        settle().await;
        assert_eq!(client.served.open(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_odd_is_left_to_its_service() {
    let message = framed(b"x");
    let compressed = [&[1][..], &message[1..]].concat();
    let lying = [&message[..4], &[9, 1][..]].concat();
    let two = [&message[..], &message[..]].concat();
    let gzip = ("grpc-encoding", "gzip");
    for (headers, body) in [
        (None, &b""[..]),
        (None, &message[..3]),
        (None, &compressed),
        (None, &lying),
        (None, &two),
        (Some(gzip), &message),
    ] {
        let mut client = Client::new().await;
        drop(client.begin(UNARY, headers.as_slice(), &[body]));
        let _answer = client.begin(UNARY, headers.as_slice(), &[body]);
        settle().await;
        assert_eq!((client.calls(), client.served.open()), (0, 1), "{body:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_its_call_alone_and_nothing_is_remembered_of_it() {
    let mut client = Client::new().await;
    assert_eq!(client.ask(&[], "panic").await.code(), Code::Internal);
    assert_eq!(client.ask(&[], "x").await.code(), Code::Ok);
    assert_eq!(client.asked.made.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_panic_had_written_is_in_nobody_s_answer() {
    let mut client = Client::new().await;
    let (bad, good) = (framed(b"panic"), framed(b"x"));
    let failed = client.begin(UNARY, &[], &[&bad]);
    let answered = client.begin(UNARY, &[], &[&good]);
    assert_eq!(failed.await.code(), Code::Internal);
    assert_eq!(answered.await.1, good);
    let settled = client.asked.settled.lock().unwrap();
    assert_eq!(settled.last(), Some(&2), "both came in one read");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_waits_comes_or_is_ended_at_the_callers_deadline() {
    let mut client = Client::new().await;
    for (message, timeout, code) in [
        ("late", "2S", Code::Ok),
        ("late", "500m", Code::DeadlineExceeded),
        ("never", "2S", Code::DeadlineExceeded),
    ] {
        let answer = client.ask(&[("grpc-timeout", timeout)], message).await;
        assert_eq!(answer.code(), code, "{message} {timeout}");
        assert_eq!(answer.1.is_empty(), code != Code::Ok);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_named_where_the_caller_does_and_where_it_is_refused() {
    let mut client = Client::new().await;
    let given = [("x-request-id", "call-7")];
    assert_eq!(client.ask(&given, "x").await.id(), Some("call-7"));
    assert_eq!(client.ask(&given, "refuse").await.id(), Some("call-7"));
    assert_eq!(client.ask(&[], "x").await.id(), None);
    let refused = client.ask(&[], "refuse").await;
    let status = Status::from_header_map(&refused.0).unwrap();
    assert_eq!(refused.id(), Some(status.message()), "as it was asked");

    let stream = UNARY.replace("/Validate", "/StreamValidate");
    let refused = client.begin(&stream, &given, &[]).await;
    assert_eq!(
        (refused.code(), refused.id()),
        (Code::Unauthenticated, Some("call-7"))
    );
}

#[tokio::test(start_paused = true)]
async fn while_too_many_calls_are_in_hand_nothing_is_answered_past_the_layers() {
    let mut client = Client::new().await;
    let most = settings().max_calls_per_core;
    let waiting: Vec<_> = (0..most)
        .map(|_| client.begin(UNARY, &[], &[&framed(b"never")]))
        .collect();
    settle().await;
    let _one_more = client.begin(UNARY, &[], &[&framed(b"x")]);
    settle().await;
    assert_eq!((client.calls(), client.served.open()), (most, 1));
    drop(waiting);
}
