//! Tests: what must wait is handed back, and comes out as if it had not left.

use super::*;
use crate::domain::account::Policy;

async fn shop() -> Line {
    let world = World::new().await;
    let policy = Policy {
        daily_calls: Some(100),
        ..Policy::standard()
    };
    world.account("shop", policy).await;
    Line::over(world)
}

/// Fetches leases for as long as the test runs.
fn with_leases(line: &Line) {
    let (registry, meter) = (line.world.registry.clone(), Arc::clone(&line.desk.meter));
    tokio::spawn(async move { registry.fetch_leases(&meter.quotas).await });
}

#[tokio::test]
async fn a_call_waits_for_the_revision_that_it_names() {
    let mut line = Line::new().await;
    let (caller, token) = (line.caller().await, line.world.token("acme").await);
    let revision = line.desk.validator.directory().revision().0;
    let at_least = |min_revision| Request {
        min_revision,
        ..request(token.secret.reveal())
    };
    let head = head(caller.secret.reveal());
    let came = line.call(Route::Unary, &head, &at_least(revision));
    assert!(came.answer::<Response>().is_ok());
    let came = line.call(Route::Unary, &head, &at_least(revision + 1));
    assert!(matches!(came, Came::Waits(_)));
    line.world.deactivate(token.token.id).await;
    let answered = came.at_last().await.answer::<Response>().unwrap();
    assert_eq!(
        answered.reason(),
        DenyReason::Inactive,
        "of the state that was waited for"
    );
    assert!(answered.revision > revision);
    let came = line.call(Route::Unary, &head, &at_least(u64::MAX));
    tokio::time::pause();
    let late = came.at_last().await.answer::<Response>().map(drop);
    assert_eq!(
        late,
        Err((Code::Unavailable, "REVISION_NOT_REACHED".into()))
    );
}

#[tokio::test]
async fn a_call_waits_for_a_lease_and_pays_its_rate_once() {
    let mut line = shop().await;
    let caller = line.caller().await;
    let new = NewToken {
        rate_limit: Some(once_an_hour()),
        ..new_token("shop")
    };
    let token = line.world.create(new).await.unwrap();
    let (head, asked) = (head(caller.secret.reveal()), request(token.secret.reveal()));
    let came = line.call(Route::Unary, &head, &asked);
    assert!(matches!(came, Came::Waits(_)));
    with_leases(&line);
    let answered = came.at_last().await.answer::<Response>().unwrap();
    assert_eq!(answered.reason(), DenyReason::Unspecified);
    assert_eq!(answered.quota.unwrap().remaining, 99);
    let answered = line.call(Route::Unary, &head, &asked).answer::<Response>();
    assert_eq!(answered.unwrap().reason(), DenyReason::RateLimited);
}

#[tokio::test]
async fn a_call_does_not_wait_for_a_lease_for_ever() {
    let mut line = shop().await;
    let (caller, token) = (line.caller().await, line.world.token("shop").await);
    let head = head(caller.secret.reveal());
    let came = line.call(Route::Unary, &head, &request(token.secret.reveal()));
    tokio::time::pause();
    let late = came.at_last().await.answer::<Response>().map(drop);
    assert_eq!(late, Err((Code::Unavailable, "CALLS_NOT_LEASED".into())));
    line.hot.settle();
    assert_eq!(line.counted(token.token.id), 0, "it left no trace");
}
