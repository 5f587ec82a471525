//! Tests: old lines are swept, and what is left is still verified.

use super::events::every_change;
use super::world::*;
use crate::domain::event::EventKind;
use crate::registry::Error;
use crate::registry::events::EventFilter;
use crate::registry::retention::STEP;
use crate::registry::verify::Verified;
use crate::store::backend::Revision;
use crate::store::record::{Checkpoint, LoggedEvent};
use crate::store::{key, last_sequence};

async fn verify(world: &World, from: Option<u64>) -> Verified {
    let root = &world.root;
    world
        .registry
        .verify_events(root, from, None)
        .await
        .unwrap()
}

fn intact(found: &Verified) -> bool {
    found.broken.is_none()
}

/// A world whose first lines are a day older than the rest, and swept: what was there before, and what is there now.
async fn swept() -> (World, Vec<LoggedEvent>, Vec<LoggedEvent>) {
    let world = World::new().await;
    every_change(&world).await;
    let old = world.events().await;
    world.clock.advance(DAY + MILLI);
    world
        .account("young", crate::domain::account::Policy::standard())
        .await;
    let count = world.registry.sweep_events(DAY).await.unwrap();
    assert_eq!(count, old.len());
    let left = world.events().await;
    (world, old, left)
}

#[tokio::test]
async fn lines_are_kept_for_their_time_and_not_a_millisecond_less() {
    let world = World::with_accounts(["acme"]).await;
    let lines = world.events().await.len();
    world.clock.advance(DAY);
    assert_eq!(world.registry.sweep_events(DAY).await, Ok(0));
    assert_eq!(world.events().await.len(), lines);
    world.clock.advance(MILLI);
    assert_eq!(world.registry.sweep_events(DAY).await, Ok(lines));
    assert_eq!(world.events().await.len(), 1);
}

#[tokio::test]
async fn what_was_swept_is_told_in_the_log_and_the_rest_is_verified() {
    let (world, old, left) = swept().await;
    let last = old.last().unwrap();
    assert_eq!(left.len(), 2);
    let told = &left[1];
    assert_eq!(told.kind, EventKind::EventsSwept as i32);
    let chain: String = last
        .chain
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for (name, value) in [
        ("count", old.len().to_string()),
        ("sequence", last.sequence.to_string()),
        ("chain_index", last.chain_index.to_string()),
        ("chain", chain),
    ] {
        assert_eq!(told.details[name], value);
    }
    for from in [None, Some(1), Some(last.sequence), Some(left[0].sequence)] {
        let found = verify(&world, from).await;
        assert!(intact(&found), "{from:?}: {found:?}");
        assert_eq!(found.checked, 2);
    }
    let world = world.restarted(&[1]).await;
    assert!(intact(&verify(&world, None).await), "after a restart");
}

#[tokio::test]
async fn damage_after_a_sweep_is_found() {
    let (world, _, left) = swept().await;
    let chain = &left[0].chain_id;
    let (first, second) = (left[0].sequence, left[1].sequence);

    let bytes = world.backend.rows()[&key::event(second)].bytes.to_vec();
    world.backend.tamper(&key::event(first), None);
    let found = verify(&world, None).await;
    assert_eq!(
        found.broken.unwrap().0,
        second,
        "the first line kept is gone"
    );

    let (world, _, _) = swept().await;
    world.backend.tamper(&key::event(first), Some(&bytes));
    assert_eq!(verify(&world, None).await.broken.unwrap().0, first);

    let (world, _, _) = swept().await;
    world.backend.tamper(&key::checkpoint(chain), None);
    assert!(!intact(&verify(&world, None).await), "no checkpoint");

    let (world, _, _) = swept().await;
    let name = key::checkpoint(chain);
    let mut bytes = world.backend.rows()[&name].bytes.to_vec();
    bytes[20] ^= 1;
    world.backend.tamper(&name, Some(&bytes));
    let found = verify(&world, None).await;
    assert_eq!(found.broken.unwrap().0, first, "a changed checkpoint");
}

#[tokio::test]
async fn a_checkpoint_of_another_line_does_not_fit() {
    let (world, old, left) = swept().await;
    let other = Checkpoint {
        chain: old[0].chain,
        ..Checkpoint::from(old.last().unwrap())
    };
    let name = key::checkpoint(&other.chain_id);
    let put = move |view: &mut crate::store::View<'_>| view.put(name.clone(), &other);
    world
        .registry
        .store
        .update::<_, crate::store::StoreError, _>(put)
        .await
        .unwrap();
    let found = verify(&world, None).await;
    assert_eq!(found.broken.unwrap().0, left[0].sequence);
}

#[tokio::test]
async fn a_sweep_goes_in_steps_and_a_log_of_sweeps_alone_is_left_alone() {
    let world = World::new().await;
    let before = world.events().await.len();
    let denied = |_| async {
        let denied = crate::registry::events::Denied {
            operator: world.root.operator.token,
            account: account_id("acme"),
            method: "GetToken",
            origin: world.root.origin.clone(),
            count: 1,
        };
        world.registry.log_denied(denied).await.unwrap();
    };
    for line in before..=STEP {
        denied(line).await;
    }
    world.clock.advance(DAY + MILLI);
    assert_eq!(world.registry.sweep_events(DAY).await, Ok(STEP));
    assert_eq!(world.registry.sweep_events(DAY).await, Ok(1));
    assert_eq!(world.registry.sweep_events(DAY).await, Ok(0));
    world.clock.advance(DAY + MILLI);
    assert_eq!(
        world.registry.sweep_events(DAY).await,
        Ok(0),
        "only sweeps are told there"
    );
    assert!(intact(&verify(&world, None).await));
    denied(0).await;
    world.clock.advance(DAY + MILLI);
    assert_eq!(
        world.registry.sweep_events(DAY).await,
        Ok(3),
        "they go with others"
    );
}

#[tokio::test]
async fn a_clock_that_leapt_sweeps_nothing_early() {
    let world = World::with_accounts(["acme"]).await;
    let lines = world.events().await.len();
    world.clock.leap(DAY * 1_000);
    assert_eq!(world.registry.sweep_events(DAY).await, Ok(0));
    world.clock.advance(DAY + MILLI);
    assert_eq!(world.registry.sweep_events(DAY).await, Ok(lines));
}

#[tokio::test]
async fn one_line_of_the_future_holds_nothing_up() {
    let world = World::with_accounts(["acme"]).await;
    let at = world.now();
    world.clock.set(at.after(DAY * 1_000));
    world.token("acme").await;
    world.clock.set(at.after(HOUR));
    world.token("acme").await;
    let lines = world.events().await.len();
    assert_eq!(world.registry.sweep_events(DAY).await, Ok(0));
    world.clock.set(at.after(DAY * 2));
    assert_eq!(world.registry.sweep_events(DAY).await, Ok(lines));
}

/// What a watcher reads until there is no more.
async fn read_all(world: &World, after: Option<u64>) -> Result<Vec<u64>, Error> {
    let (registry, root) = (&world.registry, &world.root);
    let mut watched = registry
        .watch_events(root, EventFilter::default(), after)
        .await?;
    let mut sequences = Vec::new();
    let logged = || registry.directory.revision();
    while let Some(lines) = registry.read_on(&mut watched, logged).await? {
        sequences.extend(lines.iter().map(|line| line.sequence));
    }
    Ok(sequences)
}

#[tokio::test]
async fn a_watcher_hears_what_is_kept_and_is_told_of_what_is_not() {
    let (world, old, left) = swept().await;
    let kept: Vec<u64> = left.iter().map(|line| line.sequence).collect();
    let gone = Err(Error::EventsSwept { oldest: kept[0] });
    let last = old.last().unwrap().sequence;
    assert_eq!(read_all(&world, None).await, Ok(kept.clone()));
    assert_eq!(read_all(&world, Some(1)).await, gone);
    assert_eq!(read_all(&world, Some(last - 1)).await, gone);
    assert_eq!(read_all(&world, Some(last)).await, Ok(kept.clone()));
    assert_eq!(
        read_all(&world, Some(kept[0])).await,
        Ok(kept[1..].to_vec())
    );
}

#[tokio::test]
async fn a_watcher_reads_page_by_page_without_a_gap() {
    let world = World::with_accounts(["acme"]).await;
    for _ in 0..2 * crate::registry::watch::PAGE {
        world.token("acme").await;
    }
    let all: Vec<u64> = world
        .events()
        .await
        .iter()
        .map(|line| line.sequence)
        .collect();
    assert_eq!(read_all(&world, None).await.as_ref(), Ok(&all));
    for from in [0, 7, all.len() - 1] {
        assert_eq!(
            read_all(&world, Some(all[from])).await,
            Ok(all[from + 1..].to_vec())
        );
    }
    let newest = crate::store::last_sequence(world.registry.directory.revision());
    assert_eq!(read_all(&world, Some(newest)).await, Ok(Vec::new()));
    assert_eq!(
        read_all(&world, Some(newest + 1)).await,
        Err(Error::SequenceNotReached { newest })
    );
}

#[tokio::test]
async fn commits_that_log_nothing_are_passed_over_without_reading() {
    let world = World::with_accounts(["acme"]).await;
    let registry = &world.registry;
    let (filter, first) = (EventFilter::default(), Revision(1));
    let mut watched = registry
        .watch_events(&world.root, filter, Some(last_sequence(first)))
        .await
        .unwrap();
    assert_eq!(registry.read_on(&mut watched, || first).await, Ok(None));
    let newest = last_sequence(registry.directory.revision());
    assert_eq!(watched.sequence(), newest);
}
