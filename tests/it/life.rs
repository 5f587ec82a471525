//! A token's life from its making to its end, as one operator sees it.

use keyward::api::proto::{
    CancelRekeyRequest, CompleteRekeyRequest, DeactivateTokenRequest, DeleteTokenRequest,
    DenyReason, EventType, GetTokenRequest, ReactivateTokenRequest, RekeyRequest, SecretState,
    TokenState, VerifyEventsRequest,
};
use prost_types::Duration;
use tonic::Code;

use crate::harness::{ALLOW, Client, Home, error, eventually, refused};

#[tokio::test]
async fn a_token_is_made_rekeyed_stopped_resumed_and_deleted() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;

    let made = operator.token("acme", "Order sync").await;
    let id = made.token.unwrap().id;
    let first = made.secret;
    assert_eq!(operator.decide(&first).await, ALLOW);

    let second = rekey(&operator, &id, Some(3_600)).await;
    assert_eq!(operator.decide(&first).await, ALLOW, "in its grace");
    assert_eq!(operator.decide(&second).await, ALLOW);

    let complete = CompleteRekeyRequest {
        token_id: id.clone(),
        ..Default::default()
    };
    let mut credentials = operator.credentials.clone();
    credentials.complete_rekey(complete.clone()).await.unwrap();
    assert_eq!(operator.decide(&first).await, Err(DenyReason::Superseded));
    assert_eq!(operator.decide(&second).await, ALLOW);
    assert_eq!(
        refused(credentials.complete_rekey(complete).await),
        error(Code::FailedPrecondition, "NO_RETIRING_SECRET")
    );

    let third = rekey(&operator, &id, Some(0)).await;
    assert_eq!(operator.decide(&second).await, Err(DenyReason::Superseded));
    assert_eq!(operator.decide(&third).await, ALLOW);

    let deactivate = DeactivateTokenRequest {
        token_id: id.clone(),
        why: "a leak".into(),
        ..Default::default()
    };
    for _ in 0..2 {
        let answer = credentials
            .deactivate_token(deactivate.clone())
            .await
            .unwrap();
        assert_eq!(
            answer.into_inner().token.unwrap().state(),
            TokenState::Inactive
        );
        assert_eq!(operator.decide(&third).await, Err(DenyReason::Inactive));
    }
    let reactivate = ReactivateTokenRequest {
        token_id: id.clone(),
        ..Default::default()
    };
    credentials.reactivate_token(reactivate).await.unwrap();
    assert_eq!(operator.decide(&third).await, ALLOW);

    let delete = DeleteTokenRequest {
        token_id: id.clone(),
        ..Default::default()
    };
    assert_eq!(
        refused(credentials.delete_token(delete.clone()).await),
        error(Code::FailedPrecondition, "TOKEN_ACTIVE")
    );
    credentials.deactivate_token(deactivate).await.unwrap();
    credentials.delete_token(delete).await.unwrap();
    for text in [&first, &second, &third] {
        assert_eq!(operator.decide(text).await, Err(DenyReason::Unknown));
    }
    let get = GetTokenRequest {
        token_id: id.clone(),
    };
    assert_eq!(
        refused(credentials.get_token(get).await),
        error(Code::NotFound, "NOT_FOUND")
    );

    the_log_tells_it_all(&operator, &id).await;
    server.stop().await;
}

async fn the_log_tells_it_all(operator: &Client, id: &str) {
    // An old secret's use is logged by a worker, in its own time.
    let told = eventually("the superseded secret's event", async || {
        let mut told: Vec<_> = operator
            .events_of(id)
            .await
            .iter()
            .map(|event| event.r#type())
            .collect();
        told.reverse();
        told.contains(&EventType::SupersededSecretUsed)
            .then_some(told)
    });
    let told = told.await;
    let changes: Vec<_> = told
        .into_iter()
        .filter(|&kind| kind != EventType::SupersededSecretUsed)
        .collect();
    assert_eq!(
        changes,
        [
            EventType::TokenCreated,
            EventType::TokenRekeyed,
            EventType::RekeyCompleted,
            EventType::TokenRekeyed,
            EventType::TokenDeactivated,
            EventType::TokenReactivated,
            EventType::TokenDeactivated,
            EventType::TokenDeleted,
        ]
    );
    let mut events = operator.events.clone();
    let verified = events.verify_events(VerifyEventsRequest::default());
    let verified = verified.await.expect("it may be verified").into_inner();
    assert!(verified.intact && verified.checked >= 8, "{verified:?}");
}

#[tokio::test]
async fn a_secret_that_waits_for_its_first_use_takes_over_with_it_or_is_cancelled() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let made = operator.token("acme", "Order sync").await;
    let (id, first) = (made.token.unwrap().id, made.secret);
    let on_first_use = RekeyRequest {
        token_id: id.clone(),
        grace: Some(Duration {
            seconds: 60,
            nanos: 0,
        }),
        activation: keyward::api::proto::Activation::OnFirstUse.into(),
        ..Default::default()
    };
    let mut credentials = operator.credentials.clone();

    let dropped = credentials
        .rekey(on_first_use.clone())
        .await
        .unwrap()
        .into_inner()
        .secret;
    let cancel = CancelRekeyRequest {
        token_id: id.clone(),
        ..Default::default()
    };
    credentials.cancel_rekey(cancel.clone()).await.unwrap();
    assert_ne!(operator.decide(&dropped).await, ALLOW);
    assert_eq!(operator.decide(&first).await, ALLOW);
    assert_eq!(
        refused(credentials.cancel_rekey(cancel).await),
        error(Code::FailedPrecondition, "NO_PENDING_SECRET")
    );

    let second = credentials
        .rekey(on_first_use)
        .await
        .unwrap()
        .into_inner()
        .secret;
    assert_eq!(
        states(&operator, &id).await,
        [SecretState::Current, SecretState::Pending]
    );
    assert_eq!(operator.decide(&second).await, ALLOW);
    eventually("the first use to be committed", async || {
        let states = states(&operator, &id).await;
        (states == [SecretState::Retiring, SecretState::Current]).then_some(())
    })
    .await;
    assert_eq!(operator.decide(&first).await, ALLOW, "in its grace");
    home.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(operator.decide(&first).await, Err(DenyReason::Superseded));
    assert_eq!(operator.decide(&second).await, ALLOW);
    let kinds: Vec<_> = operator
        .events_of(&id)
        .await
        .iter()
        .map(|event| event.r#type())
        .collect();
    assert!(kinds.contains(&EventType::RekeyActivated), "{kinds:?}");
    server.stop().await;
}

/// States of a token's listed secrets, the oldest first.
async fn states(operator: &Client, id: &str) -> Vec<SecretState> {
    let get = GetTokenRequest {
        token_id: id.into(),
    };
    let answer = operator.credentials.clone().get_token(get).await;
    let token = answer.expect("it is there").into_inner().token;
    let mut secrets = token.expect("an answer has its token").secrets;
    secrets.sort_by_key(|secret| secret.version);
    secrets.iter().map(|secret| secret.state()).collect()
}

async fn rekey(operator: &Client, id: &str, grace: Option<i64>) -> String {
    let request = RekeyRequest {
        token_id: id.into(),
        grace: grace.map(|seconds| Duration { seconds, nanos: 0 }),
        ..Default::default()
    };
    let answer = operator.credentials.clone().rekey(request).await;
    answer.expect("it may be rekeyed").into_inner().secret
}
