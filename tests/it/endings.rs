//! How a server ends: what is in hand is finished, streams are closed, the exit code is 0.

use keyward::api::proto::{
    ValidateCredentialsRequest, ValidateCredentialsResponse,
    validate_credentials_request::Presented,
};
use tokio::sync::oneshot;
use tonic::Request;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;

use crate::harness::{ALLOW, channel, decision, read};
use crate::process::Place;

#[tokio::test]
async fn sigterm_finishes_what_is_in_hand_and_ends_with_0_although_somebody_watches() {
    let place = Place::new();
    let server = place.serve(&["--drain-wait=100ms"]).await;
    let text = read(&place.operator_file());
    let channel = channel(server.address);
    let mut health = HealthClient::new(channel.clone());
    let watch = health.watch(HealthCheckRequest::default()).await;
    let mut watch = watch.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);

    // A call whose message comes only after the end has begun.
    let (send, sent) = oneshot::channel::<ValidateCredentialsRequest>();
    let messages = tokio_stream::StreamExt::filter_map(async_stream(sent), |message| message);
    let mut request = Request::new(messages);
    let header: MetadataValue<Ascii> = format!("Bearer {text}").parse().unwrap();
    request.metadata_mut().insert("authorization", header);
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let call = tokio::spawn(async move {
        let path = "/keyward.v1.CredentialService/ValidateCredentials"
            .parse()
            .unwrap();
        let codec =
            ProstCodec::<ValidateCredentialsRequest, ValidateCredentialsResponse>::default();
        grpc.client_streaming(request, path, codec).await
    });
    tokio::task::yield_now().await;
    // The connection takes calls in their order: once this one is answered, that one is in hand.
    health.check(HealthCheckRequest::default()).await.unwrap();

    server.terminate();
    let next = watch.message().await.unwrap().unwrap();
    assert_eq!(next.status(), ServingStatus::NotServing);
    let last = ValidateCredentialsRequest {
        presented: Some(Presented::Token(text)),
        ..Default::default()
    };
    send.send(last).unwrap();
    let answer = call.await.unwrap().unwrap().into_inner();
    assert_eq!(decision(&answer), ALLOW);

    let (status, log) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

/// One message, when it is there.
fn async_stream<T: Send + 'static>(
    message: oneshot::Receiver<T>,
) -> impl tokio_stream::Stream<Item = Option<T>> + Send + 'static {
    let (forward, stream) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move { forward.send(message.await.ok()).await });
    tokio_stream::wrappers::ReceiverStream::new(stream)
}

#[tokio::test]
async fn a_call_that_never_comes_to_its_end_does_not_keep_the_server_from_its_own() {
    let place = Place::new();
    let server = place.serve(&["--drain-deadline=200ms"]).await;
    let silent = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let half = tokio::net::TcpStream::connect(server.side).await.unwrap();
    server.stop().await;
    drop((silent, half));
}

#[tokio::test]
async fn what_was_acknowledged_before_kill_9_is_there() {
    let place = Place::new();
    let mut server = place.serve(&[]).await;
    server.operator().account("acme", "standard").await;
    let mut texts = Vec::new();
    for round in 0..3 {
        let operator = server.operator();
        for n in 0..5 {
            texts.push(operator.token("acme", &format!("{round}/{n}")).await.secret);
        }
        server.kill().await;
        server = place.serve(&[]).await;
        for text in &texts {
            assert_eq!(server.operator().decide(text).await, ALLOW);
        }
    }
    server.stop().await;
}
