//! What the server says by itself: that tokens expire, once for each notice, and that they have; that a superseded secret is in use.

use std::time::Duration;

use keyward::api::proto::create_account_request::Terms;
use keyward::api::proto::create_token_request::Expiry;
use keyward::api::proto::validate_credentials_request::Presented;
use keyward::api::proto::{
    Account, AccountPolicy, CreateAccountRequest, CreateTokenRequest, DenyReason, Event, EventType,
    RekeyRequest, UpdateAccountRequest, ValidateCredentialsRequest,
};
use keyward::domain::time::Timestamp;
use prost_types::FieldMask;

use crate::harness::{Client, Home, START, eventually, wire};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_token_is_announced_before_it_expires_and_when_it_has_across_restarts() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    account(&operator, &[DAY, HOUR]).await;
    let end = START.after(2 * DAY);
    let id = ending(&operator, end).await;
    home.clock.set(end.before(DAY));
    let announced = told(&operator, &id, 1).await;
    let day = &announced[0];
    assert_eq!(day.r#type(), EventType::TokenExpiring);
    assert_eq!((&*day.actor, &*day.account_id), ("keyward", "acme"));
    assert_eq!(day.details["notice_seconds"], "86400");
    assert_eq!(day.details["expire_time"], "2027-01-17T08:00:00Z");
    assert_eq!(day.time, Some(wire(end.before(DAY))));
    server.stop().await;

    home.clock.set(end.before(HOUR));
    let server = home.start().await;
    let operator = server.operator();
    let announced = told(&operator, &id, 2).await;
    assert_eq!(announced[0].details["notice_seconds"], "3600");
    home.clock.set(end);
    let announced = told(&operator, &id, 3).await;
    assert_eq!(announced[0].r#type(), EventType::TokenExpired);
    assert_eq!(announced[0].time, Some(wire(end)));
    server.stop().await;

    let server = home.start().await;
    assert_eq!(told(&server.operator(), &id, 3).await, announced, "once");
    server.stop().await;
}

#[tokio::test]
async fn a_changed_policy_announces_the_tokens_that_there_are() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    account(&operator, &[]).await;
    let id = ending(&operator, START.after(HOUR)).await;
    let request = UpdateAccountRequest {
        account: Some(Account {
            id: "acme".into(),
            policy: Some(noticing(&[DAY])),
            ..Default::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["policy.notify_before_expiry".into()],
        }),
    };
    let mut directory = operator.directory.clone();
    directory.update_account(request).await.unwrap();
    let announced = told(&operator, &id, 1).await;
    assert_eq!(announced[0].details["notice_seconds"], "86400");
    server.stop().await;
}

/// The first use at once, the others when the hour is over or the server stops.
#[tokio::test]
async fn no_use_of_a_superseded_secret_stays_untold() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    account(&operator, &[]).await;
    let made = operator.token("acme", "leaked").await;
    let id = made.token.unwrap().id;
    let rekey = RekeyRequest {
        token_id: id.clone(),
        ..Default::default()
    };
    operator.credentials.clone().rekey(rekey).await.unwrap();
    let used = async |address: &str| {
        let question = ValidateCredentialsRequest {
            presented: Some(Presented::Token(made.secret.clone())),
            client_address: address.into(),
            ..Default::default()
        };
        let answer = operator.validate(question).await;
        assert_eq!(answer.reason(), DenyReason::Superseded);
    };
    used("192.0.2.1").await;
    let told = misused(&operator, &id, 1).await;
    assert_eq!(told[0].details["count"], "1");
    for address in ["192.0.2.2", "192.0.2.3"] {
        used(address).await;
    }
    home.clock.advance(HOUR);
    let told = misused(&operator, &id, 2).await;
    assert_eq!(told[0].details["count"], "2");
    assert_eq!(told[0].details["client_address"], "192.0.2.3");
    used("192.0.2.4").await;
    server.stop().await;

    let server = home.start().await;
    let told = misused(&server.operator(), &id, 3).await;
    assert_eq!(told[0].details["count"], "1");
    assert_eq!(told[0].details["client_address"], "192.0.2.4");
    server.stop().await;
}

fn noticing(ahead: &[Duration]) -> AccountPolicy {
    let wire = |span: &Duration| prost_types::Duration::try_from(*span).expect("a short span");
    AccountPolicy {
        notify_before_expiry: ahead.iter().map(wire).collect(),
        ..Default::default()
    }
}

async fn account(operator: &Client, ahead: &[Duration]) {
    let request = CreateAccountRequest {
        account_id: "acme".into(),
        terms: Some(Terms::Policy(noticing(ahead))),
        ..Default::default()
    };
    let made = operator.directory.clone().create_account(request).await;
    made.expect("an account");
}

async fn ending(operator: &Client, end: Timestamp) -> String {
    let request = CreateTokenRequest {
        account_id: "acme".into(),
        name: "ending".into(),
        expiry: Some(Expiry::ExpireTime(wire(end))),
        ..Default::default()
    };
    let made = operator
        .create(request)
        .await
        .expect("it ends in the future");
    made.token.expect("a token").id
}

/// Waits for so many announcements of a token; the newest first.
async fn told(operator: &Client, id: &str, count: usize) -> Vec<Event> {
    let announces = [EventType::TokenExpiring, EventType::TokenExpired];
    events(operator, id, &announces, count).await
}

/// Waits for so many lines about the use of a token's superseded secrets; the newest first.
async fn misused(operator: &Client, id: &str, count: usize) -> Vec<Event> {
    events(operator, id, &[EventType::SupersededSecretUsed], count).await
}

async fn events(operator: &Client, id: &str, kinds: &[EventType], count: usize) -> Vec<Event> {
    let events = eventually("the events", async || {
        let mut events = operator.events_of(id).await;
        events.retain(|event| kinds.contains(&event.r#type()));
        (events.len() >= count).then_some(events)
    })
    .await;
    assert_eq!(events.len(), count, "{events:?}");
    events
}
