//! Retries with a request id: one token, one event, the same answer, over a restart and for ten minutes.

use std::time::Duration;

use keyward::api::proto::{
    CreateTokenRequest, DeactivateTokenRequest, EventType, ListTokensRequest, RekeyRequest,
};
use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::{ALLOW, Client, Home, error, files, holds, refused};

fn create(request_id: &str) -> CreateTokenRequest {
    CreateTokenRequest {
        account_id: "acme".into(),
        name: "Order sync".into(),
        request_id: request_id.into(),
        ..Default::default()
    }
}

async fn tokens(operator: &Client) -> usize {
    let request = ListTokensRequest {
        account_id: "acme".into(),
        ..Default::default()
    };
    let listed = operator.credentials.clone().list_tokens(request).await;
    listed
        .expect("the account is there")
        .into_inner()
        .tokens
        .len()
}

#[tokio::test]
async fn a_retry_after_a_restart_gets_the_same_secret_and_nothing_of_it_is_on_disk() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let first = operator.create(create("once")).await.unwrap();
    server.stop().await;

    let server = home.start().await;
    let operator = server.operator();
    let again = operator.create(create("once")).await.unwrap();
    assert_eq!(again.secret, first.secret);
    assert_eq!(again.token, first.token);
    assert_eq!(again.basic_authorization, first.basic_authorization);
    assert_eq!(tokens(&operator).await, 1);
    let id = first.token.unwrap().id;
    let events = operator.events_of(&id).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].r#type(), EventType::TokenCreated);
    assert_eq!(operator.decide(&first.secret).await, ALLOW);

    let mut other = create("once");
    other.name = "Something else".into();
    assert_eq!(
        refused(operator.create(other).await),
        error(Code::AlreadyExists, "REQUEST_ID_REUSED")
    );
    server.stop().await;

    let secret_part = &first.secret[first.secret.len() - 49..first.secret.len() - 6];
    for (path, bytes) in files(&home.data()) {
        assert!(!holds(&bytes, secret_part), "{}", path.display());
    }
}

#[tokio::test]
async fn concurrent_retries_make_one_token() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let operator = operator.clone();
        calls.spawn(async move { operator.create(create("at once")).await.unwrap().secret });
    }
    let mut secrets = calls.join_all().await;
    secrets.dedup();
    assert_eq!(secrets.len(), 1);
    assert_eq!(tokens(&operator).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn the_answer_is_kept_for_ten_minutes() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let first = operator.create(create("kept")).await.unwrap();
    home.clock.advance(Duration::from_millis(599_999));
    assert_eq!(
        operator.create(create("kept")).await.unwrap().secret,
        first.secret
    );
    home.clock.advance(Duration::from_millis(1));
    let later = operator.create(create("kept")).await.unwrap();
    assert_ne!(later.token.unwrap().id, first.token.unwrap().id);
    server.stop().await;
}

#[tokio::test]
async fn a_secret_is_not_shown_again_once_its_token_was_rekeyed_or_stopped() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let mut credentials = operator.credentials.clone();
    let gone = error(Code::FailedPrecondition, "REPLAY_GONE");

    let rekeyed = operator
        .create(create("rekeyed"))
        .await
        .unwrap()
        .token
        .unwrap()
        .id;
    let rekey = RekeyRequest {
        token_id: rekeyed,
        request_id: "rekey".into(),
        ..Default::default()
    };
    let secret = credentials
        .rekey(rekey.clone())
        .await
        .unwrap()
        .into_inner()
        .secret;
    assert_eq!(
        credentials.rekey(rekey).await.unwrap().into_inner().secret,
        secret
    );
    assert_eq!(refused(operator.create(create("rekeyed")).await), gone);

    let stopped = operator
        .create(create("stopped"))
        .await
        .unwrap()
        .token
        .unwrap()
        .id;
    let stop = DeactivateTokenRequest {
        token_id: stopped,
        ..Default::default()
    };
    credentials.deactivate_token(stop).await.unwrap();
    assert_eq!(refused(operator.create(create("stopped")).await), gone);
    server.stop().await;
}
