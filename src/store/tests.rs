//! Tests: the committer and its views over the back end in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use super::backend::Direction;

use super::memory::{Aftermath, MemoryBackend};
use super::open::{OpenError, open_backend};
use super::record::{LoggedEvent, Tally};
use super::*;
use crate::clock::ManualClock;
use crate::domain::event::{Event, EventKind, Origin};
use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;
use crate::random::testing::SeededRandom;

const SOON: Duration = Duration::from_secs(5);

pub(super) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)))
}

pub(super) fn keyring() -> Arc<Keyring> {
    Arc::new(Keyring::generate(&SeededRandom::new(9)))
}

pub(super) fn over(backend: &Arc<MemoryBackend>) -> Result<Store, OpenError> {
    let backend: Arc<dyn Backend> = Arc::clone(backend) as _;
    open_backend(backend, keyring(), clock(), &SeededRandom::new(1), &()).map(|opened| opened.store)
}

pub(super) fn name(text: &str) -> Key {
    text.as_bytes().into()
}

pub(super) fn add(store: &Store, key: &str, count: u64) -> Result<Committed<u64>, StoreError> {
    let key = name(key);
    store.update_blocking(move |view| {
        let next = Tally(view.get::<Tally>(&key)?.unwrap_or_default().0 + count);
        view.put(key.clone(), &next)?;
        view.log(event("counted"));
        Ok::<_, StoreError>(next.0)
    })
}

fn event(subject: &str) -> Event {
    Event {
        kind: EventKind::TokenCreated,
        account: AccountId::parse("acme").unwrap(),
        subject: subject.into(),
        origin: Origin::keyward(),
        details: BTreeMap::new(),
    }
}

fn events(store: &Store) -> Vec<LoggedEvent> {
    let wanted = Wanted {
        prefix: key::EVENTS.into(),
        after: None,
        direction: Direction::Forward,
        limit: 1_000,
    };
    store
        .reader()
        .scan(&wanted)
        .unwrap()
        .into_iter()
        .map(|(_, event)| event.unwrap())
        .collect()
}

#[test]
fn five_workers_with_ten_increments_each_make_fifty() {
    let backend = Arc::new(MemoryBackend::new());
    let store = over(&backend).unwrap();
    std::thread::scope(|threads| {
        for _ in 0..5 {
            threads.spawn(|| (0..10).for_each(|_| assert!(add(&store, "n", 1).is_ok())));
        }
    });
    assert_eq!(
        store.reader().get::<Tally>(&name("n")).unwrap(),
        Some(Tally(50))
    );
    let lines = events(&store);
    let indexes: Vec<u64> = lines.iter().map(|line| line.chain_index).collect();
    assert_eq!(
        indexes,
        (1..=50).collect::<Vec<_>>(),
        "one event for each change, chained without a gap"
    );
}

#[test]
fn a_refused_change_writes_neither_rows_nor_events() {
    let backend = Arc::new(MemoryBackend::new());
    let store = over(&backend).unwrap();
    let refused = store.update_blocking(|view| {
        view.put(name("n"), &Tally(1))?;
        view.log(event("never"));
        Err::<(), _>(StoreError::Busy)
    });
    assert_eq!(refused.unwrap_err(), StoreError::Busy);
    assert_eq!(store.reader().get::<Tally>(&name("n")).unwrap(), None);
    assert!(events(&store).is_empty());
    assert_eq!(store.reader().revision(), Revision(0));
}

#[test]
fn a_panicking_change_fails_alone() {
    let backend = Arc::new(MemoryBackend::new());
    let store = over(&backend).unwrap();
    let failed =
        store.update_blocking(|_| -> Result<(), StoreError> { panic!("a bug, on purpose") });
    assert!(matches!(failed, Err(StoreError::Away(_))));
    assert_eq!(add(&store, "n", 1).unwrap().value, 1);
}

#[test]
fn a_record_ends_at_the_limit_of_a_row() {
    let backend = Arc::new(MemoryBackend::new());
    let store = over(&backend).unwrap();
    let put = |length: usize| {
        store.update_blocking(move |view| {
            // A pointer's payload is its text, a tag and three bytes of length.
            view.put(name("p"), &record::Pointer("x".repeat(length - 4)))?;
            Ok::<_, StoreError>(())
        })
    };
    assert!(put(view::MAX_PAYLOAD).is_ok());
    assert!(matches!(
        put(view::MAX_PAYLOAD + 1),
        Err(StoreError::TooLarge { .. })
    ));
}

#[test]
fn followers_hear_every_commit_with_its_rows() {
    let backend = Arc::new(MemoryBackend::new());
    let store = over(&backend).unwrap();
    let mut changes = store.reader().follow(store.reader().revision());
    for count in 1..=3 {
        add(&store, "n", 1).unwrap();
        let changed = changes.next(SOON).unwrap().unwrap();
        assert_eq!(changed.revision, Revision(count));
        let row = changed
            .rows
            .iter()
            .find(|(key, _)| *key == name("n"))
            .unwrap();
        assert_eq!(
            Tally::decode(row.1.as_ref().unwrap()).unwrap(),
            Tally(count)
        );
    }
    assert!(changes.next(Duration::ZERO).unwrap().is_none());
}

#[test]
fn what_was_tampered_with_is_found_when_the_store_is_opened() {
    let build = || {
        let backend = Arc::new(MemoryBackend::new());
        let store = over(&backend).unwrap();
        add(&store, "n", 1).unwrap();
        add(&store, "m", 1).unwrap();
        let old = backend.rows()[&name("n")].clone();
        add(&store, "n", 1).unwrap();
        (backend, old)
    };
    let reopen = |backend: &MemoryBackend| {
        let rows = backend.rows();
        let newest = rows[key::HEAD].revision;
        over(&Arc::new(MemoryBackend::with_rows(newest, rows))).map(|_| ())
    };
    let (untouched, _) = build();
    assert!(reopen(&untouched).is_ok());
    type Tamper = fn(&MemoryBackend);
    let tampers: [(&str, Tamper); 6] = [
        ("a changed row", |backend| {
            let mut bytes = backend.rows()[&name("n")].bytes.to_vec();
            bytes[6] ^= 1;
            backend.tamper(b"n", Some(&bytes));
        }),
        ("a removed row", |backend| backend.tamper(b"m", None)),
        ("swapped rows", |backend| {
            let rows = backend.rows();
            backend.tamper(b"n", Some(&rows[&name("m")].bytes));
        }),
        ("an added row", |backend| {
            let rows = backend.rows();
            backend.tamper(b"x", Some(&rows[&name("m")].bytes));
        }),
        ("a removed event", |backend| {
            let event = backend
                .rows()
                .into_keys()
                .find(|key| key.starts_with(key::EVENTS))
                .unwrap();
            backend.tamper(&event, None);
        }),
        ("a removed head", |backend| backend.tamper(key::HEAD, None)),
    ];
    for (what, tamper) in tampers {
        let (backend, _) = build();
        tamper(&backend);
        let rows = backend.rows();
        let newest = rows.values().map(|row| row.revision).max().unwrap();
        let refused = over(&Arc::new(MemoryBackend::with_rows(newest, rows)));
        assert!(
            matches!(refused, Err(OpenError::Corrupt { .. })),
            "{what}: {refused:?}"
        );
    }
    let (backend, old) = build();
    let mut rows = backend.rows();
    rows.insert(name("n"), old);
    let refused = over(&Arc::new(MemoryBackend::with_rows(Revision(3), rows)));
    assert!(
        matches!(refused, Err(OpenError::Corrupt { .. })),
        "a row brought back: {refused:?}"
    );
}

#[test]
fn a_foreign_keyring_is_refused_by_name() {
    let backend = Arc::new(MemoryBackend::new());
    let store = over(&backend).unwrap();
    add(&store, "n", 1).unwrap();
    let other = Arc::new(Keyring::generate(&SeededRandom::new(2)));
    let rows = backend.rows();
    let again: Arc<dyn Backend> = Arc::new(MemoryBackend::with_rows(Revision(1), rows));
    let refused = open_backend(again, other, clock(), &SeededRandom::new(1), &());
    assert!(
        matches!(refused, Err(OpenError::KeyringWrong(_, 1))),
        "{refused:?}"
    );
}

#[test]
fn a_failed_commit_stops_changes_until_the_back_end_is_back() {
    for aftermath in [Aftermath::Lost, Aftermath::Written] {
        let backend = Arc::new(MemoryBackend::new());
        let store = over(&backend).unwrap();
        add(&store, "n", 1).unwrap();
        backend.set_unavailable(true);
        assert!(matches!(add(&store, "n", 1), Err(StoreError::Away(_))));
        assert!(
            matches!(add(&store, "m", 1), Err(StoreError::Away(_))),
            "still away"
        );
        backend.set_unavailable(false);
        wait_until_writable(&store);
        backend.fail_next_commit(aftermath);
        assert!(matches!(add(&store, "n", 1), Err(StoreError::Away(_))));
        wait_until_writable(&store);
        let expected = if aftermath == Aftermath::Written {
            2
        } else {
            1
        };
        assert_eq!(
            store.reader().get::<Tally>(&name("n")).unwrap(),
            Some(Tally(expected))
        );
        assert_eq!(add(&store, "n", 1).unwrap().value, expected + 1);
        let rows = backend.rows();
        let newest = rows[key::HEAD].revision;
        assert!(
            over(&Arc::new(MemoryBackend::with_rows(newest, rows))).is_ok(),
            "and it is whole"
        );
    }
}

fn wait_until_writable(store: &Store) {
    let mut condition = store.condition();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let writable = runtime.block_on(async {
        tokio::time::timeout(
            SOON,
            condition.wait_for(|condition| *condition == Condition::Writable),
        )
        .await
        .is_ok()
    });
    assert!(writable, "the store came back");
}
