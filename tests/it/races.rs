//! What many callers at once may not get: one token too many.

use keyward::api::proto::ListTokensRequest;
use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::{Client, Home, error, refused};

#[tokio::test]
async fn of_a_hundred_creates_at_the_limit_minus_one_exactly_one_succeeds() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    // At most three tokens.
    operator.account("acme", "application-keys").await;
    for name in ["one", "two"] {
        operator.token("acme", name).await;
    }
    let mut calls = JoinSet::new();
    for n in 0..100 {
        // Half of them over a connection of their own.
        let caller = if n % 2 == 0 {
            operator.clone()
        } else {
            server.operator()
        };
        calls.spawn(async move { create(&caller, n).await });
    }
    let answers = calls.join_all().await;
    let (made, refusals): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for answer in refusals {
        assert_eq!(
            refused(answer),
            error(Code::ResourceExhausted, "TOKEN_LIMIT")
        );
    }
    let request = ListTokensRequest {
        account_id: "acme".into(),
        ..Default::default()
    };
    let listed = operator
        .credentials
        .clone()
        .list_tokens(request)
        .await
        .unwrap();
    assert_eq!(listed.into_inner().tokens.len(), 3);
    server.stop().await;
}

async fn create(caller: &Client, n: u32) -> Result<(), tonic::Status> {
    let request = keyward::api::proto::CreateTokenRequest {
        account_id: "acme".into(),
        name: format!("racer {n}"),
        ..Default::default()
    };
    caller.create(request).await.map(drop)
}
