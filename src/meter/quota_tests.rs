//! Tests: leases are handed out to the last call and not one further.

use super::*;

const LIMIT: u64 = 2_500;
const NOON: Timestamp = Timestamp::from_millis(1_800_014_400_000);

fn account() -> AccountId {
    AccountId::parse("shop").unwrap()
}

/// The store's count, as `registry::leases` keeps it.
#[derive(Default)]
struct Kept(std::collections::HashMap<Day, u64>);

impl Kept {
    /// Answers every request that waits; how many they were.
    fn answer(&mut self, quotas: &Quotas, limit: u64) -> usize {
        let requests: Vec<Request> = quotas.queue().requests.drain(..).collect();
        for request in &requests {
            let taken = self.0.entry(request.day).or_default();
            *taken -= request.give_back;
            let calls = request.size(limit, *taken);
            *taken += calls;
            quotas.settle(
                request,
                Some(Lease {
                    calls,
                    taken: *taken,
                }),
            );
        }
        requests.len()
    }

    /// One call, with the store's answers as it needs them.
    fn call(&mut self, quotas: &Quotas, limit: u64, cost: u64, now: Timestamp) -> Spent {
        loop {
            let (spent, _, _waits) = quotas.spend(&account(), limit, cost, now);
            if spent != Spent::Unknown {
                return spent;
            }
            assert!(self.answer(quotas, limit) > 0, "somebody was asked");
        }
    }

    fn admitted(&mut self, quotas: &Quotas, limit: u64, cost: u64, now: Timestamp) -> u64 {
        let mut admitted = 0;
        while self.call(quotas, limit, cost, now) == Spent::Paid {
            admitted += cost;
        }
        admitted
    }
}

fn refused_until(end: Timestamp, now: Timestamp) -> Spent {
    Spent::Refused {
        retry_after: Some(end.since(now)),
    }
}

#[test]
fn a_day_s_calls_are_admitted_to_the_last_one_and_are_back_at_midnight() {
    for limit in [0, 1, 3, 8, 9, 99, LIMIT] {
        let (quotas, mut kept) = (Quotas::default(), Kept::default());
        assert_eq!(kept.admitted(&quotas, limit, 1, NOON), limit);
        let end = Day::of(NOON).end();
        assert_eq!(
            kept.call(&quotas, limit, 1, NOON),
            refused_until(end, NOON),
            "{limit}"
        );
        let last = Timestamp::from_millis(end.as_millis() - 1);
        assert_eq!(kept.admitted(&quotas, limit, 1, last), 0);
        assert_eq!(kept.admitted(&quotas, limit, 1, end), limit);
    }
}

#[test]
fn a_cost_is_paid_whole_or_not_at_all() {
    let (quotas, mut kept) = (Quotas::default(), Kept::default());
    assert_eq!(kept.admitted(&quotas, 100, 30, NOON), 90);
    assert_eq!(kept.admitted(&quotas, 100, 7, NOON), 7);
    assert_eq!(kept.admitted(&quotas, 100, 1, NOON), 3);
    assert_eq!(
        kept.call(&quotas, 100, 101, NOON),
        refused_until(Day::of(NOON).end(), NOON),
        "more than a day has"
    );
}

#[test]
fn an_answer_tells_what_remains_to_the_call() {
    let (quotas, mut kept) = (Quotas::default(), Kept::default());
    for used in 1..=LIMIT {
        assert_eq!(kept.call(&quotas, LIMIT, 1, NOON), Spent::Paid);
        if used % 3 == 0 {
            kept.answer(&quotas, LIMIT);
        }
        let expected = Figures {
            limit: LIMIT,
            remaining: LIMIT - used,
            reset_time: Day::of(NOON).end(),
        };
        assert_eq!(quotas.figures(&account(), LIMIT, NOON), Some(expected));
    }
}

#[test]
fn looking_takes_nothing() {
    let (quotas, mut kept) = (Quotas::default(), Kept::default());
    kept.call(&quotas, 3, 1, NOON);
    kept.answer(&quotas, 3);
    for _ in 0..10 {
        let (spent, figures, _) = quotas.peek(&account(), 3, 1, NOON);
        assert_eq!(
            (spent, figures.unwrap().remaining),
            (Spent::Paid, 2),
            "as it would be now"
        );
        kept.answer(&quotas, 3);
    }
}

#[test]
fn looking_leases_nothing_for_the_call_whatever_it_would_cost() {
    for before in [0, 20] {
        let (quotas, mut kept) = (Quotas::default(), Kept::default());
        assert_eq!(
            (0..before)
                .filter(|_| kept.call(&quotas, LIMIT, 1, NOON) != Spent::Paid)
                .count(),
            0
        );
        let spent = loop {
            match quotas.peek(&account(), LIMIT, LIMIT - before, NOON).0 {
                Spent::Unknown => assert!(kept.answer(&quotas, LIMIT) > 0, "somebody was asked"),
                spent => break spent,
            }
        };
        kept.answer(&quotas, LIMIT);
        assert_eq!(spent, Spent::Paid, "after {before}");
        let wasted = kept.0[&Day::of(NOON)] - before;
        assert!(wasted <= most_in_hand(LIMIT), "{wasted} after {before}");
    }
}

#[test]
fn what_was_leased_for_a_call_that_has_gone_away_is_given_back() {
    for gone in [true, false] {
        let (quotas, mut kept) = (Quotas::default(), Kept::default());
        let (spent, _, waits) = quotas.spend(&account(), LIMIT, LIMIT, NOON);
        assert_eq!(spent, Spent::Unknown);
        let waits = waits.filter(|_| !gone);
        kept.answer(&quotas, LIMIT);
        let (meanwhile, _, _) = quotas.spend(&account(), LIMIT, LIMIT / 2, NOON);
        let expected = if gone { Spent::Unknown } else { Spent::Paid };
        assert_eq!(meanwhile, expected, "never refused, gone: {gone}");
        kept.answer(&quotas, LIMIT);
        let leased = kept.0[&Day::of(NOON)];
        drop(waits);
        let (leases, rest) = if gone {
            (most_in_hand(LIMIT), LIMIT)
        } else {
            (LIMIT, LIMIT / 2)
        };
        assert_eq!(leased, leases, "gone: {gone}");
        assert_eq!(kept.admitted(&quotas, LIMIT, 1, NOON), rest);
    }
}

#[test]
fn no_more_is_in_hand_than_a_crash_may_waste() {
    for (limit, most) in [(1, 8), (800, 8), (899, 8), (900, 9), (LIMIT, 25)] {
        assert_eq!(most_in_hand(limit), most);
        let (quotas, mut kept) = (Quotas::default(), Kept::default());
        for used in 1..=limit {
            assert_eq!(kept.call(&quotas, limit, 1, NOON), Spent::Paid);
            kept.answer(&quotas, limit);
            let wasted = kept.0[&Day::of(NOON)] - used;
            assert!(wasted <= most, "{wasted} of {limit} after {used}");
        }
    }
}

#[test]
fn a_lease_shrinks_with_the_rest_of_the_day() {
    let request = |in_hand, need| Request {
        account: account(),
        day: Day::default(),
        limit: LIMIT,
        in_hand,
        need,
        give_back: 0,
    };
    let table = [
        ((0, 1), 0, 25),
        ((12, 0), 0, 13),
        ((0, 1), 2_440, 15),
        ((0, 1), 2_499, 1),
        ((0, 1), 2_500, 0),
        ((5, 105), 0, 100),
        ((5, 105), 2_401, 0),
        ((0, 1), 9_999, 0),
    ];
    for ((in_hand, need), taken, size) in table {
        assert_eq!(
            request(in_hand, need).size(LIMIT, taken),
            size,
            "{need} wanted with {in_hand} in hand and {taken} taken"
        );
    }
}

#[test]
fn a_changed_limit_binds_the_next_call_and_what_was_admitted_stands() {
    let (quotas, mut kept) = (Quotas::default(), Kept::default());
    for _ in 0..50 {
        assert_eq!(kept.call(&quotas, LIMIT, 1, NOON), Spent::Paid);
    }
    assert_eq!(
        kept.admitted(&quotas, 40, 1, NOON),
        0,
        "lower than admitted"
    );
    assert_eq!(
        kept.admitted(&quotas, 60, 1, NOON),
        10,
        "from what is in hand"
    );
    assert_eq!(kept.admitted(&quotas, 200, 1, NOON), 140);
}

#[test]
fn a_lowered_limit_is_kept_by_nodes_that_leased_under_the_higher_one() {
    let mut kept = Kept::default();
    let (one, other) = (Quotas::default(), Quotas::default());
    assert_eq!(kept.call(&one, LIMIT, 1, NOON), Spent::Paid);
    for _ in 0..30 {
        assert_eq!(kept.call(&other, LIMIT, 1, NOON), Spent::Paid);
    }
    let after = kept.admitted(&one, 40, 1, NOON) + kept.admitted(&other, 40, 1, NOON);
    assert!(31 + after <= 40, "{after} more than the 31 of before");
}

#[test]
fn a_lease_that_was_asked_for_under_a_higher_limit_does_not_tell_what_the_lower_one_leaves() {
    let mut kept = Kept::default();
    let (one, other) = (Quotas::default(), Quotas::default());
    assert_eq!(one.spend(&account(), LIMIT, 1, NOON).0, Spent::Unknown);
    let request = one.queue().requests.pop_front().unwrap();
    let calls = request.size(LIMIT, 0);
    kept.0.insert(request.day, calls);
    for _ in 0..30 {
        assert_eq!(kept.call(&other, LIMIT, 1, NOON), Spent::Paid);
    }
    assert_eq!(one.spend(&account(), 40, 1, NOON).0, Spent::Unknown);
    one.settle(
        &request,
        Some(Lease {
            calls,
            taken: calls,
        }),
    );
    let after = kept.admitted(&one, 40, 1, NOON);
    assert!(30 + after <= 40, "{after} more than the 30 of before");
}

#[test]
fn what_is_given_back_is_leased_again() {
    let (quotas, mut kept) = (Quotas::default(), Kept::default());
    kept.call(&quotas, LIMIT, 1, NOON);
    for (_, day, calls) in quotas.unspent() {
        *kept.0.get_mut(&day).unwrap() -= calls;
    }
    assert_eq!(kept.admitted(&Quotas::default(), LIMIT, 1, NOON), LIMIT - 1);
}

#[test]
fn a_clock_that_wavers_at_midnight_stays_in_the_new_day_and_one_set_back_does_not() {
    let (quotas, mut kept) = (Quotas::default(), Kept::default());
    let midnight = Day::of(NOON).end();
    let back = |span| Timestamp::from_millis(midnight.as_millis() - span);
    assert_eq!(kept.admitted(&quotas, 3, 1, midnight), 3);
    assert_eq!(kept.admitted(&quotas, 3, 1, back(1)), 0);
    assert_eq!(
        kept.admitted(&quotas, 3, 1, back(60_000)),
        3,
        "its own calls"
    );
    assert_eq!(kept.admitted(&quotas, 3, 1, midnight), 0, "and no new ones");
}

#[tokio::test]
async fn whoever_waits_hears_of_the_answer_and_of_its_failure() {
    let quotas = Quotas::default();
    let (spent, _, first) = quotas.spend(&account(), LIMIT, 1, NOON);
    let (_, _, second) = quotas.spend(&account(), LIMIT, 1, NOON);
    assert_eq!(spent, Spent::Unknown);
    let requests = quotas.wanted().await.unwrap();
    assert_eq!(requests.len(), 1, "asked once for both");
    quotas.settle(&requests[0], None);
    assert_eq!(first.unwrap().answered().await, Err(Failed));
    assert_eq!(second.unwrap().answered().await, Err(Failed));
    let (_, _, third) = quotas.spend(&account(), LIMIT, 1, NOON);
    let requests = quotas.wanted().await.unwrap();
    let lease = Lease { calls: 5, taken: 5 };
    quotas.settle(&requests[0], Some(lease));
    assert_eq!(third.unwrap().answered().await, Ok(()));
    assert_eq!(quotas.spend(&account(), LIMIT, 1, NOON).0, Spent::Paid);
    quotas.close();
    assert_eq!(
        quotas.wanted().await.map(|last| last.len()),
        Some(1),
        "what still waits"
    );
    assert_eq!(quotas.wanted().await, None);
}
