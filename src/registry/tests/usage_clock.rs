//! Tests: usage that is counted while the clock is astray.

use super::world::*;
use crate::domain::token::Activation::AtOnce;

#[tokio::test]
async fn a_clock_that_was_ahead_for_a_while_spoils_no_count() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    let id = issued.token.id;
    let now = world.now();
    for time in [now, now.after(DAY), now, now] {
        world.clock.set(time);
        world.call(issued.secret.reveal(), "");
        world.save().await;
    }
    assert_eq!(world.calls_today(id).await, 3);
    assert_eq!(world.account_usage("acme", 0).await.calls_today, 3);
    world.clock.set(now.after(DAY));
    assert_eq!(world.calls_today(id).await, 1);
}

#[tokio::test]
async fn a_wall_clock_that_leapt_leaves_no_use_in_the_future() {
    for saved_meanwhile in [false, true] {
        let world = World::with_accounts(["acme"]).await;
        let old = world.token("acme").await;
        let id = old.token.id;
        world.rekey(id, 20 * DAY, AtOnce).await.unwrap();
        let before = world.now();
        world.clock.leap(10 * DAY);
        world.call(old.secret.reveal(), "billing");
        if saved_meanwhile {
            world.save().await;
            assert_eq!(
                world.calls_today(id).await,
                1,
                "today is as it is committed"
            );
        }
        world.clock.set_back(10 * DAY);
        world.clock.advance(HOUR);
        let usage = world.usage(id).await;
        assert_eq!(
            (usage.last_used, usage.today.counts.allowed),
            (Some(before), 1)
        );
        let consumers = world.registry.recent_consumers(&world.root, id.as_str());
        assert_eq!(consumers.await.unwrap()[0].consumer.last_seen, before);
        let complete =
            world
                .registry
                .complete_rekey(&world.root, id.to_string(), String::new(), Some(HOUR));
        complete.await.unwrap();
    }
}
