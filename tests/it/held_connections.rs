//! Connections that are held: as many as a token may have, told when it stops being good, and given back whatever happens.

use std::net::SocketAddr;
use std::time::Duration;

use keyward::api::proto::validate_credentials_request::Presented;
use keyward::api::proto::{
    Account, Activation, CompleteRekeyRequest, CreateAccountKeyRequest, CreatePrincipalRequest,
    CreateRoleRequest, CreateTokenRequest, DeactivateTokenRequest, DeleteTokenRequest, DenyReason,
    EventType, HoldConnectionRequest, HoldConnectionResponse, Permission, Principal,
    PrincipalState, RateLimit, RekeyRequest, Role, Token, UpdateAccountRequest,
    UpdatePrincipalRequest, UpdateRoleRequest, UpdateTokenRequest, ValidateCredentialsRequest,
};
use prost_types::FieldMask;
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};

use crate::harness::{
    ALLOW, Answer, Client, Home, START, decision, error, eventually, refused, wire,
};
use crate::process::Place;

const MINUTE: Duration = Duration::from_secs(60);

type Stream = Streaming<HoldConnectionResponse>;

fn bare(text: &str) -> ValidateCredentialsRequest {
    ValidateCredentialsRequest {
        presented: Some(Presented::Token(text.into())),
        ..Default::default()
    }
}

/// Asks for a connection: the decision, and the stream after it.
async fn ask(
    client: &Client,
    request: ValidateCredentialsRequest,
) -> Result<(HoldConnectionResponse, Stream), Status> {
    let request = HoldConnectionRequest {
        request: Some(request),
    };
    let mut stream = client
        .credentials
        .clone()
        .hold_connection(request)
        .await?
        .into_inner();
    let first = stream.message().await?;
    Ok((first.expect("a stream begins with the decision"), stream))
}

/// A connection that is held.
async fn hold(client: &Client, text: &str) -> Stream {
    let (first, stream) = ask(client, bare(text)).await.expect("it is decided");
    assert_eq!(answer(&first), ALLOW);
    stream
}

fn answer(message: &HoldConnectionResponse) -> Answer {
    decision(message.response.as_ref().expect("a message has its answer"))
}

/// A hold that is refused: why.
async fn denied(client: &Client, text: &str) -> Answer {
    let (first, mut stream) = ask(client, bare(text)).await.expect("it is decided");
    assert!(matches!(stream.message().await, Ok(None)), "it has ended");
    answer(&first)
}

/// What the holder is told: the withdrawal, and nothing else.
async fn told(mut stream: Stream) -> DenyReason {
    let message = next(&mut stream).await.expect("no error");
    let reason = answer(&message.expect("it is told")).expect_err("it is withdrawn");
    assert!(matches!(next(&mut stream).await, Ok(None)), "it has ended");
    reason
}

async fn next(stream: &mut Stream) -> Result<Option<HoldConnectionResponse>, Status> {
    let waited = tokio::time::timeout(Duration::from_secs(20), stream.message());
    waited.await.expect("something is heard")
}

/// Holds one as soon as there is room.
async fn hold_soon(client: &Client, text: &str) -> Stream {
    eventually("room for a connection", async || {
        let (first, stream) = ask(client, bare(text)).await.ok()?;
        answer(&first).is_ok().then_some(stream)
    })
    .await
}

/// An application key: its id and its secret.
async fn application_key(operator: &Client) -> (String, String) {
    operator.account("apps", "application-keys").await;
    let made = operator.token("apps", "Dispatch").await;
    (made.token.expect("it has its token").id, made.secret)
}

async fn deactivate(operator: &Client, token_id: &str) {
    let request = DeactivateTokenRequest {
        token_id: token_id.into(),
        ..Default::default()
    };
    let done = operator.credentials.clone().deactivate_token(request).await;
    done.expect("it may be stopped");
}

async fn rekey(operator: &Client, token_id: &str, grace: i64) -> String {
    let request = RekeyRequest {
        token_id: token_id.into(),
        grace: Some(prost_types::Duration {
            seconds: grace,
            nanos: 0,
        }),
        activation: Activation::AtOnce.into(),
        ..Default::default()
    };
    let done = operator.credentials.clone().rekey(request).await;
    done.expect("it may be rekeyed").into_inner().secret
}

fn mask(path: &str) -> Option<FieldMask> {
    Some(FieldMask {
        paths: vec![path.into()],
    })
}

#[tokio::test]
async fn three_connections_of_an_application_key_and_not_a_fourth() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    let (_, secret) = application_key(&operator).await;
    let mut held = Vec::new();
    for count in 1..=3 {
        let (first, stream) = ask(&operator, bare(&secret)).await.expect("it is decided");
        assert_eq!(answer(&first), ALLOW);
        assert_eq!((first.held, first.limit), (count, 3));
        held.push(stream);
    }
    assert_eq!(
        denied(&operator, &secret).await,
        Err(DenyReason::TooManyConnections)
    );
    let tried = ValidateCredentialsRequest {
        dry_run: true,
        ..bare(&secret)
    };
    let tried = operator.validate(tried).await;
    assert_eq!(decision(&tried), ALLOW, "a validation holds none");
    let steps = tried.steps.iter();
    let told = steps.filter(|step| step.rule == "connections");
    let told: Vec<&str> = told.map(|step| step.detail.as_str()).collect();
    assert_eq!(told, ["3 of the token's 3 connections are held"]);
    let quota = tried.quota.expect("the account has daily calls");
    assert_eq!(quota.remaining, 2_497, "each of them was a call");
    held.pop();
    hold_soon(&operator, &secret).await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_refused_for_another_reason_holds_nothing() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("apps", "application-keys").await;
    let request = CreateTokenRequest {
        account_id: "apps".into(),
        name: "slow".into(),
        rate_limit: Some(RateLimit {
            calls: 1,
            per: Some(prost_types::Duration {
                seconds: 3_600,
                nanos: 0,
            }),
            burst: 1,
        }),
        ..Default::default()
    };
    let made = operator.create(request).await.expect("it may be made");
    let first = hold(&operator, &made.secret).await;
    for _ in 0..3 {
        let (second, _) = ask(&operator, bare(&made.secret))
            .await
            .expect("it is decided");
        assert_eq!(answer(&second), Err(DenyReason::RateLimited));
        assert_eq!((second.held, second.limit), (1, 3));
    }
    drop(first);
    server.stop().await;
}

#[tokio::test]
async fn a_token_without_a_limit_holds_any_number_and_dry_runs_hold_none() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let secret = operator.token("acme", "free").await.secret;
    let mut held = Vec::new();
    for count in 1..=10 {
        let (first, stream) = ask(&operator, bare(&secret)).await.expect("it is decided");
        assert_eq!((first.held, first.limit), (count, 0));
        held.push(stream);
    }
    let invalid = error(Code::InvalidArgument, "INVALID_FIELD");
    let tried = ValidateCredentialsRequest {
        dry_run: true,
        ..bare(&secret)
    };
    assert_eq!(refused(ask(&operator, tried).await), invalid);
    let nothing = HoldConnectionRequest { request: None };
    let answer = operator.credentials.clone().hold_connection(nothing).await;
    assert_eq!(refused(answer), invalid);
    assert_eq!(
        denied(&operator, "kw_test_garbage").await,
        Err(DenyReason::Malformed)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_slot_comes_back_when_the_call_is_reset_or_the_connection_lost() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    let (_, secret) = application_key(&operator).await;
    let near: Vec<Stream> = [
        hold(&operator, &secret).await,
        hold(&operator, &secret).await,
    ]
    .into();
    let (address, lost) = wire_between(server.address).await;
    let text = operator
        .operator(&["keyward/credentials:validate"], "")
        .await;
    let far = hold(&Client::new(address, Some(&text)), &secret).await;
    let all_held = Err(DenyReason::TooManyConnections);
    assert_eq!(denied(&operator, &secret).await, all_held);
    lost.abort();
    let third = hold_soon(&operator, &secret).await;
    assert_eq!(denied(&operator, &secret).await, all_held);
    drop(near);
    let again = [
        hold_soon(&operator, &secret).await,
        hold_soon(&operator, &secret).await,
    ];
    assert_eq!(denied(&operator, &secret).await, all_held);
    drop((far, third, again));
    server.stop().await;
}

/// A wire to a server that can be cut through by ending its task.
async fn wire_between(server: SocketAddr) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("it is free");
    let address = listener.local_addr().expect("it is bound");
    let wire = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.expect("somebody connects");
        let mut far = TcpStream::connect(server).await.expect("the server runs");
        drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
    });
    (address, wire)
}

#[tokio::test]
async fn the_holder_is_told_of_the_end_of_its_token() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let make = async || {
        let made = operator.token("acme", "t").await;
        (made.token.expect("it has its token").id, made.secret)
    };

    let (id, secret) = make().await;
    let held = [
        hold(&operator, &secret).await,
        hold(&operator, &secret).await,
    ];
    deactivate(&operator, &id).await;
    for stream in held {
        assert_eq!(told(stream).await, DenyReason::Inactive);
    }
    let cut = eventually("the event", async || {
        let events = operator.events_of(&id).await;
        events
            .into_iter()
            .find(|event| event.r#type() == EventType::ConnectionCut)
    })
    .await;
    assert_eq!((&*cut.account_id, &*cut.actor), ("acme", "keyward"));
    assert_eq!(cut.details["reason"], "INACTIVE");
    assert_eq!(cut.details["count"], "2", "one event for both");

    let (id, secret) = make().await;
    let held = hold(&operator, &secret).await;
    rekey(&operator, &id, 0).await;
    assert_eq!(told(held).await, DenyReason::Superseded);

    let (id, secret) = make().await;
    let old = hold(&operator, &secret).await;
    let new = hold(&operator, &rekey(&operator, &id, 60).await).await;
    home.clock.advance(MINUTE);
    assert_eq!(told(old).await, DenyReason::Superseded);
    deactivate(&operator, &id).await;
    assert_eq!(told(new).await, DenyReason::Inactive, "and not before");

    let request = CreateTokenRequest {
        account_id: "acme".into(),
        name: "short".into(),
        expiry: Some(
            keyward::api::proto::create_token_request::Expiry::ExpireTime(wire(
                START.after(2 * MINUTE),
            )),
        ),
        ..Default::default()
    };
    let made = operator.create(request).await.expect("it may be made");
    let held = hold(&operator, &made.secret).await;
    home.clock.advance(MINUTE);
    assert_eq!(told(held).await, DenyReason::Expired);
    server.stop().await;
}

#[tokio::test]
async fn a_holder_of_a_deleted_token_is_told_that_it_is_unknown() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let made = operator.token("acme", "t").await;
    let id = made.token.expect("it has its token").id;
    let held = hold(&operator, &made.secret).await;
    // Both changes come within one look of whoever tells: the reason is one of the two.
    deactivate(&operator, &id).await;
    let request = DeleteTokenRequest {
        token_id: id,
        ..Default::default()
    };
    let deleted = operator.credentials.clone().delete_token(request).await;
    deleted.expect("it may be deleted");
    let reason = told(held).await;
    assert!(
        [DenyReason::Inactive, DenyReason::Unknown].contains(&reason),
        "{reason:?}"
    );
    server.stop().await;
}

/// An API user's token whose role lets it read orders: the request to hold it.
async fn integration(operator: &Client) -> ValidateCredentialsRequest {
    let account_id = || String::from("acme");
    operator.account("acme", "integration-tokens").await;
    let mut directory = operator.directory.clone();
    let key = directory.create_account_key(CreateAccountKeyRequest {
        account_id: account_id(),
    });
    let key = key.await.expect("it may be made").into_inner();
    let role = CreateRoleRequest {
        account_id: account_id(),
        role_id: "reader".into(),
        grants: vec!["tables/orders:read".into()],
        ..Default::default()
    };
    directory.create_role(role).await.expect("it may be made");
    let principal = CreatePrincipalRequest {
        account_id: account_id(),
        principal_id: "sync".into(),
        state: PrincipalState::Active.into(),
        api_user: true,
        role_ids: vec!["reader".into()],
        ..Default::default()
    };
    directory
        .create_principal(principal)
        .await
        .expect("it may be made");
    let token = CreateTokenRequest {
        account_id: account_id(),
        name: "sync".into(),
        principal_id: "sync".into(),
        expiry: Some(
            keyward::api::proto::create_token_request::Expiry::ExpireTime(wire(
                START.after(60 * MINUTE),
            )),
        ),
        ..Default::default()
    };
    let made = operator.create(token).await.expect("it may be made");
    ValidateCredentialsRequest {
        account_key: key.account.expect("it has its account").account_key,
        required: Some(Permission {
            resource: "tables/orders".into(),
            action: "read".into(),
        }),
        ..bare(&made.secret)
    }
}

#[tokio::test]
async fn the_holder_is_told_when_its_principal_its_role_or_its_account_stops() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    let request = integration(&operator).await;
    let hold = async || {
        let (first, stream) = ask(&operator, request.clone())
            .await
            .expect("it is decided");
        assert_eq!(answer(&first), ALLOW);
        stream
    };
    let mut directory = operator.directory.clone();

    let held = hold().await;
    let mut grants = async |grant: &str| {
        let role = UpdateRoleRequest {
            role: Some(Role {
                id: "reader".into(),
                account_id: "acme".into(),
                grants: vec![grant.into()],
                ..Default::default()
            }),
            update_mask: mask("grants"),
        };
        directory.update_role(role).await.expect("it may change");
    };
    grants("tables/bills:read").await;
    assert_eq!(told(held).await, DenyReason::PermissionDenied);
    grants("tables/*:read").await;

    let held = hold().await;
    let mut directory = operator.directory.clone();
    let mut state = async |state: PrincipalState| {
        let principal = UpdatePrincipalRequest {
            principal: Some(Principal {
                id: "sync".into(),
                account_id: "acme".into(),
                state: state.into(),
                ..Default::default()
            }),
            update_mask: mask("state"),
        };
        directory
            .update_principal(principal)
            .await
            .expect("it may change");
    };
    state(PrincipalState::Disabled).await;
    assert_eq!(told(held).await, DenyReason::PrincipalDisabled);
    state(PrincipalState::Active).await;

    let held = hold().await;
    let account = UpdateAccountRequest {
        account: Some(Account {
            id: "acme".into(),
            disabled: true,
            ..Default::default()
        }),
        update_mask: mask("disabled"),
    };
    let mut directory = operator.directory.clone();
    directory
        .update_account(account)
        .await
        .expect("it may change");
    assert_eq!(told(held).await, DenyReason::AccountDisabled);
    server.stop().await;
}

#[tokio::test]
async fn nobody_is_told_of_what_changes_nothing_or_of_lower_limits() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    let (id, secret) = application_key(&operator).await;
    let held = [
        hold(&operator, &secret).await,
        hold(&operator, &secret).await,
    ];
    let other = operator.token("apps", "another").await;
    deactivate(&operator, &other.token.expect("it has its token").id).await;
    let update = |path: &str| UpdateTokenRequest {
        token: Some(Token {
            id: id.clone(),
            name: "renamed".into(),
            max_connections: 1,
            ..Default::default()
        }),
        update_mask: mask(path),
    };
    for path in ["name", "max_connections"] {
        let mut credentials = operator.credentials.clone();
        let updated = credentials.update_token(update(path)).await;
        updated.expect("it may change");
    }
    assert_eq!(
        denied(&operator, &secret).await,
        Err(DenyReason::TooManyConnections),
        "whoever comes now"
    );
    deactivate(&operator, &id).await;
    for stream in held {
        assert_eq!(told(stream).await, DenyReason::Inactive, "and nothing else");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_caller_that_is_nobody_any_more_loses_what_it_holds() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    let (_, secret) = application_key(&operator).await;
    let request = CreateTokenRequest {
        account_id: "system".into(),
        name: "service".into(),
        grants: vec!["keyward/credentials:validate".into()],
        ..Default::default()
    };
    let made = operator.create(request).await.expect("it may be made");
    let mut held = hold(&server.caller(&made.secret), &secret).await;
    deactivate(&operator, &made.token.expect("it has its token").id).await;
    assert_eq!(
        refused(next(&mut held).await),
        error(Code::Unauthenticated, "UNAUTHENTICATED")
    );
    server.stop().await;
}

#[tokio::test]
async fn a_server_holds_as_many_connections_as_it_may() {
    let home = Home::new();
    let server = home
        .start_with(&["--max-held=2"])
        .await
        .expect("it may start");
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let secret = operator.token("acme", "t").await.secret;
    let one = hold(&operator, &secret).await;
    let _other = hold(&operator, &secret).await;
    assert_eq!(
        refused(ask(&operator, bare(&secret)).await),
        error(Code::Unavailable, "TOO_MANY_HELD")
    );
    drop(one);
    hold_soon(&operator, &secret).await;
    server.stop().await;
}

#[tokio::test]
async fn an_orderly_end_is_told_and_leaves_every_slot_free() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    let (_, secret) = application_key(&operator).await;
    let mut held = [
        hold(&operator, &secret).await,
        hold(&operator, &secret).await,
        hold(&operator, &secret).await,
    ];
    let stopping = tokio::spawn(server.stop());
    for stream in &mut held {
        assert_eq!(
            refused(next(stream).await),
            error(Code::Unavailable, "SHUTTING_DOWN")
        );
    }
    stopping.await.expect("it ends");
    let server = home.start().await;
    for stream in &mut held {
        *stream = hold(&server.operator(), &secret).await;
    }
    drop(held);
    server.stop().await;
}

#[tokio::test]
async fn after_a_kill_every_slot_is_free_at_once() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let operator = server.operator();
    let (_, secret) = application_key(&operator).await;
    for _ in 0..3 {
        drop(hold(&operator, &secret).await);
    }
    let held = [
        hold_soon(&operator, &secret).await,
        hold_soon(&operator, &secret).await,
        hold_soon(&operator, &secret).await,
    ];
    server.kill().await;
    drop(held);
    let server = place.serve(&[]).await;
    let operator = server.operator();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(hold(&operator, &secret).await);
    }
    assert_eq!(
        denied(&operator, &secret).await,
        Err(DenyReason::TooManyConnections)
    );
    drop(held);
    server.stop().await;
}

#[tokio::test]
async fn a_reader_too_slow_to_hear_it_loses_its_connection() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    let (id, secret) = application_key(&operator).await;
    let text = operator
        .operator(&["keyward/credentials:validate"], "")
        .await;
    // It has no room for a single byte of a message.
    let channel = Endpoint::from_shared(format!("http://{}", server.address))
        .expect("it is an address")
        .initial_stream_window_size(0)
        .connect_lazy();
    let slow = Client::over(channel, Some(&text));
    let request = HoldConnectionRequest {
        request: Some(bare(&secret)),
    };
    let answer = slow.credentials.clone().hold_connection(request).await;
    let mut stream = answer.expect("it begins").into_inner();
    deactivate(&operator, &id).await;
    let lost = next(&mut stream).await.expect_err("it is lost");
    assert_ne!(lost.code(), Code::Ok);
    server.stop().await;
}

#[tokio::test]
async fn a_secret_is_in_use_for_as_long_as_a_connection_is_held_on_it() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let made = operator.token("acme", "one").await;
    let token_id = made.token.unwrap().id;
    let held = HoldConnectionRequest {
        request: Some(ValidateCredentialsRequest {
            consumer: "billing".into(),
            ..bare(&made.secret)
        }),
    };
    let mut credentials = operator.credentials.clone();
    let stream = credentials.hold_connection(held).await.unwrap();
    rekey(&operator, &token_id, 7 * 86_400).await;
    home.clock.advance(Duration::from_secs(2 * 86_400));
    let complete = || CompleteRekeyRequest {
        token_id: token_id.clone(),
        if_old_idle_for: prost_types::Duration::try_from(Duration::from_secs(3_600)).ok(),
        ..Default::default()
    };
    let in_use = credentials.complete_rekey(complete()).await.unwrap_err();
    assert_eq!(in_use.code(), Code::FailedPrecondition);
    assert!(in_use.message().contains("billing"), "{in_use:?}");
    let stop = DeactivateTokenRequest {
        token_id: token_id.clone(),
        validate_only: true,
        ..Default::default()
    };
    let stopped = credentials.deactivate_token(stop).await.unwrap();
    assert_eq!(stopped.get_ref().consumers[0].name, "billing");
    drop(stream);
    eventually("the old secret to be idle", async || {
        home.clock.advance(Duration::from_secs(3_600));
        credentials.complete_rekey(complete()).await.ok()
    })
    .await;
    server.stop().await;
}
