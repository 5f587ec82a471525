//! What a server offers without a token, and how it tells of a disk that takes nothing more.

use std::collections::BTreeMap;

use keyward::api::proto::{CreateTokenRequest, CreateTokenResponse};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::harness::{ALLOW, Client, Home, Server, channel, error, eventually, refused};
use crate::process::{Place, Serving};

/// The services that reflection lists, to a caller without a token.
async fn services(server: &Server) -> Result<Vec<String>, Status> {
    let mut client = ServerReflectionClient::new(channel(server.address));
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = client
        .server_reflection_info(tokio_stream::iter([list]))
        .await?;
    let answer = answers
        .into_inner()
        .next()
        .await
        .expect("there is an answer")?;
    match answer.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => Ok(list
            .service
            .into_iter()
            .map(|service| service.name)
            .collect()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn reflection_needs_no_token_and_can_be_turned_off() {
    let home = Home::new();
    let server = home.start().await;
    let listed = services(&server).await.unwrap();
    for service in [
        "CredentialService",
        "DirectoryService",
        "EventService",
        "UsageService",
    ] {
        assert!(
            listed.contains(&format!("keyward.v1.{service}")),
            "{listed:?}"
        );
    }
    assert!(
        listed.contains(&"grpc.health.v1.Health".into()),
        "{listed:?}"
    );
    server.stop().await;

    let home = Home::new();
    let server = home.start_with(&["--reflection=off"]).await.unwrap();
    assert_eq!(
        services(&server).await.unwrap_err().code(),
        Code::Unimplemented
    );
    server.operator().account("acme", "standard").await;
    server.stop().await;
}

async fn health(server: &Serving, service: &str) -> ServingStatus {
    let request = HealthCheckRequest {
        service: service.into(),
    };
    let answer = HealthClient::new(channel(server.side)).check(request).await;
    answer.expect("health always answers").into_inner().status()
}

/// A token as large as one may be.
async fn large(operator: &Client, n: usize) -> Result<CreateTokenResponse, Status> {
    let label = |n: usize| (format!("key-{n}"), "v".repeat(256));
    let request = CreateTokenRequest {
        account_id: "acme".into(),
        name: format!("token {n}"),
        labels: (0..32).map(label).collect::<BTreeMap<_, _>>(),
        ..Default::default()
    };
    operator.create(request).await
}

/// Its files may not grow beyond some megabytes: to who writes them that is what a full disk is.
#[tokio::test]
async fn a_store_that_cannot_write_refuses_changes_says_so_and_goes_on_validating() {
    let place = Place::new();
    let limit = "trap '' XFSZ; ulimit -S -f 10240; exec \"$@\"";
    let server = place.serve_under(&["sh", "-c", limit, "sh"], &[]).await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    assert_eq!(
        health(&server, "keyward.v1.writes").await,
        ServingStatus::Serving
    );

    let mut texts = Vec::new();
    let refusal = loop {
        assert!(texts.len() < 3_000, "it never came to the limit");
        match large(&operator, texts.len()).await {
            Ok(made) => texts.push(made.secret),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(
        refused::<()>(Err(refusal)),
        error(Code::Unavailable, "STORE_AWAY")
    );
    eventually("health to tell", async || {
        (health(&server, "keyward.v1.writes").await == ServingStatus::NotServing).then_some(())
    })
    .await;
    for service in ["", "liveness", "readiness", "keyward.v1.CredentialService"] {
        assert_eq!(
            health(&server, service).await,
            ServingStatus::Serving,
            "{service}"
        );
    }
    for text in &texts {
        assert_eq!(operator.decide(text).await, ALLOW);
    }
    server.stop().await;

    let server = place.serve(&[]).await;
    let operator = server.operator();
    for text in &texts {
        assert_eq!(operator.decide(text).await, ALLOW, "it was acknowledged");
    }
    texts.push(large(&operator, texts.len()).await.unwrap().secret);
    server.stop().await;
}
