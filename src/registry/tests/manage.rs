//! Tests: tokens changed, deactivated, reactivated and deleted.

use super::world::*;
use crate::domain::event::EventKind;
use crate::domain::refusal::Refusal;
use crate::registry::accounts::PolicyChange;
use crate::registry::tokens::{Expiry, NewToken, TokenPatch};
use crate::registry::{Error, Kind};

#[tokio::test]
async fn ids_are_found_only_within_reach() {
    let world = World::with_accounts(["acme", "globex"]).await;
    let theirs = world.token("globex").await.token.id.to_string();
    let acme = world
        .operator(
            &["keyward/tokens:read,write", "keyward/directory:read,write"],
            "acme",
        )
        .await;
    let account = Error::NotFound(Kind::Account, "globex".into());
    let registry = &world.registry;
    assert_eq!(
        registry
            .create_token(&acme, new_token("globex"), None)
            .await
            .unwrap_err(),
        account
    );
    assert_eq!(
        registry.get_account(&acme, "globex").await.unwrap_err(),
        account
    );
    for id in [theirs.as_str(), "0123456789ABCDEFGHIJKL", "", "no id", "ä"] {
        let missing = Error::NotFound(Kind::Token, id.into());
        let (own, etag) = (id.to_owned(), String::new());
        assert_eq!(registry.get_token(&acme, id).await.unwrap_err(), missing);
        assert_eq!(
            registry
                .delete_token(&acme, own.clone(), etag.clone(), false)
                .await
                .unwrap_err(),
            missing
        );
        assert_eq!(
            registry
                .reactivate_token(&acme, own.clone(), etag.clone())
                .await
                .unwrap_err(),
            missing
        );
        assert_eq!(
            registry
                .cancel_rekey(&acme, own.clone(), etag.clone())
                .await
                .unwrap_err(),
            missing
        );
        let mut new = new_secret(
            crate::domain::id::TokenId::parse("0123456789ABCDEFGHIJKL").unwrap(),
            None,
            Default::default(),
        );
        new.token = own;
        assert_eq!(registry.rekey(&acme, new, None).await.unwrap_err(), missing);
    }
}

#[tokio::test]
async fn frozen_fields_stay_as_they_were_created() {
    let world = World::with_accounts(["acme"]).await;
    world
        .set_policy("acme", PolicyChange::FreezeTokens(true))
        .await
        .unwrap();
    let id = world.token("acme").await.token.id.to_string();
    let patch = TokenPatch::default;
    let table = [
        (
            TokenPatch {
                name: Some("b".into()),
                ..patch()
            },
            true,
        ),
        (
            TokenPatch {
                principal: Some(None),
                ..patch()
            },
            true,
        ),
        (
            TokenPatch {
                expire_time: Some(None),
                ..patch()
            },
            true,
        ),
        (
            TokenPatch {
                description: Some("b".into()),
                ..patch()
            },
            false,
        ),
        (
            TokenPatch {
                grants: Some(grants(&["dispatch"])),
                ..patch()
            },
            false,
        ),
        (
            TokenPatch {
                labels: Some([("a".into(), "b".into())].into()),
                ..patch()
            },
            false,
        ),
    ];
    for (patch, frozen) in table {
        let case = format!("{patch:?}");
        let updated = world
            .registry
            .update_token(&world.root, id.clone(), String::new(), patch)
            .await;
        assert_eq!(
            refusal(updated),
            frozen.then_some(Refusal::TokenFrozen),
            "{case}"
        );
    }
}

#[tokio::test]
async fn an_update_asks_about_what_it_moves_alone() {
    let world = World::with_accounts(["acme"]).await;
    let id = world.token("acme").await.token.id.to_string();
    let update = |name: &str, end| {
        let patch = TokenPatch {
            name: Some(name.into()),
            expire_time: Some(end),
            ..TokenPatch::default()
        };
        world
            .registry
            .update_token(&world.root, id.clone(), String::new(), patch)
    };
    for change in [
        PolicyChange::RequireExpiry(true),
        PolicyChange::MaxLifetime(Some(DAY)),
    ] {
        world.set_policy("acme", change).await.unwrap();
    }
    let endless = update("b", None).await.unwrap();
    assert_eq!((endless.name.as_str(), endless.expire_time), ("b", None));
    let end = world.now().after(DAY);
    let too_far = update("c", Some(end.after(MILLI))).await;
    assert_eq!(field(too_far).as_deref(), Some("token.expire_time"));
    update("c", Some(end)).await.unwrap();
    let again = update("d", None).await;
    assert_eq!(
        field(again).as_deref(),
        Some("token.expire_time"),
        "an end that is there is not taken away"
    );
    let short = PolicyChange::MaxLifetime(Some(HOUR));
    world.set_policy("acme", short).await.unwrap();
    update("d", Some(end)).await.unwrap();
}

#[tokio::test]
async fn an_etag_names_one_version_of_a_token() {
    let world = World::with_accounts(["acme"]).await;
    let token = world.token("acme").await.token;
    let rename = |name: &str, etag: String| {
        let patch = TokenPatch {
            name: Some(name.into()),
            ..TokenPatch::default()
        };
        world
            .registry
            .update_token(&world.root, token.id.to_string(), etag, patch)
    };
    let renamed = rename("b", token.etag()).await.unwrap();
    assert_ne!(renamed.etag(), token.etag());
    let mismatch = Error::EtagMismatch {
        subject: format!("token {}", token.id),
    };
    assert_eq!(rename("c", token.etag()).await.unwrap_err(), mismatch);
    let lines = world.events().await.len();
    assert_eq!(
        rename("b", renamed.etag()).await.unwrap(),
        renamed,
        "nothing changed"
    );
    assert_eq!(
        world.kinds_after(lines).await,
        NOTHING,
        "and nothing is told"
    );
}

#[tokio::test]
async fn expiry_is_for_good_and_outranks_inactivity() {
    let world = World::with_accounts(["acme"]).await;
    let new = NewToken {
        expiry: Some(Expiry::Ttl(DAY)),
        ..new_token("acme")
    };
    let id = world.create(new).await.unwrap().token.id;
    world.deactivate(id).await;
    assert!(world.reactivate(id).await.is_ok());
    world.clock.advance(DAY);
    let expired = Some(Refusal::TokenExpired);
    assert_eq!(refusal(world.reactivate(id).await), expired);
    assert_eq!(
        refusal(world.rekey(id, HOUR, Default::default()).await),
        expired
    );
    let extend = TokenPatch {
        expire_time: Some(None),
        ..TokenPatch::default()
    };
    let update = |patch| {
        world
            .registry
            .update_token(&world.root, id.to_string(), String::new(), patch)
    };
    assert_eq!(refusal(update(extend).await), expired);
    let rename = TokenPatch {
        name: Some("late".into()),
        ..TokenPatch::default()
    };
    assert!(update(rename).await.is_ok());
    assert!(
        world.delete(id).await.is_ok(),
        "an expired one is deleted without being deactivated"
    );
}

#[tokio::test]
async fn an_active_token_is_not_deleted_and_a_dry_run_changes_nothing() {
    let world = World::with_accounts(["acme"]).await;
    let id = world.token("acme").await.token.id;
    let lines = world.events().await.len();
    assert_eq!(refusal(world.delete(id).await), Some(Refusal::TokenActive));
    let would = world.registry.deactivate_token(
        &world.root,
        id.to_string(),
        String::new(),
        String::new(),
        true,
    );
    assert!(would.await.unwrap().inactive);
    assert!(
        !world
            .registry
            .get_token(&world.root, id.as_str())
            .await
            .unwrap()
            .inactive
    );
    assert_eq!(world.kinds_after(lines).await, NOTHING);
    world.deactivate(id).await;
    world.deactivate(id).await;
    assert_eq!(
        world.kinds_after(lines).await,
        [EventKind::TokenDeactivated as i32],
        "the second time changes nothing"
    );
}
