//! Expiring tokens are announced: the server says it by itself, once for each notice, and once that they have expired.

use std::time::Duration;

use keyward::api::proto::create_account_request::Terms;
use keyward::api::proto::create_token_request::Expiry;
use keyward::api::proto::{
    Account, AccountPolicy, CreateAccountRequest, CreateTokenRequest, Event, EventType,
    UpdateAccountRequest,
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
    let announced = eventually("the announcements", async || {
        let mut events = operator.events_of(id).await;
        let announces = [EventType::TokenExpiring, EventType::TokenExpired];
        events.retain(|event| announces.contains(&event.r#type()));
        (events.len() >= count).then_some(events)
    })
    .await;
    assert_eq!(announced.len(), count, "{announced:?}");
    announced
}
