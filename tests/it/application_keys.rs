//! Application keys (preset `application-keys`), sentence by sentence as the design has them.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward::api::proto::validate_credentials_request::Presented;
use keyward::api::proto::{
    Access, CreateTokenRequest, DenyReason, HoldConnectionRequest, IdAndSecret, ListTokensRequest,
    RekeyRequest, Token, ValidateCredentialsRequest,
};
use keyward::clock::Clock as _;
use keyward::domain::time::Timestamp;
use tonic::Code;

use crate::harness::{
    ALLOW, Answer, Client, Home, Server, decision, error, eventually, presenting, refused, wire,
};
use crate::short::{Issued, about_to, acme};

/// 2027-01-16 00:00 UTC, when calls are back.
const MIDNIGHT: Timestamp = Timestamp::from_millis(1_800_057_600_000);

/// A node with the account `acme`.
struct World {
    home: Home,
    server: Server,
    operator: Client,
}

impl World {
    async fn new() -> Self {
        let (home, server, operator) = acme("application-keys").await;
        Self {
            home,
            server,
            operator,
        }
    }

    async fn key(&self, name: &str) -> Issued {
        self.operator.issue(named(name)).await
    }

    async fn header(&self, header: &str) -> Answer {
        let request = ValidateCredentialsRequest {
            presented: Some(Presented::Authorization(header.into())),
            ..Default::default()
        };
        decision(&self.operator.validate_in_time(&request).await)
    }
}

fn named(name: &str) -> CreateTokenRequest {
    CreateTokenRequest {
        account_id: "acme".into(),
        name: name.into(),
        ..Default::default()
    }
}

/// *Id and secret, presented as HTTP Basic;*
#[tokio::test]
async fn id_and_secret_are_presented_as_http_basic() {
    let world = World::new().await;
    let [key, other] = [world.key("one").await, world.key("other").await];
    let basic = |id: &str, text: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{text}")));
    assert_eq!(key.basic, basic(&key.id, &key.text), "it comes ready-made");
    assert_eq!(world.header(&key.basic).await, ALLOW);
    let apart = ValidateCredentialsRequest {
        presented: Some(Presented::IdAndSecret(IdAndSecret {
            token_id: key.id.clone(),
            secret: key.text.clone(),
        })),
        ..Default::default()
    };
    assert_eq!(
        decision(&world.operator.validate_in_time(&apart).await),
        ALLOW
    );
    for id in [other.id.as_str(), "", "nobody"] {
        let unknown = Err(DenyReason::Unknown);
        assert_eq!(world.header(&basic(id, &key.text)).await, unknown, "{id}");
    }
    world.server.stop().await;
}

/// *secret shown once;*
#[tokio::test]
async fn the_secret_is_shown_once() {
    let World {
        server, operator, ..
    } = World::new().await;
    let key = operator.issue(named("one")).await;
    let secret = &key.text[key.text.len() - 49..];
    let list = ListTokensRequest {
        account_id: "acme".into(),
        ..Default::default()
    };
    let change = Token {
        id: key.id.clone(),
        description: "another".into(),
        ..Default::default()
    };
    let shown = [
        format!("{:?}", operator.shown(&key.id).await),
        format!("{:?}", operator.credentials.clone().list_tokens(list).await),
        format!("{:?}", operator.update(change, "description").await),
        format!(
            "{:?}",
            operator.validate_in_time(&presenting(&key.text)).await
        ),
        format!("{:?}", operator.events_of(&key.id).await),
        format!("{:?}", operator.deactivate(&key.id).await),
    ];
    for shown in shown {
        assert!(!shown.contains(secret), "{shown}");
    }
    let hint = &operator.shown(&key.id).await.secrets[0].hint;
    assert!(
        key.text.ends_with(hint.as_str()) && hint.len() == 4,
        "{hint}"
    );
    server.stop().await;
}

/// *at most three per account;*
#[tokio::test]
async fn an_account_has_at_most_three_keys() {
    let World {
        server, operator, ..
    } = World::new().await;
    let mut keys = Vec::new();
    for name in ["one", "two", "three"] {
        keys.push(operator.issue(named(name)).await);
    }
    let full = error(Code::ResourceExhausted, "TOKEN_LIMIT");
    assert_eq!(refused(operator.create(named("four")).await), full);
    operator.deactivate(&keys[0].id).await;
    assert_eq!(refused(operator.create(named("four")).await), full);
    operator.delete(&keys[0].id).await.unwrap();
    operator.issue(named("four")).await;
    assert_eq!(refused(operator.create(named("five")).await), full);
    server.stop().await;
}

/// *optional description;*
#[tokio::test]
async fn a_description_is_optional() {
    let World {
        server, operator, ..
    } = World::new().await;
    let key = operator.issue(named("one")).await;
    assert_eq!(operator.shown(&key.id).await.description, "");
    for description in ["for the dialler", ""] {
        let to = Token {
            id: key.id.clone(),
            description: description.into(),
            ..Default::default()
        };
        operator.update(to, "description").await.unwrap();
        assert_eq!(operator.shown(&key.id).await.description, description);
    }
    server.stop().await;
}

/// *full or read-only access;*
#[tokio::test]
async fn access_is_full_or_read_only() {
    let world = World::new().await;
    let reader = CreateTokenRequest {
        access: Access::ReadOnly.into(),
        ..named("reader")
    };
    let reader = world.operator.issue(reader).await;
    let full = world.key("full").await;
    let ask = async |key: &Issued, action: &str| {
        decision(
            &world
                .operator
                .validate_in_time(&about_to(&key.text, "calls", action))
                .await,
        )
    };
    for action in ["read", "write", ""] {
        assert_eq!(ask(&full, action).await, ALLOW, "{action}");
    }
    assert_eq!(ask(&reader, "read").await, ALLOW);
    for action in ["write", ""] {
        assert_eq!(ask(&reader, action).await, Err(DenyReason::ReadOnly));
    }
    world.server.stop().await;
}

/// *reset (Rekey with grace 0) kills the old secret at once;*
#[tokio::test]
async fn a_reset_kills_the_old_secret_at_once() {
    let world = World::new().await;
    let key = world.key("one").await;
    let reset = RekeyRequest {
        token_id: key.id.clone(),
        grace: Some(prost_types::Duration::default()),
        ..Default::default()
    };
    let reset = world.operator.credentials.clone().rekey(reset).await;
    let second = reset.unwrap().into_inner().basic_authorization;
    let dead = Err(DenyReason::Superseded);
    assert_eq!(world.header(&key.basic).await, dead);
    assert_eq!(world.header(&second).await, ALLOW);
    let third = world.operator.rekey(&key.id).await.unwrap();
    assert_eq!(world.header(&second).await, dead, "the preset's grace is 0");
    assert_eq!(world.header(&third.basic_authorization).await, ALLOW);
    world.server.stop().await;
}

/// *2,500 calls a day shared by the account's keys, back at 00:00 UTC;*
#[tokio::test]
async fn the_accounts_keys_share_2500_calls_a_day_back_at_midnight_utc() {
    let world = World::new().await;
    let keys = [
        world.key("one").await,
        world.key("two").await,
        world.key("three").await,
    ];
    let mut allowed = 0;
    while world.header(&keys[allowed % 3].basic).await == ALLOW {
        allowed += 1;
    }
    assert_eq!(allowed, 2_500);
    for key in &keys {
        let exceeded = Err(DenyReason::QuotaExceeded);
        assert_eq!(world.header(&key.basic).await, exceeded);
    }
    let last = Timestamp::from_millis(MIDNIGHT.as_millis() - 1);
    world.home.clock.set(last);
    let request = presenting(&keys[0].text);
    let answer = world.operator.validate_in_time(&request).await;
    assert_eq!(decision(&answer), Err(DenyReason::QuotaExceeded));
    let quota = answer.quota.unwrap();
    assert_eq!((quota.limit, quota.remaining), (2_500, 0));
    assert_eq!(quota.reset_time, Some(wire(MIDNIGHT)));
    world.home.clock.set(MIDNIGHT);
    let answer = world.operator.validate_in_time(&request).await;
    assert_eq!(decision(&answer), ALLOW);
    assert_eq!(answer.quota.unwrap().remaining, 2_499);
    world.server.stop().await;
}

/// *three concurrent connections per key;*
#[tokio::test]
async fn each_key_has_three_concurrent_connections() {
    let world = World::new().await;
    let [key, other] = [world.key("one").await, world.key("other").await];
    let hold = async |key: &Issued| {
        let request = HoldConnectionRequest {
            request: Some(presenting(&key.text)),
        };
        let mut credentials = world.operator.credentials.clone();
        let held = eventually("a decision", async || {
            credentials.hold_connection(request.clone()).await.ok()
        });
        let mut stream = held.await.into_inner();
        let first = stream.message().await.unwrap().unwrap();
        let answer = decision(&first.response.unwrap());
        (answer, first.held, first.limit, stream)
    };
    let mut held = Vec::new();
    for count in 1..=3 {
        let (answer, now_held, limit, stream) = hold(&key).await;
        assert_eq!((answer, now_held, limit), (ALLOW, count, 3));
        held.push(stream);
    }
    let (fourth, ..) = hold(&key).await;
    assert_eq!(fourth, Err(DenyReason::TooManyConnections));
    let (others, ..) = hold(&other).await;
    assert_eq!(others, ALLOW, "per key");
    held.pop();
    eventually("the slot to be given back", async || {
        let (answer, _, _, stream) = hold(&key).await;
        answer.is_ok().then(|| held.push(stream))
    })
    .await;

    world.operator.deactivate(&key.id).await;
    for mut stream in held {
        let told = stream.message().await.unwrap().unwrap();
        let answer = decision(&told.response.unwrap());
        assert_eq!(answer, Err(DenyReason::Inactive), "the holder is told");
        assert!(stream.message().await.unwrap().is_none(), "and it ends");
    }
    world.server.stop().await;
}

/// *a page with the account's call count and remaining balance, and each key's name, id, call count and last call time.*
#[tokio::test]
async fn a_page_has_the_accounts_count_and_balance_and_each_keys_name_id_count_and_last_call() {
    let world = World::new().await;
    let keys = [
        world.key("one").await,
        world.key("two").await,
        world.key("unused").await,
    ];
    let mut last = [None, None, None];
    for (place, calls) in [(0, 3), (1, 5), (0, 4)] {
        world.home.clock.advance(Duration::from_millis(1_500));
        for _ in 0..calls {
            assert_eq!(world.header(&keys[place].basic).await, ALLOW);
        }
        last[place] = Some(wire(world.home.clock.now()));
    }
    let wrong = about_to(&keys[1].text, "anything", "read");
    world.operator.validate_in_time(&wrong).await;
    last[1] = Some(wire(world.home.clock.now()));

    let page = world.operator.page("acme").await;
    assert_eq!((page.calls_today, page.limit), (13, Some(2_500)));
    assert_eq!(
        (page.remaining, page.reset_time),
        (2_487, Some(wire(MIDNIGHT)))
    );
    let shown: BTreeMap<_, _> = page
        .tokens
        .into_iter()
        .map(|key| {
            (
                key.name,
                (key.token_id, key.calls_today, key.last_used_time),
            )
        })
        .collect();
    let wanted = ["one", "two", "unused"].into_iter().zip([7, 6, 0]);
    let wanted = wanted.zip(keys.iter().zip(last));
    let wanted: BTreeMap<_, _> = wanted
        .map(|((name, calls), (key, last))| (name.to_owned(), (key.id.clone(), calls, last)))
        .collect();
    assert_eq!(shown, wanted);

    world.home.clock.set(MIDNIGHT);
    let page = world.operator.page("acme").await;
    assert_eq!(
        (page.calls_today, page.remaining),
        (0, 2_500),
        "both at 00:00 UTC"
    );
    assert!(page.tokens.iter().all(|key| key.calls_today == 0));
    world.server.stop().await;
}
