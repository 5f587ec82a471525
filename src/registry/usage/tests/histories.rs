//! Tests: counts, saves, folds, restarts, failures and deletions in any order are told as a plain model has them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::read::{History, Pages};
use super::*;
use crate::domain::time::Day;
use crate::domain::usage::{Consumer, Counts, GrantMark, SecretUse};
use crate::registry::tests::world::DAY;
use crate::store::memory::Aftermath;
use crate::store::{StoreError, key};

/// Tokens that are used one by one; beyond them stand those that are used together, for pages to be split.
const FEW: usize = 6;
const MANY: usize = 1_500;

#[derive(Clone, Debug)]
enum Step {
    Use {
        token: usize,
        version: u32,
        cost: u64,
        consumer: u8,
        grant: &'static str,
    },
    UseMany,
    Save,
    /// So many steps.
    Fold(usize),
    Restart,
    /// The next commit, be it of a save or of a fold.
    Fail(bool, Aftermath),
    Delete(usize),
    Sweep,
    NextDay,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let used = (
        0..FEW,
        1..3_u32,
        1..5_u64,
        0..4_u8,
        prop_oneof![Just(""), Just("a"), Just("b")],
    );
    let used = used.prop_map(|(token, version, cost, consumer, grant)| Step::Use {
        token,
        version,
        cost,
        consumer,
        grant,
    });
    let fail = (
        any::<bool>(),
        prop_oneof![Just(Aftermath::Lost), Just(Aftermath::Written)],
    );
    let step = prop_oneof![
        20 => used,
        2 => Just(Step::UseMany),
        8 => Just(Step::Save),
        8 => (1..4_usize).prop_map(Step::Fold),
        2 => Just(Step::Restart),
        1 => fail.prop_map(|(save, aftermath)| Step::Fail(save, aftermath)),
        2 => (0..FEW).prop_map(Step::Delete),
        2 => Just(Step::Sweep),
        2 => Just(Step::NextDay),
    ];
    vec(step, 1..60)
}

/// What everybody should be told.
#[derive(Clone, Debug, Default)]
struct Model {
    tokens: BTreeMap<usize, Known>,
    accounts: BTreeMap<AccountId, u64>,
    deleted: BTreeSet<usize>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    days: BTreeMap<Day, u64>,
    last_used: Option<Timestamp>,
    secrets: BTreeMap<u32, SecretUse>,
    grants: BTreeSet<GrantMark>,
    consumers: BTreeMap<String, Consumer>,
}

impl Known {
    /// When a consumer last used an old secret is asked of the newest one. What is kept for it depends on who counted what.
    fn compared(mut self) -> Self {
        for consumer in self.consumers.values_mut() {
            consumer.old_used = consumer.used_before(2);
        }
        self
    }
}

impl Model {
    fn count(
        &mut self,
        now: Timestamp,
        number: usize,
        version: u32,
        cost: u64,
        consumer: &str,
        grant: &str,
    ) {
        *self.accounts.entry(account(number)).or_default() += cost;
        let known = self.tokens.entry(number).or_default();
        *known.days.entry(Day::of(now)).or_default() += cost;
        known.last_used = known.last_used.max(Some(now));
        let used = SecretUse {
            version,
            day: Day::of(now),
            calls: cost,
            last_used: now,
        };
        known
            .secrets
            .entry(version)
            .and_modify(|secret| secret.add(&used))
            .or_insert(used);
        if !grant.is_empty() {
            known.grants.insert(GrantMark::of(&grant));
        }
        if !consumer.is_empty() {
            let seen = Consumer::seen(now, version, cost);
            known
                .consumers
                .entry(consumer.to_owned())
                .and_modify(|known| known.add(&seen))
                .or_insert(seen);
        }
    }
}

/// What is told of a token.
async fn told(world: &World, number: usize) -> Known {
    let id = token(number).id;
    let read = world.registry.read_usage(move |reader, unsaved, today| {
        let (usage, days) = unsaved.token(&mut Pages::of(reader), id, today, History::Read)?;
        let mut consumers = BTreeMap::new();
        reader.each::<Consumer>(&key::consumers(id), |name, consumer| {
            let (_, name) = key::consumer_parts(&name).unwrap();
            consumers.insert(name.to_owned(), consumer);
            Ok(())
        })?;
        for (name, seen) in unsaved.consumers(id)? {
            super::super::consumers::add(&mut consumers, &name, &seen);
        }
        Ok::<_, StoreError>(Known {
            days: days
                .iter()
                .map(|(day, Counts { allowed, .. })| (day, allowed))
                .collect(),
            last_used: usage.last_used,
            secrets: usage
                .secrets
                .iter()
                .map(|secret| (secret.version, *secret))
                .collect(),
            grants: usage.exercised.iter().copied().collect(),
            consumers,
        })
    });
    read.await.unwrap()
}

async fn check(world: &World, model: &Model, tokens: impl Iterator<Item = usize>) {
    for number in tokens {
        let known = model.tokens.get(&number).cloned().unwrap_or_default();
        if !model.deleted.contains(&number) {
            let told = told(world, number).await;
            assert_eq!(told.compared(), known.compared(), "token {number}");
        }
    }
    for (account, calls) in &model.accounts {
        let id = account.clone();
        let read = world
            .registry
            .read_usage(move |reader, unsaved, _| unsaved.account(&mut Pages::of(reader), &id));
        let days = read.await.unwrap();
        let told: u64 = days.iter().map(|(_, counts)| counts.allowed).sum();
        assert_eq!(told, *calls, "{account}");
    }
}

async fn run(steps: Vec<Step>) {
    let mut world = World::within(bounds()).await;
    let mut model = Model::default();
    for step in steps {
        let now = world.now();
        match step {
            Step::Use {
                token: number,
                version,
                cost,
                consumer,
                grant,
            } => {
                if model.deleted.contains(&number) {
                    continue;
                }
                let consumer = ["", "billing", "crm", "x/y"][usize::from(consumer)];
                count(&world, &token(number), version, cost, consumer, grant);
                model.count(now, number, version, cost, consumer, grant);
            }
            Step::UseMany => {
                for number in FEW..MANY {
                    count(&world, &token(number), 1, 1, "", "");
                    model.count(now, number, 1, 1, "", "");
                }
            }
            Step::Save => drop(world.registry.save_usage().await.unwrap()),
            Step::Fold(steps) => {
                for _ in 0..steps {
                    world.registry.fold_usage(true).await.unwrap();
                }
            }
            Step::Restart => {
                world.registry.save_all_usage().await.unwrap();
                world = world.restarted(&[1]).await;
            }
            Step::Fail(save, aftermath) => {
                world.backend.fail_next_commit(aftermath);
                let failed = match save {
                    true => world.registry.save_usage().await,
                    false => world.registry.fold_usage(true).await,
                };
                if failed.is_err() {
                    world.until_writable(true).await;
                } else {
                    // Nothing was to be written: somebody else hears of it.
                    let other = world
                        .registry
                        .store
                        .update(|view| super::super::forget(view, token(MANY).id));
                    assert!(other.await.is_err());
                    world.until_writable(true).await;
                }
            }
            Step::Delete(number) => {
                let id = token(number).id;
                let deleted = world
                    .registry
                    .store
                    .update(move |view| super::super::forget(view, id));
                deleted.await.unwrap();
                model.deleted.insert(number);
            }
            Step::Sweep => while world.registry.sweep_deleted_tokens().await.unwrap() {},
            Step::NextDay => world.clock.advance(DAY),
        }
        world.clock.advance(Duration::from_millis(7));
        check(&world, &model, (0..FEW).chain([FEW, MANY / 2])).await;
    }
    world.registry.save_all_usage().await.unwrap();
    world.registry.fold_all_usage().await.unwrap();
    while world.registry.sweep_deleted_tokens().await.unwrap() {}
    check(&world, &model, 0..MANY).await;
    for number in &model.deleted {
        assert_eq!(
            told(&world, *number).await,
            Known::default(),
            "nothing is left of {number}"
        );
    }
}

#[tokio::test]
async fn a_journal_that_was_half_folded_is_told_whole_and_once_after_a_restart() {
    let used = || Step::Use {
        token: 0,
        version: 1,
        cost: 1,
        consumer: 0,
        grant: "",
    };
    run(vec![
        used(),
        Step::Save,
        Step::Fold(1),
        used(),
        Step::Restart,
    ])
    .await;
    // The commit that tidies away the last of a journal is in doubt.
    let fail = || Step::Fail(false, Aftermath::Written);
    run(vec![used(), Step::Restart, fail(), fail()]).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("KEYWARD_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12)
    ))]

    #[test]
    fn any_history_is_told_as_the_model_has_it(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
