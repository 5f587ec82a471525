//! What the hot path costs by itself, from a message's bytes to its answer's: `cargo bench --bench hot` prints processor time for each
//! validation, by call, in batches and on a stream. With the name of a kind and a number it makes so many, for a profiler:
//! `cargo bench --bench hot -- unary 1000000`.
//!
//! `cargo test` runs it, too: it asserts that a validation that is answered at once takes nothing from the heap.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on is of no use; its figures are for people"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use clap::{Args as _, FromArgMatches as _};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use keyward::api::call_id::CallId;
use keyward::api::hot::{Hot, Outcome, Route, Stream};
use keyward::api::peer::{Cut, Peer};
use keyward::api::proto::create_account_request::Terms;
use keyward::api::proto::credential_service_client::CredentialServiceClient;
use keyward::api::proto::directory_service_client::DirectoryServiceClient;
use keyward::api::proto::validate_credentials_request::Presented;
use keyward::api::proto::{
    BatchValidateCredentialsRequest, CreateAccountRequest, CreateTokenRequest,
    StreamValidateCredentialsRequest, ValidateCredentialsRequest,
};
use keyward::api::{Desk, routes};
use keyward::clock::SystemClock;
use keyward::config::{Config, ServeArgs};
use keyward::random::SystemRandom;
use keyward::server::node::{Node, World};
use keyward::server::operator::token_file;
use prost::Message;
use rustix::time::{ClockId, clock_gettime};
use tonic::Request;

const TOKENS: usize = 1_000;
/// Questions of a batch.
const BATCH: usize = 100;
/// Calls between two reads of a connection.
const READ_AT_ONCE: usize = 16;
const ROUNDS: usize = 7;
const VALIDATIONS: usize = 200_000;

/// A kind of validation: how many there are in a message, and what makes so many messages.
type Kind = (&'static str, usize, fn(&mut Line, &Questions, usize));

const KINDS: [Kind; 4] = [
    ("unary", 1, |line, questions, many| {
        line.call(Route::Unary, &questions.calls[..1], many);
    }),
    ("spread", 1, |line, questions, many| {
        line.call(Route::Unary, &questions.calls, many);
    }),
    ("batch", BATCH, |line, questions, many| {
        line.call(Route::Batch, std::slice::from_ref(&questions.batch), many);
    }),
    ("stream", 1, |line, questions, many| {
        line.stream(&questions.stream, many);
    }),
];

/// Messages as they lie in a connection's buffer.
struct Questions {
    /// One about each token.
    calls: Vec<Vec<u8>>,
    batch: Vec<u8>,
    stream: Vec<u8>,
}

/// One connection to a service without its wire.
struct Line {
    hot: Hot,
    stream: Stream,
    head: HeaderMap,
    out: BytesMut,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _within = runtime.enter();
    let dir = tempfile::tempdir().unwrap();
    let config = config();
    let world = World {
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SystemRandom),
    };
    let node = Node::open(&config, dir.path(), world).unwrap();
    let operator = std::fs::read_to_string(token_file(&config, dir.path())).unwrap();
    let questions = runtime.block_on(questions(&node.desk, operator.trim()));
    let mut line = Line::to(&node.desk, operator.trim());
    if let [kind, many, ..] = &args[..]
        && let Ok(many) = many.parse()
    {
        let kind = KINDS.iter().find(|(name, ..)| name == kind);
        kind.unwrap().2(&mut line, &questions, many);
        return;
    }
    takes_nothing_from_the_heap(&mut line, &questions);
    if args.iter().any(|arg| arg == "--bench") {
        measure(&mut line, &questions);
    }
}

/// Once everything has been seen once, an answer needs no memory but its own, which is the connection's.
fn takes_nothing_from_the_heap(line: &mut Line, questions: &Questions) {
    for (name, each, make) in KINDS {
        make(line, questions, 2 * TOKENS);
        let many = 100;
        let taken = allocation_counter::measure(|| make(line, questions, many)).count_total;
        println!(
            "{name}: {taken} allocations for {} validations",
            many * each
        );
        // A batch has the list of what it asks.
        let expected = if name == "batch" { many as u64 } else { 0 };
        assert!(taken <= expected, "{name} allocates");
    }
}

fn measure(line: &mut Line, questions: &Questions) {
    let mut rounds: [Vec<Duration>; KINDS.len()] = Default::default();
    for _ in 0..ROUNDS {
        for (times, (_, each, make)) in rounds.iter_mut().zip(KINDS) {
            let before = processor_time();
            make(line, questions, VALIDATIONS / each);
            times.push(processor_time() - before);
        }
    }
    for (mut times, (name, ..)) in rounds.into_iter().zip(KINDS) {
        times.sort_unstable();
        let nanos = |time: Duration| time.as_nanos() / VALIDATIONS as u128;
        let (least, median) = (nanos(times[0]), nanos(times[ROUNDS / 2]));
        println!("{name}: {median} ns of processor time each, {least} at the least");
    }
}

/// Of this thread.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

impl Line {
    fn to(desk: &Arc<Desk>, operator: &str) -> Self {
        let mut hot = desk.hot(&Peer {
            address: "127.0.0.1:1".parse().unwrap(),
            cut: Cut::default(),
        });
        let head = HeaderMap::from_iter([
            (AUTHORIZATION, authorization(operator)),
            ("te".parse().unwrap(), HeaderValue::from_static("trailers")),
            (
                "x-request-id".parse().unwrap(),
                HeaderValue::from_static("bench"),
            ),
        ]);
        let stream = hot.open(&head, CallId::of(&head)).unwrap();
        Self {
            hot,
            stream,
            head,
            out: BytesMut::with_capacity(64 * 1024),
        }
    }

    fn call(&mut self, route: Route, messages: &[Vec<u8>], many: usize) {
        let id = CallId::of(&self.head);
        for (made, message) in messages.iter().cycle().take(many).enumerate() {
            self.out.clear();
            let outcome = self.hot.call(route, &self.head, id, message, &mut self.out);
            assert!(matches!(outcome, Outcome::Answered));
            if made % READ_AT_ONCE == 0 {
                self.hot.settle();
            }
        }
    }

    fn stream(&mut self, message: &[u8], many: usize) {
        for _ in 0..many {
            self.out.clear();
            let outcome = self.stream.message(message, &mut self.out);
            assert!(matches!(outcome, Outcome::Answered));
        }
    }
}

/// Makes tokens, through the service, and what is asked about them.
async fn questions(desk: &Arc<Desk>, operator: &str) -> Questions {
    let authorization = authorization(operator);
    let authorized = move |mut request: Request<()>| {
        let value = authorization.to_str().unwrap().parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    };
    let routes = routes(desk, 64 * 1024);
    let mut directory =
        DirectoryServiceClient::with_interceptor(routes.clone(), authorized.clone());
    let account = CreateAccountRequest {
        account_id: "acme".into(),
        terms: Some(Terms::Preset("standard".into())),
        ..Default::default()
    };
    directory.create_account(account).await.unwrap();
    let mut credentials = CredentialServiceClient::with_interceptor(routes, authorized);
    let mut requests = Vec::new();
    for number in 0..TOKENS {
        let token = CreateTokenRequest {
            account_id: "acme".into(),
            name: format!("token number {number}"),
            ..Default::default()
        };
        let made = credentials.create_token(token).await.unwrap().into_inner();
        requests.push(ValidateCredentialsRequest {
            presented: Some(Presented::Authorization(format!("Bearer {}", made.secret))),
            ..Default::default()
        });
    }
    let batch = BatchValidateCredentialsRequest {
        requests: requests[..BATCH].to_vec(),
    };
    let stream = StreamValidateCredentialsRequest {
        correlation_id: 1_000,
        request: Some(requests[0].clone()),
    };
    Questions {
        calls: requests.iter().map(Message::encode_to_vec).collect(),
        batch: batch.encode_to_vec(),
        stream: stream.encode_to_vec(),
    }
}

fn authorization(operator: &str) -> HeaderValue {
    format!("Bearer {operator}").parse().unwrap()
}

fn config() -> Config {
    let command = ServeArgs::augment_args(clap::Command::new("serve"));
    let matches = command.get_matches_from(["serve", "--store=memory", "--environment=bench"]);
    let args = ServeArgs::from_arg_matches(&matches).unwrap();
    args.resolve().unwrap()
}
