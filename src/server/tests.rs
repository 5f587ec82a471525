//! The server as production starts it, on port 0, with a real client.

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};
use tonic_types::StatusExt as _;
use tower::Service;

use super::*;
use crate::config::ServerSettings;

/// Long enough that no test ever waits for it.
const LONG: Duration = Duration::from_secs(60);

/// A running server.
struct Running {
    address: SocketAddr,
    side: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
    made: Arc<AtomicUsize>,
}

impl Running {
    async fn start(settings: ServerSettings) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = Listeners::bind(any, any).await.unwrap();
        let (address, side) = (
            listeners.address().unwrap(),
            listeners.side_address().unwrap(),
        );
        let health = Health::new();
        health.set_ready(true);
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let faces = Faces {
            main: move || {
                count.fetch_add(1, Ordering::Relaxed);
                reflection::add(Routes::new(Odd), crate::api::proto::DESCRIPTORS)
            },
            hot: None,
            side: Routes::default(),
        };
        let (stop, stopped) = oneshot::channel::<()>();

        let served = tokio::spawn(async move {
            serve(listeners, faces, health, &settings, async {
                drop(stopped.await)
            })
            .await
        });
        Self {
            address,
            side,
            stop,
            served,
            made,
        }
    }

    async fn client(&self) -> Channel {
        client(self.address).await
    }

    async fn end(self) -> std::io::Result<()> {
        self.stop.send(()).unwrap();
        self.served.await.unwrap()
    }
}

/// A service whose methods do odd things: `Never` answers, `Panic`s, or answers `Ok`.
#[derive(Clone)]
struct Odd;

impl NamedService for Odd {
    const NAME: &'static str = "test.Odd";
}

impl Service<Request<Body>> for Odd {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer: Ready<_> = match request.uri().path() {
            "/test.Odd/Never" => return Box::pin(pending()),
            "/test.Odd/Panic" => panic!("as the test wants it"),
            _ => ready(Ok(Status::ok("").into_http())),
        };
        Box::pin(answer)
    }
}

fn settings() -> ServerSettings {
    ServerSettings {
        cores: NonZeroUsize::new(2).unwrap(),
        max_connections: 16,
        max_connections_per_peer: 16,
        max_calls_per_core: 16,
        first_bytes: LONG,
        max_deadline: LONG,
        max_connection_age: None,
        drain_wait: Duration::ZERO,
        drain_deadline: LONG,
    }
}

async fn client(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

/// Calls a method without a message; the answer's headers tell how it went.
async fn call(
    mut channel: Channel,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Response<Body> {
    let mut request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    std::future::poll_fn(|cx| channel.poll_ready(cx))
        .await
        .unwrap();
    channel
        .call(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

fn status(response: &Response<Body>) -> Status {
    Status::from_header_map(response.headers()).unwrap()
}

fn named(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn each_core_has_services_of_its_own_and_health_is_on_both_listeners() {
    let running = Running::start(settings()).await;
    for channel in [
        running.client().await,
        running.client().await,
        client(running.side).await,
    ] {
        let mut health = HealthClient::new(channel);
        let answer = health.check(named("readiness")).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    assert_eq!(running.made.load(Ordering::Relaxed), 2);
    running.end().await.unwrap();
}

#[tokio::test]
async fn reflection_speaks_both_versions_and_knows_contract_health_and_error_details() {
    const KNOWN: [&str; 3] = [
        "keyward.v1.CredentialService",
        "grpc.health.v1.Health",
        "google.rpc.BadRequest",
    ];
    let running = Running::start(settings()).await;

    let mut new = v1::server_reflection_client::ServerReflectionClient::new(running.client().await);
    let mut old =
        v1alpha::server_reflection_client::ServerReflectionClient::new(running.client().await);
    for symbol in KNOWN {
        let request = v1::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(
                v1::server_reflection_request::MessageRequest::FileContainingSymbol(
                    symbol.to_owned(),
                ),
            ),
        };
        let mut answers = new
            .server_reflection_info(tokio_stream::iter([request]))
            .await
            .unwrap()
            .into_inner();
        let answer = answers.next().await.unwrap().unwrap().message_response;
        assert!(
            matches!(
                answer,
                Some(v1::server_reflection_response::MessageResponse::FileDescriptorResponse(_))
            ),
            "{symbol}"
        );

        let request = v1alpha::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(
                v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                    symbol.to_owned(),
                ),
            ),
        };
        let mut answers = old
            .server_reflection_info(tokio_stream::iter([request]))
            .await
            .unwrap()
            .into_inner();
        let answer = answers.next().await.unwrap().unwrap().message_response;
        assert!(
            matches!(
                answer,
                Some(
                    v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_)
                )
            ),
            "{symbol}"
        );
    }
    running.end().await.unwrap();
}

#[tokio::test]
async fn errors_of_the_transport_carry_an_error_info_and_the_call_id_too() {
    let running = Running::start(settings()).await;
    let answer = call(
        running.client().await,
        "/keyward.v1.Nothing/Here",
        &[("x-request-id", "call-7")],
    )
    .await;
    assert_eq!(answer.headers()["x-request-id"], "call-7");
    let status = status(&answer);
    assert_eq!(status.code(), Code::Unimplemented);
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "UNIMPLEMENTED");
    assert_eq!(details.request_info().unwrap().request_id, "call-7");
    running.end().await.unwrap();
}

#[tokio::test]
async fn a_request_of_the_largest_size_is_read_and_one_byte_more_is_refused() {
    // The name's tag and length.
    const AROUND: usize = 4;
    let running = Running::start(settings()).await;
    let mut health = HealthClient::new(running.client().await);
    for (size, code) in [
        (MAX_REQUEST, Code::NotFound),
        (MAX_REQUEST + 1, Code::InvalidArgument),
    ] {
        let request = named(&"x".repeat(size - AROUND));
        let status = health.check(request).await.unwrap_err();
        assert_eq!(status.code(), code);
        assert!(status.get_details_error_info().is_some());
    }
    running.end().await.unwrap();
}

#[tokio::test]
async fn a_panicking_handler_fails_its_call_and_the_connection_goes_on() {
    let running = Running::start(settings()).await;
    let channel = running.client().await;
    assert_eq!(
        status(&call(channel.clone(), "/test.Odd/Panic", &[]).await).code(),
        Code::Internal
    );
    assert_eq!(
        status(&call(channel, "/test.Odd/Ok", &[]).await).code(),
        Code::Ok
    );
    running.end().await.unwrap();
}

#[tokio::test]
async fn a_call_that_never_ends_is_ended_at_the_servers_deadline() {
    // The caller's own deadline is no test of the server here: the client would end the call by itself.
    let max_deadline = Duration::from_millis(1);
    let running = Running::start(ServerSettings {
        max_deadline,
        ..settings()
    })
    .await;
    let status = status(&call(running.client().await, "/test.Odd/Never", &[]).await);
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "DEADLINE_EXCEEDED");
    running.end().await.unwrap();
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_the_others_go_on() {
    let running = Running::start(ServerSettings {
        max_connections: 1,
        ..settings()
    })
    .await;
    let mut health = HealthClient::new(running.client().await);
    health.check(named("")).await.unwrap();
    let mut refused = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(refused.read(&mut [0]).await.unwrap_or(0), 0);
    health.check(named("")).await.unwrap();
    running.end().await.unwrap();
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let first_bytes = Duration::from_millis(1);
    let running = Running::start(ServerSettings {
        first_bytes,
        ..settings()
    })
    .await;
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    // It may still say its SETTINGS; then the connection ends.
    let mut said = Vec::new();
    let _ = silent.read_to_end(&mut said).await;
    running.end().await.unwrap();
}

#[tokio::test]
async fn open_watches_hear_of_the_drain_and_do_not_hold_it_up() {
    let running = Running::start(settings()).await;
    let mut watches = Vec::new();
    for (channel, name) in [
        (running.client().await, ""),
        (client(running.side).await, "nobody"),
    ] {
        let mut watch = HealthClient::new(channel)
            .watch(named(name))
            .await
            .unwrap()
            .into_inner();
        let first = watch.next().await.unwrap().unwrap().status();
        watches.push((watch, first));
    }
    running.end().await.unwrap();

    let (mut whole, first) = watches.remove(0);
    assert_eq!(first, ServingStatus::Serving);
    assert_eq!(
        whole.next().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    assert_eq!(
        whole.next().await.unwrap().unwrap_err().code(),
        Code::Unavailable
    );
    let (mut nobody, first) = watches.remove(0);
    assert_eq!(first, ServingStatus::ServiceUnknown);
    assert_eq!(
        nobody.next().await.unwrap().unwrap_err().code(),
        Code::Unavailable
    );
}

#[tokio::test]
async fn the_drain_says_not_serving_while_connections_are_still_taken() {
    let running = Running::start(ServerSettings {
        drain_wait: LONG,
        ..settings()
    })
    .await;
    let mut watch = HealthClient::new(running.client().await)
        .watch(named(""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        watch.next().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    running.stop.send(()).unwrap();
    assert_eq!(
        watch.next().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    let mut late = HealthClient::new(client(running.address).await);
    assert_eq!(
        late.check(named("liveness"))
            .await
            .unwrap()
            .into_inner()
            .status(),
        ServingStatus::Serving
    );
    assert_eq!(
        late.check(named("")).await.unwrap().into_inner().status(),
        ServingStatus::NotServing
    );
    running.served.abort();
}

#[tokio::test]
async fn a_call_that_never_ends_is_cut_at_the_drain_deadline() {
    let drain_deadline = Duration::from_millis(50);
    let running = Running::start(ServerSettings {
        drain_deadline,
        ..settings()
    })
    .await;
    let mut channel = running.client().await;
    // A first call proves that the connection is served; the second one hangs.
    call(channel.clone(), "/test.Odd/Ok", &[]).await;
    std::future::poll_fn(|cx| channel.poll_ready(cx))
        .await
        .unwrap();
    let hanging = tokio::spawn(
        channel.call(
            Request::post("/test.Odd/Never")
                .body(Body::empty())
                .unwrap(),
        ),
    );
    running.end().await.unwrap();
    assert!(hanging.await.unwrap().is_err());
}

#[tokio::test]
async fn an_address_in_use_is_told_with_its_flag() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let first = Listeners::bind(any, any).await.unwrap();
    let taken = first.side_address().unwrap();
    let message = Listeners::bind(any, taken).await.unwrap_err().to_string();
    assert!(
        message.contains("--side-listen") && message.contains(&taken.to_string()),
        "{message}"
    );
}
