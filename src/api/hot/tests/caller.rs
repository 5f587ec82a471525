//! Tests: a caller that is remembered hears what it would hear if it were not.

use super::*;
use crate::domain::event::EventKind;
use crate::domain::network::Network;
use crate::domain::token::Activation;
use crate::registry::tokens::{Expiry, TokenPatch};

#[tokio::test]
async fn a_caller_is_authenticated_once_and_each_of_its_calls_is_counted() {
    let mut line = Line::new().await;
    let (caller, token) = (line.caller().await, line.world.token("acme").await);
    let id = caller.token.id;
    for _ in 0..3 {
        assert_eq!(line.ask(&caller, token.secret.reveal()), ALLOW);
    }
    assert_eq!(line.counted(id), 1, "authenticated once");
    line.hot.settle();
    assert_eq!(line.counted(id), 3);
    line.hot.settle();
    assert_eq!(line.counted(id), 3, "and each is counted once");
    assert_eq!(line.counted(token.token.id), 3);
    // Another caller: what the one before it has called is not lost.
    assert_eq!(line.ask(&caller, "kw_typo"), Ok(DenyReason::Malformed));
    let other = line.caller().await;
    assert_eq!(line.ask(&other, token.secret.reveal()), ALLOW);
    assert_eq!((line.counted(id), line.counted(other.token.id)), (4, 1));
    assert_eq!(line.ask(&other, token.secret.reveal()), ALLOW);
    let Line { desk, hot, .. } = line;
    drop(hot);
    let counted = desk.meter.usage.waiting(other.token.id).unwrap();
    assert_eq!(
        counted.secrets().map(|secret| secret.calls).sum::<u64>(),
        2,
        "nor with its connection"
    );
}

#[tokio::test]
async fn a_deactivated_caller_is_refused_on_its_very_next_call() {
    let mut line = Line::new().await;
    let (caller, token) = (line.caller().await, line.world.token("acme").await);
    let text = token.secret.reveal();
    assert_eq!(line.ask(&caller, text), ALLOW);
    line.world.deactivate(caller.token.id).await;
    assert_eq!(line.ask(&caller, text), unauthenticated("INACTIVE"));
    line.world.reactivate(caller.token.id).await.unwrap();
    assert_eq!(line.ask(&caller, text), ALLOW);
    line.world.deactivate(caller.token.id).await;
    line.world.delete(caller.token.id).await.unwrap();
    assert_eq!(line.ask(&caller, text), unauthenticated("UNKNOWN"));
}

#[tokio::test]
async fn a_rekeyed_caller_is_good_to_the_end_of_its_grace() {
    let mut line = Line::new().await;
    let (caller, token) = (line.caller().await, line.world.token("acme").await);
    let (id, text) = (caller.token.id, token.secret.reveal());
    assert_eq!(line.ask(&caller, text), ALLOW);
    let new = line
        .world
        .rekey(id, HOUR, Activation::AtOnce)
        .await
        .unwrap();
    assert_eq!(line.ask(&caller, text), ALLOW);
    line.world.clock.advance(HOUR - MILLI);
    assert_eq!(line.ask(&caller, text), ALLOW);
    // Nothing is committed; the time alone has come.
    line.world.clock.advance(MILLI);
    assert_eq!(line.ask(&caller, text), unauthenticated("SUPERSEDED"));
    assert_eq!(line.ask(&new, text), ALLOW);
    let none = std::time::Duration::ZERO;
    line.world
        .rekey(id, none, Activation::AtOnce)
        .await
        .unwrap();
    assert_eq!(line.ask(&new, text), unauthenticated("SUPERSEDED"));
}

#[tokio::test]
async fn a_caller_expires_by_time_though_nothing_is_committed() {
    let mut line = Line::new().await;
    let token = line.world.token("acme").await;
    let new = NewToken {
        grants: grants(&[VALIDATE]),
        expiry: Some(Expiry::Ttl(DAY)),
        ..new_token("system")
    };
    let caller = line.world.create(new).await.unwrap();
    assert_eq!(line.ask(&caller, token.secret.reveal()), ALLOW);
    line.world.clock.advance(DAY - MILLI);
    assert_eq!(line.ask(&caller, token.secret.reveal()), ALLOW);
    line.world.clock.advance(MILLI);
    let expired = unauthenticated("EXPIRED");
    assert_eq!(line.ask(&caller, token.secret.reveal()), expired);
}

#[tokio::test]
async fn a_caller_whose_secret_leaves_a_mark_is_authenticated_each_time() {
    let mut line = Line::new().await;
    let (caller, token) = (line.caller().await, line.world.token("acme").await);
    let (id, text) = (caller.token.id, token.secret.reveal());
    let rekeyed = line.world.rekey(id, HOUR, Activation::OnFirstUse);
    let pending = rekeyed.await.unwrap();
    for calls in 1..=3 {
        assert_eq!(line.ask(&pending, text), ALLOW);
        assert_eq!(line.counted(id), calls);
    }
    assert_eq!(line.world.step_marks().await, 1);
    for _ in 0..2 {
        assert_eq!(line.ask(&pending, text), ALLOW);
    }
    assert_eq!(line.counted(id), 4, "it is current now, and remembered");
    // Under a retired key the secret is to be hashed anew.
    let Line { world, desk, hot } = line;
    drop((desk, hot));
    let mut line = Line::over(world.restarted(&[2, 1]).await);
    for calls in 1..=2 {
        assert_eq!(line.ask(&pending, text), ALLOW);
        assert_eq!(line.counted(id), calls);
    }
    // The caller's mark, and the token's.
    assert_eq!(line.world.step_marks().await, 2);
    for _ in 0..2 {
        assert_eq!(line.ask(&pending, text), ALLOW);
    }
    assert_eq!(line.counted(id), 3);
}

#[tokio::test]
async fn a_caller_whose_grants_were_narrowed_is_refused_and_the_log_hears_of_it() {
    let mut line = Line::new().await;
    let (caller, token) = (line.caller().await, line.world.token("acme").await);
    let (id, text) = (caller.token.id, token.secret.reveal());
    assert_eq!(line.ask(&caller, text), ALLOW);
    let patch = TokenPatch {
        grants: Some(grants(&["keyward/tokens:read"])),
        ..TokenPatch::default()
    };
    let (registry, root) = (&line.world.registry, &line.world.root);
    let updated = registry.update_token(root, id.to_string(), String::new(), patch);
    updated.await.unwrap();
    let refused = Err((Code::PermissionDenied, "GRANT_MISSING".to_owned()));
    for _ in 0..2 {
        assert_eq!(
            line.ask(&caller, text),
            refused,
            "it is authenticated, and may not"
        );
    }
    assert_eq!(line.counted(id), 3);
    let opened = line.hot.open(&head(caller.secret.reveal()), CallId::made());
    assert_eq!(opened.unwrap_err().code(), Code::PermissionDenied);
    let denied = EventKind::OperatorDenied as i32;
    let log = async || {
        let events = line.world.events().await;
        let denials = events.into_iter().filter(|event| event.kind == denied);
        denials
            .map(|event| (event.actor, event.address, event.details["method"].clone()))
            .collect::<Vec<_>>()
    };
    // Each method once a minute; whoever is refused does not wait for it.
    while log().await.len() < 2 {
        tokio::task::yield_now().await;
    }
    let line_of = |method: &str| (id.to_string(), "10.0.0.1".to_owned(), method.to_owned());
    let expected = ["ValidateCredentials", "StreamValidateCredentials"].map(line_of);
    assert_eq!(log().await, expected);
}

#[tokio::test]
async fn no_header_but_the_caller_s_own_is_taken_for_it() {
    let mut line = Line::new().await;
    let (caller, token) = (line.caller().await, line.world.token("acme").await);
    let (text, asked) = (caller.secret.reveal(), request(token.secret.reveal()));
    let good = head(text);
    let mut headers = vec![
        (HeaderMap::new(), "MISSING"),
        (head(&text[..text.len() - 1]), "MALFORMED"),
        (head(&format!("{text}x")), "MALFORMED"),
        (head(token.secret.reveal()), "UNKNOWN"),
        (head(""), "MALFORMED"),
    ];
    // Of the same length, and another in each of its bytes once.
    let bytes = good[http::header::AUTHORIZATION].as_bytes().to_vec();
    for place in 0..bytes.len() {
        let mut other = bytes.clone();
        other[place] = if other[place] == b'x' { b'y' } else { b'x' };
        // What does not begin as our texts do may be an imported one.
        let ours = !(7..10).contains(&place);
        headers.push((raw(&other), if ours { "MALFORMED" } else { "UNKNOWN" }));
    }
    headers.push((raw(b"Bearer \xff"), "MALFORMED"));
    let calls = headers.len() as u64;
    for (header, why) in headers {
        let came = line.call(Route::Unary, &good, &asked);
        assert!(came.answer::<Response>().is_ok());
        let came = line.call(Route::Unary, &header, &asked);
        assert_eq!(
            came.answer::<Response>().map(drop),
            unauthenticated(why),
            "{header:?}"
        );
    }
    line.hot.settle();
    assert_eq!(
        line.counted(caller.token.id),
        calls,
        "remembered all the while"
    );
}

fn raw(authorization: &[u8]) -> HeaderMap {
    let value = HeaderValue::from_bytes(authorization).unwrap();
    HeaderMap::from_iter([(http::header::AUTHORIZATION, value)])
}

#[tokio::test]
async fn a_remembered_caller_is_held_against_its_scope_and_its_address() {
    let mut line = Line::over(World::with_accounts(["acme", "globex"]).await);
    let new = NewToken {
        grants: grants(&[VALIDATE]),
        scope: "acme".into(),
        networks: vec![Network::parse("10.0.0.0/8").unwrap()],
        ..new_token("system")
    };
    let caller = line.world.create(new).await.unwrap();
    let (own, foreign) = (
        line.world.token("acme").await,
        line.world.token("globex").await,
    );
    for _ in 0..2 {
        assert_eq!(line.ask(&caller, own.secret.reveal()), ALLOW);
        let unknown = Ok(DenyReason::Unknown);
        assert_eq!(line.ask(&caller, foreign.secret.reveal()), unknown);
    }
    let mut elsewhere = line.desk.hot(&Peer {
        address: "192.0.2.1:4000".parse().unwrap(),
        cut: Cut::default(),
    });
    let mut out = BytesMut::new();
    let (head, asked) = (head(caller.secret.reveal()), request("x").encode_to_vec());
    let outcome = elsewhere.call(Route::Unary, &head, CallId::made(), &asked, &mut out);
    let came = Came::of(outcome, out).answer::<Response>();
    assert_eq!(came.map(drop), unauthenticated("ADDRESS_NOT_ALLOWED"));
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let mut line = Line::new().await;
    let (caller, token) = (line.caller().await, line.world.token("acme").await);
    assert_eq!(line.ask(&caller, token.secret.reveal()), ALLOW);
    let stream = line.hot.open(&head(caller.secret.reveal()), CallId::made());
    let printed = format!("{:?} {:?}", line.hot, stream.unwrap());
    assert!(printed.contains(caller.token.id.as_str()), "{printed}");
    let secret = &caller.secret.reveal()[8..];
    let pieces = (0..secret.len() - 30).map(|place| &secret[place + 24..place + 30]);
    assert!(
        pieces.into_iter().all(|piece| !printed.contains(piece)),
        "{printed}"
    );
    let bytes = format!("{:?}", &secret.as_bytes()[24..30]);
    assert!(
        !printed.contains(bytes.trim_matches(['[', ']'])),
        "{printed}"
    );
}
