//! An account's daily calls: shared, counted by cost, never one too many, back at 00:00 UTC.

use std::time::Duration;

use keyward::api::proto::{
    AccountPolicy, CreateTokenRequest, CreateTokenResponse, DeactivateTokenRequest, DenyReason,
    Permission, RekeyRequest, ValidateCredentialsRequest, ValidateCredentialsResponse,
};
use keyward::domain::time::Timestamp;
use tokio::task::JoinSet;

use crate::harness::{ALLOW, Answer, Client, Home, Server, decision, eventually, presenting, wire};

/// 2027-01-16 00:00 UTC, the end of the day on which tests begin.
const MIDNIGHT: Timestamp = Timestamp::from_millis(1_800_057_600_000);
const NEXT_MIDNIGHT: Timestamp = Timestamp::from_millis(1_800_144_000_000);
const EXCEEDED: Answer = Err(DenyReason::QuotaExceeded);

/// A node with one account that has so many calls a day.
struct Shop {
    home: Home,
    server: Server,
    operator: Client,
}

impl Shop {
    async fn new(daily_calls: u64) -> Self {
        let home = Home::new();
        let server = home.start().await;
        let operator = server.operator();
        operator.account("shop", "standard").await;
        limit(&operator, Some(daily_calls)).await;
        Self {
            home,
            server,
            operator,
        }
    }

    async fn token(&self) -> CreateTokenResponse {
        self.operator.token("shop", "till").await
    }

    /// A call of a cost: the decision, and what remains.
    async fn call(&self, text: &str, cost: u32) -> (Answer, u64) {
        let answer = ask(&self.operator, text, cost).await;
        let remaining = answer.quota.expect("there is a limit").remaining;
        (decision(&answer), remaining)
    }

    async fn restart(self) -> Self {
        let Self { home, server, .. } = self;
        server.stop().await;
        let server = home.start().await;
        let operator = server.operator();
        Self {
            home,
            server,
            operator,
        }
    }
}

async fn limit(operator: &Client, daily_calls: Option<u64>) {
    let policy = AccountPolicy {
        daily_calls,
        ..Default::default()
    };
    operator.set_policy("shop", &["daily_calls"], policy).await;
}

async fn ask(caller: &Client, text: &str, cost: u32) -> ValidateCredentialsResponse {
    let request = ValidateCredentialsRequest {
        cost,
        ..presenting(text)
    };
    caller.validate_in_time(&request).await
}

/// The span of a `retry_after`, which must be there.
fn retry_after(answer: &ValidateCredentialsResponse) -> Duration {
    let span = answer.retry_after.expect("it says when to come again");
    span.try_into().expect("it lies ahead")
}

#[tokio::test]
async fn calls_count_down_by_their_cost_and_are_back_at_midnight_utc() {
    let shop = Shop::new(2_500).await;
    let till = shop.token().await.secret;
    let mut remaining = 2_500;
    for cost in [1, 0, 7, 100, 25, 26, 1_000] {
        let answer = ask(&shop.operator, &till, cost).await;
        remaining -= u64::from(cost.max(1));
        let quota = answer.quota.unwrap();
        assert_eq!(decision(&answer), ALLOW);
        assert_eq!((quota.limit, quota.remaining), (2_500, remaining), "{cost}");
        assert_eq!(quota.reset_time, Some(wire(MIDNIGHT)));
    }
    let all = u32::try_from(remaining).unwrap();
    assert_eq!(
        shop.call(&till, all + 1).await,
        (EXCEEDED, remaining),
        "all or nothing"
    );
    assert_eq!(shop.call(&till, all).await, (ALLOW, 0));
    assert_eq!(shop.call(&till, 1).await, (EXCEEDED, 0));

    for left in [1_234, 1] {
        let now = Timestamp::from_millis(MIDNIGHT.as_millis() - left);
        shop.home.clock.set(now);
        let answer = ask(&shop.operator, &till, 1).await;
        assert_eq!(decision(&answer), EXCEEDED);
        assert_eq!(
            retry_after(&answer),
            Duration::from_millis(left.unsigned_abs())
        );
    }
    shop.home.clock.set(MIDNIGHT);
    let answer = ask(&shop.operator, &till, 1).await;
    let quota = answer.quota.unwrap();
    assert_eq!((decision(&answer), quota.remaining), (ALLOW, 2_499));
    assert_eq!(quota.reset_time, Some(wire(NEXT_MIDNIGHT)));
    shop.server.stop().await;
}

#[tokio::test]
async fn a_call_that_costs_more_than_the_day_has_is_never_let_in_and_takes_nothing() {
    let shop = Shop::new(10).await;
    let till = shop.token().await.secret;
    let answer = ask(&shop.operator, &till, 11).await;
    assert_eq!(decision(&answer), EXCEEDED);
    assert_eq!(shop.call(&till, 1).await, (ALLOW, 9));
    assert_eq!(shop.call(&till, 10).await, (EXCEEDED, 9));
    assert_eq!(shop.call(&till, u32::MAX).await, (EXCEEDED, 9));
    assert_eq!(shop.call(&till, 9).await, (ALLOW, 0));
    shop.server.stop().await;
}

#[tokio::test]
async fn denials_and_dry_runs_count_nothing() {
    let shop = Shop::new(5).await;
    let made = shop.token().await;
    let till = made.secret;
    assert_eq!(shop.call(&till, 1).await, (ALLOW, 4));

    let narrow = CreateTokenRequest {
        account_id: "shop".into(),
        name: "narrow".into(),
        grants: vec!["dispatch".into()],
        allowed_networks: vec!["192.0.2.0/24".into()],
        ..Default::default()
    };
    let narrow = shop.operator.create(narrow).await.unwrap().secret;
    let permission = Permission {
        resource: "orders".into(),
        ..Default::default()
    };
    let stopped = shop.token().await;
    let stop = DeactivateTokenRequest {
        token_id: stopped.token.unwrap().id,
        ..Default::default()
    };
    let mut credentials = shop.operator.credentials.clone();
    credentials.deactivate_token(stop).await.unwrap();
    let wrong_key = ValidateCredentialsRequest {
        account_key: "wrong".into(),
        ..presenting(&till)
    };
    let forbidden = ValidateCredentialsRequest {
        required: Some(permission),
        ..presenting(&narrow)
    };
    for (request, reason) in [
        (wrong_key, DenyReason::AccountKeyMismatch),
        (forbidden, DenyReason::PermissionDenied),
        (presenting(&narrow), DenyReason::AddressNotAllowed),
        (presenting(&stopped.secret), DenyReason::Inactive),
        (presenting("nobody's"), DenyReason::Unknown),
    ] {
        for _ in 0..10 {
            let answer = shop.operator.validate(request.clone()).await;
            assert_eq!(decision(&answer), Err(reason));
        }
    }
    let dry_run = ValidateCredentialsRequest {
        dry_run: true,
        ..presenting(&till)
    };
    for _ in 0..10 {
        let answer = shop.operator.validate_in_time(&dry_run).await;
        assert_eq!(answer.quota.unwrap().remaining, 4);
        assert_eq!(decision(&answer), ALLOW);
    }
    assert_eq!(shop.call(&till, 4).await, (ALLOW, 0));
    assert_eq!(
        decision(&shop.operator.validate(dry_run).await),
        EXCEEDED,
        "it tells what would be"
    );
    shop.server.stop().await;
}

#[tokio::test]
async fn authenticating_a_caller_counts_nothing() {
    let shop = Shop::new(5).await;
    let policy = AccountPolicy {
        daily_calls: Some(3),
        ..Default::default()
    };
    shop.operator
        .set_policy("system", &["daily_calls"], policy)
        .await;
    let validating = shop
        .operator
        .operator(&["keyward/credentials:validate"], "")
        .await;
    let till = shop.token().await.secret;
    let caller = shop.server.caller(&validating);
    for _ in 0..5 {
        assert_eq!(decision(&ask(&caller, &till, 1).await), ALLOW);
    }
    for n in 0..5 {
        let presented = decision(&ask(&caller, &validating, 1).await);
        assert_eq!(presented, if n < 3 { ALLOW } else { EXCEEDED });
    }
    let answer = ask(&caller, &till, 1).await;
    assert_eq!(decision(&answer), EXCEEDED, "the caller is still let in");
    shop.server.stop().await;
}

#[tokio::test]
async fn tokens_share_the_day_and_a_rekey_changes_nothing() {
    let shop = Shop::new(10).await;
    let [one, other] = [shop.token().await, shop.token().await];
    assert_eq!(shop.call(&one.secret, 3).await, (ALLOW, 7));
    assert_eq!(shop.call(&other.secret, 3).await, (ALLOW, 4));
    let rekey = RekeyRequest {
        token_id: one.token.unwrap().id,
        ..Default::default()
    };
    let mut credentials = shop.operator.credentials.clone();
    let new = credentials.rekey(rekey).await.unwrap().into_inner().secret;
    assert_eq!(shop.call(&new, 2).await, (ALLOW, 2));
    assert_eq!(shop.call(&one.secret, 1).await, (ALLOW, 1), "in its grace");
    assert_eq!(shop.call(&other.secret, 1).await, (ALLOW, 0));
    for text in [&one.secret, &new, &other.secret] {
        assert_eq!(shop.call(text, 1).await, (EXCEEDED, 0));
    }
    let late = shop.token().await;
    assert_eq!(shop.call(&late.secret, 1).await, (EXCEEDED, 0));
    shop.server.stop().await;
}

#[tokio::test]
async fn a_changed_limit_binds_on_the_next_call_and_calls_let_in_stand() {
    let shop = Shop::new(1_000).await;
    let till = shop.token().await.secret;
    assert_eq!(shop.call(&till, 40).await, (ALLOW, 960));
    limit(&shop.operator, Some(41)).await;
    assert_eq!(shop.call(&till, 1).await, (ALLOW, 0));
    assert_eq!(shop.call(&till, 1).await, (EXCEEDED, 0));
    limit(&shop.operator, Some(10)).await;
    assert_eq!(shop.call(&till, 1).await, (EXCEEDED, 0));
    limit(&shop.operator, Some(60)).await;
    assert_eq!(shop.call(&till, 1).await, (ALLOW, 18));
    limit(&shop.operator, Some(0)).await;
    assert_eq!(shop.call(&till, 1).await, (EXCEEDED, 0));
    limit(&shop.operator, None).await;
    let answer = shop.operator.validate(presenting(&till)).await;
    assert_eq!((decision(&answer), answer.quota), (ALLOW, None));
    shop.server.stop().await;
}

#[tokio::test]
async fn an_orderly_restart_loses_no_call() {
    let mut shop = Shop::new(100).await;
    let till = shop.token().await.secret;
    for round in 1..=4 {
        for n in 1..=5 {
            let remaining = 100 - 20 * (round - 1) - n;
            assert_eq!(shop.call(&till, 1).await, (ALLOW, remaining));
        }
        assert_eq!(shop.call(&till, 15).await, (ALLOW, 100 - 20 * round));
        shop = shop.restart().await;
    }
    assert_eq!(shop.call(&till, 20).await, (ALLOW, 0));
    shop = shop.restart().await;
    assert_eq!(shop.call(&till, 1).await, (EXCEEDED, 0));
    shop.home.clock.set(MIDNIGHT);
    shop = shop.restart().await;
    assert_eq!(shop.call(&till, 1).await, (ALLOW, 99));
    shop.server.stop().await;
}

#[tokio::test]
async fn a_thousand_callers_at_once_get_the_days_calls_and_not_one_more() {
    let shop = Shop::new(2_500).await;
    let tills = [shop.token().await.secret, shop.token().await.secret];
    let connections: Vec<Client> = (0..16).map(|_| shop.server.operator()).collect();
    let mut callers = JoinSet::new();
    for n in 0..1_000 {
        let (caller, till) = (connections[n % 16].clone(), tills[n % 2].clone());
        callers.spawn(async move {
            let mut allowed = 0;
            for _ in 0..3 {
                allowed += u64::from(decision(&ask(&caller, &till, 1).await) == ALLOW);
            }
            allowed
        });
    }
    let allowed: u64 = callers.join_all().await.into_iter().sum();
    assert_eq!(allowed, 2_500);
    assert_eq!(shop.call(&tills[0], 1).await, (EXCEEDED, 0));
    shop.server.stop().await;
}

#[tokio::test]
async fn callers_that_go_on_over_midnight_get_each_day_its_own() {
    let shop = Shop::new(300).await;
    let till = shop.token().await.secret;
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let (caller, till) = (shop.operator.clone(), till.clone());
        callers.spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..20 {
                answers.push(ask(&caller, &till, 1).await);
            }
            answers
        });
    }
    let seen = eventually("half of the day to be called", async || {
        let quota = ask(&shop.operator, &till, 1).await.quota.unwrap();
        (quota.remaining < 150).then_some(())
    });
    seen.await;
    shop.home.clock.set(MIDNIGHT);
    let answers: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    let allowed = |day: Timestamp| {
        let of_day = |answer: &&ValidateCredentialsResponse| {
            answer.quota.unwrap().reset_time == Some(wire(day)) && decision(answer) == ALLOW
        };
        answers.iter().filter(of_day).count()
    };
    assert!(allowed(MIDNIGHT) <= 300, "{}", allowed(MIDNIGHT));
    assert!(allowed(NEXT_MIDNIGHT) <= 300, "{}", allowed(NEXT_MIDNIGHT));
    let rest = 300 - u64::try_from(allowed(NEXT_MIDNIGHT)).unwrap();
    let cost = u32::try_from(rest).unwrap();
    if cost > 0 {
        assert_eq!(shop.call(&till, cost).await, (ALLOW, 0));
    }
    assert_eq!(shop.call(&till, 1).await, (EXCEEDED, 0));
    shop.server.stop().await;
}
