//! Tests: a store that is away, and changes in doubt.

use super::world::*;
use crate::clock::Clock as _;
use crate::domain::decision::DenyReason::Superseded;
use crate::domain::token::Activation::{AtOnce, OnFirstUse};
use crate::registry::Error;
use crate::registry::tokens::TokenFilter;
use crate::store::StoreError;
use crate::store::memory::Aftermath;

fn is_away<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Store(StoreError::Away(_))))
}

#[tokio::test]
async fn while_the_store_is_away_changes_fail_and_validation_goes_on() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    let id = issued.token.id;
    world.backend.set_unavailable(true);
    assert!(is_away(world.create(new_token("acme")).await));
    assert!(is_away(world.rekey(id, HOUR, AtOnce).await));
    let root = &world.root;
    assert!(is_away(
        world
            .registry
            .deactivate_token(root, id.to_string(), String::new(), String::new(), false)
            .await
    ));
    assert!(is_away(world.registry.get_token(root, id.as_str()).await));
    assert!(is_away(
        world
            .registry
            .list_tokens(root, "acme", TokenFilter::default(), page(50, ""))
            .await
    ));
    assert_eq!(world.reason(issued.secret.reveal()), None);
    world.backend.set_unavailable(false);
    world.until_writable(true).await;
    assert!(
        !world
            .registry
            .get_token(root, id.as_str())
            .await
            .unwrap()
            .inactive,
        "nothing was half done"
    );
    world.deactivate(id).await;
}

#[tokio::test]
async fn a_change_in_doubt_is_what_the_store_says_when_it_is_back() {
    for (aftermath, inactive) in [(Aftermath::Lost, false), (Aftermath::Written, true)] {
        let world = World::with_accounts(["acme"]).await;
        let issued = world.token("acme").await;
        let id = issued.token.id;
        world.backend.fail_next_commit(aftermath);
        let stop = world.registry.deactivate_token(
            &world.root,
            id.to_string(),
            String::new(),
            String::new(),
            false,
        );
        assert!(is_away(stop.await));
        world.until_writable(true).await;
        let token = world
            .registry
            .get_token(&world.root, id.as_str())
            .await
            .unwrap();
        assert_eq!(token.inactive, inactive, "{aftermath:?}");
        world.deactivate(id).await;
        assert!(
            world.reason(issued.secret.reveal()).is_some(),
            "an acknowledged change is in the next decision"
        );
    }
}

#[tokio::test]
async fn a_retry_of_a_create_in_doubt_makes_no_second_token() {
    for aftermath in [Aftermath::Lost, Aftermath::Written] {
        let world = World::with_accounts(["acme"]).await;
        let create = || {
            let once = once(&world.root, "CreateToken", "request", "a");
            world
                .registry
                .create_token(&world.root, new_token("acme"), once)
        };
        world.backend.fail_next_commit(aftermath);
        assert!(is_away(create().await));
        world.until_writable(true).await;
        let issued = create().await.unwrap();
        assert_eq!(world.reason(issued.secret.reveal()), None, "{aftermath:?}");
        let listed =
            world
                .registry
                .list_tokens(&world.root, "acme", TokenFilter::default(), page(50, ""));
        assert_eq!(listed.await.unwrap().items, [issued.token], "{aftermath:?}");
    }
}

#[tokio::test]
async fn marks_that_are_lost_are_made_again_by_the_next_use() {
    let world = World::with_accounts(["acme"]).await;
    let old = world.token("acme").await;
    let superseded = world
        .rekey(old.token.id, std::time::Duration::ZERO, AtOnce)
        .await
        .unwrap();
    let pending = world.rekey(old.token.id, HOUR, OnFirstUse).await.unwrap();
    let use_all = || {
        assert_eq!(world.reason(old.secret.reveal()), Some(Superseded));
        assert_eq!(world.reason(pending.secret.reveal()), None);
        assert_eq!(world.reason(superseded.secret.reveal()), None);
    };
    world.backend.set_unavailable(true);
    use_all();
    let taken = world.marks.take_waiting(world.clock.steady());
    assert_eq!(taken.len(), 2);
    assert!(is_away(
        world.registry.commit_taken(&world.marks, taken).await
    ));
    world.backend.set_unavailable(false);
    world.until_writable(true).await;
    use_all();
    assert_eq!(world.step_marks().await, 2);
    use_all();
    assert_eq!(
        world.step_marks().await,
        0,
        "the first use is over, and misuse was told"
    );
}
