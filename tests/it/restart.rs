//! What was acknowledged is there after a restart, as it was.

use keyward::api::proto::{
    CreateAccountKeyRequest, CreatePrincipalRequest, CreateRoleRequest, DeactivateTokenRequest,
    DenyReason, GetAccountRequest, GetPrincipalRequest, GetRoleRequest, GetTokenRequest,
    ListEventsRequest, ListTokensRequest, PrincipalState, RekeyRequest, VerifyEventsRequest,
};

use crate::harness::{ALLOW, Answer, Client, Home};

/// Everything that reading can tell of the account `acme`, in one comparable text.
async fn picture(operator: &Client) -> String {
    let (mut credentials, mut directory) =
        (operator.credentials.clone(), operator.directory.clone());
    let account_id = String::from("acme");
    let account = directory.get_account(GetAccountRequest {
        account_id: account_id.clone(),
    });
    let account = account.await.expect("the account is there").into_inner();
    let role = GetRoleRequest {
        account_id: account_id.clone(),
        role_id: "reader".into(),
    };
    let role = directory
        .get_role(role)
        .await
        .expect("the role is there")
        .into_inner();
    let principal = GetPrincipalRequest {
        account_id: account_id.clone(),
        principal_id: "sync".into(),
    };
    let principal = directory
        .get_principal(principal)
        .await
        .expect("it is there")
        .into_inner();
    let tokens = ListTokensRequest {
        account_id: account_id.clone(),
        ..Default::default()
    };
    let tokens = credentials
        .list_tokens(tokens)
        .await
        .expect("it may be listed")
        .into_inner();
    let events = ListEventsRequest {
        account_id,
        page_size: 1_000,
        ..Default::default()
    };
    let events = operator.events.clone().list_events(events).await;
    let events = events.expect("it may be listed").into_inner();
    format!("{account:#?}\n{role:#?}\n{principal:#?}\n{tokens:#?}\n{events:#?}")
}

#[tokio::test]
async fn everything_acknowledged_is_there_after_every_restart() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let mut directory = operator.directory.clone();
    let key = CreateAccountKeyRequest {
        account_id: "acme".into(),
    };
    directory.create_account_key(key).await.unwrap();
    let role = CreateRoleRequest {
        account_id: "acme".into(),
        role_id: "reader".into(),
        grants: vec!["tables/*:read".into()],
        ..Default::default()
    };
    directory.create_role(role).await.unwrap();
    let principal = CreatePrincipalRequest {
        account_id: "acme".into(),
        principal_id: "sync".into(),
        state: PrincipalState::Active.into(),
        api_user: true,
        role_ids: vec!["reader".into()],
        ..Default::default()
    };
    directory.create_principal(principal).await.unwrap();
    let texts = texts(&operator).await;

    let mut before = picture(&operator).await;
    server.stop().await;
    for _ in 0..3 {
        let server = home.start().await;
        let operator = server.operator();
        assert_eq!(picture(&operator).await, before);
        for (text, answer) in &texts {
            assert_eq!(operator.decide(text).await, *answer);
        }
        let mut events = operator.events.clone();
        let verified = events.verify_events(VerifyEventsRequest::default());
        assert!(verified.await.unwrap().into_inner().intact);
        before = picture(&operator).await;
        server.stop().await;
    }
}

/// Secrets in several states, with the answer that each has to get.
async fn texts(operator: &Client) -> Vec<(String, Answer)> {
    let mut credentials = operator.credentials.clone();
    let mut texts = Vec::new();
    for n in 0..20 {
        let made = operator.token("acme", &format!("token {n}")).await;
        let token_id = made.token.expect("an answer has its token").id;
        let get = credentials.get_token(GetTokenRequest {
            token_id: token_id.clone(),
        });
        get.await.expect("read your own writes");
        let answer = match n % 3 {
            0 => ALLOW,
            1 => {
                let stop = DeactivateTokenRequest {
                    token_id,
                    ..Default::default()
                };
                credentials
                    .deactivate_token(stop)
                    .await
                    .expect("it may be stopped");
                Err(DenyReason::Inactive)
            }
            _ => {
                let rekey = RekeyRequest {
                    token_id,
                    ..Default::default()
                };
                let rekeyed = credentials.rekey(rekey).await.expect("it may be rekeyed");
                texts.push((rekeyed.into_inner().secret, ALLOW));
                ALLOW
            }
        };
        texts.push((made.secret, answer));
    }
    texts
}
