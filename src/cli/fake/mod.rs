//! A server for tests that answers by the request alone: enough of the contract to prove the command line end to end.

mod credentials;
mod directory;
mod events;
mod usage;

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;

use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::api::proto::credential_service_server::CredentialServiceServer;
use crate::api::proto::directory_service_server::DirectoryServiceServer;
use crate::api::proto::event_service_server::EventServiceServer;
use crate::api::proto::usage_service_server::UsageServiceServer;

pub(crate) use self::credentials::{SECRET, SILENT, TOKENS};

/// What the fake wants from its callers.
pub(crate) const OPERATOR: &str = "the-operator";

/// Starts the fake on a port of its own, for as long as the test process lives.
pub(crate) fn start() -> SocketAddr {
    let (ready, address) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            ready.send(listener.local_addr().unwrap()).unwrap();
            let (reporter, health) = tonic_health::server::health_reporter();
            reporter
                .set_serving::<CredentialServiceServer<Fake>>()
                .await;
            reporter.set_not_serving::<EventServiceServer<Fake>>().await;
            let incoming = TcpListenerStream::new(listener)
                .map(|socket| socket.inspect(|socket| socket.set_nodelay(true).unwrap()));
            Server::builder()
                .add_service(health)
                .add_service(CredentialServiceServer::new(Fake))
                .add_service(DirectoryServiceServer::new(Fake))
                .add_service(EventServiceServer::new(Fake))
                .add_service(UsageServiceServer::new(Fake))
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
    });
    address.recv().unwrap()
}

struct Fake;

type Answer<T> = Result<Response<T>, Status>;

/// The request of an operator, else why not.
fn admit<T>(request: Request<T>) -> Result<T, Status> {
    match request.metadata().get("authorization") {
        Some(value) if value == format!("Bearer {OPERATOR}").as_str() => Ok(request.into_inner()),
        Some(_) => {
            let info = [("grant".to_owned(), "keyward/tokens:write".to_owned())];
            let details = ErrorDetails::with_error_info("GRANT_MISSING", "keyward.v1", info);
            Err(called(Status::with_error_details(
                Code::PermissionDenied,
                "not you",
                details,
            )))
        }
        None => Err(called(Status::unauthenticated("who are you?"))),
    }
}

fn called(mut status: Status) -> Status {
    status
        .metadata_mut()
        .insert("x-request-id", "call-1".parse().unwrap());
    status
}
