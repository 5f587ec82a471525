//! Tests: one call is answered as its service answers it.

use super::*;
use crate::api::convert::validation::Asked;
use crate::domain::account::Policy;
use crate::domain::token::Activation;
use crate::registry::tokens::Expiry;

/// What the service answers to the same.
async fn of_service(line: &Line, caller: &Issued, request: &Request) -> Result<Response, Status> {
    let header = head(caller.secret.reveal());
    let header = header.get(http::header::AUTHORIZATION);
    let matched = line.desk.authenticate(header, None).unwrap();
    let token = Arc::new(matched.identity().keep());
    drop(matched);
    let caller = Caller::new(token, Route::Unary.method(), None, CallId::made());
    line.desk.validate(&caller, &Asked::of(request)).await
}

#[tokio::test]
async fn every_answer_is_the_one_that_the_service_gives() {
    let mut line = Line::new().await;
    let caller = line.caller().await;
    let policy = Policy {
        daily_calls: Some(0),
        ..Policy::standard()
    };
    line.world.account("spent", policy).await;
    let state = crate::domain::principal::PrincipalState::Active;
    line.world.role("acme", "reader", &["tables/*:read"]).await;
    let made = line
        .world
        .principal("acme", "jane", state, true, &["reader"]);
    made.await.unwrap();
    let full = NewToken {
        name: "a name of some length, with ü".repeat(5),
        principal: Some(principal_id("jane")),
        grants: grants(&["tables/*:read,write", "dispatch"]),
        expiry: Some(Expiry::Ttl(DAY)),
        ..new_token("acme")
    };
    let full = line.world.create(full).await.unwrap();
    let old = line.world.token("acme").await;
    let rekeyed = line.world.rekey(old.token.id, HOUR, Activation::AtOnce);
    rekeyed.await.unwrap();
    let limited = NewToken {
        rate_limit: Some(once_an_hour()),
        ..new_token("acme")
    };
    let limited = line.world.create(limited).await.unwrap();
    let spent = line.world.token("spent").await;
    let of = |issued: &Issued| request(issued.secret.reveal());
    let required = |resource: &str, action: &str| {
        Some(proto::Permission {
            resource: resource.into(),
            action: action.into(),
        })
    };
    let requests = [
        Request::default(),
        request("kw_typo"),
        request("kw_elsewhere_0123"),
        request("an-imported-text"),
        of(&full),
        Request {
            required: required("tables/a", "read"),
            consumer: "billing".into(),
            ..of(&full)
        },
        Request {
            required: required("dispatch", "send"),
            ..of(&full)
        },
        Request {
            with_grants: true,
            ..of(&full)
        },
        Request {
            dry_run: true,
            ..of(&full)
        },
        Request {
            dry_run: true,
            ..request("kw_typo")
        },
        Request {
            account_id: "nowhere".into(),
            ..of(&full)
        },
        Request {
            account_key: "wrong".into(),
            ..of(&full)
        },
        of(&old),
        Request {
            cost: 2,
            ..of(&limited)
        },
        of(&spent),
    ];
    for asked in requests {
        let came = line.call(Route::Unary, &head(caller.secret.reveal()), &asked);
        let answered = came.at_last().await.answer::<Response>().unwrap();
        let expected = of_service(&line, &caller, &asked).await.unwrap();
        assert_eq!(answered, expected, "{asked:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_as_the_service_tells_it() {
    let mut line = Line::new().await;
    let caller = line.caller().await;
    let wrong = Request {
        client_address: "nowhere".into(),
        consumer: "ü".into(),
        required: Some(proto::Permission::default()),
        ..request("x")
    };
    let expected = of_service(&line, &caller, &wrong).await.unwrap_err();
    let mut out = BytesMut::new();
    let head = head(caller.secret.reveal());
    let mut call =
        |route, message: &[u8]| match line
            .hot
            .call(route, &head, CallId::made(), message, &mut out)
        {
            Outcome::Refused(status) => status,
            other => panic!("{other:?}"),
        };
    let status = call(Route::Unary, &wrong.encode_to_vec());
    assert_eq!(
        (status.code(), status.message(), status.details()),
        (expected.code(), expected.message(), expected.details())
    );
    // Bytes that are no message, in the words of prost.
    for route in [Route::Unary, Route::Batch] {
        let status = call(route, &[0x0a, 9, b'x']);
        let reason = status.get_details_error_info().unwrap().reason;
        assert_eq!(
            (status.code(), &*reason),
            (Code::InvalidArgument, "MALFORMED_REQUEST")
        );
        assert!(
            status.message().starts_with(transport::UNDECODED),
            "{status:?}"
        );
    }
    assert_eq!(call(Route::Stream, &[]).code(), Code::Internal);
    assert!(out.is_empty());
}

#[tokio::test]
async fn who_follows_invalidations_hears_how_long_an_answer_may_be_kept() {
    let mut line = Line::new().await;
    let (caller, token) = (line.caller().await, line.world.token("acme").await);
    let asked = request(token.secret.reveal());
    let cache_for = |line: &mut Line| {
        let came = line.call(Route::Unary, &head(caller.secret.reveal()), &asked);
        came.answer::<Response>().unwrap().cache_for
    };
    assert_eq!(cache_for(&mut line), None);
    let follower = (caller.token.id, "10.0.0.1".parse().unwrap());
    let following = line.desk.streams.follow(follower);
    following.tell(std::time::Instant::now());
    assert!(cache_for(&mut line).is_some());
}

#[test]
fn the_three_routes_are_the_methods_that_validate_and_no_other() {
    for method in METHODS {
        let route = Hot::route(method.path);
        let expected = match method.name() {
            "ValidateCredentials" => Some(Route::Unary),
            "BatchValidateCredentials" => Some(Route::Batch),
            "StreamValidateCredentials" => Some(Route::Stream),
            _ => None,
        };
        assert_eq!(route, expected, "{}", method.path);
        if let Some(route) = route {
            assert!(std::ptr::eq(route.method(), method));
        }
    }
    assert_eq!(
        Hot::route("/keyward.v1.CredentialService/ValidateCredentials/"),
        None
    );
}
