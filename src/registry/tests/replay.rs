//! Tests: retries with a request id.

use super::world::*;
use crate::domain::event::EventKind;
use crate::domain::limits;
use crate::domain::refusal::Refusal;
use crate::domain::token::Activation::{AtOnce, OnFirstUse};
use crate::registry::Error;
use crate::registry::replay::Once;
use crate::registry::tokens::{Imported, Issued};

fn create_once(world: &World, payload: &str) -> Option<Once> {
    once(&world.root, "CreateToken", "request", payload)
}

async fn create(world: &World, payload: &str) -> Result<Issued, Error> {
    let once = create_once(world, payload);
    world
        .registry
        .create_token(&world.root, new_token("acme"), once)
        .await
}

fn same(one: &Issued, other: &Issued) -> bool {
    one.token == other.token && one.secret.reveal() == other.secret.reveal()
}

#[tokio::test]
async fn a_retry_gets_the_same_answer_for_ten_minutes() {
    let world = World::with_accounts(["acme"]).await;
    let lines = world.events().await.len();
    let first = create(&world, "a").await.unwrap();
    world.clock.advance(limits::REPLAY_KEPT - MILLI);
    assert!(same(&first, &create(&world, "a").await.unwrap()));
    assert_eq!(
        world.kinds_after(lines).await,
        [EventKind::TokenCreated as i32]
    );
    world.clock.advance(MILLI);
    let second = create(&world, "a").await.unwrap();
    assert_ne!(
        second.token.id, first.token.id,
        "ten minutes later it is a new request"
    );
    assert!(same(&second, &create(&world, "a").await.unwrap()));
}

#[tokio::test]
async fn concurrent_retries_make_one_token_and_one_event() {
    let world = World::with_accounts(["acme"]).await;
    let lines = world.events().await.len();
    let mut retries = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (registry, root, once) = (
            world.registry.clone(),
            world.root.clone(),
            create_once(&world, "a"),
        );
        retries.spawn(async move {
            registry
                .create_token(&root, new_token("acme"), once)
                .await
                .unwrap()
        });
    }
    let answers = retries.join_all().await;
    assert!(answers.iter().all(|answer| same(answer, &answers[0])));
    assert_eq!(
        world.kinds_after(lines).await,
        [EventKind::TokenCreated as i32]
    );
    assert_eq!(world.reason(answers[0].secret.reveal()), None);
}

#[tokio::test]
async fn another_payload_under_the_same_request_id_is_refused() {
    let world = World::with_accounts(["acme", "globex"]).await;
    create(&world, "a").await.unwrap();
    assert_eq!(
        create(&world, "b").await.unwrap_err(),
        Error::RequestIdReused
    );
    let elsewhere =
        world
            .registry
            .create_token(&world.root, new_token("globex"), create_once(&world, "b"));
    assert!(
        elsewhere.await.is_ok(),
        "another account's requests are others"
    );
    let other = world.operator(&["keyward/tokens:write"], "").await;
    let once = once(&other, "CreateToken", "request", "b");
    assert!(
        world
            .registry
            .create_token(&other, new_token("acme"), once)
            .await
            .is_ok(),
        "so are another operator's"
    );
}

#[tokio::test]
async fn a_restart_and_a_new_key_do_not_make_a_request_new() {
    let world = World::with_accounts(["acme"]).await;
    let first = create(&world, "a").await.unwrap();
    let world = world.restarted(&[1]).await;
    assert!(same(&first, &create(&world, "a").await.unwrap()));
    let world = world.restarted(&[2, 1]).await;
    assert!(same(&first, &create(&world, "a").await.unwrap()));
    assert_eq!(
        create(&world, "b").await.unwrap_err(),
        Error::RequestIdReused
    );
    assert_eq!(world.reason(first.secret.reveal()), None);
}

#[tokio::test]
async fn what_was_undone_since_is_not_shown_again() {
    let gone = Some(Refusal::ReplayGone);
    for case in [
        "rekeyed",
        "pending",
        "pending and cancelled",
        "deactivated",
        "deleted",
    ] {
        let world = World::with_accounts(["acme"]).await;
        let id = create(&world, "a").await.unwrap().token.id;
        match case {
            "rekeyed" => drop(world.rekey(id, HOUR, AtOnce).await.unwrap()),
            "pending" => drop(world.rekey(id, HOUR, OnFirstUse).await.unwrap()),
            "pending and cancelled" => {
                world.rekey(id, HOUR, OnFirstUse).await.unwrap();
                world
                    .registry
                    .cancel_rekey(&world.root, id.to_string(), String::new())
                    .await
                    .unwrap();
            }
            "deactivated" => drop(world.deactivate(id).await),
            _ => {
                world.deactivate(id).await;
                world.delete(id).await.unwrap();
            }
        }
        assert_eq!(refusal(create(&world, "a").await), gone, "{case}");
    }
}

#[tokio::test]
async fn an_import_is_replayed_like_a_create() {
    let world = World::with_accounts(["acme"]).await;
    let import = async || {
        let imported = Imported {
            sha256: crate::keyring::sha256("foreign"),
            foreign_id: None,
            hint: String::new(),
        };
        let once = once(&world.root, "ImportToken", "request", "a");
        world
            .registry
            .import_token(&world.root, new_token("acme"), imported, once)
            .await
    };
    let first = import().await.unwrap();
    assert_eq!(import().await.unwrap(), first);
    world.deactivate(first.id).await;
    assert_eq!(refusal(import().await), Some(Refusal::ReplayGone));
    world.delete(first.id).await.unwrap();
    assert_eq!(refusal(import().await), Some(Refusal::ReplayGone));
}

#[tokio::test]
async fn a_rekey_is_replayed_like_a_create() {
    let world = World::with_accounts(["acme"]).await;
    let id = world.token("acme").await.token.id;
    let rekey = |payload: &str| {
        let once = once(&world.root, "Rekey", "request", payload);
        world
            .registry
            .rekey(&world.root, new_secret(id, Some(HOUR), OnFirstUse), once)
    };
    let lines = world.events().await.len();
    let first = rekey("a").await.unwrap();
    assert_eq!(world.reason(first.secret.reveal()), None);
    world.step_marks().await;
    assert!(
        same(&first, &rekey("a").await.unwrap()),
        "its first use takes nothing away"
    );
    assert_eq!(refusal(rekey("b").await), None);
    assert_eq!(rekey("b").await.unwrap_err(), Error::RequestIdReused);
    let told = [
        EventKind::TokenRekeyed as i32,
        EventKind::RekeyActivated as i32,
    ];
    assert_eq!(world.kinds_after(lines).await, told);
    world.rekey(id, HOUR, AtOnce).await.unwrap();
    assert_eq!(refusal(rekey("a").await), Some(Refusal::ReplayGone));
}

#[tokio::test]
async fn the_rekey_of_a_token_that_was_deleted_since_is_gone() {
    let world = World::with_accounts(["acme"]).await;
    let id = world.token("acme").await.token.id;
    let rekey = |payload: &str| {
        let once = once(&world.root, "Rekey", "request", payload);
        world
            .registry
            .rekey(&world.root, new_secret(id, Some(HOUR), AtOnce), once)
    };
    rekey("a").await.unwrap();
    world.deactivate(id).await;
    assert_eq!(refusal(rekey("a").await), Some(Refusal::ReplayGone));
    world.delete(id).await.unwrap();
    assert_eq!(refusal(rekey("a").await), Some(Refusal::ReplayGone));
    assert_eq!(rekey("b").await.unwrap_err(), Error::RequestIdReused);
    world.clock.advance(limits::REPLAY_KEPT);
    assert!(
        matches!(rekey("a").await, Err(Error::NotFound(..))),
        "ten minutes later nobody knows of it"
    );
}

#[tokio::test]
async fn a_refused_request_keeps_nothing() {
    let world = World::with_accounts(["acme"]).await;
    world.disable("acme", true).await;
    assert_eq!(
        refusal(create(&world, "a").await),
        Some(Refusal::AccountDisabled)
    );
    world.disable("acme", false).await;
    assert!(create(&world, "b").await.is_ok());
}

#[tokio::test]
async fn no_secret_is_found_in_the_stored_rows() {
    let world = World::with_accounts(["acme"]).await;
    let first = create(&world, "a").await.unwrap();
    let once = once(&world.root, "Rekey", "request", "a");
    let new = new_secret(first.token.id, Some(HOUR), AtOnce);
    let second = world.registry.rekey(&world.root, new, once).await.unwrap();
    for issued in [first, second] {
        let text = issued.secret.reveal();
        let secret = &text[text.len() - 49..text.len() - 6];
        for part in [text, secret, &secret[..12], &secret[31..]] {
            let found = |bytes: &[u8]| {
                bytes
                    .windows(part.len())
                    .any(|window| window == part.as_bytes())
            };
            for (name, row) in world.backend.rows() {
                assert!(
                    !found(&name) && !found(&row.bytes),
                    "in {}",
                    crate::store::key::show(&name)
                );
            }
        }
    }
}

mod sweep {
    use super::*;
    use crate::registry::sweep::STEP;
    use crate::store::key;

    fn kept(world: &World) -> usize {
        let rows = world.backend.rows();
        rows.keys()
            .filter(|name| name.starts_with(b"replay"))
            .count()
    }

    #[tokio::test]
    async fn kept_answers_are_removed_when_their_time_is_over() {
        let world = World::with_accounts(["acme"]).await;
        create(&world, "a").await.unwrap();
        let lines = world.events().await.len();
        world.clock.advance(limits::REPLAY_KEPT - MILLI);
        assert_eq!(world.registry.sweep_replays().await, Ok(0));
        assert_eq!(kept(&world), 2, "the answer, and when it ends");
        world.clock.advance(MILLI);
        assert_eq!(world.registry.sweep_replays().await, Ok(1));
        assert_eq!(
            (kept(&world), world.registry.sweep_replays().await),
            (0, Ok(0))
        );
        assert_eq!(world.kinds_after(lines).await, NOTHING, "nobody's change");
    }

    #[tokio::test]
    async fn a_wall_clock_that_leaps_sweeps_nothing() {
        let world = World::with_accounts(["acme"]).await;
        let first = create(&world, "a").await.unwrap();
        world.clock.leap(2 * limits::REPLAY_KEPT);
        assert_eq!(world.registry.sweep_replays().await, Ok(0));
        assert!(same(&first, &create(&world, "a").await.unwrap()));
        world.clock.advance(limits::REPLAY_KEPT);
        assert_eq!(world.registry.sweep_replays().await, Ok(1), "its time");
    }

    #[tokio::test]
    async fn an_answer_that_took_an_older_one_s_place_outlives_the_older_one_s_end() {
        let world = World::with_accounts(["acme"]).await;
        create(&world, "a").await.unwrap();
        world.clock.advance(limits::REPLAY_KEPT);
        let second = create(&world, "a").await.unwrap();
        world.registry.sweep_replays().await.unwrap();
        assert!(same(&second, &create(&world, "a").await.unwrap()));
        world.clock.advance(limits::REPLAY_KEPT);
        world.registry.sweep_replays().await.unwrap();
        assert_eq!(kept(&world), 0);
    }

    #[tokio::test]
    async fn one_step_is_bounded() {
        let world = World::with_accounts(["acme"]).await;
        let change = |view: &mut crate::store::View<'_>| {
            for number in 0..=STEP {
                let mut request = [0; 32];
                request[..8].copy_from_slice(&(number as u64).to_be_bytes());
                let pointer = crate::store::record::Pointer(String::new());
                view.put(key::replay_end(view.now(), &request), &pointer)?;
            }
            Ok::<_, Error>(())
        };
        world.registry.store.update(change).await.unwrap();
        assert_eq!(world.registry.sweep_replays().await, Ok(STEP));
        assert_eq!(world.registry.sweep_replays().await, Ok(1));
    }
}
