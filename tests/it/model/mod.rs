//! Random histories of all that changes and asks, each step compared with a reference that was written from the design alone.
//!
//! `KEYWARD_MODEL_CASES=1000 cargo test --test it model` is a long run. A history that fails is made as short as it goes, and
//! is told again first in every later run (`regressions`).

mod answers;
mod asked;
mod calls;
mod changes;
mod decision;
mod draw;
mod held;
mod holders;
mod policy;
mod real;
mod retries;
mod steps;
mod token;
mod wire;
mod world;

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use real::Real;
use steps::Step;
use world::{Account, Outcome, World};

use crate::harness::START;

/// Histories in a short run, and steps in each.
const CASES: u32 = 24;
const STEPS: std::ops::Range<usize> = 20..80;

struct Reference;

impl ReferenceStateMachine for Reference {
    type State = World;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<World> {
        let account = (draw::preset(), draw::calls());
        let accounts = proptest::collection::vec(account, world::ACCOUNTS);
        accounts
            .prop_map(|accounts| World {
                now: START.as_millis(),
                accounts: accounts
                    .into_iter()
                    .map(|(preset, calls)| Account::new(preset, calls))
                    .collect(),
                tokens: Vec::new(),
                held: Vec::new(),
                holds: 0,
                requests: Vec::new(),
                crashed: false,
                cut: Vec::new(),
                outcome: Outcome::Done,
            })
            .boxed()
    }

    fn transitions(world: &World) -> BoxedStrategy<Step> {
        draw::step(world)
    }

    fn preconditions(world: &World, step: &Step) -> bool {
        step.fits(world)
    }

    fn apply(world: World, step: &Step) -> World {
        world.step(step)
    }
}

struct Histories;

impl StateMachineTest for Histories {
    type SystemUnderTest = Real;
    type Reference = Reference;

    fn init_test(world: &World) -> Real {
        Real::new(world)
    }

    fn apply(mut real: Real, world: &World, step: Step) -> Real {
        real.step(&step, world);
        real
    }

    fn teardown(real: Real, world: World) {
        real.end(&world);
    }
}

fn config() -> Config {
    let cases = std::env::var("KEYWARD_MODEL_CASES");
    Config {
        cases: cases.map_or(CASES, |cases| cases.parse().expect("a number of cases")),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/it/model/regressions",
        ))),
        max_shrink_iters: 300,
        ..Config::default()
    }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn every_history_comes_to_what_the_reference_says(sequential STEPS => Histories);
}
