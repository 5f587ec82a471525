//! Tests: consumers, named and kept within their bounds, and what they hold back.

use super::world::*;
use crate::domain::id::TokenId;
use crate::domain::token::Activation::{AtOnce, OnFirstUse};
use crate::registry::Error;
use crate::registry::usage::NamedConsumer;
use crate::store::backend::Backend as _;
use crate::store::key;

impl World {
    async fn consumers(&self, id: TokenId) -> Vec<String> {
        let mut names = Vec::new();
        let mut next = String::new();
        loop {
            let page = page(1_000, &next);
            let listed = self
                .registry
                .list_consumers(&self.root, id.as_str(), page)
                .await
                .unwrap();
            names.extend(listed.items.into_iter().map(|named| named.name));
            next = listed.next;
            if next.is_empty() {
                return names;
            }
        }
    }

    async fn recent(&self, id: TokenId) -> Vec<NamedConsumer> {
        let recent = self.registry.recent_consumers(&self.root, id.as_str());
        recent.await.unwrap()
    }

    /// Whether there was something to be removed.
    async fn make_room(&self) -> bool {
        self.registry.make_room().await.unwrap()
    }

    fn consumer_rows(&self) -> usize {
        let rows = self.backend.rows();
        rows.keys()
            .filter(|name| name.starts_with(key::CONSUMERS))
            .count()
    }

    /// Calls by new consumers, each a millisecond later than the one before.
    fn new_consumers(&self, text: &str, names: std::ops::Range<usize>) {
        for n in names {
            self.clock.advance(MILLI);
            self.call(text, &format!("c{n:05}"));
        }
    }
}

#[tokio::test]
async fn a_token_keeps_a_thousand_consumers_and_the_least_recent_go_first() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    let (id, text) = (issued.token.id, issued.secret.reveal());
    world.new_consumers(text, 0..1_000);
    world.save_and_fold().await;
    assert!(!world.make_room().await, "a thousand are kept");
    assert_eq!(world.consumers(id).await.len(), 1_000);
    world.clock.advance(MILLI);
    world.call(text, "c00000");
    world.new_consumers(text, 1_000..1_002);
    world.save().await;
    let listed = world.consumers(id).await;
    assert_eq!(listed.len(), 1_000, "readers see no more");
    world.fold().await;
    assert_eq!(world.consumers(id).await, listed);
    assert_eq!(world.consumer_rows(), 1_002);
    assert!(world.make_room().await);
    assert_eq!(world.consumer_rows(), 1_000);
    assert_eq!(world.consumers(id).await, listed);
    assert!(listed.contains(&"c00000".to_owned()) && listed.contains(&"c01001".to_owned()));
    assert!(!listed.contains(&"c00001".to_owned()) && !listed.contains(&"c00002".to_owned()));
    assert!(!world.make_room().await);
    assert_eq!(world.usage(id).await.consumers, 1_000);
}

#[tokio::test]
async fn in_all_so_many_consumers_are_kept_as_the_setting_says() {
    let world = World::with_accounts(["acme"]).await;
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(world.token("acme").await);
    }
    for (n, issued) in tokens.iter().take(3).enumerate() {
        world.new_consumers(issued.secret.reveal(), n * 1_000..(n + 1) * 1_000);
        world.save_and_fold().await;
    }
    assert_eq!(world.consumer_rows(), MAX_CONSUMERS);
    assert!(!world.make_room().await);
    world.new_consumers(tokens[3].secret.reveal(), 3_000..3_001);
    world.save_and_fold().await;
    let before = world.backend.revision();
    assert!(world.make_room().await);
    assert_eq!(
        world.backend.revision(),
        before.next(),
        "one commit makes room"
    );
    assert_eq!(world.consumer_rows(), MAX_CONSUMERS - MAX_CONSUMERS / 10);
    assert_eq!(world.consumers(tokens[0].token.id).await.len(), 699);
    assert_eq!(world.consumers(tokens[3].token.id).await.len(), 1);
    assert_eq!(world.usage(tokens[0].token.id).await.consumers, 699);
    assert!(!world.make_room().await);
}

#[tokio::test]
async fn many_consumers_of_a_deleted_token_are_swept_in_steps() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    world.new_consumers(issued.secret.reveal(), 0..1_000);
    world.save_and_fold().await;
    world.deactivate(issued.token.id).await;
    world.delete(issued.token.id).await.unwrap();
    assert!(world.registry.sweep_deleted_tokens().await.unwrap());
    assert_eq!(world.consumer_rows(), 500);
    while world.registry.sweep_deleted_tokens().await.unwrap() {}
    assert_eq!(world.consumer_rows(), 0);
}

#[tokio::test]
async fn consumers_that_were_not_seen_for_ninety_days_go() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    world.call(issued.secret.reveal(), "old");
    world.save_and_fold().await;
    world.clock.advance(DAY);
    world.call(issued.secret.reveal(), "young");
    world.save_and_fold().await;
    world.clock.advance(89 * DAY);
    let mut walk = Default::default();
    for _ in 0..8 {
        walk = world.registry.sweep_old_usage(walk).await.unwrap();
    }
    assert_eq!(world.consumers(issued.token.id).await, ["young"]);
    let usage = world.usage(issued.token.id).await;
    assert_eq!(usage.consumers, 1);
    assert!(usage.last_used.is_some(), "the last use is known for good");
}

#[tokio::test]
async fn who_used_a_token_within_a_day_is_named_newest_first() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    let id = issued.token.id;
    world.call(issued.secret.reveal(), "yesterday");
    world.clock.advance(MILLI);
    world.call(issued.secret.reveal(), "saved");
    world.save().await;
    world.clock.advance(DAY - MILLI);
    world.call(issued.secret.reveal(), "new");
    let names: Vec<String> = world
        .recent(id)
        .await
        .into_iter()
        .map(|named| named.name)
        .collect();
    assert_eq!(names, ["new", "saved"]);
    world.new_consumers(issued.secret.reveal(), 0..101);
    assert_eq!(world.recent(id).await.len(), 100);
}

#[tokio::test]
async fn a_consumer_s_move_to_the_new_secret_is_seen() {
    let world = World::with_accounts(["acme"]).await;
    let old = world.token("acme").await;
    let id = old.token.id;
    world.call(old.secret.reveal(), "mover");
    world.call(old.secret.reveal(), "stayer");
    let on_old = async || -> Vec<bool> {
        let recent = world.recent(id).await;
        let mut named: Vec<_> = recent
            .iter()
            .map(|named| (&named.name, named.uses_old_secret))
            .collect();
        named.sort_unstable();
        named.into_iter().map(|(_, old)| old).collect()
    };
    assert_eq!(on_old().await, [false, false], "it is the current one");
    let new = world.rekey(id, HOUR, AtOnce).await.unwrap();
    assert_eq!(on_old().await, [true, true]);
    world.call(new.secret.reveal(), "mover");
    assert_eq!(on_old().await, [false, true]);
    world.save().await;
    assert_eq!(on_old().await, [false, true]);
}

#[tokio::test]
async fn a_rekey_is_completed_once_the_old_secrets_were_idle_and_until_then_says_who_is_not() {
    for saved in [false, true] {
        let world = World::with_accounts(["acme"]).await;
        let old = world.token("acme").await;
        let id = old.token.id;
        let new = world.rekey(id, 24 * HOUR, AtOnce).await.unwrap();
        let complete = async || {
            let (id, etag) = (id.to_string(), String::new());
            let registry = &world.registry;
            registry
                .complete_rekey(&world.root, id, etag, Some(HOUR))
                .await
        };
        world.call(old.secret.reveal(), "billing");
        let used = world.now();
        world.call(new.secret.reveal(), "crm");
        if saved {
            world.save().await;
        }
        world.clock.advance(HOUR - MILLI);
        let lines = world.events().await.len();
        match complete().await {
            Err(Error::OldSecretInUse(in_use)) => {
                assert_eq!(in_use.last_used, used);
                assert_eq!(in_use.consumers, [("billing".to_owned(), used)]);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(world.kinds_after(lines).await, NOTHING);
        assert_eq!(world.reason(new.secret.reveal()), None);
        world.clock.advance(MILLI);
        complete().await.unwrap();
        assert!(world.reason(old.secret.reveal()).is_some());
    }
}

#[tokio::test]
async fn an_old_secret_in_use_by_nobody_with_a_name_holds_a_rekey_back_too() {
    let world = World::with_accounts(["acme"]).await;
    let old = world.token("acme").await;
    let id = old.token.id.to_string();
    let complete = || {
        let idle = Some(HOUR);
        world
            .registry
            .complete_rekey(&world.root, id.clone(), String::new(), idle)
    };
    world.call(old.secret.reveal(), "");
    world
        .rekey(old.token.id, 24 * HOUR, OnFirstUse)
        .await
        .unwrap();
    assert!(
        matches!(complete().await, Err(Error::Refused { .. })),
        "no grace has begun"
    );
    world.rekey(old.token.id, 24 * HOUR, AtOnce).await.unwrap();
    let refused = complete().await.unwrap_err();
    assert!(
        refused.to_string().ends_with("by nobody who gave a name"),
        "{refused}"
    );
    let without = world
        .registry
        .complete_rekey(&world.root, id.clone(), String::new(), None);
    without.await.unwrap();
}
