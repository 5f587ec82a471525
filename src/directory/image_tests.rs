//! Tests: a directory is the same after it was given away in blocks and taken in again.

use std::collections::BTreeMap;

use super::*;
use crate::domain::account::{Account, Policy};
use crate::domain::grant::{Grant, Grants};
use crate::domain::id::{AccountId, PrincipalId, RoleId};
use crate::domain::principal::{Principal, PrincipalState};
use crate::domain::role::Role;
use crate::domain::secret::{Digest, KeyId, Place, Secret};
use crate::domain::time::Timestamp;
use crate::domain::token::{Access, Token};
use crate::store::record::Pointer;

const NOON: Timestamp = Timestamp::from_millis(1_800_014_400_000);
/// So many that shards have several each.
const TOKENS: u32 = 5_000;

fn account(id: &str) -> AccountId {
    AccountId::parse(id).unwrap()
}

fn id(number: u32) -> TokenId {
    TokenId::parse(&format!("{number:022}")).unwrap()
}

fn secret(version: u32, place: Place) -> Secret {
    Secret {
        version,
        place,
        digest: Digest::new([version as u8; 32]),
        key: KeyId(1),
        foreign: version == 3,
        hint: String::new(),
        create_time: NOON,
    }
}

/// Tokens of every kind, by number.
fn token(number: u32) -> Token {
    let first = secret(1 + number % 7, Place::Current);
    let owner = account(["acme", "shop"][number as usize % 2]);
    let mut token = Token::new(
        id(number),
        owner,
        format!("token {number}"),
        "op".into(),
        first,
    );
    token.principal = (number % 3 == 0).then(|| PrincipalId::parse("api").unwrap());
    token.inactive = number % 5 == 0;
    token.expire_time = (number % 11 == 0).then_some(NOON);
    if number % 4 == 0 {
        token.access = Access::ReadOnly;
        token.grants = Grants::new([Grant::parse("tables/*:read").unwrap()]);
    }
    if number % 13 == 0 {
        token
            .secrets
            .insert(0, secret(0, Place::Old { good_until: NOON }));
    }
    token.foreign_id = (number % 17 == 0).then(|| format!("user {number}"));
    token
}

fn filled() -> Directory {
    let directory = Directory::default();
    let set = |name: &[u8], record: &dyn Fn() -> Vec<u8>| {
        directory.set(name, Some(&record())).unwrap();
    };
    for of in ["acme", "shop"] {
        let role = RoleId::parse("reader").unwrap();
        let api = PrincipalId::parse("api").unwrap();
        let made = Account {
            id: account(of),
            display_name: String::new(),
            key: None,
            disabled: false,
            policy: Policy::standard(),
            create_time: NOON,
            generation: 1,
        };
        set(&key::account(of), &|| made.encode());
        let reader = Role {
            id: role.clone(),
            account: account(of),
            display_name: String::new(),
            grants: Grants::new([Grant::parse("dispatch").unwrap()]),
            create_time: NOON,
            generation: 1,
        };
        set(&key::role(&account(of), &role), &|| reader.encode());
        let user = Principal {
            id: api.clone(),
            account: account(of),
            display_name: String::new(),
            email: String::new(),
            state: PrincipalState::Active,
            api_user: true,
            roles: vec![role.clone()],
            create_time: NOON,
            generation: 1,
        };
        set(&key::principal(&account(of), &api), &|| user.encode());
    }
    for number in 0..TOKENS {
        set(&key::token(id(number)), &|| token(number).encode());
        let import = key::import(&account("acme"), &Digest::new([number as u8; 32]));
        set(&import, &|| Pointer(id(number % 256).to_string()).encode());
    }
    directory
}

fn tokens(directory: &Directory) -> BTreeMap<TokenId, Token> {
    let shards = directory.tokens.iter();
    shards
        .flat_map(|shard| {
            let shard = shard.read();
            let tokens: Vec<Token> = shard.entries().map(|entry| entry.token()).collect();
            tokens
        })
        .map(|token| (token.id, token))
        .collect()
}

/// The blocks of a directory, leading ones first.
fn blocks(directory: &Directory) -> Vec<Vec<u8>> {
    let mut blocks = Vec::new();
    let mut led = true;
    let mut block = |rank, bytes: &[u8]| {
        assert!(led || rank == Rank::Other);
        led = rank == Rank::Leading;
        blocks.push(bytes.to_vec());
        Ok(())
    };
    directory.give(&mut block).unwrap();
    blocks
}

#[test]
fn a_directory_is_the_same_after_it_was_an_image() {
    let before = filled();
    let after = Directory::default();
    for block in blocks(&before) {
        after.take_block(&block).unwrap();
    }
    assert_eq!(after.tokens(), TOKENS as usize);
    assert!(tokens(&after) == tokens(&before));
    for of in ["acme", "shop"] {
        let api = PrincipalId::parse("api").unwrap();
        assert_eq!(after.account(&account(of)), before.account(&account(of)));
        assert_eq!(
            after.member(&account(of), &api),
            before.member(&account(of), &api)
        );
        assert!(after.member(&account(of), &api).is_some());
    }
    for digest in [0, 7, 255] {
        assert_eq!(after.imported(&[digest; 32]), Some(id(u32::from(digest))));
    }
}

#[test]
fn a_block_that_is_none_is_refused_without_a_panic() {
    for block in blocks(&filled()).iter().take(40) {
        for cut in (0..block.len()).step_by(block.len() / 40 + 1) {
            let _refused = Directory::default().take_block(&block[..cut]);
            let mut other = block.clone();
            other[cut] ^= 0x55;
            let _refused = Directory::default().take_block(&other);
        }
    }
    assert!(Directory::default().take_block(b"").is_err());
    assert!(Directory::default().take_block(b"x").is_err());
}
