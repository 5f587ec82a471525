//! What bounds the use of tokens, as operators set and read it: the policy's daily calls, connections and notices, and each
//! token's own rate limit and connections.

use keyward::api::proto::create_account_request::Terms;
use keyward::api::proto::{
    Account, AccountPolicy, CreateAccountRequest, CreateTokenRequest, ImportTokenRequest,
    RateLimit, Token, UpdateAccountRequest, UpdateTokenRequest,
};
use prost_types::{Duration, FieldMask};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{ALLOW, Client, Home, error, refused};

const DAY: i64 = 86_400;
/// 2^53 - 1.
const DAILY_CALLS: u64 = 9_007_199_254_740_991;

#[tokio::test]
async fn a_policy_holds_calls_connections_and_notices() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    let policy = AccountPolicy {
        daily_calls: Some(DAILY_CALLS),
        max_connections_per_token: Some(1_000_000),
        notify_before_expiry: [1, 366 * DAY, DAY].map(seconds).into(),
        ..Default::default()
    };
    let request = CreateAccountRequest {
        account_id: "acme".into(),
        terms: Some(Terms::Policy(policy)),
        ..Default::default()
    };
    let mut directory = operator.directory.clone();
    let made = directory.create_account(request).await.unwrap();
    let held = made.into_inner().account.unwrap().policy.unwrap();
    assert_eq!(held.daily_calls, Some(DAILY_CALLS));
    assert_eq!(held.max_connections_per_token, Some(1_000_000));
    let longest_first = [366 * DAY, DAY, 1].map(seconds);
    assert_eq!(held.notify_before_expiry, longest_first);

    let cleared = update_policy(&operator, AccountPolicy::default(), &["policy.daily_calls"]).await;
    let policy = cleared.unwrap();
    assert_eq!(policy.daily_calls, None);
    assert_eq!(policy.notify_before_expiry, longest_first, "was not named");
    let all = update_policy(&operator, AccountPolicy::default(), &["policy"]).await;
    assert_eq!(all.unwrap(), emptied());
    server.stop().await;
}

#[tokio::test]
async fn a_policy_beyond_the_limits_is_refused_by_field_and_rule() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let daily = |calls| AccountPolicy {
        daily_calls: Some(calls),
        ..Default::default()
    };
    let held = |connections| AccountPolicy {
        max_connections_per_token: Some(connections),
        ..Default::default()
    };
    let notices = |notices: &[i64]| AccountPolicy {
        notify_before_expiry: notices.iter().copied().map(seconds).collect(),
        ..Default::default()
    };
    let nine: Vec<i64> = (1..=9).collect();
    for (policy, path, field, rule) in [
        (
            daily(DAILY_CALLS + 1),
            "daily_calls",
            "",
            "must be at most 9007199254740991",
        ),
        (
            held(1_000_001),
            "max_connections_per_token",
            "",
            "must be at most 1000000",
        ),
        (
            notices(&nine),
            "notify_before_expiry",
            "",
            "must be at most 8",
        ),
        (
            notices(&[DAY, 0]),
            "notify_before_expiry",
            "[1]",
            "must be 1 second to 366 days",
        ),
        (
            notices(&[367 * DAY]),
            "notify_before_expiry",
            "[0]",
            "must be 1 second to 366 days",
        ),
        (
            notices(&[5, 7, 5]),
            "notify_before_expiry",
            "[2]",
            "must not be there twice",
        ),
    ] {
        let path = format!("policy.{path}");
        let status = update_policy(&operator, policy, &[&path])
            .await
            .unwrap_err();
        let (named, broken) = violation(&status);
        assert_eq!(named, format!("account.{path}{field}"));
        assert!(broken.starts_with(rule), "{named} {broken}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_holds_a_rate_limit_and_connections_and_loses_them_again() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let mut credentials = operator.credentials.clone();
    let made = credentials.create_token(limited("acme")).await.unwrap();
    let made = made.into_inner();
    let token = made.token.unwrap();
    assert_eq!(
        token.rate_limit,
        Some(limit(100, 250, 100)),
        "the burst is said"
    );
    assert_eq!(token.max_connections, 3);
    assert_eq!(operator.decide(&made.secret).await, ALLOW);

    let import = ImportTokenRequest {
        token: Some(limited("acme")),
        sha256: vec![7; 32],
        ..Default::default()
    };
    let imported = credentials.import_token(import).await.unwrap();
    let imported = imported.into_inner().token.unwrap();
    assert_eq!(imported.rate_limit, token.rate_limit);
    assert_eq!(imported.max_connections, 3);

    let wanted = Token {
        rate_limit: Some(limit(5, 1_000, 20)),
        max_connections: 7,
        ..token.clone()
    };
    let one = update(&operator, wanted.clone(), &["rate_limit"])
        .await
        .unwrap();
    assert_eq!(
        (one.rate_limit, one.max_connections),
        (wanted.rate_limit, 3)
    );
    let other = update(&operator, with_etag(wanted, &one), &["max_connections"]).await;
    let other = other.unwrap();
    assert_eq!(other.max_connections, 7);
    let none = Token {
        id: token.id,
        ..Default::default()
    };
    let none = update(&operator, none, &["rate_limit", "max_connections"]).await;
    let none = none.unwrap();
    assert_eq!((none.rate_limit, none.max_connections), (None, 0));
    server.stop().await;
}

#[tokio::test]
async fn a_rate_limit_that_cannot_be_is_refused_value_by_value() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let token = operator.token("acme", "n").await.token.unwrap();
    let minus = RateLimit {
        per: Some(seconds(-1)),
        ..limit(1, 0, 1)
    };
    let without = RateLimit {
        per: None,
        ..limit(1, 0, 1)
    };
    let (calls, burst) = ("must be 1 to 1000000", "must be at most 1000000");
    for (limit, field, rule) in [
        (limit(0, 1_000, 0), "calls", calls),
        (limit(1_000_001, 1_000, 0), "calls", calls),
        (limit(1, 0, 0), "per", "must be 1 ms to 1 day"),
        (limit(1, DAY * 1_000 + 1, 0), "per", "must be 1 ms to 1 day"),
        (without, "per", "must be 1 ms to 1 day"),
        (minus, "per", "must be a duration that is not negative"),
        (limit(1, 1_000, 1_000_001), "burst", burst),
    ] {
        let wanted = Token {
            rate_limit: Some(limit),
            ..token.clone()
        };
        let status = update(&operator, wanted, &["rate_limit"])
            .await
            .unwrap_err();
        let (named, broken) = violation(&status);
        assert_eq!(named, format!("token.rate_limit.{field}"));
        assert!(broken.starts_with(rule), "{named} {broken}");
    }
    let wanted = CreateTokenRequest {
        max_connections: 1_000_001,
        ..limited("acme")
    };
    let status = operator.credentials.clone().create_token(wanted).await;
    let (named, broken) = violation(&status.unwrap_err());
    assert_eq!((&*named, &*broken), ("max_connections", burst));
    server.stop().await;
}

/// A policy freezes name, principal and expiry, and not what a token may use.
#[tokio::test]
async fn limits_can_be_set_on_frozen_tokens() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let token = operator.token("acme", "n").await.token.unwrap();
    let frozen = AccountPolicy {
        freeze_tokens: true,
        ..Default::default()
    };
    update_policy(&operator, frozen, &["policy.freeze_tokens"])
        .await
        .unwrap();
    let wanted = Token {
        rate_limit: Some(limit(5, 1_000, 0)),
        max_connections: 2,
        ..token
    };
    let held = update(
        &operator,
        wanted.clone(),
        &["rate_limit", "max_connections"],
    )
    .await;
    assert_eq!(held.unwrap().max_connections, 2);
    let name = update(
        &operator,
        Token {
            etag: String::new(),
            ..wanted
        },
        &["name"],
    )
    .await;
    assert_eq!(
        refused(name),
        error(Code::FailedPrecondition, "TOKEN_FROZEN")
    );
    server.stop().await;
}

fn limited(account: &str) -> CreateTokenRequest {
    CreateTokenRequest {
        account_id: account.into(),
        name: "limited".into(),
        rate_limit: Some(limit(100, 250, 0)),
        max_connections: 3,
        ..Default::default()
    }
}

fn limit(calls: u32, millis: i64, burst: u32) -> RateLimit {
    RateLimit {
        calls,
        per: Some(Duration {
            seconds: millis / 1_000,
            nanos: i32::try_from(millis % 1_000).expect("below a second") * 1_000_000,
        }),
        burst,
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

/// Every value of a policy cleared by an update.
fn emptied() -> AccountPolicy {
    AccountPolicy {
        rekey_grace: Some(seconds(0)),
        principal_rule: 1,
        ..Default::default()
    }
}

fn with_etag(token: Token, now: &Token) -> Token {
    Token {
        etag: now.etag.clone(),
        ..token
    }
}

fn mask(paths: &[&str]) -> Option<FieldMask> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    Some(FieldMask { paths })
}

async fn update(operator: &Client, token: Token, paths: &[&str]) -> Result<Token, Status> {
    let request = UpdateTokenRequest {
        token: Some(token),
        update_mask: mask(paths),
    };
    let answer = operator.credentials.clone().update_token(request).await?;
    Ok(answer.into_inner().token.expect("a token"))
}

async fn update_policy(
    operator: &Client,
    policy: AccountPolicy,
    paths: &[&str],
) -> Result<AccountPolicy, Status> {
    let request = UpdateAccountRequest {
        account: Some(Account {
            id: "acme".into(),
            policy: Some(policy),
            ..Default::default()
        }),
        update_mask: mask(paths),
    };
    let answer = operator.directory.clone().update_account(request).await?;
    Ok(answer
        .into_inner()
        .account
        .and_then(|account| account.policy)
        .expect("a policy"))
}

/// The one field that is wrong, and the rule that it breaks.
fn violation(status: &Status) -> (String, String) {
    assert_eq!(status.code(), Code::InvalidArgument);
    let bad = status.get_details_bad_request().expect("it names a field");
    let [violation] = &*bad.field_violations else {
        panic!("{bad:?}");
    };
    (violation.field.clone(), violation.description.clone())
}
