//! Usage as people see it: calls that add up, consumers that are named before they break, grants and secrets out of use.

use std::time::Duration;

use keyward::api::proto::validate_credentials_request::Presented;
use keyward::api::proto::{
    CompleteRekeyRequest, Consumer, DeactivateTokenRequest, DeleteTokenRequest, GetTokenRequest,
    GetUsageRequest, GetUsageResponse, ListConsumersRequest, ListTokensRequest, Permission,
    RekeyRequest, Token, TokenState, UpdateTokenRequest, ValidateCredentialsRequest,
};
use keyward::domain::time::Timestamp;
use prost_types::FieldMask;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{ALLOW, Client, Home, START, decision, error, refused, wire};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

impl Client {
    /// One call for a consumer.
    async fn used_by(&self, text: &str, consumer: &str) {
        let request = ValidateCredentialsRequest {
            presented: Some(Presented::Token(text.into())),
            consumer: consumer.into(),
            ..Default::default()
        };
        assert_eq!(decision(&self.validate(request).await), ALLOW);
    }

    async fn usage(&self, account: &str, days: u32) -> GetUsageResponse {
        let request = GetUsageRequest {
            account_id: account.into(),
            days,
            ..Default::default()
        };
        let usage = self.usage.clone().get_usage(request).await;
        usage.expect("it may be read").into_inner()
    }

    async fn consumers(&self, token: &str) -> Vec<Consumer> {
        let request = ListConsumersRequest {
            token_id: token.into(),
            ..Default::default()
        };
        let listed = self.usage.clone().list_consumers(request).await;
        let listed = listed.expect("they may be read");
        listed.into_inner().consumers
    }

    async fn get(&self, token: &str) -> Token {
        let request = GetTokenRequest {
            token_id: token.into(),
        };
        let got = self.credentials.clone().get_token(request).await;
        let got = got.expect("it may be read").into_inner();
        got.token.expect("an answer has its token")
    }

    async fn rekeyed(&self, token: &str, grace: Duration) -> String {
        let request = RekeyRequest {
            token_id: token.into(),
            grace: prost_types::Duration::try_from(grace).ok(),
            ..Default::default()
        };
        let rekeyed = self.credentials.clone().rekey(request).await;
        let rekeyed = rekeyed.expect("it may be rekeyed");
        rekeyed.into_inner().secret
    }
}

fn names(consumers: &[Consumer]) -> Vec<&str> {
    consumers
        .iter()
        .map(|consumer| consumer.name.as_str())
        .collect()
}

#[tokio::test]
async fn calls_add_up_to_what_clients_counted_across_a_stop_and_a_start() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "application-keys").await;
    let made = [
        operator.token("acme", "one").await,
        operator.token("acme", "two").await,
    ];
    let ids = made.each_ref().map(|made| made.token.clone().unwrap().id);
    for _ in 0..20 {
        operator.used_by(&made[0].secret, "billing").await;
    }
    operator.used_by(&made[1].secret, "crm").await;
    let dear = ValidateCredentialsRequest {
        presented: Some(Presented::Token(made[1].secret.clone())),
        cost: 4,
        ..Default::default()
    };
    operator.validate(dear).await;
    let first = operator.get(&ids[0]).await;
    assert_eq!(
        (first.calls_today, first.last_used_time),
        (20, Some(wire(START)))
    );
    server.stop().await;

    let server = home.start().await;
    let operator = server.operator();
    for _ in 0..5 {
        operator.used_by(&made[0].secret, "billing").await;
    }
    let usage = operator.usage("acme", 90).await;
    assert_eq!(usage.calls_today, 30);
    assert_eq!((usage.limit, usage.remaining), (Some(2_500), 2_470));
    assert_eq!(
        usage.reset_time,
        Some(wire(Timestamp::from_millis(1_800_057_600_000)))
    );
    let mut tokens: Vec<_> = usage
        .tokens
        .iter()
        .map(|used| (used.name.as_str(), used.calls_today, used.last_used_time))
        .collect();
    tokens.sort_unstable_by_key(|(name, ..)| *name);
    assert_eq!(
        tokens,
        [
            ("one", 25, Some(wire(START))),
            ("two", 5, Some(wire(START)))
        ]
    );
    let days: Vec<_> = usage
        .days
        .iter()
        .map(|day| (day.date.as_str(), day.allowed))
        .collect();
    assert_eq!(days, [("2027-01-15", 30)]);
    let consumers = operator.consumers(&ids[0]).await;
    assert_eq!(
        (names(&consumers), consumers[0].calls_today),
        (vec!["billing"], 25)
    );

    home.clock.advance(DAY);
    let usage = operator.usage("acme", 90).await;
    assert_eq!((usage.calls_today, usage.remaining), (0, 2_500));
    let days: Vec<_> = usage.days.iter().map(|day| day.allowed).collect();
    assert_eq!(days, [30, 0]);
    assert_eq!(operator.get(&ids[0]).await.calls_today, 0);
    server.stop().await;
}

#[tokio::test]
async fn usage_never_changes_an_etag_and_only_allows_count() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let made = operator.token("acme", "one").await;
    let before = made.token.unwrap();
    let dry = ValidateCredentialsRequest {
        presented: Some(Presented::Token(made.secret.clone())),
        dry_run: true,
        consumer: "tester".into(),
        ..Default::default()
    };
    operator.validate(dry.clone()).await;
    let denied = ValidateCredentialsRequest {
        dry_run: false,
        account_key: "wrong".into(),
        ..dry
    };
    assert!(decision(&operator.validate(denied).await).is_err());
    let usage = operator.usage("acme", 1).await;
    assert_eq!((usage.calls_today, usage.days[0].denied), (0, 1));
    assert_eq!(usage.tokens[0].last_used_time, None);
    assert!(operator.consumers(&before.id).await.is_empty());
    operator.used_by(&made.secret, "").await;
    let after = operator.get(&before.id).await;
    assert_eq!((after.etag, after.calls_today), (before.etag.clone(), 1));
    let rename = UpdateTokenRequest {
        token: Some(Token {
            id: before.id,
            name: "renamed".into(),
            etag: before.etag,
            ..Default::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["name".into()],
        }),
    };
    let renamed = operator.credentials.clone().update_token(rename).await;
    assert_eq!(renamed.unwrap().into_inner().token.unwrap().calls_today, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_consumer_s_name_has_at_most_64_printable_characters() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let made = operator.token("acme", "one").await;
    let longest = "c".repeat(64);
    operator.used_by(&made.secret, &longest).await;
    assert_eq!(
        names(&operator.consumers(&made.token.unwrap().id).await),
        [&longest]
    );
    for bad in ["c".repeat(65), "tab\there".into(), "ü".into()] {
        let request = ValidateCredentialsRequest {
            presented: Some(Presented::Token(made.secret.clone())),
            consumer: bad,
            ..Default::default()
        };
        let answer = operator
            .credentials
            .clone()
            .validate_credentials(request)
            .await;
        let status = answer.unwrap_err();
        let bad = status.get_details_bad_request().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(bad.field_violations[0].field, "consumer");
    }
    server.stop().await;
}

#[tokio::test]
async fn whoever_breaks_is_named_before_a_token_is_turned_off() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let made = operator.token("acme", "one").await;
    let token_id = made.token.unwrap().id;
    operator.used_by(&made.secret, "gone").await;
    home.clock.advance(DAY);
    operator.used_by(&made.secret, "billing").await;
    home.clock.advance(HOUR);
    operator.used_by(&made.secret, "crm").await;
    let mut credentials = operator.credentials.clone();
    let stop = |validate_only| DeactivateTokenRequest {
        token_id: token_id.clone(),
        validate_only,
        ..Default::default()
    };
    let tried = credentials
        .deactivate_token(stop(true))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(names(&tried.consumers), ["crm", "billing"]);
    assert_eq!(tried.token.unwrap().state(), TokenState::Inactive);
    assert_eq!(
        operator.decide(&made.secret).await,
        ALLOW,
        "nothing was changed"
    );
    let stopped = credentials
        .deactivate_token(stop(false))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(names(&stopped.consumers), ["crm", "billing"]);
    let delete = |validate_only| DeleteTokenRequest {
        token_id: token_id.clone(),
        validate_only,
        ..Default::default()
    };
    let tried = credentials
        .delete_token(delete(true))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(names(&tried.consumers), ["crm", "billing"]);
    credentials.delete_token(delete(false)).await.unwrap();
    assert_eq!(
        operator.usage("acme", 0).await.calls_today,
        3,
        "two of today, and a decision"
    );
    let request = ListConsumersRequest {
        token_id,
        ..Default::default()
    };
    let listed = operator.usage.clone().list_consumers(request).await;
    assert_eq!(refused(listed), error(Code::NotFound, "NOT_FOUND"));
    server.stop().await;
}

#[tokio::test]
async fn a_grace_is_ended_once_the_old_secret_is_idle() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let made = operator.token("acme", "one").await;
    let token_id = made.token.unwrap().id;
    let new = operator.rekeyed(&token_id, 4 * HOUR).await;
    operator.used_by(&made.secret, "billing").await;
    operator.used_by(&new, "crm").await;
    let secrets = operator.get(&token_id).await.secrets;
    let calls: Vec<_> = secrets
        .iter()
        .map(|secret| (secret.version, secret.calls_today))
        .collect();
    assert_eq!(calls, [(1, 1), (2, 1)]);
    let on_old: Vec<_> = operator
        .consumers(&token_id)
        .await
        .iter()
        .map(|consumer| consumer.uses_retired_secret)
        .collect();
    assert_eq!(on_old, [true, false]);
    let complete = async || {
        let request = CompleteRekeyRequest {
            token_id: token_id.clone(),
            if_old_idle_for: prost_types::Duration::try_from(HOUR).ok(),
            ..Default::default()
        };
        operator.credentials.clone().complete_rekey(request).await
    };
    let status = complete().await.unwrap_err();
    let failure = status.get_details_precondition_failure().unwrap();
    let [violation] = &failure.violations[..] else {
        panic!("{failure:?}")
    };
    assert_eq!(violation.subject, format!("token {token_id}"));
    assert!(violation.description.contains("billing"), "{violation:?}");
    assert!(
        violation.description.contains("2027-01-15T08:00:00Z"),
        "{violation:?}"
    );
    let in_use = error(Code::FailedPrecondition, "OLD_SECRET_IN_USE");
    assert_eq!(refused::<()>(Err(status)), in_use);
    assert_eq!(operator.decide(&made.secret).await, ALLOW);
    home.clock.advance(HOUR);
    complete().await.unwrap();
    assert!(operator.decide(&made.secret).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn tokens_out_of_use_and_grants_never_exercised_are_found() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let idle = operator.token("acme", "idle").await;
    operator.token("acme", "never").await;
    operator.used_by(&idle.secret, "").await;
    home.clock.advance(HOUR);
    let request = keyward::api::proto::CreateTokenRequest {
        account_id: "acme".into(),
        name: "busy".into(),
        grants: vec!["tables/*:read".into(), "dispatch".into()],
        ..Default::default()
    };
    let busy = operator.create(request).await.unwrap();
    let unused_since = async |since| -> Vec<String> {
        let request = ListTokensRequest {
            account_id: "acme".into(),
            unused_since: Some(wire(since)),
            ..Default::default()
        };
        let listed = operator.credentials.clone().list_tokens(request).await;
        let tokens = listed.unwrap().into_inner().tokens;
        let mut names: Vec<String> = tokens.into_iter().map(|token| token.name).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(
        unused_since(START).await,
        [""; 0],
        "used and made at that time"
    );
    assert_eq!(
        unused_since(START.after(HOUR)).await,
        ["idle", "never"],
        "the new one had no time yet"
    );
    let later = START.after(HOUR).after(Duration::from_millis(1));
    assert_eq!(unused_since(later).await, ["busy", "idle", "never"]);
    operator.used_by(&idle.secret, "").await;
    assert_eq!(unused_since(START.after(HOUR)).await, ["never"]);
    let request = ValidateCredentialsRequest {
        presented: Some(Presented::Token(busy.secret)),
        required: Some(Permission {
            resource: "tables/orders".into(),
            action: "read".into(),
        }),
        ..Default::default()
    };
    operator.validate(request).await;
    let usage = operator.usage("acme", 0).await;
    let busy = usage
        .tokens
        .iter()
        .find(|used| used.name == "busy")
        .unwrap();
    assert_eq!(busy.unexercised_grants, ["dispatch"]);
    server.stop().await;
}

#[tokio::test]
async fn pages_of_usage_and_consumers_leave_nobody_out() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let made = operator.token("acme", "one").await;
    operator.token("acme", "two").await;
    let token_id = made.token.unwrap().id;
    for name in ["a", "b", "c"] {
        operator.used_by(&made.secret, name).await;
    }
    let mut request = ListConsumersRequest {
        token_id: token_id.clone(),
        page_size: 2,
        ..Default::default()
    };
    let mut usage = operator.usage.clone();
    let first = usage
        .list_consumers(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(names(&first.consumers), ["a", "b"]);
    request.page_token = first.next_page_token;
    let last = usage.list_consumers(request).await.unwrap().into_inner();
    assert_eq!(
        (names(&last.consumers), last.next_page_token.as_str()),
        (vec!["c"], "")
    );
    let mut request = GetUsageRequest {
        account_id: "acme".into(),
        page_size: 1,
        ..Default::default()
    };
    let mut seen = 0;
    loop {
        let page = usage.get_usage(request.clone()).await.unwrap().into_inner();
        assert_eq!(page.calls_today, 3, "every page tells the account's calls");
        seen += page.tokens.len();
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, 2);
    let invalid = error(Code::InvalidArgument, "INVALID_FIELD");
    request.days = 91;
    assert_eq!(refused(usage.get_usage(request).await), invalid);
    server.stop().await;
}
