//! Tests: pages are split at their edge, and found again.

use super::super::pages::*;
use crate::domain::time::Day;
use crate::domain::usage::{Counts, Days};
use crate::registry::Error;
use crate::registry::tests::world::World;
use crate::store::backend::Key;
use crate::store::key;
use crate::store::record::UsagePage;
use crate::store::record::packed::{Entries, Packed as _};

const FAMILY: &[u8] = key::USAGE_HISTORIES;

fn name(number: usize) -> Vec<u8> {
    format!("t{number:06}").into_bytes()
}

fn located(world: &World, names: &[Vec<u8>]) -> Vec<Run> {
    let reader = world.registry.store.reader();
    let names = names.iter().map(|name| &name[..]);
    locate(reader, FAMILY, names, usize::MAX).unwrap().0
}

/// Puts values of so many bytes under names.
async fn put(world: &World, runs: Vec<Run>, names: Vec<Vec<u8>>, bytes: Vec<usize>) {
    let changed = world.registry.store.update(move |view| {
        let names: Vec<&[u8]> = names.iter().map(|name| &name[..]).collect();
        edit(view, FAMILY, &runs, &names, |_, place, _, new| {
            new.resize(bytes[place], 7);
            Ok(true)
        })?;
        Ok::<_, Error>(())
    });
    changed.await.unwrap();
}

fn pages(world: &World) -> Vec<(Key, UsagePage)> {
    let mut pages = Vec::new();
    let each = |name, page| {
        pages.push((name, page));
        Ok(())
    };
    world.registry.store.reader().each(FAMILY, each).unwrap();
    pages
}

/// Each page holds what lies from its name to the next one's, in order.
fn names_in_order(world: &World) -> Vec<Vec<u8>> {
    let pages = pages(world);
    let mut all = Vec::new();
    for (place, (key, page)) in pages.iter().enumerate() {
        let next = pages
            .get(place + 1)
            .map(|(key, _)| key[FAMILY.len()..].to_vec());
        assert_eq!(page.next, next);
        assert!(page.entries.len() <= PAGE);
        for (name, _) in Entries::of(&page.entries) {
            assert!(name >= &key[FAMILY.len()..] && !is_beyond(page, name));
            all.push(name.to_vec());
        }
    }
    assert!(all.is_sorted());
    all
}

#[tokio::test]
async fn a_page_is_split_with_the_first_byte_that_is_too_much() {
    // An entry of a name of seven bytes has ten besides its value, a long one has eleven.
    let filler = |more: usize| vec![1_000 - 10, PAGE - 3_000 - 11 + more, 2_000 - 10];
    for (more, expected) in [(0, 1), (1, 2)] {
        let world = World::new().await;
        let names: Vec<Vec<u8>> = (0..3).map(name).collect();
        let runs = located(&world, &names);
        put(&world, runs, names.clone(), filler(more)).await;
        let sizes: Vec<usize> = pages(&world)
            .iter()
            .map(|(_, page)| page.entries.len())
            .collect();
        assert_eq!(sizes.iter().sum::<usize>(), PAGE + more, "{sizes:?}");
        assert_eq!(sizes.len(), expected, "{sizes:?}");
        assert_eq!(names_in_order(&world), names);
    }
}

#[tokio::test]
async fn a_page_that_was_split_since_it_was_found_leads_to_the_others() {
    let world = World::new().await;
    let few: Vec<Vec<u8>> = [100, 500, 900].map(name).into();
    let found = located(&world, &few);
    let many: Vec<Vec<u8>> = (0..1_000).step_by(7).map(name).collect();
    put(
        &world,
        located(&world, &many),
        many.clone(),
        vec![1_000; many.len()],
    )
    .await;
    assert!(pages(&world).len() > 5);
    put(&world, found, few.clone(), vec![9; 3]).await;
    let mut all: Vec<Vec<u8>> = many.into_iter().chain(few.clone()).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(names_in_order(&world), all);
    let reader = world.registry.store.reader();
    for name in &all {
        let (_, page) = find(reader, FAMILY, name).unwrap();
        let mut entries = Entries::of(&page.entries);
        assert!(entries.any(|(other, _)| other == name));
    }
    let runs = located(&world, &all);
    let pages = pages(&world).len();
    assert_eq!(runs.len(), pages, "a page is named once");
}

#[tokio::test]
async fn the_longest_history_and_the_fullest_use_fit_a_page_by_far() {
    let counts = Counts {
        allowed: u64::MAX,
        denied: u64::MAX,
    };
    let mut days: Days = (0..200)
        .map(|day| (Day::numbered(day * 300), counts))
        .collect();
    days.keep_newest();
    let mut bytes = Vec::new();
    days.pack(&mut bytes);
    assert!(bytes.len() < PAGE / 8, "{}", bytes.len());
}
