//! Integration tokens (preset `integration-tokens`), sentence by sentence as the design has them.

use keyward::api::proto::create_token_request::Expiry;
use keyward::api::proto::{
    Account, AccountPolicy, CreatePrincipalRequest, CreateTokenRequest, DenyReason, EventType,
    ListTokensRequest, Principal, PrincipalState, Token, TokenState, UpdateAccountRequest,
    ValidateCredentialsRequest,
};
use keyward::domain::time::Timestamp;
use tonic::Code;

use crate::harness::{
    ALLOW, Answer, Client, Home, Server, decision, error, eventually, presenting, refused, wire,
};
use crate::short::{Issued, about_to, acme, mask};

/// 2027-01-16 00:00 UTC, as the date begins on which tests' tokens end.
const MIDNIGHT: Timestamp = Timestamp::from_millis(1_800_057_600_000);

/// A node with the account `acme`, its key, and the API user `sync`, who reads tables.
struct World {
    home: Home,
    server: Server,
    operator: Client,
    key: String,
}

impl World {
    async fn new() -> Self {
        let (home, server, operator) = acme("integration-tokens").await;
        let key = operator.account_key("acme").await.expect("it has none yet");
        operator.role("acme", "reader", &["tables/*:read"]).await;
        operator.principal("acme", "sync", true, &["reader"]).await;
        Self {
            home,
            server,
            operator,
            key,
        }
    }

    async fn token(&self) -> Issued {
        self.operator.issue(good()).await
    }

    /// What a text is answered beside the account key.
    async fn ask(&self, text: &str) -> Answer {
        self.decide(presenting(text)).await
    }

    async fn decide(&self, request: ValidateCredentialsRequest) -> Answer {
        let request = ValidateCredentialsRequest {
            account_key: self.key.clone(),
            ..request
        };
        decision(&self.operator.validate(request).await)
    }
}

/// A token of `sync` that ends at midnight.
fn good() -> CreateTokenRequest {
    CreateTokenRequest {
        account_id: "acme".into(),
        name: "Order sync".into(),
        principal_id: "sync".into(),
        expiry: Some(Expiry::ExpireDate("2027-01-16".into())),
        ..Default::default()
    }
}

fn sync() -> Principal {
    Principal {
        account_id: "acme".into(),
        id: "sync".into(),
        ..Default::default()
    }
}

/// *Account with a permanent account key, created once, on demand.*
#[tokio::test]
async fn the_account_key_is_permanent_and_created_once_on_demand() {
    let (home, server, operator) = acme("integration-tokens").await;
    assert_eq!(operator.get_account("acme").await.account_key, "");
    let key = operator.account_key("acme").await.unwrap();
    assert!(!key.is_empty());
    assert_eq!(
        refused(operator.account_key("acme").await),
        error(Code::FailedPrecondition, "ACCOUNT_KEY_EXISTS")
    );
    let change = UpdateAccountRequest {
        account: Some(Account {
            id: "acme".into(),
            account_key: "another".into(),
            ..Default::default()
        }),
        update_mask: Some(mask("account_key")),
    };
    assert_eq!(
        refused(operator.directory.clone().update_account(change).await),
        error(Code::InvalidArgument, "INVALID_FIELD")
    );
    server.stop().await;
    let server = home.start().await;
    assert_eq!(server.operator().get_account("acme").await.account_key, key);
    server.stop().await;
}

/// *API users: only an ACTIVE principal can be made one;*
#[tokio::test]
async fn only_an_active_principal_can_be_made_an_api_user() {
    let World {
        server, operator, ..
    } = World::new().await;
    let not_active = error(Code::FailedPrecondition, "PRINCIPAL_NOT_ACTIVE");
    for state in [PrincipalState::Unverified, PrincipalState::Disabled] {
        let request = CreatePrincipalRequest {
            account_id: "acme".into(),
            state: state.into(),
            api_user: true,
            ..Default::default()
        };
        let made = operator.directory.clone().create_principal(request).await;
        assert_eq!(refused(made), not_active, "{state:?}");

        let id = format!("{state:?}");
        operator.principal("acme", &id, false, &[]).await;
        operator.set_state("acme", &id, state).await;
        let promote = Principal {
            id: id.clone(),
            api_user: true,
            ..sync()
        };
        let promoted = operator.set_principal("api_user", promote.clone()).await;
        assert_eq!(refused(promoted), not_active, "{state:?}");
        operator
            .set_state("acme", &id, PrincipalState::Active)
            .await;
        let promoted = operator.set_principal("api_user", promote).await;
        assert!(promoted.unwrap().api_user);
    }
    server.stop().await;
}

/// *it then cannot log in interactively, bypasses SSO, its password does not expire,*
#[tokio::test]
async fn an_api_user_cannot_log_in_bypasses_sso_and_keeps_its_password() {
    let World {
        server, operator, ..
    } = World::new().await;
    for api_user in [false, true] {
        let to = Principal { api_user, ..sync() };
        let now = operator.set_principal("api_user", to).await.unwrap();
        let follow = [
            now.interactive_login_disabled,
            now.sso_bypassed,
            now.password_expiry_disabled,
        ];
        assert_eq!(follow, [api_user; 3]);
    }
    server.stop().await;
}

/// *its roles still bound what its tokens may do.*
#[tokio::test]
async fn the_roles_of_the_api_user_bound_its_tokens() {
    let world = World::new().await;
    let wide = CreateTokenRequest {
        grants: vec!["*".into()],
        ..good()
    };
    for token in [world.token().await, world.operator.issue(wide).await] {
        let read = about_to(&token.text, "tables/orders", "read");
        assert_eq!(world.decide(read).await, ALLOW);
        for (resource, action) in [("tables/orders", "write"), ("reports", "read")] {
            let beyond = about_to(&token.text, resource, action);
            let denied = Err(DenyReason::PermissionDenied);
            assert_eq!(world.decide(beyond).await, denied, "{resource}:{action}");
        }
    }
    world.server.stop().await;
}

/// *Tokens: at most 100 per account, dead ones included;*
#[tokio::test]
async fn an_account_has_at_most_100_tokens_dead_ones_included() {
    let world = World::new().await;
    let mut made = Vec::new();
    for _ in 0..100 {
        made.push(world.token().await.id);
    }
    let full = error(Code::ResourceExhausted, "TOKEN_LIMIT");
    assert_eq!(refused(world.operator.create(good()).await), full);
    world.operator.deactivate(&made[0]).await;
    assert_eq!(
        refused(world.operator.create(good()).await),
        full,
        "inactive"
    );
    world.home.clock.set(MIDNIGHT);
    let next = CreateTokenRequest {
        expiry: Some(Expiry::ExpireDate("2027-01-17".into())),
        ..good()
    };
    let expired = world.operator.create(next.clone()).await;
    assert_eq!(refused(expired), full, "expired");
    world.operator.delete(&made[0]).await.unwrap();
    world.operator.issue(next.clone()).await;
    assert_eq!(refused(world.operator.create(next).await), full);
    world.server.stop().await;
}

/// *name, API user and expiry all required and frozen*
#[tokio::test]
async fn name_api_user_and_expiry_are_required_and_frozen() {
    let World {
        server, operator, ..
    } = World::new().await;
    operator.principal("acme", "person", false, &[]).await;
    operator.principal("acme", "other", true, &[]).await;
    let invalid = error(Code::InvalidArgument, "INVALID_FIELD");
    let nameless = CreateTokenRequest {
        name: String::new(),
        ..good()
    };
    let alone = CreateTokenRequest {
        principal_id: String::new(),
        ..good()
    };
    let endless = CreateTokenRequest {
        expiry: None,
        ..good()
    };
    for lacking in [nameless, alone, endless] {
        assert_eq!(refused(operator.create(lacking).await), invalid);
    }
    let person = CreateTokenRequest {
        principal_id: "person".into(),
        ..good()
    };
    assert_eq!(
        refused(operator.create(person).await),
        error(Code::FailedPrecondition, "PRINCIPAL_NOT_API_USER")
    );
    let id = operator.issue(good()).await.id;
    let before = operator.shown(&id).await;
    let to = Token {
        id: id.clone(),
        name: "another".into(),
        principal_id: "other".into(),
        expire_time: Some(wire(Timestamp::from_millis(MIDNIGHT.as_millis() + 1))),
        description: "still mine to change".into(),
        ..Default::default()
    };
    for path in ["name", "principal_id", "expire_time"] {
        assert_eq!(
            refused(operator.update(to.clone(), path).await),
            error(Code::FailedPrecondition, "TOKEN_FROZEN"),
            "{path}"
        );
    }
    assert_eq!(operator.shown(&id).await, before);
    operator.update(to, "description").await.unwrap();
    server.stop().await;
}

/// *(a regenerated token is dead at once: grace 0);*
#[tokio::test]
async fn a_regenerated_token_is_dead_at_once() {
    let world = World::new().await;
    let token = world.token().await;
    assert_eq!(world.ask(&token.text).await, ALLOW);
    let new = world.operator.rekey(&token.id).await.unwrap().secret;
    assert_eq!(world.ask(&token.text).await, Err(DenyReason::Superseded));
    assert_eq!(world.ask(&new).await, ALLOW);
    world.server.stop().await;
}

/// *expiry on a date means 00:00 UTC as that date begins;*
#[tokio::test]
async fn expiry_on_a_date_means_midnight_utc_as_that_date_begins() {
    let world = World::new().await;
    let token = world.token().await;
    let shown = world.operator.shown(&token.id).await;
    assert_eq!(shown.expire_time, Some(wire(MIDNIGHT)));
    let last = Timestamp::from_millis(MIDNIGHT.as_millis() - 1);
    world.home.clock.set(last);
    assert_eq!(world.ask(&token.text).await, ALLOW);
    world.home.clock.set(MIDNIGHT);
    assert_eq!(world.ask(&token.text).await, Err(DenyReason::Expired));
    world.server.stop().await;
}

/// *token and account key are presented together;*
#[tokio::test]
async fn token_and_account_key_are_presented_together() {
    let world = World::new().await;
    let token = world.token().await;
    world.operator.account("rival", "integration-tokens").await;
    let rivals = world.operator.account_key("rival").await.unwrap();
    let mismatch = Err(DenyReason::AccountKeyMismatch);
    for (key, answer) in [
        (world.key.as_str(), ALLOW),
        ("", mismatch),
        ("nonsense", mismatch),
        (&rivals, mismatch),
    ] {
        let request = ValidateCredentialsRequest {
            account_key: key.into(),
            ..presenting(&token.text)
        };
        let answered = decision(&world.operator.validate(request).await);
        assert_eq!(answered, answer, "{key}");
    }
    assert_eq!(world.ask(&world.key).await, Err(DenyReason::Unknown));
    world.server.stop().await;
}

/// *deactivate and resume;*
#[tokio::test]
async fn a_token_is_deactivated_and_resumed() {
    let world = World::new().await;
    let token = world.token().await;
    for _ in 0..2 {
        world.operator.deactivate(&token.id).await;
        let stopped = world.operator.shown(&token.id).await;
        assert_eq!(stopped.state(), TokenState::Inactive);
        assert_eq!(world.ask(&token.text).await, Err(DenyReason::Inactive));
        let resumed = world.operator.reactivate(&token.id).await.unwrap();
        assert_eq!(resumed.state(), TokenState::Active);
        assert_eq!(world.ask(&token.text).await, ALLOW);
    }
    world.server.stop().await;
}

/// *an expired one can be neither resumed nor renewed;*
#[tokio::test]
async fn an_expired_token_can_be_neither_resumed_nor_renewed() {
    let World {
        server,
        operator,
        home,
        ..
    } = World::new().await;
    let inactive = operator.issue(good()).await.id;
    operator.deactivate(&inactive).await;
    let active = operator.issue(good()).await.id;
    home.clock.set(MIDNIGHT);
    let expired = error(Code::FailedPrecondition, "TOKEN_EXPIRED");
    // Not where the policy lets expiries be changed either.
    operator
        .set_policy("acme", &["freeze_tokens"], Default::default())
        .await;
    for id in [&inactive, &active] {
        assert_eq!(operator.shown(id).await.state(), TokenState::Expired);
        assert_eq!(refused(operator.reactivate(id).await), expired);
        assert_eq!(refused(operator.rekey(id).await), expired);
        let later = Token {
            id: id.clone(),
            expire_time: Some(wire(Timestamp::from_millis(MIDNIGHT.as_millis() + 1))),
            ..Default::default()
        };
        let renewed = operator.update(later, "expire_time").await;
        assert_eq!(refused(renewed), expired);
    }
    server.stop().await;
}

/// *only inactive or expired ones are deleted, for good;*
#[tokio::test]
async fn only_inactive_or_expired_tokens_are_deleted_for_good() {
    let world = World::new().await;
    let operator = &world.operator;
    let [inactive, expired] = [world.token().await, world.token().await];
    for token in [&inactive, &expired] {
        assert_eq!(
            refused(operator.delete(&token.id).await),
            error(Code::FailedPrecondition, "TOKEN_ACTIVE")
        );
    }
    operator.deactivate(&inactive.id).await;
    operator.delete(&inactive.id).await.unwrap();
    assert_eq!(world.ask(&expired.text).await, ALLOW);
    world.home.clock.set(MIDNIGHT);
    operator.delete(&expired.id).await.unwrap();
    for token in [&inactive, &expired] {
        assert_eq!(world.ask(&token.text).await, Err(DenyReason::Unknown));
        let gone = error(Code::NotFound, "NOT_FOUND");
        assert_eq!(refused(operator.reactivate(&token.id).await), gone);
        assert_eq!(refused(operator.rekey(&token.id).await), gone);
        assert_eq!(refused(operator.delete(&token.id).await), gone);
    }
    world.server.stop().await;
}

/// *disabling the API user stops all its tokens at once.*
#[tokio::test]
async fn disabling_the_api_user_stops_all_its_tokens_at_once() {
    let world = World::new().await;
    world.operator.principal("acme", "other", true, &[]).await;
    let others = CreateTokenRequest {
        principal_id: "other".into(),
        ..good()
    };
    let others = world.operator.issue(others).await;
    let own = [world.token().await, world.token().await];
    for (state, answer) in [
        (PrincipalState::Disabled, Err(DenyReason::PrincipalDisabled)),
        (PrincipalState::Active, ALLOW),
        (
            PrincipalState::Unverified,
            Err(DenyReason::PrincipalDisabled),
        ),
    ] {
        world.operator.set_state("acme", "sync", state).await;
        for token in &own {
            assert_eq!(world.ask(&token.text).await, answer, "{state:?}");
        }
        assert_eq!(world.ask(&others.text).await, ALLOW);
    }
    world.server.stop().await;
}

/// *Denials are 401; a missing permission 403.*
#[test]
fn denials_are_401_and_a_missing_permission_403() {
    let contract = include_str!("../../proto/keyward/v1/credentials.proto");
    let reasons = contract.lines().filter_map(|line| {
        let (name, rest) = line
            .trim()
            .strip_prefix("DENY_REASON_")?
            .split_once(" = ")?;
        let (_, said) = rest.split_once("// ")?;
        Some((name, said.split(' ').next()?))
    });
    let codes: Vec<_> = reasons.filter(|(name, _)| *name != "UNSPECIFIED").collect();
    assert_eq!(codes.len(), 16);
    for (name, code) in codes {
        let wanted = match name {
            "PERMISSION_DENIED" | "READ_ONLY" | "ADDRESS_NOT_ALLOWED" => "403",
            "TOO_MANY_CONNECTIONS" | "RATE_LIMITED" | "QUOTA_EXCEEDED" => "429",
            _ => "401",
        };
        assert_eq!(code, wanted, "{name}");
    }
}

/// *Expiring tokens are listed and*
#[tokio::test]
async fn expiring_tokens_are_listed() {
    let World {
        server, operator, ..
    } = World::new().await;
    for (name, date) in [("soon", "2027-01-16"), ("later", "2027-02-01")] {
        let request = CreateTokenRequest {
            name: name.into(),
            expiry: Some(Expiry::ExpireDate(date.into())),
            ..good()
        };
        operator.issue(request).await;
    }
    for (before, names) in [
        (MIDNIGHT.as_millis(), vec![]),
        (MIDNIGHT.as_millis() + 1, vec!["soon"]),
        (
            MIDNIGHT.as_millis() + 30 * 86_400_000,
            vec!["later", "soon"],
        ),
    ] {
        let request = ListTokensRequest {
            account_id: "acme".into(),
            expire_before: Some(wire(Timestamp::from_millis(before))),
            ..Default::default()
        };
        assert_eq!(operator.listed(request).await, names);
    }
    server.stop().await;
}

/// *announced.*
#[tokio::test]
async fn expiring_tokens_are_announced_and_so_are_expired_ones() {
    let World {
        server,
        operator,
        home,
        ..
    } = World::new().await;
    let id = operator.issue(good()).await.id;
    let policy = AccountPolicy {
        notify_before_expiry: vec![hours(8), hours(1)],
        ..Default::default()
    };
    let notices = ["notify_before_expiry"];
    operator.set_policy("acme", &notices, policy).await;
    let told = async |kind: EventType, times: usize| {
        let told = eventually("the announcement", async || {
            let told = operator.told(&id, kind).await;
            (told.len() >= times).then_some(told)
        });
        let told = told.await;
        assert_eq!(told.len(), times, "once for each notice");
        told.last().map(|event| event.time.expect("it has a time"))
    };
    for (times, hours) in [(1, 8), (2, 1)] {
        let notice = Timestamp::from_millis(MIDNIGHT.as_millis() - hours * 3_600_000);
        home.clock
            .set(Timestamp::from_millis(notice.as_millis() - 1));
        assert_eq!(
            operator.told(&id, EventType::TokenExpiring).await.len(),
            times - 1
        );
        home.clock.set(notice);
        assert_eq!(
            told(EventType::TokenExpiring, times).await,
            Some(wire(notice))
        );
    }
    home.clock.set(MIDNIGHT);
    assert_eq!(told(EventType::TokenExpired, 1).await, Some(wire(MIDNIGHT)));
    told(EventType::TokenExpiring, 2).await;
    server.stop().await;
}

fn hours(hours: i64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: hours * 3_600,
        nanos: 0,
    }
}
