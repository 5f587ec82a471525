//! Tests: usage counted, saved and read; days, restarts and stores that fail.

use std::sync::Arc;

use super::world::*;
use crate::domain::decision::{DenyReason, Question};
use crate::domain::grant::Permission;
use crate::domain::id::TokenId;
use crate::domain::presented::Presented;
use crate::domain::time::{Day, Timestamp};
use crate::domain::token::Activation::AtOnce;
use crate::domain::usage::{Days, TokenUsage};
use crate::registry::Error;
use crate::registry::tokens::NewToken;
use crate::registry::usage::AccountUsagePage;
use crate::store::backend::Backend as _;
use crate::store::key;
use crate::store::memory::Aftermath;
use crate::store::record::UsagePage;
use crate::store::record::packed::{Entries, Packed as _};
use crate::validator::Ask;

impl World {
    /// One call, for a consumer.
    pub(super) fn call(&self, text: &str, consumer: &str) {
        let used = Ask {
            consumer: (!consumer.is_empty()).then_some(consumer),
            ..ask(Presented::Text(text))
        };
        self.validate(&used);
    }

    pub(super) async fn save(&self) {
        assert!(self.registry.save_usage().await.unwrap());
    }

    pub(super) async fn fold(&self) {
        self.registry.fold_all_usage().await.unwrap();
    }

    pub(super) async fn save_and_fold(&self) {
        self.save().await;
        self.fold().await;
    }

    /// How many days the stored history of a token has.
    fn history(&self, id: TokenId) -> usize {
        let mut days = 0;
        let each = |_, page: UsagePage| {
            let own = Entries::of(&page.entries).filter(|(name, _)| **name == *key::token_name(id));
            days += own
                .map(|(_, value)| Days::unpacked(value).unwrap().iter().count())
                .sum::<usize>();
            Ok(())
        };
        let reader = self.registry.store.reader();
        reader.each(key::USAGE_HISTORIES, each).unwrap();
        days
    }

    pub(super) async fn usage(&self, id: TokenId) -> TokenUsage {
        let read = self.registry.usage_of(vec![id]).await;
        read.unwrap().remove(0)
    }

    pub(super) async fn calls_today(&self, id: TokenId) -> u64 {
        self.usage(id).await.today.counts.allowed
    }

    pub(super) async fn account_usage(&self, account: &str, days: i32) -> AccountUsagePage {
        let read = self
            .registry
            .get_usage(&self.root, account, days, page(50, ""));
        read.await.unwrap()
    }
}

#[tokio::test]
async fn what_is_counted_is_read_at_once_and_the_same_after_a_save_and_a_restart() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    let id = issued.token.id;
    for _ in 0..3 {
        world.call(issued.secret.reveal(), "billing");
    }
    let unsaved = (world.usage(id).await, world.account_usage("acme", 90).await);
    assert_eq!(unsaved.0.today.counts.allowed, 3);
    assert_eq!(unsaved.0.last_used, Some(world.now()));
    assert_eq!(unsaved.0.secret(1).unwrap().calls, 3);
    assert_eq!(unsaved.1.calls_today, 3);
    world.save().await;
    assert_eq!(world.usage(id).await, unsaved.0);
    let world = world.restarted(&[1]).await;
    assert_eq!(world.usage(id).await, unsaved.0, "not folded yet");
    world.fold().await;
    let kept = |mut usage: TokenUsage| {
        assert_eq!(usage.consumers, 1);
        usage.consumers = 0;
        usage
    };
    assert_eq!(kept(world.usage(id).await), unsaved.0);
    let world = world.restarted(&[1]).await;
    assert_eq!(kept(world.usage(id).await), unsaved.0);
    let page = world.account_usage("acme", 90).await;
    assert_eq!((page.calls_today, page.days), (3, unsaved.1.days));
    world.call(issued.secret.reveal(), "");
    assert_eq!(world.calls_today(id).await, 4);
}

#[tokio::test]
async fn dry_runs_and_wrong_secrets_count_nothing_and_denials_no_call() {
    let world = World::with_accounts(["acme"]).await;
    let old = world.token("acme").await;
    let id = old.token.id;
    let dry = Ask {
        dry_run: true,
        consumer: Some("tester"),
        ..ask(Presented::Text(old.secret.reveal()))
    };
    world.validate(&dry);
    world.reason("kw_test_nothing");
    assert!(
        !world.registry.save_usage().await.unwrap(),
        "nothing to save"
    );
    world
        .rekey(id, std::time::Duration::ZERO, AtOnce)
        .await
        .unwrap();
    assert_eq!(
        world.reason(old.secret.reveal()),
        Some(DenyReason::Superseded)
    );
    let usage = world.usage(id).await;
    assert_eq!(
        (usage.today.counts.allowed, usage.today.counts.denied),
        (0, 1)
    );
    assert_eq!(usage.last_used, None);
}

#[tokio::test]
async fn an_operator_s_token_is_counted_by_its_calls() {
    let world = World::new().await;
    let first = world.registry.draw_operator("second");
    let text = first.secret.clone();
    let registry = world.registry.clone();
    let id = tokio::task::spawn_blocking(move || registry.admit_operator(&first).unwrap());
    let id = id.await.unwrap();
    world
        .registry
        .directory
        .reached(world.backend.revision())
        .await;
    let presented = Some(Presented::Text(text.reveal()));
    world.validator.authenticate(presented, None).unwrap();
    assert_eq!(world.calls_today(id).await, 1);
}

#[tokio::test]
async fn a_save_is_one_commit_however_much_was_counted_and_none_where_nothing_was() {
    let world = World::with_accounts(["acme", "shop"]).await;
    let tokens = [
        world.token("acme").await,
        world.token("acme").await,
        world.token("shop").await,
    ];
    for calls in [1, 10, 1_000] {
        for _ in 0..calls {
            for issued in &tokens {
                world.call(issued.secret.reveal(), "billing");
            }
        }
        let before = world.backend.revision();
        world.save().await;
        assert!(!world.registry.save_usage().await.unwrap());
        assert_eq!(world.backend.revision(), before.next(), "{calls} calls");
    }
    assert_eq!(world.account_usage("acme", 0).await.calls_today, 2_022);
    let before = world.backend.revision();
    world.registry.save_all_usage().await.unwrap();
    assert_eq!(world.backend.revision(), before);
}

#[tokio::test]
async fn a_day_goes_into_the_history_with_the_first_save_of_the_next() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    let id = issued.token.id;
    let midnight = Day::of(world.now()).next().start();
    world
        .clock
        .set(Timestamp::from_millis(midnight.as_millis() - 1));
    world.call(issued.secret.reveal(), "");
    world.save().await;
    world.call(issued.secret.reveal(), "");
    world.clock.set(midnight);
    assert_eq!(world.calls_today(id).await, 0, "back at 00:00");
    world.call(issued.secret.reveal(), "");
    world.fold().await;
    assert_eq!(world.history(id), 0);
    let days = async || {
        let page = world.account_usage("acme", 90).await;
        let allowed = |days: &[(Day, crate::domain::usage::Counts)]| -> Vec<u64> {
            days.iter().map(|(_, counts)| counts.allowed).collect()
        };
        assert_eq!(allowed(&page.days), allowed(&page.tokens.items[0].days));
        assert_eq!(page.reset_time, Day::of(world.now()).next().start());
        allowed(&page.days)
    };
    assert_eq!(days().await, [2, 1]);
    world.save().await;
    assert_eq!(days().await, [2, 1]);
    world.fold().await;
    assert_eq!(world.history(id), 1);
    assert_eq!(days().await, [2, 1]);
    world.clock.advance(2 * DAY);
    assert_eq!(days().await, [2, 1, 0, 0], "days without use are told");
    assert_eq!(world.account_usage("acme", 2).await.days.len(), 2);
}

#[tokio::test]
async fn ninety_days_are_kept_and_told() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    for _ in 0..95 {
        world.call(issued.secret.reveal(), "");
        world.save_and_fold().await;
        world.clock.advance(DAY);
    }
    assert_eq!(world.history(issued.token.id), 90);
    let page = world.account_usage("acme", 90).await;
    let allowed: u64 = page.days.iter().map(|(_, counts)| counts.allowed).sum();
    assert_eq!((page.days.len(), allowed), (90, 89), "today has none yet");
    world.clock.advance(200 * DAY);
    let page = world.account_usage("acme", 90).await;
    assert!(page.days.iter().all(|(_, counts)| counts.allowed == 0));
    let mut walk = Default::default();
    for _ in 0..8 {
        walk = world.registry.sweep_old_usage(walk).await.unwrap();
    }
    assert_eq!(world.history(issued.token.id), 0);
}

#[tokio::test]
async fn a_save_that_fails_is_made_once_whatever_became_of_it() {
    for aftermath in [Aftermath::Lost, Aftermath::Written] {
        let world = World::with_accounts(["acme"]).await;
        let issued = world.token("acme").await;
        let id = issued.token.id;
        let use_it = || world.call(issued.secret.reveal(), "billing");
        use_it();
        world.backend.fail_next_commit(aftermath);
        assert!(world.registry.save_usage().await.is_err());
        use_it();
        world.until_writable(true).await;
        assert_eq!(
            world.calls_today(id).await,
            2,
            "{aftermath:?}, before it is tried again"
        );
        world.registry.save_all_usage().await.unwrap();
        assert_eq!(world.calls_today(id).await, 2, "{aftermath:?}");
        let page = world.account_usage("acme", 1).await;
        assert_eq!(page.calls_today, 2, "{aftermath:?}");
        let consumers = world.registry.recent_consumers(&world.root, id.as_str());
        assert_eq!(
            consumers.await.unwrap()[0].consumer.calls,
            2,
            "{aftermath:?}"
        );
    }
}

#[tokio::test]
async fn counting_goes_on_while_the_store_is_away() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    world.backend.set_unavailable(true);
    for _ in 0..5 {
        world.call(issued.secret.reveal(), "");
        assert!(world.registry.save_usage().await.is_err());
    }
    world.backend.set_unavailable(false);
    world.until_writable(true).await;
    world.registry.save_all_usage().await.unwrap();
    assert_eq!(world.calls_today(issued.token.id).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn saves_beside_counting_and_reading_add_up() {
    const CALLS: u64 = 5_000;
    let world = Arc::new(World::with_accounts(["acme"]).await);
    let issued = world.token("acme").await;
    let (id, text) = (issued.token.id, issued.secret.reveal().to_owned());
    let counting = {
        let world = world.clone();
        tokio::task::spawn_blocking(move || {
            for _ in 0..CALLS {
                world.call(&text, "billing");
            }
        })
    };
    let mut seen = 0;
    while !counting.is_finished() {
        world.registry.save_usage().await.unwrap();
        let now = world.calls_today(id).await;
        assert!(
            now >= seen,
            "nothing is added twice, or out of sight: {seen}, then {now}"
        );
        seen = now;
    }
    counting.await.unwrap();
    assert_eq!(world.calls_today(id).await, CALLS);
    assert_eq!(world.account_usage("acme", 0).await.calls_today, CALLS);
}

#[tokio::test]
async fn a_deleted_token_s_calls_stay_in_its_account_s() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    let id = issued.token.id;
    world.call(issued.secret.reveal(), "billing");
    world.save_and_fold().await;
    world.call(issued.secret.reveal(), "billing");
    world.deactivate(id).await;
    world.delete(id).await.unwrap();
    world.save().await;
    let page = world.account_usage("acme", 1).await;
    assert_eq!((page.calls_today, page.tokens.items.len()), (2, 0));
    let rows = |world: &World| {
        let rows = world.backend.rows();
        let of_token = rows.keys().filter(|name| {
            let name = key::show(name);
            name.contains(id.as_str()) && !name.starts_with("event/")
        });
        of_token.map(|name| key::show(name)).collect::<Vec<_>>()
    };
    let left = [
        format!("consumer/{id}/billing"),
        format!("deleted-token/{id}"),
    ];
    assert_eq!(rows(&world), left);
    let swept = world.registry.sweep_deleted_tokens().await.unwrap();
    assert!(!swept, "something of it waits to be folded");
    world.fold().await;
    assert_eq!(rows(&world), left);
    while world.registry.sweep_deleted_tokens().await.unwrap() {}
    assert_eq!(rows(&world), [""; 0]);
    assert_eq!(world.usage(id).await.last_used, None);
    assert_eq!(world.account_usage("acme", 1).await.calls_today, 2);
}

#[tokio::test]
async fn usage_changes_no_etag_and_another_account_s_token_is_not_there() {
    let world = World::with_accounts(["acme", "shop"]).await;
    let issued = world.token("acme").await;
    world.call(issued.secret.reveal(), "billing");
    world.save().await;
    let id = issued.token.id.to_string();
    let token = world.registry.get_token(&world.root, &id).await.unwrap();
    assert_eq!(token.etag(), issued.token.etag());
    let foreign = world.operator(&["keyward/usage:read"], "shop").await;
    let consumers = world.registry.list_consumers(&foreign, &id, page(50, ""));
    assert!(matches!(consumers.await, Err(Error::NotFound(..))));
    let usage = world.registry.get_usage(&foreign, "acme", 0, page(50, ""));
    assert!(matches!(usage.await, Err(Error::NotFound(..))));
}

#[tokio::test]
async fn grants_are_told_until_they_are_exercised() {
    let world = World::with_accounts(["acme"]).await;
    let new = NewToken {
        grants: grants(&["tables/orders:read", "dispatch"]),
        ..new_token("acme")
    };
    let issued = world.create(new).await.unwrap();
    let unexercised = async || -> Vec<String> {
        let usage = world.usage(issued.token.id).await;
        usage.unexercised(&issued.token.grants).collect()
    };
    assert_eq!(unexercised().await, ["tables/orders:read", "dispatch"]);
    let required = Permission {
        resource: "dispatch",
        action: None,
    };
    let question = Question {
        required: Some(required),
        ..Question::default()
    };
    world.validate(&Ask {
        question,
        ..ask(Presented::Text(issued.secret.reveal()))
    });
    assert_eq!(unexercised().await, ["tables/orders:read"]);
    world.save().await;
    assert_eq!(unexercised().await, ["tables/orders:read"]);
}
