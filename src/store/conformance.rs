//! What every back end must do, as tests over the trait. Each case gets a fresh store.
//!
//! A back end runs all of them with `conformance_tests!(fresh)`. What it promises beyond the trait (durability, refusing
//! damaged files) is tested beside it.

mod commits;
mod feed;
mod reads;

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::backend::{
    Backend, Batch, CommitError, Direction, Expect, Follow, Gone, Key, Range, Revision, Row,
};

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

pub(crate) use self::{commits::*, feed::*, reads::*};

const SOON: Duration = Duration::ZERO;
const PATIENT: Duration = Duration::from_secs(60);

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
        ..Batch::default()
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
    let mut shown = Vec::new();
    let mut see = |name: &[u8], revision, bytes: &[u8]| {
        let bytes = bytes.into();
        shown.push((Key::from(name), Row { revision, bytes }));
    };
    store.visit(range, &mut see).unwrap();
    assert_eq!(shown, page);
    let name = |(key, _): (Key, Row)| String::from_utf8(key.to_vec()).unwrap();
    page.into_iter().map(name).collect()
}

fn next(follower: &mut dyn Follow) -> Result<Option<u64>, Gone> {
    let commit = follower.next(SOON)?;
    Ok(commit.map(|commit| commit.revision.0))
}
