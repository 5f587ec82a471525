//! Each limit of a connection at its edge, over a pipe: time is the test's, and nothing is waited for that is not there.

mod hot;
mod raw;
mod time;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use tonic::body::Body;
use tower::Service;

use super::hot::UNFINISHED;
use super::*;
use crate::config::ServerSettings;
use crate::server::drain::Drain;
use crate::server::layers::Layers;
use raw::{END_STREAM, frame, hear, hear_of, hello, say};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// Room in the pipe.
const WIDE: usize = 1024 * 1024;

/// A service that counts: `/wait` is answered once the test lets it, `/endless` has an answer without end, `/ignore` is a call whose
/// request is never read, as is every validation, all else is answered at once.
#[derive(Clone)]
struct Counting {
    open: Arc<AtomicUsize>,
    made: Arc<AtomicUsize>,
    go: Arc<Semaphore>,
}

/// A call in hand.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service<Request<Body>> for Counting {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        this.open.fetch_add(1, Ordering::Relaxed);
        let open = Open(Arc::clone(&this.open));
        Box::pin(async move {
            let _open = open;
            let body = match request.uri().path() {
                "/wait" => {
                    this.go.acquire().await.unwrap().forget();
                    Body::empty()
                }
                path if path == "/ignore" || path.starts_with("/keyward.v1.") => {
                    std::future::pending().await
                }
                "/endless" => Body::new(Endless(this.made)),
                _ => Body::empty(),
            };
            Ok(Response::new(body))
        })
    }
}

const CHUNK: usize = 10_000;

/// Counts the bytes that it was asked for.
struct Endless(Arc<AtomicUsize>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(CHUNK, Ordering::Relaxed);
        let data = Bytes::from_static(&[0; CHUNK]);
        Poll::Ready(Some(Ok(http_body::Frame::data(data))))
    }
}

/// A connection that is served.
struct Served {
    service: Counting,
    connection: JoinHandle<()>,
    drain: Drain,
}

impl Served {
    fn new(pipe: usize, age: Option<Duration>) -> (DuplexStream, Self) {
        Self::with(pipe, age, None)
    }

    fn with(
        pipe: usize,
        age: Option<Duration>,
        hot: Option<Arc<dyn Validates>>,
    ) -> (DuplexStream, Self) {
        let (client, server) = duplex(pipe);
        let service = Counting {
            open: Arc::default(),
            made: Arc::default(),
            go: Arc::new(Semaphore::new(0)),
        };
        let (drain, end) = Drain::new();
        let address = std::net::SocketAddr::from(([10, 0, 0, 1], 4000));
        let io = Connection::new(server, address, SECOND, ());
        let face = Face::new(service.clone(), Layers::new(&settings()), hot);
        let connection = tokio::spawn(serve(io, face, age, end));
        let served = Self {
            service,
            connection,
            drain,
        };
        (client, served)
    }

    fn open(&self) -> usize {
        self.service.open.load(Ordering::Relaxed)
    }

    /// With a client of good manners, whose connection ends as the second says.
    async fn client(
        age: Option<Duration>,
    ) -> (
        h2::client::SendRequest<Bytes>,
        JoinHandle<Result<(), h2::Error>>,
        Self,
    ) {
        let (pipe, served) = Self::new(WIDE, age);
        let (client, connection) = h2::client::handshake(pipe).await.unwrap();
        let connection = tokio::spawn(connection);
        (client.ready().await.unwrap(), connection, served)
    }
}

fn settings() -> ServerSettings {
    ServerSettings {
        cores: std::num::NonZeroUsize::MIN,
        max_connections: 1,
        max_connections_per_peer: 1,
        max_calls_per_core: 16,
        first_bytes: SECOND,
        max_deadline: HOUR,
        max_connection_age: None,
        drain_wait: SECOND,
        drain_deadline: SECOND,
    }
}

fn post(path: &str) -> Request<()> {
    Request::post(format!("http://keyward{path}"))
        .body(())
        .unwrap()
}

/// Lets everything happen that can happen now: time stands still until there is nothing left to do.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_last_call_there_is_room_for_is_taken_and_one_more_is_refused() {
    let (mut peer, served) = Served::new(WIDE, None);
    say(&mut peer, &[hello(&[])]).await;
    let ids = (0..MAX_STREAMS).map(|number| 2 * number + 1);
    let calls: Vec<_> = ids
        .map(|id| raw::call(id, END_STREAM, "/wait", None))
        .collect();
    say(&mut peer, &calls).await;
    settle().await;
    assert_eq!(served.open(), 256);

    let one_more = 2 * MAX_STREAMS + 1;
    say(&mut peer, &[raw::call(one_more, END_STREAM, "/wait", None)]).await;
    let refused = hear_of(&mut peer, raw::RESET).await.unwrap();
    assert_eq!(
        (refused.stream, refused.code()),
        (one_more, raw::REFUSED_STREAM)
    );
    assert_eq!(served.open(), 256);

    served.service.go.add_permits(1);
    hear_of(&mut peer, raw::HEADERS).await.unwrap();
    say(
        &mut peer,
        &[raw::call(one_more + 2, END_STREAM, "/wait", None)],
    )
    .await;
    settle().await;
    assert_eq!(served.open(), 256, "an answer made room");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_caller_resets_is_dropped_and_the_others_go_on() {
    let (mut peer, served) = Served::new(WIDE, None);
    say(
        &mut peer,
        &[hello(&[]), raw::call(1, END_STREAM, "/wait", None)],
    )
    .await;
    settle().await;
    assert_eq!(served.open(), 1);
    // One that was looked at, and one whose reset comes with it.
    let both = [
        raw::reset(1),
        raw::call(3, END_STREAM, "/", None),
        raw::reset(3),
    ];
    say(&mut peer, &both).await;
    settle().await;
    assert_eq!(served.open(), 0);

    say(&mut peer, &[raw::call(5, END_STREAM, "/", None)]).await;
    let answer = hear_of(&mut peer, raw::HEADERS).await.unwrap();
    assert_eq!(answer.stream, 5);
}

/// Whether a connection ends, and why, when `count` frames each have `made` of them by the number of their stream.
async fn ends_after(count: usize, made: impl Fn(u32) -> Vec<Vec<u8>>) -> Option<u32> {
    let (mut peer, _served) = Served::new(WIDE, None);
    say(&mut peer, &[hello(&[])]).await;
    settle().await;
    let ids = (0..count).map(|number| u32::try_from(2 * number + 1).unwrap());
    let mut frames: Vec<_> = ids.flat_map(made).collect();
    frames.push(frame(raw::PING, 0, 0, &[7; 8]));
    say(&mut peer, &frames).await;
    loop {
        let heard = hear(&mut peer).await?;
        match heard.kind {
            raw::GOAWAY => return Some(heard.code()),
            raw::PING if heard.payload == [7; 8] => return None,
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn streams_reset_before_they_were_looked_at_end_the_connection_where_they_are_too_many() {
    let made = |id| vec![raw::call(id, END_STREAM, "/", None), raw::reset(id)];
    assert_eq!(ends_after(MAX_RESETS, made).await, None);
    assert_eq!(
        ends_after(MAX_RESETS + 1, made).await,
        Some(raw::ENHANCE_YOUR_CALM)
    );
}

#[tokio::test(start_paused = true)]
async fn streams_that_must_be_reset_end_the_connection_where_they_are_too_many() {
    // A body that is promised and does not come.
    let made = |id| {
        vec![raw::call(
            id,
            END_STREAM,
            "/",
            Some(("content-length", "9")),
        )]
    };
    assert_eq!(ends_after(MAX_RESETS, made).await, None);
    assert_eq!(
        ends_after(MAX_RESETS + 1, made).await,
        Some(raw::ENHANCE_YOUR_CALM)
    );
}

#[tokio::test(start_paused = true)]
async fn a_frame_larger_than_allowed_ends_the_connection() {
    let largest = usize::try_from(MAX_FRAME).unwrap();
    for (size, code) in [(largest, None), (largest + 1, Some(raw::FRAME_SIZE_ERROR))] {
        let made = |id| {
            let body = frame(raw::DATA, END_STREAM, id, &vec![0; size]);
            vec![raw::call(id, 0, "/ignore", None), body]
        };
        assert_eq!(ends_after(1, made).await, code, "{size}");
    }
}

#[tokio::test(start_paused = true)]
async fn headers_larger_than_allowed_are_refused() {
    let (mut client, _connection, served) = Served::client(None).await;
    // Method, scheme, path, authority, and the name of the long one, as HTTP/2 counts them.
    let around = (7 + 4 + 32) + (7 + 4 + 32) + (5 + 1 + 32) + (10 + 7 + 32) + (4 + 32);
    // h2 takes the limit itself for too much.
    let largest = usize::try_from(MAX_HEADERS).unwrap() - around - 1;
    for (size, expected) in [
        (largest, StatusCode::OK),
        (largest + 1, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
    ] {
        let mut request = post("/");
        let long = "x".repeat(size).parse().unwrap();
        request.headers_mut().insert("long", long);
        let (answer, _) = client.send_request(request, true).unwrap();
        assert_eq!(answer.await.unwrap().status(), expected, "{size}");
    }
    assert_eq!(served.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_more_of_a_request_may_come_than_is_read() {
    let (mut client, _connection, _served) = Served::client(None).await;
    let (_answer, mut body) = client.send_request(post("/ignore"), false).unwrap();
    let most = usize::try_from(STREAM_WINDOW).unwrap();
    body.reserve_capacity(2 * most);
    settle().await;
    assert_eq!(body.capacity(), most);
    body.send_data(Bytes::from(vec![0; most]), false).unwrap();
    settle().await;
    assert_eq!(body.capacity(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_is_made_no_more_than_it_has_room_for() {
    const INITIAL_WINDOW: u16 = 4;
    const HUGE: u32 = 0x7fff_0000;
    let pipe = 1024;
    let (mut peer, served) = Served::new(pipe, None);
    let hello = hello(&[(INITIAL_WINDOW, HUGE)]);
    let room = frame(raw::WINDOW, 0, 0, &HUGE.to_be_bytes());
    say(
        &mut peer,
        &[hello, room, raw::call(1, END_STREAM, "/endless", None)],
    )
    .await;
    sleep(SECOND).await;
    let made = served.service.made.load(Ordering::Relaxed);
    let written = 2 * usize::try_from(MAX_FRAME).unwrap();
    assert!(
        made <= MAX_UNSENT + 2 * CHUNK + written,
        "{made} bytes for nobody"
    );

    let mut read = 0;
    while read < 10 * MAX_UNSENT {
        read += hear_of(&mut peer, raw::DATA).await.unwrap().payload.len();
    }
}

#[tokio::test(start_paused = true)]
async fn gets_and_tunnels_are_refused() {
    let (mut client, _connection, _served) = Served::client(None).await;
    let get = Request::get("http://keyward/").body(()).unwrap();
    let connect = Request::connect("keyward:1").body(()).unwrap();
    for request in [get, connect] {
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()["allow"], "POST");
    }
}
