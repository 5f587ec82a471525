//! Reading: order, pages, and what a reader sees while somebody writes.

use std::thread;

use super::*;

pub(crate) fn an_empty_store_is_at_revision_zero(Fresh { store, .. }: &Fresh) {
    assert_eq!(store.revision(), Revision(0));
    assert_eq!(store.get(b"a").unwrap(), None);
    for direction in [Direction::Forward, Direction::Backward] {
        assert_eq!(keys(&**store, b"", None, direction, 10), [] as [&str; 0]);
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

/// Prefix, `after`, direction, limit, and the keys to be found.
type Asked<'a> = (&'a str, Option<&'a str>, Direction, usize, &'a [&'a str]);
