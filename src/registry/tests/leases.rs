//! Tests: daily calls leased from one store by several nodes, at once, with crashes and failures between.

use std::sync::Arc;

use super::world::*;
use crate::domain::account::Policy;
use crate::domain::budget::Spent;
use crate::domain::time::{Day, Timestamp};
use crate::meter::quota::{Quotas, most_in_hand};
use crate::registry::Registry;
use crate::store::memory::Aftermath;

const LIMIT: u64 = 2_500;

async fn shop(limit: u64) -> World {
    let world = World::new().await;
    let policy = Policy {
        daily_calls: Some(limit),
        ..Policy::standard()
    };
    world.account("shop", policy).await;
    world
}

/// A node's quotas, with its worker that asks the store.
struct Node {
    quotas: Arc<Quotas>,
    worker: tokio::task::JoinHandle<()>,
}

impl Node {
    fn over(registry: &Registry) -> Self {
        let quotas = Arc::new(Quotas::default());
        let (registry, fetching) = (registry.clone(), Arc::clone(&quotas));
        let worker = tokio::spawn(async move { registry.fetch_leases(&fetching).await });
        Self { quotas, worker }
    }

    /// The process is gone, and what it had in hand.
    fn crash(self) {
        self.worker.abort();
    }
}

/// One call, waiting for the store as often as it must. An error of the store is no admission.
async fn admitted(quotas: &Quotas, limit: u64, now: Timestamp) -> bool {
    loop {
        let (spent, _, wait) = quotas.spend(&account_id("shop"), limit, 1, now);
        match (spent, wait) {
            (Spent::Unknown, Some(wait)) => {
                if wait.answered().await.is_err() {
                    return false;
                }
            }
            (spent, _) => return spent == Spent::Paid,
        }
    }
}

/// Calls admitted of `calls` made at once.
async fn at_once(node: &Node, calls: usize, limit: u64, now: Timestamp) -> u64 {
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..calls {
        let quotas = Arc::clone(&node.quotas);
        callers.spawn(async move { admitted(&quotas, limit, now).await });
    }
    let answers = callers.join_all().await;
    answers.into_iter().map(u64::from).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_at_once_get_a_day_s_calls_and_not_one_more() {
    for limit in [7, 100, 800] {
        let world = shop(limit).await;
        let node = Node::over(&world.registry);
        let now = world.now();
        assert_eq!(at_once(&node, 1_000, limit, now).await, limit);
        assert_eq!(at_once(&node, 1_000, limit, now).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_together_admit_no_call_too_many() {
    let world = shop(LIMIT).await;
    let (one, other) = (Node::over(&world.registry), Node::over(&world.registry));
    let now = world.now();
    let (here, there) = tokio::join!(
        at_once(&one, 2_000, LIMIT, now),
        at_once(&other, 2_000, LIMIT, now)
    );
    let left = most_in_hand(LIMIT);
    assert!(here > 0 && there > 0, "{here} and {there}");
    assert!(here + there <= LIMIT && here + there >= LIMIT - 2 * left);
    let rest = at_once(&one, 100, LIMIT, now).await + at_once(&other, 100, LIMIT, now).await;
    assert_eq!(here + there + rest, LIMIT, "each hands out what it has");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_wastes_no_more_than_what_was_in_hand() {
    let world = shop(LIMIT).await;
    let now = world.now();
    let mut admitted = 0;
    for _ in 0..3 {
        let node = Node::over(&world.registry);
        admitted += at_once(&node, 333, LIMIT, now).await;
        node.crash();
    }
    let node = Node::over(&world.registry);
    admitted += at_once(&node, 5_000, LIMIT, now).await;
    assert!(admitted <= LIMIT, "{admitted}");
    assert!(admitted >= LIMIT - 3 * most_in_hand(LIMIT), "{admitted}");
}

#[tokio::test]
async fn a_costly_call_that_is_given_up_leaves_no_more_in_hand_than_a_crash_may_waste() {
    let world = shop(LIMIT).await;
    let (node, now) = (Node::over(&world.registry), world.now());
    let shop = account_id("shop");
    drop(node.quotas.spend(&shop, LIMIT, LIMIT, now));
    node.quotas.close();
    node.worker.await.unwrap();
    let leased = world.registry.leased(&shop, Day::of(now)).await;
    assert_eq!(leased.unwrap(), most_in_hand(LIMIT));
    let next = Node::over(&world.registry);
    let admitted = at_once(&next, 5_000, LIMIT, now).await;
    assert_eq!(admitted, LIMIT - most_in_hand(LIMIT));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_wastes_nothing() {
    let world = shop(LIMIT).await;
    let now = world.now();
    let mut admitted = 0;
    for _ in 0..5 {
        let node = Node::over(&world.registry);
        admitted += at_once(&node, 100, LIMIT, now).await;
        node.quotas.close();
        node.worker.await.unwrap();
        world.registry.return_leases(&node.quotas).await.unwrap();
        let shop = account_id("shop");
        let leased = world.registry.leased(&shop, Day::of(now)).await;
        assert_eq!(leased.unwrap(), admitted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_what_is_in_hand_is_handed_out_and_nothing_more() {
    let world = shop(LIMIT).await;
    let (node, now) = (Node::over(&world.registry), world.now());
    assert!(admitted(&node.quotas, LIMIT, now).await);
    world.backend.set_unavailable(true);
    let while_away = at_once(&node, 1_000, LIMIT, now).await;
    assert!(while_away <= most_in_hand(LIMIT), "{while_away}");
    world.backend.set_unavailable(false);
    world.until_writable(true).await;
    assert_eq!(
        at_once(&node, 5_000, LIMIT, now).await,
        LIMIT - 1 - while_away,
        "and none is lost"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_commit_is_in_doubt_is_not_handed_out() {
    for aftermath in [Aftermath::Written, Aftermath::Lost] {
        let world = shop(LIMIT).await;
        let (node, now) = (Node::over(&world.registry), world.now());
        world.backend.fail_next_commit(aftermath);
        assert!(!admitted(&node.quotas, LIMIT, now).await);
        world.until_writable(true).await;
        let rest = at_once(&node, 5_000, LIMIT, now).await;
        assert!(
            rest <= LIMIT && rest >= LIMIT - most_in_hand(LIMIT),
            "{rest}"
        );
    }
}

#[tokio::test]
async fn counts_of_days_gone_by_are_swept_and_yesterday_s_is_kept() {
    let world = shop(LIMIT).await;
    let (node, shop) = (Node::over(&world.registry), account_id("shop"));
    let began = Day::of(world.now());
    for _ in 0..3 {
        assert!(admitted(&node.quotas, LIMIT, world.now()).await);
        world.clock.advance(DAY);
    }
    let leased = async |days| {
        let day = Day::numbered(began.number() + days);
        world.registry.leased(&shop, day).await.unwrap()
    };
    assert_eq!(world.registry.sweep_quotas().await.unwrap(), 2);
    assert_eq!((leased(0).await, leased(1).await), (0, 0));
    assert!(leased(2).await > 0, "yesterday's");
    assert_eq!(world.registry.sweep_quotas().await.unwrap(), 0);
}
