//! Tests: what is counted of a decision, and what a save takes.

use std::collections::BTreeSet;

use super::*;
use crate::domain::grant::Grant;
use crate::domain::secret::{Digest, KeyId, Place, Secret};
use crate::domain::token::Token;
use crate::domain::usage::Counts;
use crate::store::backend::Revision;
use crate::store::record::Record as _;
use crate::store::{Changed, key};

#[path = "usage_race_tests.rs"]
mod races;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const MANY: usize = 100_000;

/// Counts beside the tokens, as validations do, or at the side alone.
struct Counting {
    usage: Usage,
    beside: bool,
}

impl Counting {
    fn new(max_consumers: usize, beside: bool) -> Self {
        let directory = Arc::new(Directory::default());
        for shard in 0..SHARDS {
            let _ = directory.draw(shard, 0, Some(Day::of(NOW)));
        }
        let usage = Usage::new(directory, max_consumers);
        Self { usage, beside }
    }

    fn both(max_consumers: usize) -> [Self; 2] {
        [true, false].map(|beside| Self::new(max_consumers, beside))
    }

    /// Counts; the directory has the token as it is used.
    fn count(&self, used: Used<'_>) {
        let (whose, directory) = (used.whose, &self.usage.directory);
        let as_it_is = |found: &Found<'_>| found.profile().grants == *whose.grants;
        if self.beside && !directory.find(&whose.id).as_ref().is_some_and(as_it_is) {
            let token = token_of(whose.id, whose.grants.clone());
            directory.apply(&commit(&token)).unwrap();
        }
        let found = directory.find(&whose.id);
        let found = found.as_ref();
        self.usage.count(&Used { found, ..used });
    }
}

impl std::ops::Deref for Counting {
    type Target = Usage;

    fn deref(&self) -> &Usage {
        &self.usage
    }
}

fn commit(token: &Token) -> Changed {
    Changed {
        revision: Revision(1),
        rows: vec![(key::token(token.id), Some(token.encode()))],
    }
}

pub(in crate::meter) fn whose(token: &Token) -> Whose<'_> {
    Whose {
        id: token.id,
        account: &token.account,
        grants: &token.grants,
    }
}

pub(in crate::meter) fn token(id: &str, grants: &[&str]) -> Arc<Token> {
    let id = TokenId::parse(&format!("{id:0>22}")).unwrap();
    let grants = grants.iter().map(|text| Grant::parse(text).unwrap());
    Arc::new(token_of(id, Grants::new(grants)))
}

fn token_of(id: TokenId, grants: Grants) -> Token {
    let first = Secret {
        version: 1,
        place: Place::Current,
        digest: Digest::new([0; 32]),
        key: KeyId(1),
        foreign: false,
        hint: String::new(),
        create_time: NOW,
    };
    let account = AccountId::parse("acme").unwrap();
    Token {
        grants,
        ..Token::new(id, account, "a token".into(), String::new(), first)
    }
}

fn used(token: &Token) -> Used<'_> {
    Used {
        whose: whose(token),
        found: None,
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

fn waiting(usage: &Usage, token: &Token) -> Counted {
    usage.waiting(token.id).unwrap()
}

fn names(counted: &Counted) -> BTreeSet<String> {
    let names = counted.consumers().map(|(name, _)| name.to_owned());
    names.collect()
}

/// Today's.
fn calls(counted: &Counted) -> u64 {
    let days: Days = counted.days().collect();
    days.of(Day::of(NOW)).allowed
}

#[test]
fn an_allow_counts_its_cost_everywhere_and_a_deny_counts_one_denial_alone() {
    for usage in Counting::both(MANY) {
        let token = token("a", &["tables/*:read"]);
        let later = NOW.after(std::time::Duration::from_secs(1));
        let allowed = Used {
            cost: 5,
            consumer: Some("billing"),
            required: read("tables/orders"),
            ..used(&token)
        };
        usage.count(allowed);
        usage.count(Used {
            version: 2,
            cost: 2,
            consumer: Some("crm"),
            ..allowed
        });
        usage.count(Used {
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
        assert_eq!(counted.days().collect::<Vec<_>>(), [(Day::of(NOW), counts)]);
        assert_eq!(counted.last_used, Some(NOW));
        let mut secrets: Vec<(u32, u64)> = counted
            .secrets()
            .map(|secret| (secret.version, secret.calls))
            .collect();
        secrets.sort_unstable();
        assert_eq!(secrets, [(1, 5), (2, 2)]);
        let mut names: Vec<(&str, u64)> = counted
            .consumers()
            .map(|(name, consumer)| (name, consumer.calls))
            .collect();
        names.sort_unstable();
        assert_eq!(names, [("billing", 5), ("crm", 2)]);
        assert_eq!(counted.exercised().collect::<Vec<_>>(), ["tables/*:read"]);
    }
}

#[test]
fn a_day_ends_at_midnight_in_what_waits_too() {
    for usage in Counting::both(MANY) {
        let token = token("a", &[]);
        let midnight = Day::of(NOW).next().start();
        let last = Timestamp::from_millis(midnight.as_millis() - 1);
        for now in [last, midnight, midnight] {
            usage.count(Used {
                now,
                ..used(&token)
            });
        }
        let days: Vec<u64> = waiting(&usage, &token)
            .days()
            .map(|(_, counts)| counts.allowed)
            .collect();
        assert_eq!(days, [1, 2]);
    }
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
        for usage in Counting::both(MANY) {
            let token = token("a", &["tables/*:read", "dispatch:write", "tables/orders"]);
            usage.count(Used {
                required: read(resource),
                ..used(&token)
            });
            let exercised: Vec<String> = waiting(&usage, &token).exercised().collect();
            assert_eq!(exercised, expected, "{resource}");
        }
    }
}

#[test]
fn what_was_exercised_is_known_by_name_when_the_grants_change() {
    for usage in Counting::both(MANY) {
        let (old, new) = (
            token("a", &["x", "a:read"]),
            token("a", &["b:read", "a:read"]),
        );
        for (token, resource) in [(&old, "a"), (&new, "b"), (&old, "a")] {
            usage.count(Used {
                required: read(resource),
                ..used(token)
            });
        }
        let mut exercised: Vec<String> = waiting(&usage, &new).exercised().collect();
        exercised.sort_unstable();
        exercised.dedup();
        assert_eq!(exercised, ["a:read", "b:read"]);
    }
}

#[test]
fn the_sixty_fourth_grant_is_told_from_the_first() {
    for usage in Counting::both(MANY) {
        let texts: Vec<String> = (0..64).map(|n| format!("g{n}:read")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();

        let token = token("a", &texts);
        usage.count(Used {
            required: read("g63"),
            ..used(&token)
        });
        let exercised: Vec<String> = waiting(&usage, &token).exercised().collect();
        assert_eq!(exercised, ["g63:read"]);
    }
}

#[test]
fn of_one_token_a_thousand_consumers_wait_and_the_least_recent_make_room() {
    for usage in Counting::both(MANY) {
        let token = token("a", &[]);
        let see = |n: i64| {
            usage.count(Used {
                consumer: Some(&format!("c{n}")),
                now: Timestamp::from_millis(NOW.as_millis() + n),
                ..used(&token)
            });
            names(&waiting(&usage, &token))
        };
        (0..999).for_each(|n| drop(see(n)));
        assert_eq!(see(999).len(), 1_000);
        let after = see(1_000);
        assert_eq!(after.len(), 901);
        assert!(!after.contains("c99") && after.contains("c100") && after.contains("c1000"));
        assert_eq!(calls(&waiting(&usage, &token)), 1_001);
    }
}

#[test]
fn in_all_no_more_consumers_wait_than_may_be_kept() {
    for usage in Counting::both(3) {
        let (first, second) = (token("a", &[]), token("b", &[]));
        let see = |token: &Arc<Token>, name: &str, at: i64| {
            usage.count(Used {
                consumer: Some(name),
                now: Timestamp::from_millis(NOW.as_millis() + at),
                ..used(token)
            });
        };
        for (n, name) in ["x", "y", "z", "new"].into_iter().enumerate() {
            see(&first, name, n as i64);
        }
        see(&second, "nowhere", 9);
        let names = |token| names(&waiting(&usage, token));
        assert_eq!(names(&first), ["new", "y", "z"].map(Into::into).into());
        assert!(
            names(&second).is_empty(),
            "its calls are counted, its name is not kept"
        );
        let _ = usage.take(100, 1).unwrap();
        see(&second, "now", 10);
        assert_eq!(names(&second), ["now".into()].into());
    }
}

#[test]
fn without_room_for_more_a_tenth_of_a_token_s_consumers_makes_it() {
    for usage in Counting::both(100) {
        let token = token("a", &[]);
        for n in 0..=100 {
            usage.count(Used {
                consumer: Some(&format!("c{n}")),
                now: Timestamp::from_millis(NOW.as_millis() + n),
                ..used(&token)
            });
        }
        let kept = names(&waiting(&usage, &token));
        assert_eq!(kept.len(), 91);
        assert!(!kept.contains("c9") && kept.contains("c10") && kept.contains("c100"));
    }
}

#[test]
fn a_save_takes_so_many_rows_and_keeps_them_in_hand_until_they_are_written() {
    for usage in Counting::both(MANY) {
        let tokens: Vec<_> = (0..10).map(|n| token(&format!("{n}"), &[])).collect();
        tokens.iter().for_each(|token| usage.count(used(token)));
        let first = usage.take(4, 1).unwrap();
        assert_eq!(first.tokens.len(), 4);
        usage.count(used(&tokens[0]));
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
}
