//! The load against a real HTTP/2 server, the h2 crate's, that reads every frame of it.

use std::cell::RefCell;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};

use super::wire::Item;
use super::*;

/// What the server answers to.
type Answering = fn(&Request<()>, Vec<u8>, SendResponse<Bytes>);

/// Remembers what came, and takes an answer that repeats its question for a good one.
#[derive(Debug)]
struct Echoes {
    questions: Vec<Vec<u8>>,
    refused: RefCell<Vec<Head>>,
}

impl Judge for Echoes {
    fn judge(&self, question: usize, reply: Reply<'_>) -> Verdict {
        match reply {
            Reply::Answer(answer) if answer == self.questions[question] => Verdict::Good,
            Reply::Answer(answer) => Verdict::Denied(format!("{answer:?}")),
            Reply::Undecided(_) => Verdict::Failed("undecided".into()),
            Reply::Broken => Verdict::Failed("broken".into()),
            Reply::Refused(head) => {
                self.refused.borrow_mut().push(head.clone());
                Verdict::Failed("refused".into())
            }
        }
    }
}

/// Serves every connection to its end; `calls` on each, then it is dropped.
async fn serve(listener: TcpListener, answer: Answering, calls: usize) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        tokio::task::spawn_local(serve_one(socket, answer, calls));
    }
}

async fn serve_one(socket: TcpStream, answer: Answering, calls: usize) {
    let mut connection = server::handshake(socket).await.unwrap();
    let mut count = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        count += 1;
        if count > calls {
            return;
        }
        tokio::task::spawn_local(async move {
            let (head, mut body) = request.into_parts();
            let mut received = Vec::new();
            while let Some(bytes) = body.data().await {
                let bytes = bytes.unwrap();
                let _ = body.flow_control().release_capacity(bytes.len());
                received.extend(bytes);
            }
            answer(&Request::from_parts(head, ()), received, respond);
        });
    }
}

/// The message of a whole body, whose prefix is right.
fn message(body: &[u8]) -> &[u8] {
    let (prefix, message) = body.split_at(wire::PREFIX);
    assert_eq!(prefix[0], 0);
    assert_eq!(prefix[1..], (message.len() as u32).to_be_bytes());
    message
}

fn answer(mut respond: SendResponse<Bytes>, message: &[u8]) {
    let head = Response::builder()
        .header("content-type", "application/grpc")
        .header("x-request-id", format!("{:p}", message.as_ptr()));
    let mut body = respond
        .send_response(head.body(()).unwrap(), false)
        .unwrap();
    let mut bytes = Vec::new();
    wire::message(&mut bytes, |into| into.extend(message));
    // In two frames, as a server may.
    let rest = bytes.split_off(3);
    body.send_data(bytes.into(), false).unwrap();
    body.send_data(rest.into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    body.send_trailers(trailers).unwrap();
}

fn echo(request: &Request<()>, body: Vec<u8>, respond: SendResponse<Bytes>) {
    let headers = request.headers();
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri().path(), "/keyward.v1.Some/Method");
    assert_eq!(request.uri().authority().unwrap(), "server:50051");
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(headers["te"], "trailers");
    assert_eq!(headers["authorization"], "Bearer someone");
    answer(respond, message(&body));
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn load(address: SocketAddr, form: Form, questions: &[&[u8]]) -> (Load, Rc<Echoes>) {
    let plan = Plan {
        address,
        authority: "server:50051".into(),
        path: "/keyward.v1.Some/Method".into(),
        authorization: Some(Rc::new(String::from("Bearer someone").into())),
        form,
        connections: 2,
        in_flight: 8,
        pace: Pace::Closed,
    };
    let mut all = Questions::default();
    questions.iter().for_each(|question| all.push(question));
    let judge = Rc::new(Echoes {
        questions: questions.iter().map(|question| question.to_vec()).collect(),
        refused: RefCell::default(),
    });
    (Load::new(plan, Rc::new(all), judge.clone()), judge)
}

/// Runs until so many have come to something.
async fn run(load: &Load, count: u64) -> Tally {
    let watch = async {
        while load.tally().answered() + load.tally().failures() < count {
            tokio::task::yield_now().await;
        }
        load.stop();
    };
    let (ended, ()) = tokio::join!(load.run(), watch);
    ended.unwrap();
    load.tally().clone()
}

/// A server and a load against it, on this thread.
async fn against(
    answering: Answering,
    form: Form,
    questions: &[&[u8]],
    count: u64,
) -> (Tally, Rc<Echoes>) {
    let (listener, address) = listen().await;
    let local = tokio::task::LocalSet::new();
    local.spawn_local(serve(listener, answering, usize::MAX));
    let (load, judge) = load(address, form, questions);
    (local.run_until(run(&load, count)).await, judge)
}

#[tokio::test]
async fn a_real_server_reads_every_call_and_every_answer_is_told_apart() {
    let long = vec![7; 40_000];
    let questions: [&[u8]; 4] = [b"one", b"two", b"", &long];
    let (tally, _) = against(echo, Form::Unary, &questions, 400).await;
    assert_eq!((tally.good, tally.asked), (tally.asked, tally.answered()));
    assert!(tally.good >= 400 && tally.slowest() > Duration::ZERO);
    let (tally, _) = against(
        |_, _, respond| answer(respond, b"another"),
        Form::Unary,
        &questions,
        20,
    )
    .await;
    assert_eq!((tally.good, tally.denied.len()), (0, 1), "{tally:?}");
}

#[tokio::test]
async fn an_error_is_heard_with_its_details() {
    fn refuse(_: &Request<()>, _: Vec<u8>, mut respond: SendResponse<Bytes>) {
        let head = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "14")
            .header("grpc-status-details-bin", "CA4SBGF3YXk=");
        respond.send_response(head.body(()).unwrap(), true).unwrap();
    }
    for form in [Form::Unary, Form::Batch(2)] {
        let (tally, judge) = against(refuse, form, &[b"one"], 20).await;
        assert_eq!(tally.failed["refused"], tally.asked);
        let head = &judge.refused.borrow()[0];
        assert_eq!((head.status, head.code), (Some(200), Some(14)));
        assert_eq!(head.details, b"\x08\x0e\x12\x04away");
    }
}

#[tokio::test]
async fn a_batch_is_answered_item_by_item() {
    fn items(_: &Request<()>, body: Vec<u8>, respond: SendResponse<Bytes>) {
        let mut answers = Vec::new();
        // A request of the batch has the form of an item of its answer; what is in it is the question.
        for item in message(&body).chunks(5) {
            assert_eq!(item[..2], [0x0a, 3]);
            answers.extend([0x0a, 5, 0x0a, 3]);
            answers.extend(&item[2..]);
        }
        answer(respond, &answers);
    }
    let (tally, _) = against(items, Form::Batch(10), &[b"one", b"two", b"six"], 300).await;
    assert_eq!(tally.good, tally.asked, "{tally:?}");
    assert_eq!(tally.asked % 10, 0);
    fn short(_: &Request<()>, _: Vec<u8>, respond: SendResponse<Bytes>) {
        answer(respond, &[0x0a, 5, 0x0a, 3, b'o', b'n', b'e']);
    }
    let (tally, _) = against(short, Form::Batch(2), &[b"one"], 20).await;
    assert_eq!(
        (tally.good, tally.failed["broken"]),
        (tally.asked / 2, tally.asked / 2)
    );
}

/// Answers each message of a stream as it comes: the question under its id.
async fn serve_streams(listener: TcpListener) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        tokio::task::spawn_local(async move {
            let mut connection = server::handshake(socket).await.unwrap();
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::task::spawn_local(answer_stream(request.into_body(), respond));
            }
        });
    }
}

async fn answer_stream(mut body: h2::RecvStream, mut respond: SendResponse<Bytes>) {
    let mut out = respond.send_response(Response::new(()), false).unwrap();
    let mut received = Vec::new();
    while let Some(Ok(bytes)) = body.data().await {
        let _ = body.flow_control().release_capacity(bytes.len());
        received.extend(bytes);
        let mut answers = Vec::new();
        while let Some(length) = received.get(4).map(|length| usize::from(*length)) {
            if received.len() < wire::PREFIX + length {
                break;
            }
            let rest = received.split_off(wire::PREFIX + length);
            let (id, question) = wire::correlation(&received[wire::PREFIX..]).unwrap();
            let Item::Decided(question) = question else {
                panic!("the question stands where the answer will")
            };
            wire::message(&mut answers, |into| wire::correlated(into, id, question));
            received = rest;
        }
        out.send_data(answers.into(), false).unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    out.send_trailers(trailers).unwrap();
}

#[tokio::test]
async fn a_stream_carries_many_and_its_windows_are_kept() {
    let (listener, address) = listen().await;
    let local = tokio::task::LocalSet::new();
    local.spawn_local(serve_streams(listener));
    let long = [7; 100];
    let (load, _) = load(address, Form::Stream, &[b"one", b"two", &long]);
    // More than the windows that the protocol begins with.
    let tally = local.run_until(run(&load, 5_000)).await;
    assert_eq!(tally.good, tally.asked, "{tally:?}");
}

#[tokio::test]
async fn a_get_carries_its_question_in_a_header() {
    fn get(request: &Request<()>, _: Vec<u8>, mut respond: SendResponse<Bytes>) {
        assert_eq!(request.method(), "GET");
        let key = request.headers()["x-api-key"].as_bytes().to_vec();
        let status = if key == b"bad" { 401 } else { 200 };
        let head = Response::builder().status(status).body(()).unwrap();
        let mut body = respond.send_response(head, false).unwrap();
        body.send_data(key.into(), true).unwrap();
    }
    let form = Form::Get("x-api-key");
    let (tally, judge) = against(get, form, &[b"one", b"bad", b"two"], 60).await;
    assert_eq!(tally.good + tally.failed["refused"], tally.asked);
    assert!(
        judge
            .refused
            .borrow()
            .iter()
            .all(|head| head.status == Some(401))
    );
}

#[tokio::test]
async fn what_a_lost_connection_takes_with_it_is_counted_and_another_one_opened() {
    let (listener, address) = listen().await;
    let local = tokio::task::LocalSet::new();
    local.spawn_local(serve(listener, echo, 10));
    let (load, _) = load(address, Form::Unary, &[b"one"]);
    let tally = local.run_until(run(&load, 60)).await;
    assert_eq!(tally.asked, tally.good + tally.failures());
    assert!(tally.good >= 20 && tally.failures() > 0, "{tally:?}");
}

#[tokio::test]
async fn nobody_there_and_too_much_in_a_message_are_errors() {
    let (listener, address) = listen().await;
    drop(listener);
    tokio::time::pause();
    let (load_of_none, _) = load(address, Form::Unary, &[b"one"]);
    assert!(load_of_none.run().await.is_err());
    let long = vec![0; LONGEST_MESSAGE - wire::PREFIX - wire::AROUND];
    let (longest, _) = load(address, Form::Unary, &[&long]);
    assert_eq!(longest.longest_message(), LONGEST_MESSAGE);
    let (longer, _) = load(address, Form::Batch(2), &[&long]);
    let refused = longer.run().await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
}
