//! Following: every commit, in order, or the word that history is gone.

use std::thread;

use super::*;
use crate::store::feed::MAX_COMMITS;

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
