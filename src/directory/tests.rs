//! Tests: the read model keeps up with the store.

use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::domain::grant::{Grant, Grants, Permission};
use crate::domain::principal::{Principal, PrincipalState};
use crate::domain::time::Timestamp;
use crate::random::testing::SeededRandom;
use crate::store::record::Record;
use crate::store::{Store, StoreError, key, open::open_memory};

fn store() -> Store {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
    open_memory(clock, &SeededRandom::new(1)).unwrap().store
}

fn account() -> AccountId {
    AccountId::parse("acme").unwrap()
}

fn role(grants: &[&str]) -> Role {
    Role {
        id: RoleId::parse("reader").unwrap(),
        account: account(),
        display_name: String::new(),
        grants: Grants::new(grants.iter().map(|text| Grant::parse(text).unwrap())),
        create_time: Timestamp::default(),
        generation: 1,
    }
}

fn principal() -> Principal {
    Principal {
        id: PrincipalId::parse("api").unwrap(),
        account: account(),
        display_name: String::new(),
        email: String::new(),
        state: PrincipalState::Active,
        api_user: true,
        roles: vec![RoleId::parse("reader").unwrap()],
        create_time: Timestamp::default(),
        generation: 1,
    }
}

fn put(
    store: &Store,
    key: crate::store::backend::Key,
    record: impl Record + Clone + Send + 'static,
) -> Revision {
    let change = move |view: &mut crate::store::View<'_>| view.put(key.clone(), &record);
    store
        .update_blocking::<_, StoreError, _>(change)
        .unwrap()
        .revision
}

fn wait(directory: &Directory, revision: Revision) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let reached =
        async { tokio::time::timeout(Duration::from_secs(5), directory.reached(revision)).await };
    runtime.block_on(reached).expect("the directory follows");
}

#[test]
fn a_role_s_change_is_compiled_into_its_principals_before_the_change_is_seen() {
    let store = store();
    let reader = key::role(&account(), &RoleId::parse("reader").unwrap());
    put(&store, reader.clone(), role(&["tables/*:read"]));
    put(
        &store,
        key::principal(&account(), &PrincipalId::parse("api").unwrap()),
        principal(),
    );
    let directory = follow::start(store.reader(), Vec::new()).unwrap();
    let may = |needed: &str, action: &str| {
        let member = directory
            .member(&account(), &PrincipalId::parse("api").unwrap())
            .unwrap();
        member
            .grants
            .allow(&Permission::parse(needed, action).unwrap())
    };
    assert!(may("tables/orders", "read") && !may("dispatch", "send"));
    let revision = put(&store, reader, role(&["dispatch"]));
    wait(&directory, revision);
    assert!(!may("tables/orders", "read") && may("dispatch", "send"));
}

#[test]
fn a_directory_follows_what_was_there_before_and_what_comes_after() {
    let store = store();
    put(
        &store,
        key::role(&account(), &RoleId::parse("reader").unwrap()),
        role(&["dispatch"]),
    );
    let directory = follow::start(store.reader(), Vec::new()).unwrap();
    let revision = put(
        &store,
        key::principal(&account(), &PrincipalId::parse("api").unwrap()),
        principal(),
    );
    wait(&directory, revision);
    let member = directory
        .member(&account(), &PrincipalId::parse("api").unwrap())
        .unwrap();
    assert!(
        member
            .grants
            .allow(&Permission::parse("dispatch", "").unwrap())
    );
    assert!(directory.revision() >= revision);
}

#[test]
fn a_store_older_than_what_was_seen_is_not_loaded() {
    let api = PrincipalId::parse("api").unwrap();
    let older = store();
    put(&older, key::principal(&account(), &api), principal());
    let newer = store();
    let mut disabled = principal();
    disabled.state = PrincipalState::Disabled;
    put(&newer, key::principal(&account(), &api), principal());
    put(&newer, key::principal(&account(), &api), disabled);
    let directory = Directory::default();
    let state = || directory.member(&account(), &api).unwrap().principal.state;
    let load = |reader| {
        directory
            .load(reader)
            .map(|revision| directory.seen(revision))
    };
    load(newer.reader()).unwrap();
    assert!(matches!(load(older.reader()), Err(StoreError::Away(_))));
    assert_eq!(state(), PrincipalState::Disabled, "nothing is revived");
    assert_eq!(directory.revision(), newer.reader().revision());
    load(newer.reader()).unwrap();
}
