//! Access keys (preset `access-keys`), sentence by sentence as the design has them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyward::api::proto::{CreateTokenRequest, DenyReason, PrincipalState, Token, TokenState};
use keyward::domain::time::Timestamp;
use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::{
    ALLOW, Client, Home, START, Server, decision, error, presenting, refused, wire,
};
use crate::short::{Issued, about_to, acme};

const FOUR_HOURS: Duration = Duration::from_secs(4 * 3_600);

/// A node with the account `acme` and the proxy principal `clerk`, who is no API user and whose role lets it do nothing.
struct World {
    home: Home,
    server: Server,
    operator: Client,
}

impl World {
    async fn new() -> Self {
        let (home, server, operator) = acme("access-keys").await;
        operator.role("acme", "nothing", &["nothing/at/all"]).await;
        operator
            .principal("acme", "clerk", false, &["nothing"])
            .await;
        Self {
            home,
            server,
            operator,
        }
    }

    async fn key(&self) -> Issued {
        self.operator.issue(good()).await
    }
}

fn good() -> CreateTokenRequest {
    CreateTokenRequest {
        account_id: "acme".into(),
        name: "Fleet".into(),
        principal_id: "clerk".into(),
        grants: vec!["dispatch".into(), "billing:read".into()],
        ..Default::default()
    }
}

/// *Key with a free-text name that can change at any time,*
#[tokio::test]
async fn a_key_has_a_free_text_name_that_can_change_at_any_time() {
    let World {
        server,
        operator,
        home,
    } = World::new().await;
    let ends = CreateTokenRequest {
        expiry: Some(
            keyward::api::proto::create_token_request::Expiry::ExpireTime(wire(
                START.after(FOUR_HOURS),
            )),
        ),
        ..good()
    };
    let id = operator.issue(ends).await.id;
    let rename = async |name: &str| {
        let to = Token {
            id: id.clone(),
            name: name.into(),
            ..Default::default()
        };
        assert_eq!(operator.update(to, "name").await.unwrap().name, name);
    };
    rename("Flotte (Süd) — „neu“ №2").await;
    operator.deactivate(&id).await;
    rename("while it is inactive").await;
    home.clock.advance(FOUR_HOURS);
    rename("even when it has expired").await;
    operator.disable_account("acme", true).await;
    rename("and in a disabled account").await;
    server.stop().await;
}

/// *an active flag,*
#[tokio::test]
async fn a_key_has_an_active_flag() {
    let World {
        server, operator, ..
    } = World::new().await;
    let key = operator.issue(good()).await;
    assert_eq!(operator.shown(&key.id).await.state(), TokenState::Active);
    assert_eq!(operator.decide(&key.text).await, ALLOW);
    operator.deactivate(&key.id).await;
    assert_eq!(operator.shown(&key.id).await.state(), TokenState::Inactive);
    assert_eq!(operator.decide(&key.text).await, Err(DenyReason::Inactive));
    operator.reactivate(&key.id).await.unwrap();
    assert_eq!(operator.decide(&key.text).await, ALLOW);
    server.stop().await;
}

/// *API privileges (which APIs accept it),*
#[tokio::test]
async fn a_keys_privileges_say_which_apis_accept_it() {
    let world = World::new().await;
    let key = world.key().await;
    let denied = Err(DenyReason::PermissionDenied);
    let accepts = async |api: &str, action: &str| {
        decision(
            &world
                .operator
                .validate(about_to(&key.text, api, action))
                .await,
        )
    };
    assert_eq!(accepts("dispatch", "").await, ALLOW);
    assert_eq!(accepts("dispatch", "write").await, ALLOW);
    assert_eq!(accepts("billing", "read").await, ALLOW);
    assert_eq!(accepts("billing", "write").await, denied);
    assert_eq!(accepts("payroll", "").await, denied);
    let to = Token {
        id: key.id.clone(),
        grants: vec!["payroll".into()],
        ..Default::default()
    };
    world.operator.update(to, "grants").await.unwrap();
    assert_eq!(
        accepts("payroll", "").await,
        ALLOW,
        "changed by the next call"
    );
    assert_eq!(accepts("dispatch", "").await, denied);
    world.server.stop().await;
}

/// *a required and editable proxy principal in whose name its activity is logged*
#[tokio::test]
async fn a_proxy_principal_is_required_and_editable_and_names_the_activity() {
    let World {
        server, operator, ..
    } = World::new().await;
    let alone = CreateTokenRequest {
        principal_id: String::new(),
        ..good()
    };
    let invalid = error(Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(refused(operator.create(alone).await), invalid);
    let nobody = CreateTokenRequest {
        principal_id: "nobody".into(),
        ..good()
    };
    let unknown = error(Code::NotFound, "NOT_FOUND");
    assert_eq!(refused(operator.create(nobody).await), unknown);

    let key = operator.issue(good()).await;
    let named = async || operator.validate(presenting(&key.text)).await.principal_id;
    assert_eq!(named().await, "clerk");
    operator.principal("acme", "manager", false, &[]).await;
    let to = |principal: &str| Token {
        id: key.id.clone(),
        principal_id: principal.into(),
        ..Default::default()
    };
    operator
        .update(to("manager"), "principal_id")
        .await
        .unwrap();
    assert_eq!(named().await, "manager");
    let taken = operator.update(to(""), "principal_id").await;
    assert_eq!(refused(taken), invalid, "it stays required");
    let lost = operator.update(to("nobody"), "principal_id").await;
    assert_eq!(refused(lost), unknown);
    server.stop().await;
}

/// *and whose roles and status are ignored.*
#[tokio::test]
async fn the_proxys_roles_and_status_are_ignored() {
    let World {
        server, operator, ..
    } = World::new().await;
    for state in [
        PrincipalState::Disabled,
        PrincipalState::Unverified,
        PrincipalState::Active,
    ] {
        operator.set_state("acme", "clerk", state).await;
        let key = operator.issue(good()).await;
        let answer = operator.validate(about_to(&key.text, "dispatch", "")).await;
        assert_eq!(decision(&answer), ALLOW, "{state:?}");
        assert_eq!(answer.principal_id, "clerk");
    }
    server.stop().await;
}

/// *Rekey at any time: the old key works for four more hours.*
#[tokio::test]
async fn after_a_rekey_the_old_key_works_for_four_more_hours() {
    let World {
        server,
        operator,
        home,
    } = World::new().await;
    let key = operator.issue(good()).await;
    let rekeyed = operator.rekey(&key.id).await.unwrap();
    let end = START.after(FOUR_HOURS);
    assert_eq!(rekeyed.old_secret_good_until, Some(wire(end)));
    home.clock.set(Timestamp::from_millis(end.as_millis() - 1));
    let last = operator.validate(presenting(&key.text)).await;
    assert_eq!(decision(&last), ALLOW);
    assert_eq!(
        last.secret_good_until,
        Some(wire(end)),
        "it is told in time"
    );
    home.clock.set(end);
    assert_eq!(
        operator.decide(&key.text).await,
        Err(DenyReason::Superseded)
    );
    assert_eq!(operator.decide(&rekeyed.secret).await, ALLOW);

    operator.deactivate(&key.id).await;
    let third = operator.rekey(&key.id).await.unwrap().secret;
    assert_eq!(
        operator.decide(&third).await,
        Err(DenyReason::Inactive),
        "at any time"
    );
    operator.reactivate(&key.id).await.unwrap();
    for text in [&rekeyed.secret, &third] {
        assert_eq!(operator.decide(text).await, ALLOW);
    }
    server.stop().await;
}

/// *Deactivation takes effect (there: within four minutes; here: promise 2).*
#[tokio::test]
async fn after_deactivation_returns_no_caller_hears_allow_again() {
    let world = World::new().await;
    for _ in 0..5 {
        let key = world.key().await;
        let stopped = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let (caller, text) = (world.server.operator(), key.text.clone());
            let stopped = Arc::clone(&stopped);
            callers.spawn(async move {
                let mut before = 0;
                loop {
                    let was_stopped = stopped.load(Ordering::SeqCst);
                    let answer = caller.decide(&text).await;
                    match answer {
                        Ok(()) => assert!(!was_stopped, "it was stopped before this was asked"),
                        Err(reason) => assert_eq!(reason, DenyReason::Inactive),
                    }
                    before += u64::from(answer == ALLOW);
                    if was_stopped {
                        return before;
                    }
                }
            });
        }
        while world.operator.decide(&key.text).await != ALLOW {}
        world.operator.deactivate(&key.id).await;
        stopped.store(true, Ordering::SeqCst);
        callers.join_all().await;
        assert_eq!(
            world.operator.decide(&key.text).await,
            Err(DenyReason::Inactive)
        );
    }
    world.server.stop().await;
}
