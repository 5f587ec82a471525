//! Tests: what verification finds in a log that was tampered with.

use super::events::every_change;
use super::world::*;
use crate::registry::verify::Verified;
use crate::store::key;

async fn verify(world: &World, from: Option<u64>, to: Option<u64>) -> Verified {
    world
        .registry
        .verify_events(&world.root, from, to)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_changed_a_moved_and_a_removed_line_are_found_where_they_are() {
    let lines = {
        let world = World::new().await;
        every_change(&world).await;
        world.events().await
    };
    let count = lines.len();
    for at in [0, 1, count / 2, count - 2] {
        let world = World::new().await;
        every_change(&world).await;
        let (name, next) = (key::event(lines[at].sequence), lines[at + 1].sequence);
        let mut bytes = world.backend.rows()[&name].bytes.to_vec();
        bytes[20] ^= 1;
        world.backend.tamper(&name, Some(&bytes));
        assert_eq!(
            first_bad(&verify(&world, None, None).await),
            Some(lines[at].sequence),
            "changed at {at}"
        );
        let other = world.backend.rows()[&key::event(next)].bytes.to_vec();
        world.backend.tamper(&name, Some(&other));
        assert_eq!(
            first_bad(&verify(&world, None, None).await),
            Some(lines[at].sequence),
            "moved to {at}"
        );
        world.backend.tamper(&name, None);
        let found = verify(&world, None, None).await;
        assert_eq!(
            (first_bad(&found), found.checked),
            (Some(next), at as u64 + 1),
            "removed at {at}"
        );
        assert_eq!(
            first_bad(&verify(&world, Some(next), None).await),
            Some(next),
            "seen from the next line"
        );
    }
}

#[tokio::test]
async fn a_truncated_log_is_found_wherever_one_looks() {
    let world = World::with_accounts(["acme"]).await;
    let lines = world.events().await;
    let [.., before, last] = &lines[..] else {
        panic!("too few lines")
    };
    world.backend.tamper(&key::event(last.sequence), None);
    for (from, to) in [
        (None, None),
        (Some(before.sequence), None),
        (None, Some(last.sequence)),
        (None, Some(u64::MAX)),
        (Some(last.sequence), None),
    ] {
        let found = verify(&world, from, to).await;
        assert_eq!(
            first_bad(&found),
            Some(before.sequence + 1),
            "{from:?} {to:?}"
        );
    }
    assert_eq!(
        first_bad(&verify(&world, None, Some(before.sequence)).await),
        None,
        "what stands before is whole"
    );
    for line in &lines {
        world.backend.tamper(&key::event(line.sequence), None);
    }
    assert!(
        first_bad(&verify(&world, None, None).await).is_some(),
        "none left"
    );
}

#[tokio::test]
async fn a_part_of_the_log_is_verified_by_itself() {
    let world = World::new().await;
    every_change(&world).await;
    let lines = world.events().await;
    let at = |place: usize| Some(lines[place].sequence);
    for (from, to, checked) in [
        (None, None, lines.len()),
        (at(3), at(5), 3),
        (at(3), at(3), 1),
        (None, at(0), 1),
        (at(lines.len() - 1), None, 1),
    ] {
        let found = verify(&world, from, to).await;
        assert_eq!(
            (found.checked, found.broken),
            (checked as u64, None),
            "{from:?} {to:?}"
        );
    }
}

#[tokio::test]
async fn the_chain_holds_across_restarts_and_keys() {
    let world = World::with_accounts(["acme"]).await;
    let world = world.restarted(&[2, 1]).await;
    world.token("acme").await;
    let found = verify(&world, None, None).await;
    assert_eq!(
        (found.checked, found.broken),
        (world.events().await.len() as u64, None)
    );
}

fn first_bad(found: &Verified) -> Option<u64> {
    found.broken.as_ref().map(|(sequence, _)| *sequence)
}
