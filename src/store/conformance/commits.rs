//! Committing: whole or not at all, checked, sticky in failure.

use std::sync::Arc;
use std::thread;

use super::*;
use crate::store::backend::{Batch, Expect, MAX_KEY_BYTES, MAX_VALUE_BYTES};

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
            ..Batch::default()
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
            ..Batch::default()
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
