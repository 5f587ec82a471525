//! Tests: folds that fail or are broken off at any step, and the limit of the journals.

use super::*;
use crate::domain::usage::TokenUsage;
use crate::registry::tests::world::*;
use crate::store::backend::Backend as _;
use crate::store::key;
use crate::store::memory::Aftermath;

/// More than one page, of three accounts.
const TOKENS: usize = 900;

/// Everything that is told: of tokens, of accounts, and of some consumers.
async fn told(world: &World) -> (Vec<TokenUsage>, Vec<u64>, usize) {
    let ids = (0..TOKENS).map(|number| super::token(number).id).collect();
    let mut tokens = world.registry.usage_of(ids).await.unwrap();
    // How many are kept is known once they are folded.
    tokens.iter_mut().for_each(|usage| usage.consumers = 0);
    let mut accounts = Vec::new();
    for number in 0..3 {
        let id = super::account(number);
        let usage = world
            .registry
            .get_usage(&world.root, id.as_str(), 0, page(1, ""));
        accounts.push(usage.await.unwrap().calls_today);
    }
    let read = world.registry.read_usage(|_, unsaved, _| {
        let all = unsaved.consumers(super::token(7).id)?;
        Ok(all.len())
    });
    (tokens, accounts, read.await.unwrap())
}

async fn world() -> World {
    let world = World::within(bounds()).await;
    for number in 0..3 {
        world
            .account(
                super::account(number).as_str(),
                crate::domain::account::Policy::standard(),
            )
            .await;
    }
    world
}

fn use_all(world: &World, cost: u64) {
    for number in 0..TOKENS {
        count(world, &super::token(number), 1, cost, "", "a");
    }
    for consumer in ["billing", "crm"] {
        count(world, &super::token(7), 1, cost, consumer, "");
    }
}

#[tokio::test]
async fn a_fold_that_fails_at_any_step_adds_nothing_twice_and_loses_nothing() {
    for aftermath in [Aftermath::Lost, Aftermath::Written] {
        let mut step = 0;
        loop {
            let world = world().await;
            use_all(&world, 1);
            world.registry.save_usage().await.unwrap();
            world.registry.fold_all_usage().await.unwrap();
            use_all(&world, 2);
            world.clock.advance(24 * HOUR);
            use_all(&world, 4);
            world.registry.save_usage().await.unwrap();
            use_all(&world, 8);
            let (tokens, accounts, _) = told(&world).await;
            assert_eq!(accounts, [12 * 300, 12 * 300 + 24, 12 * 300]);
            world.backend.fail_commit(step, aftermath);
            if world.registry.fold_all_usage().await.is_ok() {
                assert!(
                    step >= 3,
                    "pages, histories and the journal's end are {step} commits"
                );
                break;
            }
            world.until_writable(true).await;
            let (again, of_accounts, _) = told(&world).await;
            assert!(
                again == tokens && of_accounts == accounts,
                "{aftermath:?} at {step}"
            );
            let world = if step % 2 == 0 {
                world.registry.fold_all_usage().await.unwrap();
                world
            } else {
                world.registry.save_all_usage().await.unwrap();
                let world = world.restarted(&[1]).await;
                let (again, of_accounts, _) = told(&world).await;
                assert!(
                    again == tokens && of_accounts == accounts,
                    "restarted at {step}"
                );
                world.registry.fold_all_usage().await.unwrap();
                world
            };
            let (again, of_accounts, consumers) = told(&world).await;
            assert!(
                again == tokens && of_accounts == accounts,
                "folded at {step}"
            );
            if step % 2 == 1 {
                assert_eq!(consumers, 0, "all are rows");
                let rows = world.backend.rows();
                let logs = rows.keys().filter(|name| name.starts_with(key::USAGE_LOGS));
                assert_eq!(logs.count(), 0);
                let folds = rows
                    .keys()
                    .filter(|name| name.starts_with(key::USAGE_FOLDS));
                assert_eq!(folds.count(), 0, "of those that are gone");
            }
            step += 1;
        }
    }
}

#[tokio::test]
async fn a_full_journal_takes_nothing_until_it_is_folded_and_nothing_is_lost() {
    let probe = world().await;
    use_all(&probe, 1);
    probe.registry.save_usage().await.unwrap();
    let bytes = probe.registry.usage.journal_bytes().await;
    for (most, is_full) in [(bytes, true), (bytes + 1, false)] {
        let world = World::within(Bounds { most, ..bounds() }).await;
        use_all(&world, 1);
        assert!(world.registry.save_usage().await.unwrap());
        let before = world.backend.revision();
        use_all(&world, 1);
        assert_eq!(world.registry.save_usage().await.unwrap(), !is_full);
        assert_eq!(world.backend.revision() == before, is_full);
        let id = super::token(5).id;
        let calls = async || {
            world.registry.usage_of(vec![id]).await.unwrap()[0]
                .today
                .counts
                .allowed
        };
        assert_eq!(calls().await, 2, "counted all the same");
        world.registry.save_all_usage().await.unwrap();
        let world = world.restarted(&[1]).await;
        let usage = world.registry.usage_of(vec![id]).await.unwrap();
        assert_eq!(usage[0].today.counts.allowed, 2);
    }
}

#[tokio::test]
async fn a_pass_begins_when_there_is_much_or_when_it_is_old() {
    let world = World::within(Bounds {
        fold_at: 4 << 10,
        ..bounds()
    })
    .await;
    count(&world, &super::token(1), 1, 1, "", "");
    assert!(
        !world.registry.fold_usage(false).await.unwrap(),
        "nothing is saved"
    );
    world.registry.save_usage().await.unwrap();
    assert!(!world.registry.fold_usage(false).await.unwrap());
    world.clock.advance(bounds().fold_after - MILLI);
    assert!(!world.registry.fold_usage(false).await.unwrap());
    world.clock.advance(MILLI);
    assert!(world.registry.fold_usage(false).await.unwrap());
    world.registry.fold_all_usage().await.unwrap();
    use_all(&world, 1);
    world.registry.save_usage().await.unwrap();
    assert!(world.registry.fold_usage(false).await.unwrap());
}

#[tokio::test]
async fn a_token_that_was_deleted_meanwhile_is_folded_no_more() {
    let world = world().await;
    use_all(&world, 1);
    world.registry.save_usage().await.unwrap();
    let id = super::token(7).id;
    let deleted = world
        .registry
        .store
        .update(move |view| super::super::forget(view, id));
    deleted.await.unwrap();
    assert!(!world.registry.sweep_deleted_tokens().await.unwrap());
    world.registry.fold_all_usage().await.unwrap();
    let (tokens, accounts, _) = told(&world).await;
    assert_eq!(
        (&tokens[7], tokens[8].today.counts.allowed),
        (
            &TokenUsage {
                today: tokens[7].today,
                ..TokenUsage::default()
            },
            1
        )
    );
    assert_eq!((tokens[7].today.counts.allowed, accounts[1]), (0, 302));
    assert!(world.registry.sweep_deleted_tokens().await.unwrap());
    assert!(!world.registry.sweep_deleted_tokens().await.unwrap());
}
