//! Tests: what is counted of a decision, and what a save takes.

use super::*;
use crate::domain::grant::Grant;
use crate::domain::secret::{Digest, KeyId, Place, Secret};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const MANY: usize = 100_000;

pub(in crate::meter) fn token(id: &str, grants: &[&str]) -> Arc<Token> {
    let first = Secret {
        version: 1,
        place: Place::Current,
        digest: Digest::new([0; 32]),
        key: KeyId(1),
        foreign: false,
        hint: String::new(),
        create_time: NOW,
    };
    let id = TokenId::parse(&format!("{id:0>22}")).unwrap();
    let account = AccountId::parse("acme").unwrap();
    Arc::new(Token {
        grants: Grants::new(grants.iter().map(|text| Grant::parse(text).unwrap())),
        ..Token::new(id, account, "a token".into(), String::new(), first)
    })
}

fn used(token: &Arc<Token>) -> Used<'_> {
    Used {
        token,
        version: 1,
        allowed: true,
        cost: 1,
        consumer: None,
        required: None,
        now: NOW,
    }
}

fn read(resource: &str) -> Option<Permission<'_>> {
    Some(Permission {
        resource,
        action: Some("read"),
    })
}

fn waiting(usage: &Usage, token: &Arc<Token>) -> Counted {
    usage.waiting(token.id).unwrap()
}

#[test]
fn an_allow_counts_its_cost_everywhere_and_a_deny_counts_one_denial_alone() {
    let usage = Usage::new(MANY);
    let token = token("a", &["tables/*:read"]);
    let later = NOW.after(std::time::Duration::from_secs(1));
    let allowed = Used {
        cost: 5,
        consumer: Some("billing"),
        required: read("tables/orders"),
        ..used(&token)
    };
    usage.count(&allowed);
    usage.count(&Used {
        version: 2,
        cost: 2,
        consumer: Some("crm"),
        ..allowed
    });
    usage.count(&Used {
        allowed: false,
        cost: 100,
        consumer: Some("prober"),
        now: later,
        ..allowed
    });
    let counted = waiting(&usage, &token);
    let counts = Counts {
        allowed: 7,
        denied: 1,
    };
    assert_eq!(
        counted.days.iter().collect::<Vec<_>>(),
        [(Day::of(NOW), counts)]
    );
    assert_eq!(counted.last_used, Some(NOW));
    let secrets: Vec<(u32, u64)> = counted
        .secrets
        .iter()
        .map(|secret| (secret.version, secret.calls))
        .collect();
    assert_eq!(secrets, [(1, 5), (2, 2)]);
    let mut names: Vec<(&str, u64)> = counted
        .consumers
        .iter()
        .map(|(name, consumer)| (&**name, consumer.calls))
        .collect();
    names.sort_unstable();
    assert_eq!(names, [("billing", 5), ("crm", 2)]);
    assert_eq!(counted.exercised().collect::<Vec<_>>(), ["tables/*:read"]);
}

#[test]
fn a_day_ends_at_midnight_in_what_waits_too() {
    let usage = Usage::new(MANY);
    let token = token("a", &[]);
    let midnight = Day::of(NOW).next().start();
    let last = Timestamp::from_millis(midnight.as_millis() - 1);
    for now in [last, midnight, midnight] {
        usage.count(&Used {
            now,
            ..used(&token)
        });
    }
    let days: Vec<u64> = waiting(&usage, &token)
        .days
        .iter()
        .map(|(_, counts)| counts.allowed)
        .collect();
    assert_eq!(days, [1, 2]);
}

#[test]
fn every_grant_that_gives_a_permission_was_exercised() {
    let table: [(&str, &[&str]); 4] = [
        ("tables/orders", &["tables/*:read", "tables/orders"]),
        ("tables/invoices", &["tables/*:read"]),
        ("dispatch", &[]),
        ("other", &[]),
    ];
    for (resource, expected) in table {
        let usage = Usage::new(MANY);
        let token = token("a", &["tables/*:read", "dispatch:write", "tables/orders"]);
        usage.count(&Used {
            required: read(resource),
            ..used(&token)
        });
        let exercised: Vec<String> = waiting(&usage, &token).exercised().collect();
        assert_eq!(exercised, expected, "{resource}");
    }
}

#[test]
fn what_was_exercised_is_known_by_name_when_the_grants_change() {
    let usage = Usage::new(MANY);
    let (old, new) = (
        token("a", &["x", "a:read"]),
        token("a", &["b:read", "a:read"]),
    );
    for (token, resource) in [(&old, "a"), (&new, "b"), (&old, "a")] {
        usage.count(&Used {
            required: read(resource),
            ..used(token)
        });
    }
    let mut exercised: Vec<String> = waiting(&usage, &new).exercised().collect();
    exercised.sort_unstable();
    exercised.dedup();
    assert_eq!(exercised, ["a:read", "b:read"]);
}

#[test]
fn the_sixty_fourth_grant_is_told_from_the_first() {
    let texts: Vec<String> = (0..64).map(|n| format!("g{n}:read")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (usage, token) = (Usage::new(MANY), token("a", &texts));
    usage.count(&Used {
        required: read("g63"),
        ..used(&token)
    });
    let exercised: Vec<String> = waiting(&usage, &token).exercised().collect();
    assert_eq!(exercised, ["g63:read"]);
}

#[test]
fn of_one_token_a_thousand_consumers_wait_and_the_least_recent_make_room() {
    let usage = Usage::new(MANY);
    let token = token("a", &[]);
    let see = |n: i64| {
        usage.count(&Used {
            consumer: Some(&format!("c{n}")),
            now: Timestamp::from_millis(NOW.as_millis() + n),
            ..used(&token)
        });
        waiting(&usage, &token).consumers
    };
    (0..999).for_each(|n| drop(see(n)));
    assert_eq!(see(999).len(), 1_000);
    let after = see(1_000);
    assert_eq!(after.len(), 901);
    assert!(
        !after.contains_key("c99") && after.contains_key("c100") && after.contains_key("c1000")
    );
    assert_eq!(waiting(&usage, &token).days.of(Day::of(NOW)).allowed, 1_001);
}

#[test]
fn in_all_no_more_consumers_wait_than_may_be_kept() {
    let usage = Usage::new(3);
    let (first, second) = (token("a", &[]), token("b", &[]));
    let see = |token: &Arc<Token>, name: &str, at: i64| {
        usage.count(&Used {
            consumer: Some(name),
            now: Timestamp::from_millis(NOW.as_millis() + at),
            ..used(token)
        });
    };
    for (n, name) in ["x", "y", "z", "new"].into_iter().enumerate() {
        see(&first, name, n as i64);
    }
    see(&second, "nowhere", 9);
    let names = |token| -> Vec<Box<str>> {
        let mut names: Vec<_> = waiting(&usage, token).consumers.into_keys().collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&first), ["new".into(), "y".into(), "z".into()]);
    assert!(
        names(&second).is_empty(),
        "its calls are counted, its name is not kept"
    );
    let _ = usage.take(100, 1).unwrap();
    see(&second, "now", 10);
    assert_eq!(names(&second), ["now".into()]);
}

#[test]
fn without_room_for_more_a_tenth_of_a_token_s_consumers_makes_it() {
    let usage = Usage::new(100);
    let token = token("a", &[]);
    for n in 0..=100 {
        usage.count(&Used {
            consumer: Some(&format!("c{n}")),
            now: Timestamp::from_millis(NOW.as_millis() + n),
            ..used(&token)
        });
    }
    let kept = waiting(&usage, &token).consumers;
    assert_eq!(kept.len(), 91);
    assert!(!kept.contains_key("c9") && kept.contains_key("c10") && kept.contains_key("c100"));
}

#[test]
fn a_save_takes_so_many_rows_and_keeps_them_in_hand_until_they_are_written() {
    let usage = Usage::new(MANY);
    let tokens: Vec<_> = (0..10).map(|n| token(&format!("{n}"), &[])).collect();
    tokens.iter().for_each(|token| usage.count(&used(token)));
    let first = usage.take(4, 1).unwrap();
    assert_eq!(first.tokens.len(), 4);
    usage.count(&used(&tokens[0]));
    let again = usage.take(4, 2).unwrap();
    assert!(Arc::ptr_eq(&first, &again), "it was not written");
    for token in &tokens {
        assert!(!usage.of(token.id).is_empty(), "nothing is out of sight");
    }
    usage.written();
    let mut saved = first.tokens.len();
    for sequence in 2..=4 {
        saved += usage
            .take(4, sequence)
            .map_or(0, |batch| batch.tokens.len());
        usage.written();
    }
    assert!(usage.take(4, 9).is_none(), "nothing waits");
    assert!(
        (10..=11).contains(&saved),
        "each once, and the one that was used again: {saved}"
    );
}

#[test]
fn nothing_counted_beside_a_save_is_lost() {
    const EACH: u64 = 20_000;
    let usage = Usage::new(MANY);
    let tokens: Vec<_> = (0..4).map(|n| token(&format!("{n}"), &[])).collect();
    let saved = std::thread::scope(|scope| {
        let count = |token| {
            for _ in 0..EACH {
                usage.count(&used(token));
            }
        };
        let counting: Vec<_> = tokens
            .iter()
            .map(|token| scope.spawn(move || count(token)))
            .collect();
        let (mut saved, mut sequence) = (0, 0);
        loop {
            let done = counting.iter().all(|thread| thread.is_finished());
            sequence += 1;
            let batch = usage.take(2, sequence);
            let calls = batch.iter().flat_map(|batch| &batch.tokens);
            saved += calls
                .map(|counted| counted.days.of(Day::of(NOW)).allowed)
                .sum::<u64>();
            usage.written();
            if done && batch.is_none() {
                break saved;
            }
        }
    });
    assert_eq!(saved, 4 * EACH);
}
