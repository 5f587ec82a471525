//! Tests: alarms ring for what they wait for, and for nothing else.

use super::*;

const NOON: Timestamp = Timestamp::from_millis(1_800_014_400_000);

fn token(number: usize) -> TokenId {
    TokenId::parse(&format!("{number:022}")).unwrap()
}

fn account(id: &str) -> AccountId {
    AccountId::parse(id).unwrap()
}

fn commit(tokens: &[TokenId], accounts: &[&str]) -> Touched {
    Touched {
        revision: Revision(1),
        tokens: tokens.to_vec(),
        accounts: accounts.iter().map(|id| account(id)).collect(),
        ..Touched::default()
    }
}

fn alarm(alarms: &Arc<Alarms>, watched: Watched) -> Alarm {
    let alarm = alarms.alarm().unwrap();
    alarm.watch(watched);
    alarm
}

/// Whether it rang since this was last asked.
fn rang(alarm: &Alarm) -> bool {
    let mut rung = std::pin::pin!(alarm.rung());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    rung.as_mut().poll(&mut context).is_ready()
}

#[test]
fn an_alarm_rings_for_its_tokens_and_accounts_alone() {
    let alarms = Arc::new(Alarms::new(10));
    let alarm = alarm(
        &alarms,
        Watched {
            tokens: vec![token(1), token(2)],
            accounts: vec![account("acme")],
            deadline: None,
        },
    );
    let table = [
        (commit(&[], &[]), false),
        (commit(&[token(1)], &[]), true),
        (commit(&[token(3), token(2)], &[]), true),
        (commit(&[token(3)], &["shop"]), false),
        (commit(&[], &["shop", "acme"]), true),
    ];
    for (touched, rings) in table {
        alarms.touched(&touched);
        assert_eq!(alarms.ring(NOON), rings, "{touched:?}");
        assert_eq!(rang(&alarm), rings, "{touched:?}");
    }
    alarms.reloaded(Revision(9));
    alarms.ring(NOON);
    assert!(rang(&alarm), "anything may have changed");
    alarm.watch(Watched::default());
    alarms.touched(&commit(&[token(1)], &["acme"]));
    alarms.ring(NOON);
    assert!(!rang(&alarm), "it waits for nothing any more");
}

#[test]
fn a_deadline_rings_once_when_it_has_come_and_can_be_moved() {
    let alarms = Arc::new(Alarms::new(10));
    let at = |millis| Timestamp::from_millis(NOON.as_millis() + millis);
    let until = |deadline| Watched {
        deadline: Some(deadline),
        ..Watched::default()
    };
    let (early, late) = (alarm(&alarms, until(at(5))), alarm(&alarms, until(at(9))));
    for (now, rings) in [(4, [false; 2]), (5, [true, false]), (6, [false; 2])] {
        alarms.ring(at(now));
        assert_eq!([rang(&early), rang(&late)], rings, "{now}");
    }
    late.watch(until(at(20)));
    alarms.ring(at(19));
    assert!(!rang(&late));
    alarms.ring(at(1_000_000));
    assert!(rang(&late), "a leap");
    late.watch(until(at(0)));
    alarms.ring(at(0));
    assert!(rang(&late), "a clock set back");
}

#[test]
fn what_is_dropped_leaves_nothing_behind_and_room_for_another() {
    let alarms = Arc::new(Alarms::new(2));
    let all = || Watched {
        tokens: vec![token(1)],
        accounts: vec![account("acme")],
        deadline: Some(NOON),
    };
    let (first, second) = (alarm(&alarms, all()), alarm(&alarms, all()));
    assert_eq!(alarms.alarm().err(), Some(Full));
    drop(first);
    let third = alarms.alarm().unwrap();
    drop((second, third));
    let state = alarms.lock();
    assert!(state.alarms.is_empty() && state.deadlines.is_empty());
    assert!(state.by_token.is_empty() && state.by_account.is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_rung_soon_whatever_comes_between() {
    let alarms = Arc::new(Alarms::new(10));
    let clock = Arc::new(std::sync::atomic::AtomicI64::new(0));
    let (kept, read) = (Arc::clone(&alarms), Arc::clone(&clock));
    let now = move || Timestamp::from_millis(read.load(std::sync::atomic::Ordering::SeqCst));
    tokio::spawn(async move { kept.keep(now).await });
    let soon = Duration::from_millis(50);
    let alarm = alarm(
        &alarms,
        Watched {
            tokens: vec![token(1)],
            ..Watched::default()
        },
    );
    for _ in 0..3 {
        alarms.touched(&commit(&[token(1)], &[]));
        tokio::time::timeout(soon, alarm.rung()).await.unwrap();
    }
    alarm.watch(Watched {
        deadline: Some(Timestamp::from_millis(1)),
        ..Watched::default()
    });
    assert!(tokio::time::timeout(soon, alarm.rung()).await.is_err());
    clock.store(1, std::sync::atomic::Ordering::SeqCst);
    tokio::time::timeout(soon, alarm.rung()).await.unwrap();
}
