//! What becomes of leased calls when the process is killed, and when its store takes nothing more.

use std::collections::BTreeMap;

use keyward::api::proto::{AccountPolicy, CreateTokenRequest, Quota, ValidateCredentialsRequest};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{ALLOW, Client, decision, eventually, presenting, refused};
use crate::process::{Place, Serving};

const LIMIT: u64 = 2_500;
/// A hundredth of the limit, or eight: what a crash may waste.
const WASTE: u64 = 25;

/// A token of an account that has so many calls a day: its text.
async fn till(operator: &Client) -> String {
    operator.account("shop", "standard").await;
    let policy = AccountPolicy {
        daily_calls: Some(LIMIT),
        ..Default::default()
    };
    operator.set_policy("shop", &["daily_calls"], policy).await;
    operator.token("shop", "till").await.secret
}

/// Calls that are all let in; the day after the last of them.
async fn calls(server: &Serving, till: &str, times: u64) -> Quota {
    let caller = server.operator();
    let mut quota = Quota::default();
    for _ in 0..times {
        let answer = caller.validate_in_time(&presenting(till)).await;
        assert_eq!(decision(&answer), ALLOW);
        quota = answer.quota.expect("there is a limit");
    }
    quota
}

#[tokio::test]
async fn kill_9_wastes_no_more_than_a_hundredth_of_the_day() {
    let place = Place::new();
    let mut server = place.serve(&[]).await;
    let till = till(&server.operator()).await;
    let mut before = calls(&server, &till, 1).await;
    for spent in [1, 12, 13, 26, 50, 111] {
        before = calls(&server, &till, spent).await;
        server.kill().await;
        server = place.serve(&[]).await;
        let after = calls(&server, &till, 1).await;
        // The real clock may have turned the day just then.
        if after.reset_time == before.reset_time {
            let wasted = before.remaining - 1 - after.remaining;
            assert!(wasted <= WASTE, "{wasted} of {spent}");
        }
        before = after;
    }
    assert_eq!(before.limit, LIMIT);
    server.stop().await;
}

/// Creates tokens as large as one may be, until the server's files may not grow any more.
async fn fill(operator: &Client) {
    for n in 0..3_000 {
        let label = |n: usize| (format!("key-{n}"), "v".repeat(256));
        let request = CreateTokenRequest {
            account_id: "shop".into(),
            name: format!("token {n}"),
            labels: (0..32).map(label).collect::<BTreeMap<_, _>>(),
            ..Default::default()
        };
        if operator.create(request).await.is_err() {
            return;
        }
    }
    panic!("it never came to the limit");
}

#[tokio::test]
async fn while_the_store_is_away_the_lease_in_hand_is_handed_out_and_then_nothing_is_decided() {
    let place = Place::new();
    let limit = "trap '' XFSZ; ulimit -S -f 10240; exec \"$@\"";
    let server = place.serve_under(&["sh", "-c", limit, "sh"], &[]).await;
    let operator = server.operator();
    let till = till(&operator).await;
    let day = calls(&server, &till, 1).await.reset_time;
    fill(&operator).await;

    let mut allowed = 0;
    let mut turned = false;
    let mut credentials = operator.credentials.clone();
    let refusal = eventually("the lease in hand to run dry", async || {
        loop {
            match credentials.validate_credentials(presenting(&till)).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    assert_eq!(decision(&answer), ALLOW, "never a false denial");
                    turned |= answer.quota.expect("there is a limit").reset_time != day;
                    allowed += 1;
                }
                Err(refusal) => return Some(refusal),
            }
        }
    })
    .await;
    assert!(allowed <= WASTE, "{allowed}: none was leased any more");
    assert!(allowed > 0 || turned, "what was in hand is good");
    assert!(refusal.get_details_retry_info().is_some(), "{refusal:?}");
    let (code, reason) = refused::<()>(Err(refusal));
    assert_eq!(code, Code::Unavailable);
    assert!(
        ["CALLS_NOT_LEASED", "STORE_AWAY"].contains(&reason.as_str()),
        "{reason}"
    );
    let too_dear = ValidateCredentialsRequest {
        cost: 2_501,
        ..presenting(&till)
    };
    let answer = operator.validate(too_dear).await;
    assert_ne!(
        decision(&answer),
        ALLOW,
        "what no store could change is decided"
    );
    server.stop().await;

    let server = place.serve(&[]).await;
    assert_eq!(calls(&server, &till, 1).await.limit, LIMIT);
    server.stop().await;
}
