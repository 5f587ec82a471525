//! Tests: many in one call, each by itself.

use super::*;
use crate::api::proto::batch_item::Answer;
use crate::api::proto::{
    BatchValidateCredentialsRequest as Batch, BatchValidateCredentialsResponse as Items,
};
use crate::domain::limits;

fn told(items: Items) -> Vec<Result<DenyReason, String>> {
    let items = items.items.into_iter();
    items
        .map(|item| match item.answer.unwrap() {
            Answer::Response(response) => Ok(response.reason()),
            Answer::Undecided(undecided) => Err(undecided.reason),
        })
        .collect()
}

#[tokio::test]
async fn items_are_answered_in_their_order_whether_they_wait_or_not() {
    let mut line = Line::new().await;
    let (caller, token) = (line.caller().await, line.world.token("acme").await);
    let head = head(caller.secret.reveal());
    let good = request(token.secret.reveal());
    let next = line.desk.validator.directory().revision().0 + 1;
    let wrong = Request {
        client_address: "nowhere".into(),
        ..good.clone()
    };
    let waiting = |min_revision| Request {
        min_revision,
        ..good.clone()
    };
    let requests = vec![good.clone(), wrong.clone(), request("kw_typo")];
    let came = line.call(Route::Batch, &head, &Batch { requests });
    let (allow, invalid) = (Ok(DenyReason::Unspecified), Err("INVALID_FIELD".to_owned()));
    let malformed = Ok(DenyReason::Malformed);
    let expected = [allow.clone(), invalid.clone(), malformed.clone()];
    assert_eq!(told(came.answer().unwrap()), expected);
    let requests = vec![
        waiting(next),
        good.clone(),
        waiting(next),
        waiting(u64::MAX),
        wrong,
        request("kw_typo"),
        waiting(next),
    ];
    let came = line.call(Route::Batch, &head, &Batch { requests });
    assert!(matches!(came, Came::Waits(_)));
    line.world.deactivate(token.token.id).await;
    tokio::time::pause();
    let inactive = || Ok(DenyReason::Inactive);
    let expected = [
        inactive(),
        allow,
        inactive(),
        Err("REVISION_NOT_REACHED".into()),
        invalid,
        malformed,
        inactive(),
    ];
    assert_eq!(told(came.at_last().await.answer().unwrap()), expected);
}

#[tokio::test]
async fn a_batch_has_so_many_items_and_no_more() {
    let mut line = Line::new().await;
    let (caller, token) = (line.caller().await, line.world.token("acme").await);
    let head = head(caller.secret.reveal());
    let of = |many| Batch {
        requests: vec![request(token.secret.reveal()); many],
    };
    for many in [0, 1, limits::BATCH] {
        let came = line.call(Route::Batch, &head, &of(many));
        assert_eq!(came.answer::<Items>().unwrap().items.len(), many);
    }
    let came = line.call(Route::Batch, &head, &of(limits::BATCH + 1));
    let refused = Err((Code::InvalidArgument, "INVALID_FIELD".into()));
    assert_eq!(came.answer::<Items>().map(drop), refused);
    line.hot.settle();
    let counted = (line.counted(caller.token.id), line.counted(token.token.id));
    assert_eq!(
        counted,
        (4, 1 + limits::BATCH as u64),
        "a call is one of its caller"
    );
}
