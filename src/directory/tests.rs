//! Tests: the read model keeps up with the store.

use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::domain::grant::{Grant, Grants, Permission};
use crate::domain::principal::{Principal, PrincipalState};
use crate::domain::secret::{Digest, KeyId, Place, Secret};
use crate::domain::time::Timestamp;
use crate::domain::token::Token;
use crate::random::testing::SeededRandom;
use crate::store::record::{Pointer, Record};
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

fn token(number: usize, name: &str) -> Token {
    let first = Secret {
        version: 1,
        place: Place::Current,
        digest: Digest::new([7; 32]),
        key: KeyId(1),
        foreign: false,
        hint: String::new(),
        create_time: Timestamp::default(),
    };
    let id = TokenId::parse(&format!("{number:022}")).unwrap();
    Token {
        principal: PrincipalId::parse("api").ok(),
        ..Token::new(id, account(), name.into(), String::new(), first)
    }
}

fn apply(directory: &Directory, name: crate::store::backend::Key, row: Option<Vec<u8>>) {
    let changed = crate::store::Changed {
        revision: Revision(1),
        rows: vec![(name, row)],
    };
    directory.apply(&changed).unwrap();
}

fn name_of(directory: &Directory, number: usize) -> Option<String> {
    let found = directory.find(&token(number, "").id)?;
    Some(found.name().to_owned())
}

#[test]
fn what_is_loaded_anew_takes_the_place_of_all_that_was_there() {
    let [older, newer] = [store(), store()];
    for (store, tokens) in [
        (&older, [(1, "kept"), (2, "gone"), (3, "old")]),
        (&newer, [(1, "kept"), (3, "new"), (4, "come")]),
    ] {
        for (number, name) in tokens {
            let token = token(number, name);
            put(store, key::token(token.id), token);
        }
    }
    let api = PrincipalId::parse("api").unwrap();
    put(&newer, key::principal(&account(), &api), principal());
    let directory = Directory::default();
    directory.load(older.reader()).unwrap();
    let member = || {
        let found = directory.find(&token(3, "").id)?;
        found
            .seat()?
            .member()
            .map(|member| member.principal.clone())
    };
    assert_eq!((directory.tokens(), member()), (3, None));
    directory.load(newer.reader()).unwrap();
    let names = [1, 2, 3, 4].map(|number| name_of(&directory, number));
    let expected = [Some("kept"), None, Some("new"), Some("come")];
    assert_eq!(names, expected.map(|name| name.map(str::to_owned)));
    assert_eq!((directory.tokens(), member()), (3, Some(principal())));
    assert_eq!(
        directory.tenants.len(),
        1,
        "its tokens stand on its own accounts"
    );
}

#[test]
fn rows_come_in_any_order_and_from_many_threads() {
    const EACH: usize = 500;
    let directory = Directory::default();
    let import = |number: usize| {
        let digest = Digest::new(std::array::from_fn(|place| {
            (number >> (place % 4 * 8)) as u8
        }));
        (key::import(&account(), &digest), digest)
    };
    std::thread::scope(|scope| {
        for part in 0..4 {
            let directory = &directory;
            scope.spawn(move || {
                for number in part * EACH..(part + 1) * EACH {
                    let token = token(number, &format!("token {number}"));
                    let pointer = Pointer(token.id.to_string()).encode();
                    apply(directory, import(number).0, Some(pointer));
                    apply(directory, key::token(token.id), Some(token.encode()));
                }
            });
        }
    });
    assert_eq!(directory.tokens(), 4 * EACH);
    assert_eq!((directory.tenants.len(), directory.seats.len()), (1, 1));
    for number in 0..4 * EACH {
        assert_eq!(name_of(&directory, number), Some(format!("token {number}")));
        let imported = directory.imported(import(number).1.as_bytes());
        assert_eq!(imported, Some(token(number, "").id));
    }
    apply(&directory, import(7).0, None);
    assert_eq!(directory.imported(import(7).1.as_bytes()), None);
    let found = directory.find(&token(0, "").id).unwrap();
    assert!(found.tenant().account().is_none(), "its row has not come");
}

#[test]
fn a_miss_has_as_much_to_read_as_a_hit() {
    let directory = Directory::default();
    let nobody = token(9_999, "").id;
    assert!(
        directory.seek(&nobody).to_read().is_none(),
        "there is nothing at all"
    );
    for number in 0..20_000 {
        apply(
            &directory,
            key::token(token(number, "").id),
            Some(token(number, "").encode()),
        );
    }
    apply(&directory, key::token(nobody), None);
    for missing in [nobody, token(20_001, "").id] {
        let sought = directory.seek(&missing);
        assert!(!sought.is_hit() && sought.to_read().is_some_and(|entry| entry.id() != missing));
        assert!(sought.found().is_none());
    }
    assert!(directory.seek_nobody(&[3; 32]).to_read().is_some());
}
