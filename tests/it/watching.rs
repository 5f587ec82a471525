//! WatchEvents: the audit log as it grows, told without a gap to whoever may hear it.

use std::time::Duration;

use keyward::api::proto::create_token_request::Expiry;
use keyward::api::proto::{
    CreateTokenRequest, Event, EventType, ListEventsRequest, RekeyRequest, Token,
    UpdateTokenRequest, VerifyEventsRequest, WatchEventsRequest, WatchEventsResponse,
    WatchInvalidationsRequest,
};
use tonic::{Code, Status, Streaming};

use crate::harness::{Client, Home, START, ended, error, eventually, next, refused, wire};
use crate::process::Place;

const DAY: Duration = Duration::from_secs(86_400);

async fn watch(
    caller: &Client,
    request: WatchEventsRequest,
) -> Result<Streaming<WatchEventsResponse>, Status> {
    let stream = caller.events.clone().watch_events(request).await;
    stream.map(tonic::Response::into_inner)
}

fn after(after_sequence: u64) -> WatchEventsRequest {
    WatchEventsRequest {
        after_sequence,
        ..Default::default()
    }
}

/// What is told until the first heartbeat, and the sequence that the watcher goes on after.
async fn caught_up(stream: &mut Streaming<WatchEventsResponse>) -> (Vec<Event>, u64) {
    let mut events = Vec::new();
    loop {
        let message = next(stream).await.expect("it goes on");
        match message.event {
            Some(event) => {
                assert_eq!(event.sequence, message.sequence);
                events.push(event);
            }
            None => return (events, message.sequence),
        }
    }
}

/// The whole log, oldest first.
async fn log(operator: &Client) -> Vec<Event> {
    let request = ListEventsRequest {
        page_size: 1_000,
        ..Default::default()
    };
    let listed = operator.events.clone().list_events(request).await;
    let mut events = listed.expect("it may be listed").into_inner().events;
    events.reverse();
    events
}

fn sequences(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

#[tokio::test]
async fn every_event_is_told_once_and_in_order_across_a_restart() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let mut stream = watch(&operator, after(0)).await.unwrap();
    let (mut told, _) = caught_up(&mut stream).await;
    assert_eq!(told, log(&operator).await);
    for n in 0..3 {
        operator.token("acme", &format!("live {n}")).await;
    }
    let mut last = 0;
    while told.len() < log(&operator).await.len() {
        let message = next(&mut stream).await.unwrap();
        last = message.sequence;
        told.extend(message.event);
    }
    let stopping = tokio::spawn(server.stop());
    let closed = error(Code::Unavailable, "SHUTTING_DOWN");
    assert_eq!(ended(&mut stream).await, closed);
    stopping.await.unwrap();

    let server = home.start().await;
    let operator = server.operator();
    operator.token("acme", "unheard").await;
    let mut stream = watch(&operator, after(last)).await.unwrap();
    let (rest, _) = caught_up(&mut stream).await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    told.extend(rest);
    assert_eq!(told, log(&operator).await);
    drop(stream);
    server.stop().await;
}

#[tokio::test]
async fn a_heartbeat_carries_a_watcher_past_what_its_filter_holds_back() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    operator.account("shop", "standard").await;
    let request = WatchEventsRequest {
        account_id: "acme".into(),
        types: vec![EventType::TokenDeactivated.into()],
        ..Default::default()
    };
    let mut stream = watch(&operator, request.clone()).await.unwrap();
    assert!(caught_up(&mut stream).await.0.is_empty());
    let ours = operator.token("acme", "ours").await.token.unwrap();
    let theirs = operator.token("shop", "theirs").await.token.unwrap();
    operator.deactivate(&theirs.id).await;
    operator.deactivate(&ours.id).await;
    let told = next(&mut stream).await.unwrap();
    let told = match told.event {
        Some(event) => event,
        None => next(&mut stream).await.unwrap().event.unwrap(),
    };
    assert_eq!(told.subject_id, ours.id);

    operator.token("shop", "another").await;
    let newest = log(&operator).await.last().unwrap().sequence;
    let (events, sequence) = caught_up(&mut stream).await;
    assert!(
        events.is_empty() && sequence >= newest,
        "{sequence} {newest}"
    );
    let resumed = WatchEventsRequest {
        after_sequence: sequence,
        ..request
    };
    let mut resumed = watch(&operator, resumed).await.unwrap();
    assert!(caught_up(&mut resumed).await.0.is_empty(), "told before");
    drop((stream, resumed));
    server.stop().await;
}

#[tokio::test]
async fn a_scoped_operator_hears_its_account_alone() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    operator.account("shop", "standard").await;
    let scoped = operator.operator(&["keyward/events:read"], "acme").await;
    let scoped = server.caller(&scoped);
    let mut stream = watch(&scoped, after(0)).await.unwrap();
    operator.token("shop", "theirs").await;
    operator.token("acme", "ours").await;
    let newest = log(&operator).await.last().unwrap().sequence;
    let mut heard = Vec::new();
    loop {
        let (events, sequence) = caught_up(&mut stream).await;
        heard.extend(events);
        if sequence >= newest {
            break;
        }
    }
    assert_eq!(heard.len(), 2, "the account and its token: {heard:?}");
    assert!(heard.iter().all(|event| event.account_id == "acme"));
    let foreign = WatchEventsRequest {
        account_id: "shop".into(),
        ..Default::default()
    };
    let foreign = watch(&scoped, foreign).await;
    assert_eq!(refused(foreign), error(Code::NotFound, "NOT_FOUND"));
    drop(stream);
    server.stop().await;
}

#[tokio::test]
async fn one_that_does_not_read_holds_nobody_back_and_misses_nothing() {
    // More than is sent without being read.
    const LINES: usize = 400;
    let home = Home::new();
    let server = home.start_with(&["--store=memory"]).await.unwrap();
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let slow_one = server.narrow_operator();
    let mut slow = watch(&slow_one, after(0)).await.unwrap();
    let mut quick = watch(&operator, after(0)).await.unwrap();
    let (mut told, _) = caught_up(&mut quick).await;
    for n in 0..LINES {
        operator
            .token("acme", &format!("{n} {}", "x".repeat(150)))
            .await;
    }
    let all = sequences(&log(&operator).await);
    while told.len() < all.len() {
        told.extend(next(&mut quick).await.unwrap().event);
    }
    assert_eq!(sequences(&told), all);
    let mut late = Vec::new();
    while late.len() < all.len() {
        late.extend(next(&mut slow).await.unwrap().event);
    }
    assert_eq!(sequences(&late), all);
    drop((slow, quick));
    server.stop().await;
}

/// An operator with both streams open, and what becomes of it.
async fn outlasted(what: &str, expected: (Code, &str), end: impl AsyncFn(&Home, &Client, &Token)) {
    let home = Home::new();
    let server = home
        .start_with(&["--store=memory"])
        .await
        .expect("it starts");
    let operator = server.operator();
    let request = CreateTokenRequest {
        account_id: "system".into(),
        name: "watcher".into(),
        grants: vec![
            "keyward/events:read".into(),
            "keyward/credentials:validate".into(),
        ],
        expiry: Some(Expiry::ExpireTime(wire(START.after(DAY)))),
        ..Default::default()
    };
    let made = operator.create(request).await.expect("it may be made");
    let watcher = server.caller(&made.secret);
    let mut events = watch(&watcher, after(0)).await.expect("it may watch");
    let request = WatchInvalidationsRequest::default();
    let mut credentials = watcher.credentials.clone();
    let kept = credentials.watch_invalidations(request);
    let mut kept = kept.await.expect("it may follow").into_inner();
    caught_up(&mut events).await;
    next(&mut kept).await.expect("it goes on");
    end(
        &home,
        &operator,
        &made.token.expect("an answer has its token"),
    )
    .await;
    let expected = error(expected.0, expected.1);
    assert_eq!(ended(&mut events).await, expected, "{what}");
    assert_eq!(ended(&mut kept).await, expected, "{what}");
    server.stop().await;
}

#[tokio::test]
async fn a_stream_does_not_outlast_what_its_caller_may() {
    let nobody = (Code::Unauthenticated, "UNAUTHENTICATED");
    outlasted("deactivated", nobody, async |_, operator, token| {
        operator.deactivate(&token.id).await;
    })
    .await;
    outlasted("expired", nobody, async |home, _, _| {
        home.clock.advance(DAY);
    })
    .await;
    outlasted("rekeyed", nobody, async |_, operator, token| {
        let request = RekeyRequest {
            token_id: token.id.clone(),
            grace: Some(prost_types::Duration::default()),
            ..Default::default()
        };
        let rekeyed = operator.credentials.clone().rekey(request).await;
        rekeyed.unwrap();
    })
    .await;
    let lacking = (Code::PermissionDenied, "GRANT_MISSING");
    outlasted("without the grant", lacking, async |_, operator, token| {
        let request = UpdateTokenRequest {
            token: Some(Token {
                id: token.id.clone(),
                grants: vec!["keyward/tokens:read".into()],
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["grants".into()],
            }),
        };
        let updated = operator.credentials.clone().update_token(request).await;
        updated.unwrap();
    })
    .await;
}

#[tokio::test]
async fn swept_lines_are_told_of_and_the_rest_is_whole() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let old = log(&operator).await;
    server.stop().await;

    home.clock.advance(DAY * 400 + Duration::from_millis(1));
    let server = home.start().await;
    let operator = server.operator();
    let left = eventually("the sweep", async || {
        let left = log(&operator).await;
        (left[0].sequence > old.last().unwrap().sequence).then_some(left)
    })
    .await;
    assert_eq!(left[0].r#type(), EventType::EventsSwept);
    assert_eq!(left[0].details["count"], old.len().to_string());
    let gone = watch(&operator, after(old[0].sequence)).await.unwrap();
    let gone = { gone }.message().await.unwrap_err();
    let info = tonic_types::StatusExt::get_details_error_info(&gone).unwrap();
    assert_eq!(
        info.metadata["oldest_sequence"],
        left[0].sequence.to_string()
    );
    assert_eq!(
        refused(Err::<(), _>(gone)),
        error(Code::OutOfRange, "EVENTS_SWEPT")
    );
    for from in [after(0), after(old.last().unwrap().sequence)] {
        let mut stream = watch(&operator, from).await.unwrap();
        assert_eq!(caught_up(&mut stream).await.0, left);
    }
    server.stop().await;

    let server = home.start().await;
    let request = VerifyEventsRequest {
        from_sequence: old[0].sequence,
        ..Default::default()
    };
    let mut events = server.operator().events;
    let verified = events.verify_events(request).await.unwrap().into_inner();
    assert!(verified.intact, "{}", verified.detail);
    assert_eq!(verified.checked, left.len() as u64);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused_at_once() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    let ahead = watch(&operator, after(u64::MAX)).await;
    let out_of_range = error(Code::OutOfRange, "SEQUENCE_NOT_REACHED");
    assert_eq!(refused(ahead), out_of_range);
    let unknown = WatchEventsRequest {
        types: vec![999],
        ..Default::default()
    };
    let invalid = error(Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(refused(watch(&operator, unknown).await), invalid);
    server.stop().await;
}

#[tokio::test]
async fn the_command_line_follows_across_a_kill_and_ends_with_0_when_interrupted() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let listen = format!("--listen={}", server.address);
    let address = server.address.to_string();
    let file = place.operator_file();
    let follower = place.start(&[
        "events",
        "--follow",
        "--output=jsonl",
        "--server",
        &address,
        "--token-file",
        file.to_str().unwrap(),
        "--type=account-created",
    ]);
    server.operator().account("acme", "standard").await;
    let printed = async |lines| {
        let enough = async || (follower.out().lines().count() >= lines).then_some(());
        eventually("the lines", enough).await;
    };
    printed(2).await;
    server.kill().await;
    let server = place.serve(&[&listen]).await;
    server.operator().account("shop", "standard").await;
    printed(3).await;
    let said = follower.interrupt();
    let subjects: Vec<String> = said
        .good()
        .lines()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            event["subjectId"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(subjects, ["system", "acme", "shop"]);
    server.stop().await;
}
