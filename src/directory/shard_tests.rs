//! Tests: entries keep their places, and what is counted beside them is told once.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::found::Lock;
use super::super::profile::Profile;
use super::super::tenant::Tenant;
use super::*;
use crate::domain::id::AccountId;
use crate::domain::secret::{Digest, KeyId, Place, Secret};
use crate::domain::time::Timestamp;
use crate::domain::token::Token;

const DAY: Day = Day::numbered(20_000);

fn id(number: u32) -> TokenId {
    TokenId::parse(&format!("{number:022}")).unwrap()
}

fn entry(number: u32, version: u32) -> Entry {
    let first = Secret {
        version,
        place: Place::Current,
        digest: Digest::new([0; 32]),
        key: KeyId(1),
        foreign: false,
        hint: String::new(),
        create_time: Timestamp::default(),
    };
    let account = AccountId::parse("acme").unwrap();
    let name = format!("{number} {version}");
    let token = Token::new(id(number), account.clone(), name, String::new(), first);
    let profile = Arc::new(Profile::of(&token));
    Entry::new(token, Arc::new(Tenant::new(account)), None, profile)
}

fn put(shard: &mut Shard, number: u32, version: u32) {
    shard.put(hash(&id(number)), entry(number, version));
}

/// Counts where there is such a token; whether it could be counted beside it.
fn count(shard: &Shard, number: u32, version: u32, now: Timestamp) -> bool {
    let used = Use {
        version,
        allowed: true,
        cost: 1,
        exercised: 0,
        now,
    };
    let place = shard.find(hash(&id(number)), &id(number));
    place.is_some_and(|place| shard.count(place, &used))
}

fn calls(drawn: &[Drawn]) -> u64 {
    drawn.iter().map(|drawn| drawn.counts.allowed).sum()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u32, u32),
    Remove(u32),
    Count(u32, u32),
    Draw(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (token, version) = (0..300_u32, 1..3_u32);
    prop_oneof![
        4 => (token.clone(), version.clone()).prop_map(|(token, version)| Step::Put(token, version)),
        2 => token.clone().prop_map(Step::Remove),
        6 => (token, version).prop_map(|(token, version)| Step::Count(token, version)),
        1 => (0..20_usize).prop_map(Step::Draw),
    ]
}

proptest! {
    #[test]
    fn a_shard_has_what_was_put_into_it_and_tells_of_each_count_once(
        steps in prop::collection::vec(step(), 1..600)
    ) {
        let mut shard = Shard::default();
        let _ = shard.draw(0, Some(DAY));
        let mut model: BTreeMap<u32, u32> = BTreeMap::new();
        let (mut counted, mut drawn) = (0, 0);
        for step in steps {
            match step {
                Step::Put(token, version) => {
                    put(&mut shard, token, version);
                    model.insert(token, version);
                }
                Step::Remove(token) => {
                    let removed = shard.remove(hash(&id(token)), &id(token));
                    prop_assert_eq!(removed.is_some(), model.remove(&token).is_some());
                }
                Step::Count(token, version) => {
                    let beside = count(&shard, token, version, DAY.start());
                    prop_assert_eq!(beside, model.get(&token) == Some(&version));
                    counted += u64::from(beside);
                }
                Step::Draw(most) => {
                    let taken = shard.draw(most, None);
                    prop_assert!(taken.len() <= most);
                    drawn += calls(&taken);
                }
            }
            prop_assert_eq!(shard.len(), model.len());
        }
        for token in 0..300 {
            let place = shard.find(hash(&id(token)), &id(token));
            let found = place.and_then(|place| shard.entry(place)).map(|entry| entry.name().to_owned());
            prop_assert_eq!(found, model.get(&token).map(|version| format!("{token} {version}")));
        }
        let waiting: Vec<Drawn> = shard.waiting().collect();
        let of_each = (0..300).flat_map(|token| shard.waiting_of(hash(&id(token)), &id(token)));
        prop_assert_eq!(calls(&of_each.collect::<Vec<_>>()), calls(&waiting));
        drawn += calls(&shard.draw(usize::MAX, None));
        prop_assert_eq!((drawn, calls(&waiting) <= counted), (counted, true));
        prop_assert!(shard.is_drawn());
    }
}

#[test]
fn another_day_is_counted_once_all_of_the_old_one_is_told() {
    let mut shard = Shard::default();
    (0..3).for_each(|token| put(&mut shard, token, 1));
    let (today, tomorrow) = (DAY.start(), DAY.next().start());
    assert!(!count(&shard, 0, 1, today), "it counts no day yet");
    let _ = shard.draw(9, Some(DAY));
    assert!((0..3).all(|token| count(&shard, token, 1, today)));
    assert!(!count(&shard, 0, 1, tomorrow));
    assert_eq!(shard.draw(2, Some(DAY.next())).len(), 2);
    assert!(!count(&shard, 0, 1, tomorrow), "one is not told yet");
    let rest = shard.draw(2, Some(DAY.next()));
    assert_eq!((rest.len(), rest[0].day), (1, DAY));
    assert!(count(&shard, 0, 1, tomorrow) && !count(&shard, 0, 1, today));
}

#[test]
fn none_waits_for_ever_behind_others_that_are_used_again_and_again() {
    let mut shard = Shard::default();
    let _ = shard.draw(0, Some(DAY));
    (0..1_000).for_each(|token| put(&mut shard, token, 1));
    let mut told = std::collections::BTreeSet::new();
    for _ in 0..200 {
        (0..1_000).for_each(|token| assert!(count(&shard, token, 1, DAY.start())));
        told.extend(shard.draw(64, None).into_iter().map(|drawn| drawn.id));
    }
    assert_eq!(told.len(), 1_000);
}

#[test]
fn what_is_looked_at_is_whole_while_it_is_replaced() {
    const ROUNDS: u32 = 5_000;
    let lock = Lock::default();
    put(&mut lock.write(), 7, 1);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut newest = 0;
                    while newest < ROUNDS {
                        let shard = lock.read();
                        let place = shard.find(hash(&id(7)), &id(7)).unwrap();
                        let entry = shard.entry(place).unwrap();
                        let version = entry.secret(0).unwrap().version;
                        assert_eq!(entry.name(), format!("7 {version}"), "never a torn view");
                        assert!(version >= newest, "never an old one after a new one");
                        newest = version;
                    }
                })
            })
            .collect();
        for version in 1..=ROUNDS {
            // Others come and go beside it.
            put(&mut lock.write(), 1_000 + version, 1);
            put(&mut lock.write(), 7, version);
            let gone = id(1_000 + version);
            lock.write().remove(hash(&gone), &gone);
        }
        readers
            .into_iter()
            .for_each(|reader| reader.join().unwrap());
    });
}

#[test]
#[cfg(debug_assertions)]
fn a_thread_that_holds_one_entry_looks_up_no_other() {
    let (one, other) = (Lock::default(), Lock::default());
    let held = one.read();
    let second = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(other.read())));
    assert!(second.is_err());
    drop(held);
    drop(other.write());
}
