//! Tests: every change leaves one line, and how lines are listed.

use super::world::*;
use crate::domain::event::EventKind::{self, *};
use crate::domain::id::TokenId;
use crate::domain::principal::PrincipalState;
use crate::domain::token::Activation::OnFirstUse;
use crate::registry::accounts::AccountPatch;
use crate::registry::events::{Denials, Denied, EventFilter};
use crate::registry::principals::PrincipalPatch;
use crate::registry::roles::RolePatch;
use crate::registry::tokens::TokenPatch;
use crate::registry::{Error, Kind};
use crate::store::record::LoggedEvent;

/// Every change there is, and the line that each must leave.
pub(super) async fn every_change(world: &World) -> Vec<EventKind> {
    let (registry, root) = (&world.registry, &world.root);
    let etag = String::new;
    world
        .account("acme", crate::domain::account::Policy::standard())
        .await;
    let name = AccountPatch {
        display_name: Some("Acme".into()),
        ..AccountPatch::default()
    };
    registry
        .update_account(root, "acme", etag(), name)
        .await
        .unwrap();
    registry.create_account_key(root, "acme").await.unwrap();
    world.role("acme", "reader", &["dispatch"]).await;
    let rename = RolePatch {
        display_name: Some("Reader".into()),
        ..RolePatch::default()
    };
    registry
        .update_role(root, "acme", "reader", etag(), rename)
        .await
        .unwrap();
    world
        .principal("acme", "api", PrincipalState::Active, true, &[])
        .await
        .unwrap();
    let rename = PrincipalPatch {
        display_name: Some("API".into()),
        ..PrincipalPatch::default()
    };
    world.set_principal("acme", "api", rename).await.unwrap();
    registry
        .delete_role(root, "acme", "reader", etag())
        .await
        .unwrap();
    let issued = world.token("acme").await;
    let id = issued.token.id;
    world.import("acme", "foreign").await.unwrap();
    let rename = TokenPatch {
        name: Some("renamed".into()),
        ..TokenPatch::default()
    };
    registry
        .update_token(root, id.to_string(), etag(), rename)
        .await
        .unwrap();
    world.rekey(id, HOUR, OnFirstUse).await.unwrap();
    registry
        .cancel_rekey(root, id.to_string(), etag())
        .await
        .unwrap();
    let pending = world.rekey(id, HOUR, OnFirstUse).await.unwrap();
    world.reason(pending.secret.reveal());
    world.step_marks().await;
    registry
        .complete_rekey(root, id.to_string(), etag(), None)
        .await
        .unwrap();
    world.reason(issued.secret.reveal());
    world.step_marks().await;
    world.deactivate(id).await;
    world.reactivate(id).await.unwrap();
    world.deactivate(id).await;
    world.delete(id).await.unwrap();
    vec![
        AccountCreated,
        AccountUpdated,
        AccountKeyCreated,
        RoleCreated,
        RoleUpdated,
        PrincipalCreated,
        PrincipalUpdated,
        RoleDeleted,
        TokenCreated,
        TokenImported,
        TokenUpdated,
        TokenRekeyed,
        RekeyCancelled,
        TokenRekeyed,
        RekeyActivated,
        RekeyCompleted,
        SupersededSecretUsed,
        TokenDeactivated,
        TokenReactivated,
        TokenDeactivated,
        TokenDeleted,
    ]
}

#[tokio::test]
pub(super) async fn every_change_leaves_exactly_one_line_that_says_who_and_where() {
    let world = World::new().await;
    let lines = world.events().await.len();
    let expected: Vec<i32> = every_change(&world)
        .await
        .into_iter()
        .map(|kind| kind as i32)
        .collect();
    assert_eq!(world.kinds_after(lines).await, expected);
    for event in &world.events().await[lines..] {
        assert_eq!(event.account.as_str(), "acme");
        assert_eq!(event.actor, "keyward", "the first operator's own call");
        assert!(!event.subject.is_empty());
    }
    let by = world.operator(&["keyward/tokens:write"], "acme").await;
    world
        .registry
        .create_token(&by, new_token(""), None)
        .await
        .unwrap();
    let event = world.events().await.pop().unwrap();
    let who = (event.actor, event.address, event.call_id);
    assert_eq!(
        who,
        (
            by.operator.token.to_string(),
            "192.0.2.1".into(),
            "call".into()
        )
    );
}

async fn list(world: &World, filter: EventFilter, size: usize) -> Vec<LoggedEvent> {
    let (mut events, mut token) = (Vec::new(), String::new());
    loop {
        let paged = world
            .registry
            .list_events(&world.root, filter.clone(), page(size, &token))
            .await
            .unwrap();
        events.extend(paged.items);
        if paged.next.is_empty() {
            return events;
        }
        token = paged.next;
    }
}

#[tokio::test]
async fn the_log_is_listed_newest_first_and_filtered() {
    let world = World::with_accounts(["acme", "globex"]).await;
    world.clock.advance(HOUR);
    let id = world.token("acme").await.token.id;
    world.clock.advance(HOUR);
    let last = world.now();
    world.deactivate(id).await;
    let newest_first = || async {
        let mut events = world.events().await;
        events.reverse();
        events
    };
    let filter = EventFilter::default;
    type Keep = fn(&LoggedEvent, &TokenId, crate::domain::time::Timestamp) -> bool;
    let table: [(EventFilter, Keep); 7] = [
        (filter(), |_, _, _| true),
        (
            EventFilter {
                account: "acme".into(),
                ..filter()
            },
            |event, _, _| event.account.as_str() == "acme",
        ),
        (
            EventFilter {
                subject: id.to_string(),
                ..filter()
            },
            |event, id, _| event.subject == id.as_str(),
        ),
        (
            EventFilter {
                actor: "nobody".into(),
                ..filter()
            },
            |_, _, _| false,
        ),
        (
            EventFilter {
                kinds: vec![1, 8],
                ..filter()
            },
            |event, _, _| [1, 8].contains(&event.kind),
        ),
        (
            EventFilter {
                before: Some(last),
                ..filter()
            },
            |event, _, last| event.time < last,
        ),
        (
            EventFilter {
                after: Some(last.after(HOUR)),
                ..filter()
            },
            |_, _, _| false,
        ),
    ];
    for (filter, keep) in table {
        let expected: Vec<_> = newest_first()
            .await
            .into_iter()
            .filter(|event| keep(event, &id, last))
            .collect();
        for size in [1, 50] {
            assert_eq!(
                list(&world, filter.clone(), size).await,
                expected,
                "{filter:?}"
            );
        }
    }
    let none = EventFilter {
        account: "nowhere".into(),
        ..filter()
    };
    let listed = world
        .registry
        .list_events(&world.root, none, page(50, ""))
        .await;
    assert_eq!(
        listed.unwrap_err(),
        Error::NotFound(Kind::Account, "nowhere".into())
    );
}

#[tokio::test]
async fn later_and_earlier_leave_the_instant_itself_out() {
    let world = World::with_accounts(["acme"]).await;
    world.clock.advance(HOUR);
    let id = world.token("acme").await.token.id.to_string();
    let at = world.now();
    let subject = |after, before| EventFilter {
        subject: id.clone(),
        after,
        before,
        ..EventFilter::default()
    };
    let before = crate::domain::time::Timestamp::from_millis(at.as_millis() - 1);
    let table = [
        (Some(before), None, 1),
        (Some(at), None, 0),
        (None, Some(at), 0),
        (None, Some(at.after(MILLI)), 1),
    ];
    for (after, before, count) in table {
        assert_eq!(
            list(&world, subject(after, before), 50).await.len(),
            count,
            "{after:?} {before:?}"
        );
    }
}

#[tokio::test]
async fn an_operator_of_one_account_hears_of_that_one() {
    let world = World::with_accounts(["acme", "globex"]).await;
    let acme = world.operator(&["keyward/events:read"], "acme").await;
    world.token("globex").await;
    world.token("acme").await;
    let registry = &world.registry;
    let heard = registry
        .list_events(&acme, EventFilter::default(), page(50, ""))
        .await
        .unwrap()
        .items;
    assert!(heard.len() == 2 && heard.iter().all(|event| event.account.as_str() == "acme"));
    let elsewhere = EventFilter {
        account: "globex".into(),
        ..EventFilter::default()
    };
    let refused = registry.list_events(&acme, elsewhere, page(50, "")).await;
    assert_eq!(
        refused.unwrap_err(),
        Error::NotFound(Kind::Account, "globex".into())
    );
    assert!(matches!(
        registry.verify_events(&acme, None, None).await,
        Err(Error::SystemWideOnly(_))
    ));
}

#[tokio::test]
async fn refused_operators_are_told_once_a_minute_with_their_number() {
    let world = World::with_accounts(["acme"]).await;
    let denials = Denials::default();
    let call = world.operator(&["keyward/tokens:read"], "acme").await;
    let id = call.operator.token;
    let count = |method| denials.count(id, method, world.now());
    assert_eq!(
        [count("A"), count("A"), count("A"), count("B")],
        [Some(1), None, None, Some(1)]
    );
    world.clock.advance(Denials::EVERY - MILLI);
    assert_eq!(count("A"), None);
    world.clock.advance(MILLI);
    assert_eq!([count("A"), count("A")], [Some(4), None]);
    let denied = Denied {
        operator: id,
        account: account_id("acme"),
        method: "A",
        origin: call.origin,
        count: 4,
    };
    world.registry.log_denied(denied).await.unwrap();
    let event = world.events().await.pop().unwrap();
    assert_eq!(
        (
            event.kind,
            event.details["count"].as_str(),
            event.details["method"].as_str()
        ),
        (OperatorDenied as i32, "4", "A")
    );
    assert_eq!(
        (event.account.as_str(), event.subject),
        ("acme", id.to_string())
    );
}

#[tokio::test]
async fn the_memory_of_refusals_is_bounded() {
    let denials = Denials::default();
    let id = |number: usize| TokenId::parse(&format!("{number:022}")).unwrap();
    let start = crate::domain::time::Timestamp::default();
    for number in 0..Denials::REMEMBERED {
        assert_eq!(denials.count(id(number), "A", start), Some(1));
    }
    assert_eq!(denials.count(id(Denials::REMEMBERED), "A", start), None);
    assert_eq!(
        denials.count(id(Denials::REMEMBERED), "A", start.after(Denials::EVERY)),
        Some(1)
    );
}
