//! Tests: what becomes of marks.

use std::time::Duration;

use super::world::*;
use crate::domain::decision::{DenyReason, Question};
use crate::domain::event::EventKind;
use crate::domain::presented::Presented;
use crate::domain::secret::KeyId;
use crate::domain::token::Activation::AtOnce;
use crate::registry::tokens::TokenPatch;
use crate::validator::Ask;

#[tokio::test]
async fn a_secret_under_a_retired_key_is_renewed_by_its_next_use() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    let id = issued.token.id;
    let world = world.restarted(&[2, 1]).await;
    let lines = world.events().await.len();
    assert_eq!(world.reason(issued.secret.reveal()), None);
    assert_eq!(world.step_marks().await, 1);
    let renewed = world
        .registry
        .get_token(&world.root, id.as_str())
        .await
        .unwrap();
    assert_eq!(renewed.secrets[0].key, KeyId(2));
    assert_eq!(
        renewed.etag(),
        issued.token.etag(),
        "its configuration is as it was"
    );
    assert_eq!(world.kinds_after(lines).await, NOTHING);
    assert_eq!(world.reason(issued.secret.reveal()), None);
    assert_eq!(world.step_marks().await, 0, "once");
}

#[tokio::test]
async fn an_imported_text_under_a_retired_key_is_renewed_with_its_index() {
    let world = World::with_accounts(["acme"]).await;
    let token = world.import("acme", "foreign").await.unwrap();
    let world = world.restarted(&[2, 1]).await;
    let reason = |world: &World| {
        let named = Ask {
            account: Some("acme"),
            ..ask(Presented::Text("foreign"))
        };
        world.validate(&named).verdict.reason
    };
    assert_eq!(reason(&world), None);
    assert_eq!(world.step_marks().await, 1);
    let renewed = world
        .registry
        .get_token(&world.root, token.id.as_str())
        .await
        .unwrap();
    assert_eq!(renewed.secrets[0].key, KeyId(2));
    let index = |world: &World| {
        let rows = world.backend.rows();
        rows.keys()
            .filter(|name| name.starts_with(crate::store::key::IMPORTS))
            .count()
    };
    assert_eq!(index(&world), 1, "found in one place");
    assert_eq!(reason(&world), None);
    world.deactivate(token.id).await;
    world.delete(token.id).await.unwrap();
    assert_eq!(index(&world), 0);
}

#[tokio::test]
async fn a_mark_that_comes_late_undoes_nothing() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    let world = world.restarted(&[2, 1]).await;
    assert_eq!(world.reason(issued.secret.reveal()), None);
    let rename = TokenPatch {
        name: Some("renamed".into()),
        ..TokenPatch::default()
    };
    let id = issued.token.id.to_string();
    world
        .registry
        .update_token(&world.root, id.clone(), String::new(), rename)
        .await
        .unwrap();
    world.deactivate(issued.token.id).await;
    world.step_marks().await;
    let token = world.registry.get_token(&world.root, &id).await.unwrap();
    assert!(token.inactive && token.name == "renamed");
    assert_eq!(
        world.reason(issued.secret.reveal()),
        Some(DenyReason::Inactive)
    );
    world.delete(issued.token.id).await.unwrap();
    let mark = crate::marks::Mark::FirstUse;
    let late = vec![((issued.token.id, 1), mark)];
    assert_eq!(
        world.registry.commit_taken(&world.marks, late).await,
        Ok(()),
        "a deleted token has no marks"
    );
}

#[tokio::test]
async fn the_use_of_a_superseded_secret_is_told_once_an_hour_with_the_client_s_address() {
    let world = World::with_accounts(["acme"]).await;
    let old = world.token("acme").await;
    world
        .rekey(old.token.id, Duration::ZERO, AtOnce)
        .await
        .unwrap();
    let lines = world.events().await.len();
    for _ in 0..3 {
        let used = Ask {
            question: Question {
                client_address: Some("203.0.113.9".parse().unwrap()),
                ..Question::default()
            },
            consumer: Some("billing"),
            ..ask(Presented::Text(old.secret.reveal()))
        };
        assert_eq!(
            world.validate(&used).verdict.reason,
            Some(DenyReason::Superseded)
        );
    }
    world.step_marks().await;
    assert_eq!(
        world.kinds_after(lines).await,
        [EventKind::SupersededSecretUsed as i32]
    );
    let event = world.events().await.pop().unwrap();
    assert_eq!(event.subject, old.token.id.to_string());
    assert_eq!(event.details["client_address"], "203.0.113.9");
    assert_eq!(event.details["consumer"], "billing");
    assert_eq!(event.details["secret_version"], "1");
    assert_eq!(event.details["count"], "3");
    world.clock.advance(HOUR);
    world.reason(old.secret.reveal());
    assert_eq!(world.step_marks().await, 1);
    let event = world.events().await.pop().unwrap();
    assert_eq!(event.details["count"], "1", "since the last one told");
    assert!(!event.details.contains_key("client_address"));
}

#[tokio::test]
async fn later_uses_of_a_superseded_secret_are_told_when_the_hour_is_over_or_the_process_ends() {
    let world = World::with_accounts(["acme"]).await;
    let old = world.token("acme").await;
    let id = old.token.id;
    world.rekey(id, Duration::ZERO, AtOnce).await.unwrap();
    let use_it = async |times: usize| {
        for _ in 0..times {
            world.reason(old.secret.reveal());
            world.step_marks().await;
        }
    };
    let counts = async || {
        let mut lines = world.events().await;
        lines.retain(|line| line.kind == EventKind::SupersededSecretUsed as i32);
        let counts = lines.into_iter().map(|line| line.details["count"].clone());
        counts.collect::<Vec<_>>()
    };
    use_it(5).await;
    assert_eq!(counts().await, ["1"], "an hour is not over");
    world.clock.advance(HOUR);
    assert_eq!(world.step_marks().await, 1, "though no further use comes");
    assert_eq!(counts().await, ["1", "4"]);
    use_it(2).await;
    world
        .registry
        .commit_last_marks(&world.marks)
        .await
        .unwrap();
    assert_eq!(counts().await, ["1", "4", "2"]);
}

#[tokio::test]
async fn a_secret_in_its_grace_is_not_told_as_superseded_by_a_clock_that_leaps() {
    let world = World::with_accounts(["acme"]).await;
    let old = world.token("acme").await;
    world.rekey(old.token.id, HOUR, AtOnce).await.unwrap();
    let lines = world.events().await.len();
    world.clock.leap(2 * HOUR);
    let superseded = Some(DenyReason::Superseded);
    assert_eq!(world.reason(old.secret.reveal()), superseded);
    world.step_marks().await;
    assert_eq!(world.kinds_after(lines).await, NOTHING);
    world.clock.set_back(2 * HOUR);
    assert_eq!(world.reason(old.secret.reveal()), None);
}

#[tokio::test]
async fn the_worker_commits_marks_as_they_come() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    let world = world.restarted(&[2, 1]).await;
    let (registry, marks) = (world.registry.clone(), world.marks.clone());
    let worker = tokio::spawn(async move { registry.commit_marks(&marks).await });
    let before = world.registry.directory.revision();
    assert_eq!(world.reason(issued.secret.reveal()), None);
    let seen = world.registry.directory.reached(before.next());
    tokio::time::timeout(std::time::Duration::from_secs(10), seen)
        .await
        .unwrap();
    worker.abort();
    let token = world
        .registry
        .get_token(&world.root, issued.token.id.as_str())
        .await
        .unwrap();
    assert_eq!(token.secrets[0].key, KeyId(2));
}
