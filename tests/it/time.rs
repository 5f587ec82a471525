//! Boundaries of time, to the millisecond: good while now is earlier.

use std::time::Duration;

use keyward::api::proto::create_token_request::Expiry;
use keyward::api::proto::{
    CreateTokenRequest, DenyReason, GetTokenRequest, ReactivateTokenRequest, RekeyRequest,
    RekeyResponse, TokenState,
};
use keyward::domain::time::Timestamp;
use tonic::Code;

use crate::harness::{ALLOW, Client, Home, START, error, refused, wire};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// The last instant before another one.
fn just_before(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millis() - 1)
}

async fn ending(operator: &Client, name: &str, expiry: Expiry) -> (String, String) {
    let request = CreateTokenRequest {
        account_id: "acme".into(),
        name: name.into(),
        expiry: Some(expiry),
        ..Default::default()
    };
    let made = operator
        .create(request)
        .await
        .expect("it ends in the future");
    (made.token.expect("an answer has its token").id, made.secret)
}

async fn rekey(operator: &Client, id: &str, grace: Option<Duration>) -> RekeyResponse {
    let request = RekeyRequest {
        token_id: id.into(),
        grace: grace.map(|grace| prost_types::Duration::try_from(grace).expect("a short time")),
        ..Default::default()
    };
    let answer = operator.credentials.clone().rekey(request).await;
    answer.expect("it may be rekeyed").into_inner()
}

#[tokio::test]
async fn a_token_ends_with_the_millisecond_of_its_expiry() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let odd = START.after(HOUR).after(Duration::from_millis(7));
    let midnight = Timestamp::from_millis(1_800_057_600_000);
    let ends = [
        ("an instant", Expiry::ExpireTime(wire(odd)), odd),
        (
            "a span",
            Expiry::Ttl(prost_types::Duration {
                seconds: 7_200,
                nanos: 5_000_000,
            }),
            START.after(2 * HOUR).after(Duration::from_millis(5)),
        ),
        ("a date", Expiry::ExpireDate("2027-01-16".into()), midnight),
    ];
    for (name, expiry, end) in ends {
        home.clock.set(START);
        let (id, secret) = ending(&operator, name, expiry).await;
        home.clock.set(just_before(end));
        assert_eq!(operator.decide(&secret).await, ALLOW, "{name}");
        home.clock.set(end);
        assert_eq!(
            operator.decide(&secret).await,
            Err(DenyReason::Expired),
            "{name}"
        );

        let mut credentials = operator.credentials.clone();
        let got = credentials
            .get_token(GetTokenRequest {
                token_id: id.clone(),
            })
            .await
            .unwrap();
        assert_eq!(got.into_inner().token.unwrap().state(), TokenState::Expired);
        let reactivate = ReactivateTokenRequest {
            token_id: id.clone(),
            ..Default::default()
        };
        let expired = error(Code::FailedPrecondition, "TOKEN_EXPIRED");
        assert_eq!(
            refused(credentials.reactivate_token(reactivate).await),
            expired
        );
        let again = RekeyRequest {
            token_id: id,
            ..Default::default()
        };
        assert_eq!(refused(credentials.rekey(again).await), expired);
    }
    server.stop().await;
}

#[tokio::test]
async fn no_grace_outlives_the_tokens_expiry_nor_the_next_rekeys_grace() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;

    let end = START.after(HOUR);
    let (id, old) = ending(&operator, "short", Expiry::ExpireTime(wire(end))).await;
    let answer = rekey(&operator, &id, Some(2 * HOUR)).await;
    assert_eq!(answer.old_secret_good_until, Some(wire(end)));

    let made = operator.token("acme", "long").await;
    let (long, first) = (made.token.unwrap().id, made.secret);
    let second = rekey(&operator, &long, Some(20 * MILLISECOND)).await.secret;
    let third = rekey(&operator, &long, Some(10 * MILLISECOND)).await.secret;
    home.clock.set(START.after(9 * MILLISECOND));
    for text in [&first, &second, &third] {
        assert_eq!(operator.decide(text).await, ALLOW);
    }
    home.clock.set(START.after(10 * MILLISECOND));
    for text in [&first, &second] {
        assert_eq!(operator.decide(text).await, Err(DenyReason::Superseded));
    }
    assert_eq!(operator.decide(&third).await, ALLOW);

    home.clock.set(just_before(end));
    assert_eq!(operator.decide(&old).await, ALLOW);
    home.clock.set(end);
    assert_ne!(operator.decide(&old).await, ALLOW);
    server.stop().await;
}

#[tokio::test]
async fn a_fourth_retiring_secret_is_refused_unless_the_old_ones_die() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let made = operator.token("acme", "busy").await;
    let id = made.token.unwrap().id;
    let mut texts = vec![made.secret];
    for _ in 0..3 {
        texts.push(rekey(&operator, &id, Some(HOUR)).await.secret);
    }
    let fourth = RekeyRequest {
        token_id: id.clone(),
        ..Default::default()
    };
    assert_eq!(
        refused(operator.credentials.clone().rekey(fourth).await),
        error(Code::FailedPrecondition, "TOO_MANY_RETIRING_SECRETS")
    );
    for text in &texts {
        assert_eq!(operator.decide(text).await, ALLOW, "nothing was half done");
    }
    let last = rekey(&operator, &id, Some(Duration::ZERO)).await.secret;
    for text in &texts {
        assert_eq!(operator.decide(text).await, Err(DenyReason::Superseded));
    }
    assert_eq!(operator.decide(&last).await, ALLOW);
    server.stop().await;
}

#[tokio::test]
async fn a_clock_set_back_revives_nothing() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let end = START.after(HOUR);
    let (_, secret) = ending(&operator, "short", Expiry::ExpireTime(wire(end))).await;
    home.clock.set(end);
    operator
        .token("acme", "a commit that keeps the floor")
        .await;
    server.stop().await;

    home.clock.set(START);
    let server = home.start().await;
    assert_eq!(
        server.operator().decide(&secret).await,
        Err(DenyReason::Expired)
    );
    server.stop().await;
}
