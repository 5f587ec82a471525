//! A wall clock that is wrong: set back it revives nothing, and after a leap ahead nothing is left of it.

use std::sync::Arc;
use std::time::Duration;

use keyward::api::proto::create_token_request::Expiry;
use keyward::api::proto::{
    CreateTokenRequest, DenyReason, Event, EventType, ListEventsRequest, RekeyRequest,
    RekeyResponse,
};
use keyward::clock::ManualClock;
use keyward::domain::time::Timestamp;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{ALLOW, Client, Home, START, Server, channel, eventually, wire};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const MONTH: Duration = Duration::from_secs(30 * 86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

#[tokio::test]
async fn decisions_follow_a_leap_and_nothing_is_left_of_it() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let (monthly, text) = ending(&operator, MONTH, "first").await;
    let lasting = operator.token("acme", "lasting").await;
    let id = lasting.token.unwrap().id;
    clock_is(&server, ServingStatus::Serving).await;

    home.clock.leap(YEAR);
    clock_is(&server, ServingStatus::NotServing).await;
    assert_eq!(operator.decide(&text).await, Err(DenyReason::Expired));
    let rekeyed = rekey(&operator, &id, HOUR).await;
    let end = START.after(HOUR);
    assert_eq!(rekeyed.old_secret_good_until, Some(wire(end)));
    assert_eq!(operator.decide(&rekeyed.secret).await, ALLOW);
    assert_eq!(
        operator.decide(&lasting.secret).await,
        Err(DenyReason::Unknown),
        "by the wall clock its grace is over, and long forgotten"
    );
    let kept = ending(&operator, MONTH, "first").await;
    assert_eq!(kept, (monthly.clone(), text.clone()), "the answer is kept");

    home.clock.set_back(YEAR);
    clock_is(&server, ServingStatus::Serving).await;
    for good in [&text, &lasting.secret, &rekeyed.secret] {
        assert_eq!(operator.decide(good).await, ALLOW, "all is as before");
    }
    home.clock.advance(HOUR);
    assert_eq!(
        operator.decide(&lasting.secret).await,
        Err(DenyReason::Superseded)
    );
    assert_eq!(operator.decide(&text).await, ALLOW);
    for event in log(&operator).await {
        assert_ne!(event.r#type(), EventType::TokenExpired);
        let time = event.time.unwrap().seconds * 1_000;
        assert!(time < end.as_millis() + 1, "no line is from the leap");
    }
    server.stop().await;
}

/// What a leap commits does not carry the floor ahead, so the next process is not a year ahead either.
#[tokio::test]
async fn a_process_that_starts_after_a_leap_knows_nothing_of_it() {
    let mut home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let (_, text) = ending(&operator, MONTH, "").await;
    home.clock.leap(YEAR);
    let during = operator.token("acme", "made during the leap").await;
    assert_eq!(operator.decide(&text).await, Err(DenyReason::Expired));
    server.stop().await;

    home.clock = Arc::new(ManualClock::at(START.after(HOUR)));
    let server = home.start().await;
    let operator = server.operator();
    assert_eq!(operator.decide(&text).await, ALLOW);
    let made = during.token.unwrap();
    assert_eq!(made.create_time, Some(wire(START)));
    assert_eq!(operator.decide(&during.secret).await, ALLOW);
    clock_is(&server, ServingStatus::Serving).await;
    server.stop().await;
}

/// While it runs, and across a restart.
#[tokio::test]
async fn a_wall_clock_set_back_a_day_revives_nothing() {
    let mut home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let (_, short) = ending(&operator, HOUR, "").await;
    let token = operator.token("acme", "rekeyed").await;
    let id = token.token.unwrap().id;
    rekey(&operator, &id, HOUR).await;
    home.clock.advance(HOUR);
    let dead = async |operator: &Client| {
        assert_eq!(operator.decide(&short).await, Err(DenyReason::Expired));
        let old = operator.decide(&token.secret).await;
        assert_eq!(old, Err(DenyReason::Superseded));
    };
    dead(&operator).await;

    home.clock.set_back(DAY);
    dead(&operator).await;
    clock_is(&server, ServingStatus::Serving).await;
    let kept = operator
        .token("acme", "a commit that keeps the floor")
        .await;
    let made = kept.token.unwrap().create_time;
    assert_eq!(made, Some(wire(START.after(HOUR))), "time went on");
    server.stop().await;

    let a_day_before = Timestamp::from_millis(START.as_millis() - 86_400_000);
    home.clock = Arc::new(ManualClock::at(a_day_before));
    let server = home.start().await;
    dead(&server.operator()).await;
    home.clock.leap(DAY + HOUR);
    dead(&server.operator()).await;
    clock_is(&server, ServingStatus::Serving).await;
    server.stop().await;
}

/// A token that ends a span from now: its id and text.
async fn ending(operator: &Client, span: Duration, request_id: &str) -> (String, String) {
    let ttl = prost_types::Duration::try_from(span).expect("a short span");
    let request = CreateTokenRequest {
        account_id: "acme".into(),
        name: "ending".into(),
        expiry: Some(Expiry::Ttl(ttl)),
        request_id: request_id.into(),
        ..Default::default()
    };
    let made = operator.create(request).await;
    let made = made.expect("it ends in the future");
    (made.token.expect("a token").id, made.secret)
}

async fn rekey(operator: &Client, id: &str, grace: Duration) -> RekeyResponse {
    let request = RekeyRequest {
        token_id: id.into(),
        grace: prost_types::Duration::try_from(grace).ok(),
        ..Default::default()
    };
    let answer = operator.credentials.clone().rekey(request).await;
    answer.expect("it may be rekeyed").into_inner()
}

async fn log(operator: &Client) -> Vec<Event> {
    let all = ListEventsRequest {
        page_size: 1_000,
        ..Default::default()
    };
    let listed = operator.events.clone().list_events(all).await;
    listed.expect("the log").into_inner().events
}

/// Waits until health says so of the clock.
async fn clock_is(server: &Server, wanted: ServingStatus) {
    let mut health = HealthClient::new(channel(server.address));
    eventually("the clock's health", async || {
        let service = "keyward.v1.clock".into();
        let answer = health.check(HealthCheckRequest { service }).await;
        let status = answer.expect("a known name").into_inner().status();
        (status == wanted).then_some(())
    })
    .await;
}
