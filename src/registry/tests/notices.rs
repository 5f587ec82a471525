//! Tests: tokens are announced before they expire and when they have, each notice once.

use std::time::Duration;

use super::world::*;
use crate::domain::account::Policy;
use crate::domain::event::EventKind;
use crate::domain::id::TokenId;
use crate::domain::time::Timestamp;
use crate::registry::Error;
use crate::registry::accounts::PolicyChange;
use crate::registry::notices::STEP;
use crate::registry::tokens::{Expiry, NewToken, TokenPatch};
use crate::store::record::LoggedEvent;
use crate::store::{View, key};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// `acme`'s tokens are announced these spans ahead.
async fn noticing(ahead: &[Duration]) -> World {
    let world = World::new().await;
    let policy = Policy {
        notify_before_expiry: ahead.into(),
        ..Policy::standard()
    };
    world.account("acme", policy).await;
    world
}

async fn ending(world: &World, end: Timestamp) -> TokenId {
    let new = NewToken {
        expiry: Some(Expiry::Time(end)),
        ..new_token("acme")
    };
    world.create(new).await.unwrap().token.id
}

async fn set_end(world: &World, token: TokenId, end: Option<Timestamp>) {
    let patch = TokenPatch {
        expire_time: Some(end),
        ..TokenPatch::default()
    };
    let (id, etag) = (token.to_string(), String::new());
    let updated = world.registry.update_token(&world.root, id, etag, patch);
    updated.await.unwrap();
}

async fn set_notices(world: &World, ahead: &[Duration]) {
    let change = PolicyChange::NotifyBeforeExpiry(ahead.into());
    world.set_policy("acme", change).await.unwrap();
}

/// What was announced of a token so far, oldest first: `3600` for a notice of an hour, `expired`.
async fn told(world: &World, token: TokenId) -> Vec<String> {
    world.registry.tell_all().await.unwrap();
    let lines = world.events().await;
    let about = |line: &&LoggedEvent| line.subject == token.to_string();
    let lines = lines.iter().filter(about).filter_map(|line| {
        if line.kind == EventKind::TokenExpired as i32 {
            return Some("expired".to_owned());
        }
        let expiring = line.kind == EventKind::TokenExpiring as i32;
        expiring.then(|| line.details["notice_seconds"].clone())
    });
    lines.collect()
}

/// Rows of this family.
fn rows(world: &World, family: &str) -> usize {
    let rows = world.backend.rows();
    let names = rows.keys();
    names
        .filter(|name| name.starts_with(family.as_bytes()))
        .count()
}

#[tokio::test]
async fn each_notice_is_told_once_exactly_at_its_time() {
    let world = noticing(&[DAY, HOUR]).await;
    let end = world.now().after(2 * DAY);
    let token = ending(&world, end).await;
    let mut expected: Vec<&str> = Vec::new();
    for (time, notice) in [
        (end.before(DAY), "86400"),
        (end.before(HOUR), "3600"),
        (end, "expired"),
    ] {
        world.clock.set(time.before(MILLI));
        assert_eq!(told(&world, token).await, expected, "not before");
        world.clock.set(time);
        expected.push(notice);
        for _ in 0..2 {
            assert_eq!(told(&world, token).await, expected);
        }
    }
    let last = world.events().await.pop().unwrap();
    assert_eq!((last.time, &*last.actor), (end, "keyward"));
    assert_eq!(last.details["expire_time"], end.to_string());
    world.clock.advance(YEAR);
    assert_eq!(told(&world, token).await, expected);
    assert_eq!(rows(&world, "due/"), 0);
}

#[tokio::test]
async fn where_nothing_is_due_nothing_is_committed() {
    let world = noticing(&[DAY]).await;
    ending(&world, world.now().after(2 * DAY)).await;
    world.registry.begin_notices().await.unwrap();
    let before = world.registry.store.reader().revision();
    world.registry.tell_all().await.unwrap();
    assert_eq!(world.registry.store.reader().revision(), before);
}

#[tokio::test]
async fn a_restart_tells_nothing_twice_and_what_came_in_between() {
    let world = noticing(&[DAY, HOUR, MINUTE]).await;
    let end = world.now().after(2 * DAY);
    let (early, late) = (ending(&world, end).await, ending(&world, end).await);
    world.clock.set(end.before(DAY));
    assert_eq!(told(&world, early).await, ["86400"]);
    let world = world.restarted(&[1]).await;
    assert_eq!(told(&world, early).await, ["86400"]);
    world.clock.set(end.before(MILLI));
    let world = world.restarted(&[1]).await;
    assert_eq!(told(&world, early).await, ["86400", "3600", "60"]);
    world.clock.advance(DAY);
    let world = world.restarted(&[1]).await;
    let all = ["86400", "3600", "60", "expired"];
    assert_eq!(told(&world, early).await, all);
    assert_eq!(told(&world, late).await, all);
}

#[tokio::test]
async fn a_token_that_expired_while_nobody_looked_is_told_as_expired_alone() {
    let world = noticing(&[DAY, HOUR]).await;
    let token = ending(&world, world.now().after(2 * DAY)).await;
    world.clock.advance(YEAR);
    assert_eq!(told(&world, token).await, ["expired"]);
}

#[tokio::test]
async fn a_token_that_is_made_within_a_notice_is_announced_at_once() {
    let world = noticing(&[DAY, HOUR]).await;
    let token = ending(&world, world.now().after(2 * HOUR)).await;
    assert_eq!(told(&world, token).await, ["86400"]);
}

#[tokio::test]
async fn another_expiry_has_notices_of_its_own() {
    let world = noticing(&[HOUR]).await;
    let end = world.now().after(DAY);
    let token = ending(&world, end).await;
    world.clock.set(end.before(HOUR));
    assert_eq!(told(&world, token).await, ["3600"]);
    let later = end.after(DAY);
    set_end(&world, token, Some(later)).await;
    world.clock.set(end);
    assert_eq!(told(&world, token).await, ["3600"], "it lives on");
    world.clock.set(later.before(HOUR));
    assert_eq!(told(&world, token).await, ["3600", "3600"]);

    set_end(&world, token, None).await;
    assert_eq!((rows(&world, "due/"), rows(&world, "notice/")), (0, 0));
    world.clock.advance(YEAR);
    assert_eq!(told(&world, token).await, ["3600", "3600"]);
    set_end(&world, token, Some(world.now().after(HOUR))).await;
    assert_eq!(told(&world, token).await.len(), 3, "it ends again");
}

#[tokio::test]
async fn other_notices_reach_the_tokens_that_there_are() {
    let world = noticing(&[]).await;
    let end = world.now().after(DAY);
    let token = ending(&world, end).await;
    let other = ending(&world, end.after(YEAR)).await;
    assert_eq!(told(&world, token).await, [""; 0]);
    set_notices(&world, &[2 * HOUR, HOUR]).await;
    assert_eq!(told(&world, token).await, [""; 0]);
    assert_eq!(rows(&world, "renotice/"), 0, "the walk is over");
    world.clock.set(end.before(2 * HOUR));
    assert_eq!(told(&world, token).await, ["7200"]);
    set_notices(&world, &[2 * DAY, 2 * HOUR, MINUTE]).await;
    world.clock.set(end.before(HOUR));
    assert_eq!(told(&world, token).await, ["7200"], "not any more");
    world.clock.set(end.before(MINUTE));
    assert_eq!(told(&world, token).await, ["7200", "60"]);
    set_notices(&world, &[]).await;
    world.clock.set(end);
    assert_eq!(told(&world, token).await, ["7200", "60", "expired"]);
    assert_eq!(told(&world, other).await, [""; 0]);
    assert_eq!(rows(&world, "due/"), 1);
}

/// More tokens than one step takes.
#[tokio::test]
async fn a_changed_policy_and_many_ends_are_taken_in_steps() {
    let world = noticing(&[]).await;
    let end = world.now().after(DAY);
    for _ in 0..=STEP {
        ending(&world, end).await;
    }
    set_notices(&world, &[HOUR]).await;
    world.clock.set(end.before(HOUR));
    let lines = world.events().await.len();
    let before = world.registry.store.reader().revision().0;
    world.registry.tell_all().await.unwrap();
    assert_eq!(world.events().await.len(), lines + STEP + 1);
    let commits = world.registry.store.reader().revision().0 - before;
    assert_eq!(
        commits, 5,
        "two steps and the end of the walk, two of telling"
    );
}

#[tokio::test]
async fn inactive_tokens_are_announced_and_deleted_ones_leave_nothing() {
    let world = noticing(&[HOUR]).await;
    let end = world.now().after(DAY);
    let (inactive, deleted) = (ending(&world, end).await, ending(&world, end).await);
    for token in [inactive, deleted] {
        world.deactivate(token).await;
    }
    world.clock.set(end.before(HOUR));
    assert_eq!(told(&world, inactive).await, ["3600"]);
    world.delete(deleted).await.unwrap();
    assert_eq!((rows(&world, "due/"), rows(&world, "notice/")), (1, 1));
    world.clock.set(end);
    assert_eq!(told(&world, deleted).await, ["3600"]);
    assert_eq!(told(&world, inactive).await, ["3600", "expired"]);
}

#[tokio::test]
async fn a_token_that_is_deleted_as_soon_as_it_has_expired_is_told_as_expired() {
    let world = noticing(&[HOUR]).await;
    let end = world.now().after(DAY);
    let (expired, early) = (ending(&world, end).await, ending(&world, end).await);
    world.deactivate(early).await;
    world.delete(early).await.unwrap();
    world.clock.set(end);
    world.delete(expired).await.unwrap();
    assert_eq!(told(&world, expired).await, ["expired"]);
    assert_eq!(told(&world, early).await, [""; 0]);
    assert_eq!((rows(&world, "due/"), rows(&world, "notice/")), (0, 0));
}

#[tokio::test]
async fn a_clock_that_is_moved_announces_nothing_early_and_nothing_twice() {
    let world = noticing(&[HOUR]).await;
    let end = world.now().after(DAY);
    let token = ending(&world, end).await;
    world.clock.leap(YEAR);
    assert_eq!(told(&world, token).await, [""; 0], "a leap");
    world.clock.advance(DAY - HOUR);
    assert_eq!(
        told(&world, token).await,
        ["3600"],
        "its time by what passed"
    );
    world.clock.set_back(YEAR);
    assert_eq!(told(&world, token).await, ["3600"]);
    world.clock.set_back(DAY);
    assert_eq!(told(&world, token).await, ["3600"], "set back");
    world.clock.advance(HOUR);
    assert_eq!(told(&world, token).await, ["3600", "expired"]);
}

/// A store from before there were notices has neither marker nor rows.
#[tokio::test]
async fn tokens_of_an_older_store_get_their_notices() {
    let world = noticing(&[HOUR]).await;
    let end = world.now().after(DAY);
    let token = ending(&world, end).await;
    let strip = move |view: &mut View<'_>| {
        view.delete(key::NOTICED.into())?;
        view.delete(key::notice(token))?;
        view.delete(key::due(end.before(HOUR), token))?;
        Ok::<_, Error>(())
    };
    world.registry.store.update(strip).await.unwrap();
    let world = world.restarted(&[1]).await;
    world.registry.begin_notices().await.unwrap();
    assert_eq!(told(&world, token).await, [""; 0]);
    world.clock.set(end.before(HOUR));
    assert_eq!(told(&world, token).await, ["3600"]);
    let before = world.registry.store.reader().revision();
    world.registry.begin_notices().await.unwrap();
    let after = world.registry.store.reader().revision();
    assert_eq!(before, after, "once");
}
