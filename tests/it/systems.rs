//! The three systems that must work, each in short; what they say sentence by sentence is walked elsewhere, from outside.

use std::time::Duration;

use keyward::api::proto::create_token_request::Expiry;
use keyward::api::proto::validate_credentials_request::Presented;
use keyward::api::proto::{
    CreateAccountKeyRequest, CreatePrincipalRequest, CreateRoleRequest, CreateTokenRequest,
    DeactivateTokenRequest, DeleteTokenRequest, DenyReason, Permission, Principal, PrincipalState,
    ReactivateTokenRequest, RekeyRequest, Token, UpdatePrincipalRequest, UpdateTokenRequest,
    ValidateCredentialsRequest, ValidateCredentialsResponse,
};
use keyward::domain::time::Timestamp;
use prost_types::FieldMask;
use tonic::Code;

use crate::harness::{ALLOW, Answer, Client, Home, START, decision, error, refused, wire};

/// 2027-01-16 00:00 UTC, the date that tests' tokens end on.
const MIDNIGHT: Timestamp = Timestamp::from_millis(1_800_057_600_000);

/// A principal of `acme` that reads tables, where it is an API user.
async fn principal(operator: &Client, id: &str, api_user: bool) {
    let mut directory = operator.directory.clone();
    let role_id = format!("{id}-role");
    let role = CreateRoleRequest {
        account_id: "acme".into(),
        role_id: role_id.clone(),
        grants: vec!["tables/*:read".into()],
        ..Default::default()
    };
    directory.create_role(role).await.expect("it may be made");
    let principal = CreatePrincipalRequest {
        account_id: "acme".into(),
        principal_id: id.into(),
        state: PrincipalState::Active.into(),
        api_user,
        role_ids: vec![role_id],
        ..Default::default()
    };
    directory
        .create_principal(principal)
        .await
        .expect("it may be made");
}

async fn set_state(operator: &Client, id: &str, state: PrincipalState) {
    let request = UpdatePrincipalRequest {
        principal: Some(Principal {
            account_id: "acme".into(),
            id: id.into(),
            state: state.into(),
            ..Default::default()
        }),
        update_mask: Some(mask("state")),
    };
    operator
        .directory
        .clone()
        .update_principal(request)
        .await
        .expect("it may be changed");
}

fn mask(path: &str) -> FieldMask {
    FieldMask {
        paths: vec![path.into()],
    }
}

/// What is presented beside a token's text, and what it is for.
async fn ask(
    operator: &Client,
    text: &str,
    key: &str,
    required: Option<(&str, &str)>,
) -> ValidateCredentialsResponse {
    let permission = |(resource, action): (&str, &str)| Permission {
        resource: resource.into(),
        action: action.into(),
    };
    let request = ValidateCredentialsRequest {
        presented: Some(Presented::Token(text.into())),
        account_key: key.into(),
        required: required.map(permission),
        ..Default::default()
    };
    operator.validate(request).await
}

#[tokio::test]
async fn integration_tokens_act_for_an_api_user_beside_the_accounts_key_until_their_date() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "integration-tokens").await;
    let mut directory = operator.directory.clone();
    let make_key = CreateAccountKeyRequest {
        account_id: "acme".into(),
    };
    let key = directory
        .create_account_key(make_key.clone())
        .await
        .unwrap();
    let key = key.into_inner().account.unwrap().account_key;
    assert_eq!(
        refused(directory.create_account_key(make_key).await),
        error(Code::FailedPrecondition, "ACCOUNT_KEY_EXISTS")
    );
    principal(&operator, "sync", true).await;
    principal(&operator, "person", false).await;

    let good = CreateTokenRequest {
        account_id: "acme".into(),
        name: "Order sync".into(),
        principal_id: "sync".into(),
        expiry: Some(Expiry::ExpireDate("2027-01-16".into())),
        ..Default::default()
    };
    let person = CreateTokenRequest {
        principal_id: "person".into(),
        ..good.clone()
    };
    assert_eq!(
        refused(operator.create(person).await),
        error(Code::FailedPrecondition, "PRINCIPAL_NOT_API_USER")
    );
    for lacking in [
        CreateTokenRequest {
            expiry: None,
            ..good.clone()
        },
        CreateTokenRequest {
            principal_id: String::new(),
            ..good.clone()
        },
    ] {
        assert_eq!(
            refused(operator.create(lacking).await),
            error(Code::InvalidArgument, "INVALID_FIELD")
        );
    }
    let made = operator.create(good).await.unwrap();
    let (id, text) = (made.token.unwrap().id, made.secret);

    let answer = async |key: &str| decision(&ask(&operator, &text, key, None).await);
    assert_eq!(answer(&key).await, ALLOW);
    for wrong in ["", "another"] {
        assert_eq!(answer(wrong).await, Err(DenyReason::AccountKeyMismatch));
    }
    let write = ask(&operator, &text, &key, Some(("tables/orders", "write"))).await;
    assert_eq!(
        decision(&write),
        Err(DenyReason::PermissionDenied),
        "its role only reads"
    );
    let read = ask(&operator, &text, &key, Some(("tables/orders", "read"))).await;
    assert_eq!(
        (decision(&read), read.principal_id.as_str()),
        (ALLOW, "sync")
    );

    set_state(&operator, "sync", PrincipalState::Disabled).await;
    assert_eq!(answer(&key).await, Err(DenyReason::PrincipalDisabled));
    set_state(&operator, "sync", PrincipalState::Active).await;
    assert_eq!(answer(&key).await, ALLOW);
    frozen(&operator, &id).await;

    home.clock
        .set(Timestamp::from_millis(MIDNIGHT.as_millis() - 1));
    assert_eq!(answer(&key).await, ALLOW);
    home.clock.set(MIDNIGHT);
    assert_eq!(answer(&key).await, Err(DenyReason::Expired));
    the_dead_stay_dead(&operator, &id).await;
    assert_eq!(answer(&key).await, Err(DenyReason::Unknown));
    server.stop().await;
}

/// Name, API user and expiry never change.
async fn frozen(operator: &Client, id: &str) {
    let token = Token {
        id: id.into(),
        name: "another".into(),
        principal_id: "person".into(),
        ..Default::default()
    };
    for path in ["name", "principal_id", "expire_time"] {
        let request = UpdateTokenRequest {
            token: Some(token.clone()),
            update_mask: Some(mask(path)),
        };
        assert_eq!(
            refused(operator.credentials.clone().update_token(request).await),
            error(Code::FailedPrecondition, "TOKEN_FROZEN"),
            "{path}"
        );
    }
}

/// An expired token can be neither resumed nor renewed, only deleted.
async fn the_dead_stay_dead(operator: &Client, id: &str) {
    let mut credentials = operator.credentials.clone();
    let expired = error(Code::FailedPrecondition, "TOKEN_EXPIRED");
    let resume = ReactivateTokenRequest {
        token_id: id.into(),
        ..Default::default()
    };
    assert_eq!(refused(credentials.reactivate_token(resume).await), expired);
    let renew = RekeyRequest {
        token_id: id.into(),
        ..Default::default()
    };
    assert_eq!(refused(credentials.rekey(renew).await), expired);
    let delete = DeleteTokenRequest {
        token_id: id.into(),
        ..Default::default()
    };
    credentials.delete_token(delete).await.expect("it is dead");
}

#[tokio::test]
async fn an_old_access_key_works_for_four_more_hours_in_the_name_of_its_proxy() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "access-keys").await;
    principal(&operator, "proxy", false).await;
    let request = CreateTokenRequest {
        account_id: "acme".into(),
        name: "Fleet".into(),
        principal_id: "proxy".into(),
        grants: vec!["dispatch".into()],
        ..Default::default()
    };
    let made = operator.create(request).await.unwrap();
    let (id, old) = (made.token.unwrap().id, made.secret);
    let dispatch = async |text: &str| {
        let answer = ask(&operator, text, "", Some(("dispatch", ""))).await;
        assert!(
            decision(&answer) != ALLOW || answer.principal_id == "proxy",
            "{answer:?}"
        );
        decision(&answer)
    };
    assert_eq!(dispatch(&old).await, ALLOW);
    set_state(&operator, "proxy", PrincipalState::Disabled).await;
    assert_eq!(dispatch(&old).await, ALLOW, "its status is ignored");

    let rekey = RekeyRequest {
        token_id: id,
        ..Default::default()
    };
    let answer = operator
        .credentials
        .clone()
        .rekey(rekey)
        .await
        .unwrap()
        .into_inner();
    let end = START.after(Duration::from_secs(4 * 3_600));
    assert_eq!(answer.old_secret_good_until, Some(wire(end)));
    home.clock.set(Timestamp::from_millis(end.as_millis() - 1));
    let last = ask(&operator, &old, "", None).await;
    assert_eq!(
        (decision(&last), last.secret_good_until),
        (ALLOW, Some(wire(end)))
    );
    home.clock.set(end);
    assert_eq!(dispatch(&old).await, Err(DenyReason::Superseded));
    assert_eq!(dispatch(&answer.secret).await, ALLOW);
    server.stop().await;
}

#[tokio::test]
async fn application_keys_are_three_an_account_come_as_basic_and_die_with_their_reset() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "application-keys").await;
    let mut made = Vec::new();
    for name in ["one", "two", "three"] {
        made.push(operator.token("acme", name).await);
    }
    let fourth = CreateTokenRequest {
        account_id: "acme".into(),
        name: "four".into(),
        ..Default::default()
    };
    let full = error(Code::ResourceExhausted, "TOKEN_LIMIT");
    assert_eq!(refused(operator.create(fourth.clone()).await), full);

    let id = made[0].token.clone().unwrap().id;
    assert_eq!(basic(&operator, &made[0].basic_authorization).await, ALLOW);
    let reset = RekeyRequest {
        token_id: id.clone(),
        ..Default::default()
    };
    let reset = operator
        .credentials
        .clone()
        .rekey(reset)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        basic(&operator, &made[0].basic_authorization).await,
        Err(DenyReason::Superseded)
    );
    assert_eq!(basic(&operator, &reset.basic_authorization).await, ALLOW);

    // A dead one counts until it is deleted.
    let mut credentials = operator.credentials.clone();
    let stop = DeactivateTokenRequest {
        token_id: id.clone(),
        ..Default::default()
    };
    credentials.deactivate_token(stop).await.unwrap();
    assert_eq!(refused(operator.create(fourth.clone()).await), full);
    let delete = DeleteTokenRequest {
        token_id: id,
        ..Default::default()
    };
    credentials.delete_token(delete).await.unwrap();
    operator.create(fourth).await.unwrap();
    server.stop().await;
}

async fn basic(operator: &Client, header: &str) -> Answer {
    let request = ValidateCredentialsRequest {
        presented: Some(Presented::Authorization(header.into())),
        ..Default::default()
    };
    decision(&operator.validate(request).await)
}
