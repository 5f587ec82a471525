//! Tests: new secrets, and the graces of the old ones.

use std::time::Duration;

use super::world::*;
use crate::clock::Clock as _;
use crate::domain::decision::DenyReason::{self, Expired, Inactive, Superseded, Unknown};
use crate::domain::event::EventKind;
use crate::domain::presented::Presented;
use crate::domain::refusal::Refusal;
use crate::domain::token::Activation::{AtOnce, OnFirstUse};
use crate::registry::tokens::{Expiry, NewToken};
use crate::validator::Ask;

/// What each text is answered after some time.
fn answers<const N: usize>(world: &World, texts: [&str; N]) -> [Option<DenyReason>; N] {
    texts.map(|text| world.reason(text))
}

#[tokio::test]
async fn an_old_secret_is_good_to_the_last_millisecond_of_its_grace() {
    for grace in [Duration::ZERO, MILLI, HOUR, 30 * DAY] {
        let world = World::with_accounts(["acme"]).await;
        let old = world.token("acme").await;
        let start = world.now();
        let new = world.rekey(old.token.id, grace, AtOnce).await.unwrap();
        let texts = [old.secret.reveal(), new.secret.reveal()];
        if !grace.is_zero() {
            world.clock.set(start.after(grace - MILLI));
            assert_eq!(answers(&world, texts), [None, None], "{grace:?}");
        }
        world.clock.set(start.after(grace));
        assert_eq!(
            answers(&world, texts),
            [Some(Superseded), None],
            "{grace:?}"
        );
        world.clock.set(start.after(grace + 90 * DAY - MILLI));
        assert_eq!(
            answers(&world, texts),
            [Some(Superseded), None],
            "{grace:?}"
        );
        world.clock.set(start.after(grace + 90 * DAY));
        assert_eq!(
            answers(&world, texts),
            [Some(Unknown), None],
            "not kept any more"
        );
    }
}

#[tokio::test]
async fn a_grace_that_is_not_named_is_the_account_s() {
    let world = World::with_accounts(["acme"]).await;
    let old = world.token("acme").await;
    let new = new_secret(old.token.id, None, AtOnce);
    world.registry.rekey(&world.root, new, None).await.unwrap();
    world.clock.advance(4 * HOUR - MILLI);
    assert_eq!(world.reason(old.secret.reveal()), None);
    world.clock.advance(MILLI);
    assert_eq!(world.reason(old.secret.reveal()), Some(Superseded));
}

#[tokio::test]
async fn no_secret_outlives_the_token() {
    let world = World::with_accounts(["acme"]).await;
    let new = NewToken {
        expiry: Some(Expiry::Ttl(HOUR)),
        ..new_token("acme")
    };
    let old = world.create(new).await.unwrap();
    let new = world.rekey(old.token.id, DAY, AtOnce).await.unwrap();
    let texts = [old.secret.reveal(), new.secret.reveal()];
    let answer = world.validate(&ask(Presented::Text(texts[0])));
    let kept = answer.identity.unwrap();
    let end = kept.identity().secret_good_until(world.now());
    assert_eq!(
        end, old.token.expire_time,
        "the earlier of grace and expiry"
    );
    world.clock.advance(HOUR - MILLI);
    assert_eq!(answers(&world, texts), [None, None]);
    world.clock.advance(MILLI);
    assert_eq!(answers(&world, texts), [Some(Superseded), Some(Expired)]);
}

#[tokio::test]
async fn each_rekey_bounds_every_older_secret_and_lengthens_none() {
    let world = World::with_accounts(["acme"]).await;
    let first = world.token("acme").await;
    let id = first.token.id;
    let second = world.rekey(id, 2 * HOUR, AtOnce).await.unwrap();
    let third = world.rekey(id, HOUR, AtOnce).await.unwrap();
    let fourth = world.rekey(id, 3 * HOUR, AtOnce).await.unwrap();
    let texts = [&first, &second, &third, &fourth].map(|issued| issued.secret.reveal());
    world.clock.advance(HOUR - MILLI);
    assert_eq!(answers(&world, texts), [None; 4]);
    world.clock.advance(MILLI);
    assert_eq!(
        answers(&world, texts),
        [Some(Superseded), Some(Superseded), None, None]
    );
    world.clock.advance(2 * HOUR);
    assert_eq!(
        answers(&world, texts),
        [Some(Superseded), Some(Superseded), Some(Superseded), None]
    );
}

#[tokio::test]
async fn a_fourth_retiring_secret_is_refused_unless_all_old_ones_stop() {
    for activation in [AtOnce, OnFirstUse] {
        let world = World::with_accounts(["acme"]).await;
        let mut issued = vec![world.token("acme").await];
        let id = issued[0].token.id;
        for _ in 0..3 {
            issued.push(world.rekey(id, HOUR, AtOnce).await.unwrap());
        }
        let refused = world.rekey(id, MILLI, activation).await;
        assert_eq!(refusal(refused), Some(Refusal::TooManyRetiringSecrets));
        issued.push(world.rekey(id, Duration::ZERO, AtOnce).await.unwrap());
        let reasons: Vec<_> = issued
            .iter()
            .map(|issued| world.reason(issued.secret.reveal()))
            .collect();
        let dead = Some(Superseded);
        assert_eq!(reasons, [dead, dead, dead, dead, None]);
    }
}

#[tokio::test]
async fn a_pending_secret_is_good_at_once_and_starts_the_grace_when_its_use_is_committed() {
    let world = World::with_accounts(["acme"]).await;
    let old = world.token("acme").await;
    let lines = world.events().await.len();
    let new = world.rekey(old.token.id, HOUR, OnFirstUse).await.unwrap();
    let texts = [old.secret.reveal(), new.secret.reveal()];
    world.clock.advance(DAY);
    let tried = Ask {
        dry_run: true,
        ..ask(Presented::Text(texts[1]))
    };
    assert_eq!(world.validate(&tried).verdict.reason, None);
    assert_eq!(world.step_marks().await, 0, "a dry run is no use");
    assert_eq!(answers(&world, texts), [None, None]);
    world.clock.advance(DAY);
    assert_eq!(
        answers(&world, texts),
        [None, None],
        "both, until the use is committed"
    );
    assert_eq!(world.step_marks().await, 1);
    world.clock.advance(HOUR - MILLI);
    assert_eq!(answers(&world, texts), [None, None]);
    world.clock.advance(MILLI);
    assert_eq!(answers(&world, texts), [Some(Superseded), None]);
    let told = [
        EventKind::TokenRekeyed as i32,
        EventKind::RekeyActivated as i32,
    ];
    assert_eq!(world.kinds_after(lines).await, told);
}

#[tokio::test]
async fn a_denied_use_of_a_pending_secret_starts_nothing() {
    let world = World::with_accounts(["acme"]).await;
    let old = world.token("acme").await;
    let new = world.rekey(old.token.id, HOUR, OnFirstUse).await.unwrap();
    world.deactivate(old.token.id).await;
    assert_eq!(world.reason(new.secret.reveal()), Some(Inactive));
    assert_eq!(world.step_marks().await, 0);
}

#[tokio::test]
async fn a_pending_secret_is_dropped_after_seven_days_or_by_the_next_rekey() {
    let world = World::with_accounts(["acme"]).await;
    let old = world.token("acme").await;
    let lost = world.rekey(old.token.id, HOUR, OnFirstUse).await.unwrap();
    let replaced = world.rekey(old.token.id, HOUR, OnFirstUse).await.unwrap();
    let texts = [&old, &lost, &replaced].map(|issued| issued.secret.reveal());
    assert_eq!(answers(&world, [texts[0], texts[1]]), [None, Some(Unknown)]);
    world.clock.advance(7 * DAY - MILLI);
    assert_eq!(world.reason(texts[2]), None);
    let _lost_with_a_crash = world.marks.take_waiting(world.clock.steady());
    world.clock.advance(MILLI);
    assert_eq!(answers(&world, texts), [None, Some(Unknown), Some(Unknown)]);
    let late = world
        .registry
        .cancel_rekey(&world.root, old.token.id.to_string(), String::new());
    assert_eq!(refusal(late.await), Some(Refusal::NoPendingSecret));
}

#[tokio::test]
async fn a_use_that_is_committed_too_late_activates_nothing() {
    let world = World::with_accounts(["acme"]).await;
    let old = world.token("acme").await;
    let new = world.rekey(old.token.id, HOUR, OnFirstUse).await.unwrap();
    world.clock.advance(7 * DAY - MILLI);
    assert_eq!(world.reason(new.secret.reveal()), None);
    let id = old.token.id.to_string();
    world
        .registry
        .cancel_rekey(&world.root, id, String::new())
        .await
        .unwrap();
    world.step_marks().await;
    assert_eq!(
        answers(&world, [old.secret.reveal(), new.secret.reveal()]),
        [None, Some(Unknown)]
    );
}

#[tokio::test]
async fn completing_and_cancelling_need_something_to_complete_or_cancel() {
    let world = World::with_accounts(["acme"]).await;
    let first = world.token("acme").await;
    let (id, text) = (first.token.id, first.token.id.to_string());
    let complete = || {
        world
            .registry
            .complete_rekey(&world.root, text.clone(), String::new(), None)
    };
    let cancel = || {
        world
            .registry
            .cancel_rekey(&world.root, text.clone(), String::new())
    };
    assert_eq!(refusal(complete().await), Some(Refusal::NoRetiringSecret));
    assert_eq!(refusal(cancel().await), Some(Refusal::NoPendingSecret));

    let pending = world.rekey(id, HOUR, OnFirstUse).await.unwrap();
    assert_eq!(refusal(complete().await), Some(Refusal::RekeyPending));
    cancel().await.unwrap();
    assert_eq!(
        answers(&world, [first.secret.reveal(), pending.secret.reveal()]),
        [None, Some(Unknown)]
    );

    let second = world.rekey(id, HOUR, AtOnce).await.unwrap();
    assert_eq!(
        second.token.last_version, 3,
        "a cancelled secret's number is not used again"
    );
    assert_eq!(refusal(cancel().await), Some(Refusal::NoPendingSecret));
    complete().await.unwrap();
    assert_eq!(
        answers(&world, [first.secret.reveal(), second.secret.reveal()]),
        [Some(Superseded), None]
    );
    assert_eq!(
        refusal(complete().await),
        Some(Refusal::NoRetiringSecret),
        "a second time there is nothing"
    );

    world.rekey(id, HOUR, AtOnce).await.unwrap();
    world.rekey(id, HOUR, OnFirstUse).await.unwrap();
    complete().await.unwrap();
    assert_eq!(refusal(complete().await), Some(Refusal::RekeyPending));
    cancel().await.unwrap();
}

#[tokio::test]
async fn an_inactive_token_is_rekeyed_and_stays_inactive() {
    let world = World::with_accounts(["acme"]).await;
    let first = world.token("acme").await;
    world.deactivate(first.token.id).await;
    let second = world
        .rekey(first.token.id, Duration::ZERO, AtOnce)
        .await
        .unwrap();
    assert_eq!(
        answers(&world, [first.secret.reveal(), second.secret.reveal()]),
        [Some(Superseded), Some(Inactive)]
    );
    world.reactivate(first.token.id).await.unwrap();
    assert_eq!(world.reason(second.secret.reveal()), None);
}

#[tokio::test]
async fn rekeying_for_years_keeps_at_most_eight_digests() {
    let world = World::with_accounts(["acme"]).await;
    let first = world.token("acme").await;
    let mut newest = first.clone();
    for _ in 0..20 {
        newest = world
            .rekey(first.token.id, Duration::ZERO, AtOnce)
            .await
            .unwrap();
        assert!(newest.token.secrets.len() <= 8);
    }
    assert_eq!(newest.token.last_version, 21);
    assert_eq!(
        answers(&world, [first.secret.reveal(), newest.secret.reveal()]),
        [Some(Unknown), None]
    );
}
