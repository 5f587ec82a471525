//! Callers that keep answers: what WatchInvalidations tells them to drop, and for how long an answer may be kept.

use std::time::Duration;

use keyward::api::proto::create_token_request::Expiry;
use keyward::api::proto::validate_credentials_request::Presented;
use keyward::api::proto::{
    Account, Activation, CreateAccountKeyRequest, CreatePrincipalRequest, CreateRoleRequest,
    CreateTokenRequest, DeleteRoleRequest, DeleteTokenRequest, Principal, RateLimit,
    ReactivateTokenRequest, RekeyRequest, Role, Token, UpdateAccountRequest,
    UpdatePrincipalRequest, UpdateRoleRequest, UpdateTokenRequest, ValidateCredentialsRequest,
    ValidateCredentialsResponse, WatchInvalidationsRequest, WatchInvalidationsResponse,
};
use keyward::domain::limits::PENDING_KEPT;
use tonic::{Code, Streaming};

use crate::harness::{
    ALLOW, Client, Home, START, decision, error, eventually, next, refused, wire,
};

type Stream = Streaming<WatchInvalidationsResponse>;

async fn follow(caller: &Client, after_revision: u64) -> Stream {
    let request = WatchInvalidationsRequest { after_revision };
    let mut credentials = caller.credentials.clone();
    let stream = credentials.watch_invalidations(request);
    stream.await.expect("it may be followed").into_inner()
}

/// What is told next that is no heartbeat.
async fn told(stream: &mut Stream) -> WatchInvalidationsResponse {
    // Heartbeats come without an end.
    for _ in 0..40 {
        let message = next(stream).await.expect("it goes on");
        let names = message.token_ids.len() + message.account_ids.len();
        if names > 0 || message.reset {
            return message;
        }
    }
    panic!("nothing but heartbeats");
}

fn mask(path: &str) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask {
        paths: vec![path.into()],
    })
}

async fn answer(caller: &Client, text: &str) -> ValidateCredentialsResponse {
    caller.validate(asking(text)).await
}

fn asking(text: &str) -> ValidateCredentialsRequest {
    ValidateCredentialsRequest {
        presented: Some(Presented::Token(text.into())),
        ..Default::default()
    }
}

fn kept(answer: &ValidateCredentialsResponse) -> Option<Duration> {
    let span = answer.cache_for?;
    Some(Duration::try_from(span).expect("it is a span"))
}

#[tokio::test]
async fn every_change_of_a_token_names_it() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let id = operator.token("acme", "n").await.token.unwrap().id;
    let mut credentials = operator.credentials.clone();
    let mut stream = follow(&operator, 0).await;
    let first = next(&mut stream).await.unwrap();
    assert!(first.revision > 0 && first.token_ids.is_empty() && !first.reset);
    for change in [
        "update",
        "rekey",
        "deactivate",
        "reactivate",
        "deactivate",
        "delete",
    ] {
        let token_id = id.clone();
        match change {
            "update" => {
                let token = Token {
                    id: token_id,
                    name: "m".into(),
                    ..Default::default()
                };
                let request = UpdateTokenRequest {
                    token: Some(token),
                    update_mask: mask("name"),
                };
                drop(credentials.update_token(request).await.unwrap());
            }
            "rekey" => {
                let request = RekeyRequest {
                    token_id,
                    ..Default::default()
                };
                drop(credentials.rekey(request).await.unwrap());
            }
            "deactivate" => operator.deactivate(&token_id).await,
            "reactivate" => {
                let request = ReactivateTokenRequest {
                    token_id,
                    ..Default::default()
                };
                drop(credentials.reactivate_token(request).await.unwrap());
            }
            _ => {
                let request = DeleteTokenRequest {
                    token_id,
                    ..Default::default()
                };
                drop(credentials.delete_token(request).await.unwrap());
            }
        }
        let message = told(&mut stream).await;
        assert_eq!(message.token_ids, [id.as_str()], "{change}");
        assert!(message.account_ids.is_empty() && !message.reset, "{change}");
    }
    drop(stream);
    server.stop().await;
}

#[tokio::test]
async fn every_change_of_an_account_its_principals_and_its_roles_names_the_account() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let mut directory = operator.directory.clone();
    let mut stream = follow(&operator, 0).await;
    let account_id = || String::from("acme");
    for change in 0..7 {
        match change {
            0 => {
                let request = UpdateAccountRequest {
                    account: Some(Account {
                        id: account_id(),
                        display_name: "Acme".into(),
                        ..Default::default()
                    }),
                    update_mask: mask("display_name"),
                };
                drop(directory.update_account(request).await.unwrap());
            }
            1 => {
                let request = CreateAccountKeyRequest {
                    account_id: account_id(),
                };
                drop(directory.create_account_key(request).await.unwrap());
            }
            2 => {
                let request = CreateRoleRequest {
                    account_id: account_id(),
                    role_id: "reader".into(),
                    ..Default::default()
                };
                drop(directory.create_role(request).await.unwrap());
            }
            3 => {
                let request = UpdateRoleRequest {
                    role: Some(Role {
                        account_id: account_id(),
                        id: "reader".into(),
                        grants: vec!["dispatch".into()],
                        ..Default::default()
                    }),
                    update_mask: mask("grants"),
                };
                drop(directory.update_role(request).await.unwrap());
            }
            4 => {
                let request = DeleteRoleRequest {
                    account_id: account_id(),
                    role_id: "reader".into(),
                    ..Default::default()
                };
                drop(directory.delete_role(request).await.unwrap());
            }
            5 => {
                let request = CreatePrincipalRequest {
                    account_id: account_id(),
                    principal_id: "api".into(),
                    ..Default::default()
                };
                drop(directory.create_principal(request).await.unwrap());
            }
            _ => {
                let request = UpdatePrincipalRequest {
                    principal: Some(Principal {
                        account_id: account_id(),
                        id: "api".into(),
                        display_name: "API".into(),
                        ..Default::default()
                    }),
                    update_mask: mask("display_name"),
                };
                drop(directory.update_principal(request).await.unwrap());
            }
        }
        let message = told(&mut stream).await;
        assert_eq!(message.account_ids, ["acme"], "{change}");
        assert!(message.token_ids.is_empty() && !message.reset, "{change}");
    }
    drop(stream);
    server.stop().await;
}

#[tokio::test]
async fn a_history_that_is_not_there_is_a_reset_and_one_that_is_goes_on() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let early = operator.token("acme", "n").await;
    let before = answer(&operator, &early.secret).await.revision;
    operator.deactivate(&early.token.as_ref().unwrap().id).await;
    let mut stream = follow(&operator, before).await;
    let message = next(&mut stream).await.unwrap();
    assert_eq!(message.token_ids, [early.token.unwrap().id], "at once");
    let last = message.revision;
    let mut ahead = follow(&operator, u64::MAX).await;
    let message = next(&mut ahead).await.unwrap();
    assert!(message.reset && message.revision >= last);
    assert!(!next(&mut ahead).await.unwrap().reset, "once");
    drop((stream, ahead));
    server.stop().await;

    let server = home.start().await;
    let operator = server.operator();
    let mut stream = follow(&operator, before).await;
    let message = next(&mut stream).await.unwrap();
    assert!(message.reset, "the history went with the process");
    let mut resumed = follow(&operator, message.revision).await;
    assert!(!next(&mut resumed).await.unwrap().reset);
    drop((stream, resumed));
    server.stop().await;
}

#[tokio::test]
async fn a_scoped_caller_hears_of_its_own_tokens_deleted_ones_too_and_of_no_others() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    operator.account("shop", "standard").await;
    let grants = ["keyward/credentials:validate"];
    let scoped = server.caller(&operator.operator(&grants, "acme").await);
    let mut stream = follow(&scoped, 0).await;
    next(&mut stream).await.unwrap();
    for account in ["shop", "acme"] {
        let id = operator.token(account, "n").await.token.unwrap().id;
        if account == "acme" {
            assert_eq!(told(&mut stream).await.token_ids, [id.as_str()]);
        }
        operator.deactivate(&id).await;
        if account == "acme" {
            assert_eq!(told(&mut stream).await.token_ids, [id.as_str()]);
        }
        let request = DeleteTokenRequest {
            token_id: id.clone(),
            ..Default::default()
        };
        let deleted = operator.credentials.clone().delete_token(request).await;
        deleted.unwrap();
        if account == "acme" {
            assert_eq!(told(&mut stream).await.token_ids, [id]);
        }
    }
    drop(stream);
    server.stop().await;
}

#[tokio::test]
async fn an_answer_is_kept_by_who_follows_and_no_longer_than_it_is_good() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    operator.account("counted", "application-keys").await;
    let grants = ["keyward/credentials:validate"];
    let service = server.caller(&operator.operator(&grants, "").await);
    let good = operator.token("acme", "n").await;
    let counted = operator.token("counted", "n").await;
    let create = async |expiry, rate_limit| {
        let request = CreateTokenRequest {
            account_id: "acme".into(),
            name: "n".into(),
            expiry,
            rate_limit,
            ..Default::default()
        };
        operator.create(request).await.unwrap()
    };
    let soon = START.after(Duration::from_millis(300));
    let ending = create(Some(Expiry::ExpireTime(wire(soon))), None).await;
    let rate = RateLimit {
        calls: 100,
        per: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        burst: 100,
    };
    let rated = create(None, Some(rate)).await;
    let rekeyed = operator.token("acme", "n").await;
    let request = RekeyRequest {
        token_id: rekeyed.token.unwrap().id,
        grace: Some(prost_types::Duration {
            seconds: 0,
            nanos: 200_000_000,
        }),
        ..Default::default()
    };
    operator.credentials.clone().rekey(request).await.unwrap();

    assert_eq!(
        kept(&answer(&service, &good.secret).await),
        None,
        "not following"
    );
    let mut stream = follow(&service, 0).await;
    next(&mut stream).await.unwrap();
    let second = Duration::from_secs(1);
    // Heartbeats come twice a second; on a busy machine one may be late.
    let span = eventually("an answer that may be kept", async || {
        next(&mut stream).await.unwrap();
        kept(&answer(&service, &good.secret).await)
    });
    let span = span.await;
    assert!(span <= second, "{span:?}");
    for (text, most) in [(&ending.secret, 300), (&rekeyed.secret, 200)] {
        let span = eventually("an answer that may be kept", async || {
            next(&mut stream).await.unwrap();
            kept(&answer(&service, text).await)
        });
        let span = span.await;
        assert!(span <= Duration::from_millis(most), "{span:?} {most}");
    }
    for text in [&counted.secret, &rated.secret] {
        let answer = answer(&service, text).await;
        assert_eq!((decision(&answer), kept(&answer)), (ALLOW, None));
    }
    let denied = answer(&service, "kw_test_nonsense").await;
    assert_eq!(kept(&denied), None);
    let dry = ValidateCredentialsRequest {
        dry_run: true,
        ..asking(&good.secret)
    };
    assert_eq!(kept(&service.validate(dry).await), None);
    assert_eq!(
        kept(&answer(&operator, &good.secret).await),
        None,
        "another caller"
    );

    drop(stream);
    eventually("the stream to be closed", async || {
        kept(&answer(&service, &good.secret).await)
            .is_none()
            .then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn an_answer_about_a_pending_secret_is_not_kept_past_its_week() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let service = operator.operator(&["keyward/credentials:validate"], "");
    let service = server.caller(&service.await);
    let made = operator.token("acme", "n").await;
    let request = RekeyRequest {
        token_id: made.token.unwrap().id,
        activation: Activation::OnFirstUse.into(),
        ..Default::default()
    };
    let rekeyed = operator.credentials.clone().rekey(request).await.unwrap();
    let left = Duration::from_millis(50);
    home.clock.set(START.after(PENDING_KEPT - left));
    let mut stream = follow(&service, 0).await;
    next(&mut stream).await.unwrap();
    let first = answer(&service, &rekeyed.into_inner().secret).await;
    assert_eq!(decision(&first), ALLOW);
    assert!(kept(&first).unwrap_or_default() <= left, "{first:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_state_that_is_there_is_answered_from_and_one_that_is_not_is_waited_for_in_vain() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let text = operator.token("acme", "n").await.secret;
    let at = answer(&operator, &text).await.revision;
    let from = async |min_revision| {
        let request = ValidateCredentialsRequest {
            min_revision,
            ..asking(&text)
        };
        operator
            .credentials
            .clone()
            .validate_credentials(request)
            .await
    };
    assert_eq!(decision(from(at).await.unwrap().get_ref()), ALLOW);
    let unreached = error(Code::Unavailable, "REVISION_NOT_REACHED");
    // Usage that is saved meanwhile is a commit too: ask for one that does not come.
    assert_eq!(refused(from(at + 1_000).await), unreached);
    let (waited, _) = tokio::join!(from(at + 1), operator.token("acme", "another"));
    let waited = waited.unwrap().into_inner();
    assert!(waited.revision > at);
    server.stop().await;
}
