//! Tests: counts add up, in any order.

use super::*;

const MONDAY: Day = Day::numbered(20_000);

fn calls(allowed: u64) -> Counts {
    Counts { allowed, denied: 0 }
}

fn at(day: Day, millis: i64) -> Timestamp {
    Timestamp::from_millis(day.start().as_millis() + millis)
}

#[test]
fn a_day_that_is_over_goes_into_the_history_whoever_counted_it() {
    let mut today = Today {
        day: MONDAY,
        counts: calls(3),
    };
    let counted: Days = [(MONDAY, calls(1)), (MONDAY.next(), calls(5))]
        .into_iter()
        .collect();
    let over = today.add(&counted);
    assert_eq!(over, [(MONDAY, calls(4))].into_iter().collect());
    assert_eq!(today.day, MONDAY.next());
    assert_eq!(today.counts, calls(5));
    let late: Days = [(MONDAY, calls(7))].into_iter().collect();
    assert_eq!(today.add(&late), late, "a late count of a day before");
    assert_eq!(today.counts, calls(5));
}

#[test]
fn the_newest_ninety_days_are_kept() {
    let mut days = Days::default();
    for ago in 0..=95 {
        days.add(MONDAY.before(ago), calls(1));
    }
    days.keep_newest();
    assert_eq!(days.iter().count(), 90);
    assert_eq!(days.of(MONDAY.before(89)), calls(1));
    assert_eq!(days.of(MONDAY.before(90)), Counts::default());
    days.forget_before(MONDAY.before(1));
    assert_eq!(days.iter().count(), 2);
}

#[test]
fn a_history_has_every_day_since_the_first() {
    let days: Days = [(MONDAY.before(2), calls(4))].into_iter().collect();
    let filled = |first, wanted| -> Vec<u64> {
        let filled = days.filled(first, MONDAY, wanted);
        filled.map(|(_, counts)| counts.allowed).collect()
    };
    let long_ago = MONDAY.before(500);
    assert_eq!(filled(long_ago, 4), [0, 4, 0, 0]);
    assert_eq!(filled(MONDAY.before(2), 90), [4, 0, 0]);
    assert_eq!(filled(MONDAY, 4), [0]);
    assert_eq!(filled(long_ago, 0), [0; 0]);
    assert_eq!(filled(long_ago, 91).len(), 90);
}

#[test]
fn the_newest_eight_secrets_are_kept() {
    let mut usage = TokenUsage::default();
    for version in [9, 3, 1, 2, 4, 5, 8, 7, 6, 9] {
        let used = SecretUse {
            version,
            day: MONDAY,
            calls: 1,
            last_used: at(MONDAY, i64::from(version)),
        };
        usage.add_secrets([used]);
    }
    let versions: Vec<u32> = usage.secrets.iter().map(|secret| secret.version).collect();
    assert_eq!(versions, [2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(usage.secret(9).unwrap().calls, 2);
    assert_eq!(usage.secret(9).unwrap().calls_on(MONDAY.next()), 0);
}

#[test]
fn grants_that_are_the_token_s_no_more_make_room() {
    let grant = |n: usize| Grant::parse(&format!("g{n}")).unwrap();
    let mark = |n: usize| GrantMark::of(&grant(n));
    let own = Grants::new((64..67).map(grant));
    let mut usage = TokenUsage::default();
    usage.add_marks((0..64).map(mark));
    assert_eq!(usage.exercised.len(), 64);
    assert!(!usage.has_too_many_marks());
    usage.add_marks([mark(64), mark(64), mark(1)]);
    assert!(usage.has_too_many_marks());
    usage.keep_own_marks(&own);
    assert_eq!(usage.exercised, [mark(64)]);
    assert_eq!(usage.unexercised(&own).collect::<Vec<_>>(), ["g65", "g66"]);
}

#[test]
fn the_mark_of_a_grant_is_frozen_for_it_is_stored() {
    let table = [
        ("dispatch", 0x4592_850c_14d1_d82b),
        ("tables/*:read,write", 0xd6a4_6db2_978e_d4fa),
    ];
    for (text, mark) in table {
        assert_eq!(GrantMark::of(&Grant::parse(text).unwrap()), GrantMark(mark));
    }
}

#[test]
fn what_was_counted_in_many_places_adds_up_in_any_order() {
    let used = |day: Day, calls_of: u64, version: u32| TokenUsage {
        today: Today {
            day,
            counts: calls(calls_of),
        },
        last_used: Some(at(day, i64::from(version))),
        secrets: vec![SecretUse {
            version,
            day,
            calls: calls_of,
            last_used: at(day, i64::from(version)),
        }],
        exercised: vec![GrantMark(calls_of)],
        ..TokenUsage::default()
    };
    let late = TokenUsage {
        before: [(MONDAY.before(1), calls(9))].into_iter().collect(),
        ..used(MONDAY, 3, 2)
    };
    let parts = [used(MONDAY, 1, 1), used(MONDAY.next(), 2, 2), late];
    let sum = |order: [usize; 3]| {
        let mut sum = TokenUsage::default();
        order.iter().for_each(|place| sum.add(&parts[*place]));
        sum
    };
    let all = sum([0, 1, 2]);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(sum(order), all, "{order:?}");
    }
    assert_eq!((all.today.day, all.today.counts), (MONDAY.next(), calls(2)));
    let before = [(MONDAY.before(1), calls(9)), (MONDAY, calls(4))];
    assert_eq!(all.before, before.into_iter().collect());
    assert_eq!(all.secret(2).unwrap().calls, 2, "of the later day");
}

#[test]
fn consumers_add_up_in_any_order() {
    let first = Consumer::seen(at(MONDAY, 1), 1, 2);
    let second = Consumer::seen(at(MONDAY, 5), 2, 3);
    let third = Consumer::seen(at(MONDAY.next(), 0), 2, 4);
    let sum = |order: [Consumer; 3]| {
        let [mut sum, other, last] = order;
        sum.add(&other);
        sum.add(&last);
        sum
    };
    let expected = Consumer {
        first_seen: at(MONDAY, 1),
        last_seen: at(MONDAY.next(), 0),
        day: MONDAY.next(),
        calls: 4,
        version: 2,
        old_used: Some(at(MONDAY, 1)),
    };
    for order in [
        [first, second, third],
        [third, second, first],
        [second, third, first],
        [third, first, second],
    ] {
        assert_eq!(sum(order), expected);
    }
}

#[test]
fn a_consumer_is_on_the_old_secret_while_its_last_use_was() {
    let mut consumer = Consumer::seen(at(MONDAY, 1), 1, 1);
    assert_eq!(consumer.used_before(1), None);
    assert_eq!(
        consumer.used_before(2),
        Some(at(MONDAY, 1)),
        "rekeyed since"
    );
    consumer.add(&Consumer::seen(at(MONDAY, 9), 2, 1));
    assert_eq!(consumer.used_before(2), Some(at(MONDAY, 1)), "it moved");
    consumer.add(&Consumer::seen(at(MONDAY, 12), 1, 1));
    assert_eq!(
        (consumer.version, consumer.used_before(2)),
        (1, Some(at(MONDAY, 12)))
    );
}
