//! Tests: slots of connections, held by several nodes over one store, with crashes and failures between.

use std::sync::Arc;
use std::time::Duration;

use super::world::*;
use crate::domain::account::Policy;
use crate::domain::id::TokenId;
use crate::meter::slots::{Failed, Lease, Slot, Slots, Taken};
use crate::registry::accounts::PolicyChange;
use crate::registry::slots::Presence;
use crate::store::key;
use crate::store::memory::Aftermath;
use crate::store::record;

/// How long a node's slots count after it was last heard of.
const LASTING: Duration = Duration::from_secs(10);

/// A store with one token of this limit.
async fn shop(limit: u32) -> (World, TokenId) {
    let world = World::new().await;
    let policy = Policy {
        max_connections_per_token: Some(limit),
        ..Policy::standard()
    };
    world.account("shop", policy).await;
    let token = world.token("shop").await.token.id;
    (world, token)
}

/// A node's slots, with its worker that asks the store.
struct Node {
    slots: Arc<Slots>,
    worker: tokio::task::JoinHandle<()>,
}

impl Node {
    fn alone(world: &World) -> Self {
        Self::start(world, Presence::alone())
    }

    fn named(world: &World, name: &str) -> Self {
        let name = name.into();
        let lasting = Some(LASTING);
        Self::start(world, Presence { name, lasting })
    }

    fn start(world: &World, presence: Presence) -> Self {
        let slots = Arc::new(Slots::default());
        let (registry, kept) = (world.registry.clone(), Arc::clone(&slots));
        let worker = tokio::spawn(async move { registry.keep_slots(&kept, &presence).await });
        Self { slots, worker }
    }

    /// The process is gone.
    fn crash(&self) {
        self.worker.abort();
    }

    /// An orderly end, after its connections.
    async fn stop(self) {
        self.slots.close();
        self.worker.await.unwrap();
    }

    /// A slot, `None` where all are held, or no answer.
    async fn take(&self, token: TokenId, limit: u32) -> Result<Option<Slot>, Failed> {
        match self.slots.take(token, Some(limit)) {
            Taken::Slot(slot) => Ok(Some(slot)),
            Taken::Refused => Ok(None),
            Taken::Wait(mut ticket) => ticket.answered().await,
        }
    }

    /// As many as there are.
    async fn take_all(&self, token: TokenId, limit: u32) -> Vec<Slot> {
        let mut held = Vec::new();
        while let Some(slot) = self.take(token, limit).await.unwrap() {
            held.push(slot);
        }
        held
    }

    /// Waits until the store has been told of all that is not held.
    async fn settled(&self) {
        for _ in 0..1_000 {
            if !self.slots.has_surplus() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("slots were not given back");
    }
}

async fn row(world: &World, token: TokenId) -> u32 {
    let kept: Option<record::Slots> = world.registry.store.get(key::slots(token)).await.unwrap();
    let record::Slots(holders) = kept.unwrap_or_default();
    holders.iter().map(|holder| holder.count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_takers_at_once_as_many_as_the_limit_hold_a_slot() {
    let (world, token) = shop(3).await;
    let node = Arc::new(Node::alone(&world));
    for _ in 0..10 {
        let mut takers = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let node = Arc::clone(&node);
            takers.spawn(async move { node.take(token, 3).await.unwrap() });
        }
        let held: Vec<Slot> = takers.join_all().await.into_iter().flatten().collect();
        assert_eq!(held.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_together_hold_as_many_as_the_limit() {
    let (world, token) = shop(3).await;
    let (one, other) = (Node::named(&world, "one"), Node::named(&world, "other"));
    let first = one.take(token, 3).await.unwrap();
    let rest = other.take_all(token, 3).await;
    assert_eq!((first.is_some(), rest.len()), (true, 2));
    assert!(one.take(token, 3).await.unwrap().is_none());
    assert_eq!(one.slots.held(token), 3, "the other's are known");
    drop(rest);
    other.settled().await;
    assert_eq!(one.take_all(token, 3).await.len(), 2, "what came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_held_that_is_not_alive_is_free() {
    let (world, token) = shop(3).await;
    let (one, other) = (Node::named(&world, "one"), Node::named(&world, "other"));
    let held = one.take_all(token, 3).await;
    one.crash();
    assert!(other.take(token, 3).await.unwrap().is_none());
    world.clock.advance(LASTING - Duration::from_millis(1));
    assert!(other.take(token, 3).await.unwrap().is_none());
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(other.take_all(token, 3).await.len(), 3);
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_holds_slots_says_that_it_is_alive() {
    let (world, token) = shop(3).await;
    let (one, other) = (Node::named(&world, "one"), Node::named(&world, "other"));
    let _held = one.take_all(token, 3).await;
    world.clock.advance(LASTING * 3 / 4);
    let said = |node: Option<record::Node>| node.unwrap().alive_until.unwrap();
    let renewed = async {
        let least = world.now().after(LASTING / 2);
        loop {
            let node = world.registry.store.get(key::node("one")).await.unwrap();
            if said(node) >= least {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), renewed)
        .await
        .unwrap();
    world.clock.advance(LASTING * 3 / 4);
    assert!(other.take(token, 3).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_and_a_restart_all_slots_are_free_at_once() {
    let (world, token) = shop(3).await;
    for _ in 0..3 {
        let node = Node::alone(&world);
        let held = node.take_all(token, 3).await;
        assert_eq!(held.len(), 3);
        node.crash();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_gives_all_back() {
    let (world, token) = shop(3).await;
    let node = Node::alone(&world);
    drop(node.take_all(token, 3).await);
    node.stop().await;
    assert_eq!(row(&world, token).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_nobody_is_refused_falsely_and_what_is_here_is_handed_out() {
    let (world, token) = shop(3).await;
    let node = Node::alone(&world);
    let first = node.take(token, 3).await.unwrap();
    world.backend.set_unavailable(true);
    assert_eq!(node.take(token, 3).await.err(), Some(Failed));
    drop(first);
    let again = node.take(token, 3).await.unwrap();
    assert!(again.is_some(), "its own, given back just now");
    world.backend.set_unavailable(false);
    world.until_writable(true).await;
    assert_eq!(node.take_all(token, 3).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_in_doubt_hands_out_nothing_and_loses_nothing() {
    for aftermath in [Aftermath::Written, Aftermath::Lost] {
        let (world, token) = shop(3).await;
        let node = Node::alone(&world);
        let first = node.take(token, 3).await.unwrap();
        world.backend.fail_next_commit(aftermath);
        assert_eq!(node.take(token, 3).await.err(), Some(Failed));
        world.until_writable(true).await;
        let rest = node.take_all(token, 3).await;
        assert_eq!((first.is_some(), rest.len()), (true, 2));
        drop((first, rest));
        node.settled().await;
        assert_eq!(row(&world, token).await, 0, "{aftermath:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_limit_cuts_nobody_and_a_deleted_token_leaves_no_row() {
    let (world, token) = shop(3).await;
    let node = Node::alone(&world);
    let held = node.take_all(token, 3).await;
    world
        .set_policy("shop", PolicyChange::MaxConnectionsPerToken(Some(1)))
        .await
        .unwrap();
    assert!(node.take(token, 1).await.unwrap().is_none());
    assert_eq!(node.slots.held(token), 3);
    world.deactivate(token).await;
    world.delete(token).await.unwrap();
    assert_eq!(row(&world, token).await, 0);
    drop(held);
    node.stop().await;
    assert_eq!(row(&world, token).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_a_slot_does_not_wait_until_all_that_many_left_are_given_back() {
    const LEFT: usize = 50_000;
    let (world, token) = shop(3).await;
    let node = Node::alone(&world);
    let held = node.take(token, 3).await.unwrap();
    node.worker.abort();
    let slots = Arc::new(Slots::default());
    let lease = Lease {
        slots: 1,
        others: 0,
        limit: Some(1),
    };
    let mut left = Vec::new();
    for number in 0..LEFT {
        let id = TokenId::parse(&format!("{number:022}")).unwrap();
        left.push(slots.take(id, Some(1)));
    }
    for request in slots.wanted().await.unwrap() {
        slots.settle(&request, Some(lease));
    }
    drop((left, held));
    let (registry, kept) = (world.registry.clone(), Arc::clone(&slots));
    let presence = Presence::alone();
    let worker = tokio::spawn(async move { registry.keep_slots(&kept, &presence).await });
    let node = Node { slots, worker };
    let first = node.take(token, 3).await.unwrap();
    while node.slots.surplus_of() == LEFT {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = node.take(token, 3).await.unwrap();
    assert!(first.is_some() && second.is_some());
    assert!(node.slots.has_surplus(), "it came between");
    node.stop().await;
}
