//! What every back end must do, as tests over the trait. Each case gets a fresh store.
//!
//! A back end runs all of them with `conformance_tests!(fresh)`. What it promises beyond the trait (durability, refusing
//! damaged files) is tested beside it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::backend::{
    Backend, Batch, CommitError, Direction, Expect, Follow, Gone, Key, MAX_KEY_BYTES,
    MAX_VALUE_BYTES, Range, Revision, Row,
};
use super::feed::MAX_COMMITS;

/// An empty store of the back end under test.
pub(crate) struct Fresh {
    pub(crate) store: Arc<dyn Backend>,
    /// Makes the next commit fail that would succeed.
    pub(crate) fail_next_commit: Box<dyn Fn()>,
    pub(crate) _dir: Option<TempDir>,
}

/// Expands to one test for each case; `$fresh` makes a `Fresh`.
macro_rules! conformance_tests {
    ($fresh:path) => {
        $crate::store::conformance::conformance_tests! { $fresh:
            an_empty_store_is_at_revision_zero,
            a_row_is_put_replaced_and_deleted,
            the_largest_row_is_kept_and_a_larger_one_refused,
            many_of_the_largest_rows_are_kept,
            keys_are_ordered_as_bytes,
            pages_end_at_their_limit,
            pages_follow_one_another_without_gap_or_overlap,
            a_batch_is_written_whole_or_not_at_all,
            a_check_that_fails_refuses_the_whole_batch,
            a_batch_for_another_revision_is_a_conflict,
            an_empty_batch_is_a_commit,
            a_follower_hears_every_commit_from_where_it_began,
            a_follower_of_the_newest_revision_waits,
            history_beyond_the_ring_is_gone,
            a_follower_misses_nothing_while_a_writer_commits,
            a_reader_sees_whole_commits_only,
            racing_increments_all_count,
            a_failed_commit_is_sticky_until_reopened,
            reopening_a_good_store_changes_nothing,
        }
    };
    ($fresh:path: $($case:ident),* $(,)?) => {
        $(
            #[test]
            fn $case() {
                $crate::store::conformance::$case(&$fresh());
            }
        )*
    };
}
pub(crate) use conformance_tests;

const SOON: Duration = Duration::ZERO;
const PATIENT: Duration = Duration::from_secs(60);

pub(crate) fn an_empty_store_is_at_revision_zero(Fresh { store, .. }: &Fresh) {
    assert_eq!(store.revision(), Revision(0));
    assert_eq!(store.get(b"a").unwrap(), None);
    for direction in [Direction::Forward, Direction::Backward] {
        assert_eq!(keys(&**store, b"", None, direction, 10), [] as [&str; 0]);
    }
}

pub(crate) fn a_row_is_put_replaced_and_deleted(Fresh { store, .. }: &Fresh) {
    let row = |revision, bytes: &[u8]| {
        Some(Row {
            revision: Revision(revision),
            bytes: bytes.into(),
        })
    };
    put(&**store, &[("a", "1"), ("b", "")]);
    assert_eq!(store.get(b"a").unwrap(), row(1, b"1"));
    assert_eq!(store.get(b"b").unwrap(), row(1, b""));
    put(&**store, &[("a", "2")]);
    assert_eq!(store.get(b"a").unwrap(), row(2, b"2"));
    assert_eq!(store.get(b"b").unwrap(), row(1, b""));
    commit(&**store, vec![], vec![delete("a"), delete("never")]).unwrap();
    assert_eq!(store.get(b"a").unwrap(), None);
    assert_eq!(store.get(b"").unwrap(), None);
    assert_eq!(store.revision(), Revision(3));
    assert_eq!(keys(&**store, b"", None, Direction::Forward, 10), ["b"]);
}

pub(crate) fn the_largest_row_is_kept_and_a_larger_one_refused(Fresh { store, .. }: &Fresh) {
    let row =
        |key: usize, value: usize| (Key::from(vec![b'k'; key]), Some(vec![b'v'; value].into()));
    let (key, value) = row(MAX_KEY_BYTES, MAX_VALUE_BYTES);
    commit(&**store, vec![], vec![(key.clone(), value.clone())]).unwrap();
    assert_eq!(Some(store.get(&key).unwrap().unwrap().bytes), value);
    for (key, value) in [(0, 1), (MAX_KEY_BYTES + 1, 1), (1, MAX_VALUE_BYTES + 1)] {
        let oversized = row(key, value);
        let refused = commit(
            &**store,
            vec![],
            vec![write("good", "1"), oversized.clone()],
        );
        assert!(matches!(refused, Err(CommitError::Oversized(key)) if key == oversized.0));
    }
    assert_eq!(store.get(b"good").unwrap(), None);
    assert_eq!(store.revision(), Revision(1));
}

pub(crate) fn many_of_the_largest_rows_are_kept(Fresh { store, .. }: &Fresh) {
    const ROWS: usize = 100;
    let key = |row: usize| Key::from(format!("{row:0MAX_KEY_BYTES$}").as_bytes());
    let value = |row: usize| Arc::<[u8]>::from(vec![u8::try_from(row).unwrap(); MAX_VALUE_BYTES]);
    for rows in [0..ROWS / 2, ROWS / 2..ROWS, 0..ROWS] {
        let writes = rows.map(|row| (key(row), Some(value(row)))).collect();
        commit(&**store, vec![], writes).unwrap();
    }
    for row in 0..ROWS {
        assert_eq!(store.get(&key(row)).unwrap().unwrap().bytes, value(row));
    }
}

pub(crate) fn keys_are_ordered_as_bytes(Fresh { store, .. }: &Fresh) {
    let ordered: [&[u8]; 7] = [b"\0", b"\0\0", b"a", b"a\0", b"aa", b"b", b"\xff\xff"];
    let writes = ordered
        .map(|key| (key.into(), Some((*b"v").into())))
        .to_vec();
    commit(&**store, vec![], writes).unwrap();
    let mut expected: Vec<Key> = ordered.map(Into::into).to_vec();
    let found = |direction| -> Vec<Key> {
        let page = store.scan(range(b"", None, direction, 10)).unwrap();
        page.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(found(Direction::Forward), expected);
    expected.reverse();
    assert_eq!(found(Direction::Backward), expected);
}

pub(crate) fn pages_end_at_their_limit(Fresh { store, .. }: &Fresh) {
    put(
        &**store,
        &["a", "b/", "b/1", "b/2", "b/3", "b0", "c"].map(|key| (key, "v")),
    );
    let (forward, backward) = (Direction::Forward, Direction::Backward);
    let table: [Asked<'_>; 22] = [
        ("b/", None, forward, 0, &[]),
        ("b/", None, forward, 1, &["b/"]),
        ("b/", None, forward, 4, &["b/", "b/1", "b/2", "b/3"]),
        ("b/", None, forward, 5, &["b/", "b/1", "b/2", "b/3"]),
        (
            "b/",
            None,
            forward,
            usize::MAX,
            &["b/", "b/1", "b/2", "b/3"],
        ),
        ("b/", Some("b/"), forward, 2, &["b/1", "b/2"]),
        ("b/", Some("b/1x"), forward, 9, &["b/2", "b/3"]),
        ("b/", Some("b/3"), forward, 9, &[]),
        ("b/", Some("a"), forward, 1, &["b/"]),
        ("b/", Some("c"), forward, 9, &[]),
        ("", Some("b0"), forward, 9, &["c"]),
        ("x", None, forward, 9, &[]),
        ("b/", None, backward, 0, &[]),
        ("b/", None, backward, 1, &["b/3"]),
        ("b/", None, backward, 4, &["b/3", "b/2", "b/1", "b/"]),
        ("b/", None, backward, 5, &["b/3", "b/2", "b/1", "b/"]),
        ("b/", Some("b/3"), backward, 2, &["b/2", "b/1"]),
        ("b/", Some("b/1x"), backward, 9, &["b/1", "b/"]),
        ("b/", Some("b/"), backward, 9, &[]),
        ("b/", Some("a"), backward, 9, &[]),
        ("b/", Some("c"), backward, 1, &["b/3"]),
        ("", None, backward, 2, &["c", "b0"]),
    ];
    for (prefix, after, direction, limit, expected) in table {
        let found = keys(&**store, prefix.as_bytes(), after, direction, limit);
        assert_eq!(
            found, expected,
            "{prefix:?} after {after:?} {direction:?} limit {limit}"
        );
    }
}

pub(crate) fn pages_follow_one_another_without_gap_or_overlap(Fresh { store, .. }: &Fresh) {
    let names: Vec<String> = (0..250).map(|row| format!("r/{row:03}")).collect();
    let writes = names.iter().map(|name| write(name, "v")).collect();
    commit(&**store, vec![], writes).unwrap();
    for direction in [Direction::Forward, Direction::Backward] {
        let mut all: Vec<String> = Vec::new();
        loop {
            let page = keys(
                &**store,
                b"r/",
                all.last().map(String::as_str),
                direction,
                7,
            );
            if page.is_empty() {
                break;
            }
            all.extend(page);
        }
        if direction == Direction::Backward {
            all.reverse();
        }
        assert_eq!(all, names);
    }
}

pub(crate) fn a_batch_is_written_whole_or_not_at_all(Fresh { store, .. }: &Fresh) {
    put(&**store, &[("a", "1"), ("b", "1"), ("c", "1")]);
    let writes = || vec![write("a", "2"), delete("b"), write("d", "2")];
    let refused = commit(&**store, vec![expect("c", Expect::Absent)], writes());
    assert!(matches!(refused, Err(CommitError::Conflict)));
    assert_eq!(
        keys(&**store, b"", None, Direction::Forward, 9),
        ["a", "b", "c"]
    );
    assert_eq!(value(&**store, "a"), "1");
    assert_eq!(store.revision(), Revision(1));
    commit(
        &**store,
        vec![expect("c", Expect::At(Revision(1)))],
        writes(),
    )
    .unwrap();
    assert_eq!(
        keys(&**store, b"", None, Direction::Forward, 9),
        ["a", "c", "d"]
    );
    assert_eq!(value(&**store, "a"), "2");
}

pub(crate) fn a_check_that_fails_refuses_the_whole_batch(Fresh { store, .. }: &Fresh) {
    put(&**store, &[("old", "1"), ("gone", "1")]);
    put(&**store, &[("new", "2")]);
    commit(&**store, vec![], vec![delete("gone")]).unwrap();
    let table = [
        ("old", Expect::At(Revision(1)), true),
        ("old", Expect::At(Revision(2)), false),
        ("old", Expect::At(Revision(0)), false),
        ("old", Expect::Absent, false),
        ("new", Expect::At(Revision(2)), true),
        ("gone", Expect::Absent, true),
        ("gone", Expect::At(Revision(1)), false),
        ("gone", Expect::At(Revision(3)), false),
        ("never", Expect::Absent, true),
        ("never", Expect::At(Revision(0)), false),
    ];
    for (row, (key, expected, holds)) in table.into_iter().enumerate() {
        let mark = format!("mark/{row}");
        let checks = vec![
            expect("old", Expect::At(Revision(1))),
            expect(key, expected),
        ];
        let before = store.revision();
        let result = commit(&**store, checks, vec![write(&mark, "v")]);
        let refused = matches!(result, Err(CommitError::Conflict));
        assert_eq!(
            (result.is_ok(), refused),
            (holds, !holds),
            "{key} {expected:?}"
        );
        assert_eq!(store.get(mark.as_bytes()).unwrap().is_some(), holds);
        assert_eq!(store.revision(), if holds { before.next() } else { before });
    }
}

pub(crate) fn a_batch_for_another_revision_is_a_conflict(Fresh { store, .. }: &Fresh) {
    put(&**store, &[("a", "1")]);
    for revision in [0, 1, 3, u64::MAX] {
        let batch = Batch {
            revision: Revision(revision),
            checks: vec![],
            writes: vec![write("a", "2")],
        };
        assert!(
            matches!(store.commit(&batch), Err(CommitError::Conflict)),
            "{revision}"
        );
    }
    assert_eq!(value(&**store, "a"), "1");
    assert_eq!(store.revision(), Revision(1));
}

pub(crate) fn an_empty_batch_is_a_commit(Fresh { store, .. }: &Fresh) {
    commit(&**store, vec![], vec![]).unwrap();
    assert_eq!(store.revision(), Revision(1));
    assert_eq!(next(&mut *store.follow(Revision(0))), Ok(Some(1)));
}

pub(crate) fn a_follower_hears_every_commit_from_where_it_began(Fresh { store, .. }: &Fresh) {
    put(&**store, &[("a", "1")]);
    put(&**store, &[("b", "2")]);
    commit(&**store, vec![], vec![delete("a"), write("b", "3")]).unwrap();
    for begin in 0..=3 {
        let mut follower = store.follow(Revision(begin));
        for revision in begin + 1..=3 {
            assert_eq!(next(&mut *follower), Ok(Some(revision)));
        }
        assert_eq!(next(&mut *follower), Ok(None));
    }
    let told = store.follow(Revision(2)).next(SOON).unwrap().unwrap();
    assert_eq!(told.writes, [delete("a"), write("b", "3")]);
}

pub(crate) fn a_follower_of_the_newest_revision_waits(Fresh { store, .. }: &Fresh) {
    put(&**store, &[("a", "1")]);
    let mut follower = store.follow(store.revision());
    thread::scope(|threads| {
        let heard = threads.spawn(move || follower.next(PATIENT).unwrap().unwrap());
        put(&**store, &[("b", "2")]);
        assert_eq!(heard.join().unwrap().writes, [write("b", "2")]);
    });
}

pub(crate) fn history_beyond_the_ring_is_gone(Fresh { store, .. }: &Fresh) {
    let mut late = store.follow(Revision(0));
    for _ in 0..=MAX_COMMITS {
        commit(&**store, vec![], vec![]).unwrap();
    }
    assert_eq!(next(&mut *late), Err(Gone));
    assert_eq!(next(&mut *store.follow(Revision(0))), Err(Gone));
    assert_eq!(next(&mut *store.follow(Revision(1))), Ok(Some(2)));
    assert_eq!(next(&mut *store.follow(store.revision().next())), Err(Gone));
}

pub(crate) fn a_follower_misses_nothing_while_a_writer_commits(Fresh { store, .. }: &Fresh) {
    const COMMITS: u64 = 300;
    thread::scope(|threads| {
        let writer = threads.spawn(|| {
            for commit in 1..=COMMITS {
                put(&**store, &[("a", &commit.to_string())]);
            }
        });
        for _ in 0..2 {
            threads.spawn(|| {
                let begin = store.revision();
                let mut follower = store.follow(begin);
                for revision in begin.0 + 1..=COMMITS {
                    let told = follower.next(PATIENT).unwrap().unwrap();
                    assert_eq!(told.revision, Revision(revision));
                    assert_eq!(told.writes, [write("a", &revision.to_string())]);
                    let now = store.get(b"a").unwrap().unwrap().revision;
                    assert!(now >= told.revision, "told of {revision}, and read {now:?}");
                }
            });
        }
        writer.join().unwrap();
    });
}

pub(crate) fn a_reader_sees_whole_commits_only(Fresh { store, .. }: &Fresh) {
    const ROWS: usize = 40;
    let names: Vec<String> = (0..ROWS).map(|row| format!("row/{row:02}")).collect();
    let round = |round: usize| {
        let value = round.to_string();
        let writes = names.iter().map(|name| write(name, &value)).collect();
        commit(&**store, vec![], writes).unwrap();
    };
    round(0);
    thread::scope(|threads| {
        let writer = threads.spawn(|| (1..100).for_each(round));
        while !writer.is_finished() {
            for direction in [Direction::Forward, Direction::Backward] {
                let page = store.scan(range(b"row/", None, direction, ROWS)).unwrap();
                assert_eq!(page.len(), ROWS);
                assert!(page.iter().all(|(_, row)| *row == page[0].1), "a torn page");
            }
        }
    });
}

pub(crate) fn racing_increments_all_count(Fresh { store, .. }: &Fresh) {
    const WORKERS: usize = 5;
    const INCREMENTS: usize = 10;
    let increment = || loop {
        let revision = store.revision().next();
        let row = store.get(b"count").unwrap();
        let (expected, count) = match &row {
            Some(row) => (
                Expect::At(row.revision),
                std::str::from_utf8(&row.bytes).unwrap().parse().unwrap(),
            ),
            None => (Expect::Absent, 0),
        };
        let batch = Batch {
            revision,
            checks: vec![expect("count", expected)],
            writes: vec![write("count", &(count + 1).to_string())],
        };
        match store.commit(&batch) {
            Ok(()) => break,
            Err(CommitError::Conflict) => {}
            Err(other) => panic!("{other:?}"),
        }
    };
    thread::scope(|threads| {
        for _ in 0..WORKERS {
            threads.spawn(|| (0..INCREMENTS).for_each(|_| increment()));
        }
    });
    assert_eq!(value(&**store, "count"), "50");
    assert_eq!(store.revision(), Revision(50));
}

pub(crate) fn a_failed_commit_is_sticky_until_reopened(fresh: &Fresh) {
    let store = &*fresh.store;
    put(store, &[("a", "1"), ("b", "1")]);
    let mut follower = store.follow(Revision(1));
    (fresh.fail_next_commit)();
    for _ in 0..2 {
        let refused = commit(
            store,
            vec![],
            vec![write("a", "2"), delete("b"), write("c", "2")],
        );
        assert!(matches!(refused, Err(CommitError::Unavailable(_))));
        // What is not known to be durable is not seen.
        assert_eq!(store.revision(), Revision(1));
        assert_eq!(value(store, "a"), "1");
        assert_eq!(keys(store, b"", None, Direction::Forward, 9), ["a", "b"]);
        assert_eq!(keys(store, b"", None, Direction::Backward, 1), ["b"]);
        assert_eq!(next(&mut *follower), Ok(None));
    }
    store.reopen().unwrap();
    let survived = store.revision() == Revision(2);
    assert!(survived || store.revision() == Revision(1));
    assert_eq!(value(store, "a"), if survived { "2" } else { "1" });
    assert_eq!(
        next(&mut *follower),
        if survived { Err(Gone) } else { Ok(None) }
    );
    let revision = store.revision().next();
    put(store, &[("a", "3")]);
    assert_eq!(value(store, "a"), "3");
    assert_eq!(store.revision(), revision);
}

pub(crate) fn reopening_a_good_store_changes_nothing(Fresh { store, .. }: &Fresh) {
    put(&**store, &[("a", "1")]);
    let mut follower = store.follow(Revision(0));
    store.reopen().unwrap();
    assert_eq!(next(&mut *follower), Ok(Some(1)));
    assert_eq!(value(&**store, "a"), "1");
    put(&**store, &[("a", "2")]);
    assert_eq!(next(&mut *follower), Ok(Some(2)));
}

/// Prefix, `after`, direction, limit, and the keys to be found.
type Asked<'a> = (&'a str, Option<&'a str>, Direction, usize, &'a [&'a str]);

type Write = (Key, Option<Arc<[u8]>>);

fn write(key: &str, value: &str) -> Write {
    (key.as_bytes().into(), Some(value.as_bytes().into()))
}

fn delete(key: &str) -> Write {
    (key.as_bytes().into(), None)
}

fn expect(key: &str, expect: Expect) -> (Key, Expect) {
    (key.as_bytes().into(), expect)
}

/// Commits at the revision after the newest.
fn commit(
    store: &dyn Backend,
    checks: Vec<(Key, Expect)>,
    writes: Vec<Write>,
) -> Result<(), CommitError> {
    store.commit(&Batch {
        revision: store.revision().next(),
        checks,
        writes,
    })
}

fn put(store: &dyn Backend, rows: &[(&str, &str)]) {
    let writes = rows.iter().map(|(key, value)| write(key, value)).collect();
    commit(store, vec![], writes).unwrap();
}

fn value(store: &dyn Backend, key: &str) -> String {
    let row = store.get(key.as_bytes()).unwrap().unwrap();
    String::from_utf8(row.bytes.to_vec()).unwrap()
}

fn range<'a>(
    prefix: &'a [u8],
    after: Option<&'a [u8]>,
    direction: Direction,
    limit: usize,
) -> Range<'a> {
    Range {
        prefix,
        after,
        direction,
        limit,
    }
}

fn keys(
    store: &dyn Backend,
    prefix: &[u8],
    after: Option<&str>,
    direction: Direction,
    limit: usize,
) -> Vec<String> {
    let range = range(prefix, after.map(str::as_bytes), direction, limit);
    let page = store.scan(range).unwrap();
    let name = |(key, _): (Key, Row)| String::from_utf8(key.to_vec()).unwrap();
    page.into_iter().map(name).collect()
}

fn next(follower: &mut dyn Follow) -> Result<Option<u64>, Gone> {
    let commit = follower.next(SOON)?;
    Ok(commit.map(|commit| commit.revision.0))
}
