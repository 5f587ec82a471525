//! Tests of how usage is kept: pages and their edges, folds that fail, and any history against a plain model.

mod folds;
mod histories;
mod pages;

use std::sync::Arc;
use std::time::Duration;

use super::Bounds;
use crate::domain::grant::{Grant, Grants, Permission};
use crate::domain::id::{AccountId, BASE62, TokenId};
use crate::domain::secret::{Digest, KeyId, Place, Secret};
use crate::domain::time::Timestamp;
use crate::domain::token::Token;
use crate::meter::usage::{Used, Whose};
use crate::registry::tests::world::World;

/// A token that was never made: usage asks for no more than its id. Ids lie all over.
fn token(number: usize) -> Arc<Token> {
    let mut draw = number as u64 + 1;
    let digits: Vec<u8> = (0..TokenId::LENGTH)
        .map(|_| {
            draw = draw
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(number as u64 * 2 + 1);
            BASE62[(draw >> 33) as usize % BASE62.len()]
        })
        .collect();
    let id = TokenId::parse(std::str::from_utf8(&digits).unwrap()).unwrap();
    let secret = Secret {
        version: 1,
        place: Place::Current,
        digest: Digest::new([0; 32]),
        key: KeyId(1),
        foreign: false,
        hint: String::new(),
        create_time: Timestamp::default(),
    };
    let mut token = Token::new(id, account(number), String::new(), String::new(), secret);
    token.grants = Grants::new(["a", "b"].map(|text| Grant::parse(text).unwrap()));
    Arc::new(token)
}

/// The account of a token.
fn account(number: usize) -> AccountId {
    AccountId::parse(&format!("acme-{}", number % 3)).unwrap()
}

/// One allowed call.
fn count(world: &World, token: &Arc<Token>, version: u32, cost: u64, consumer: &str, grant: &str) {
    let required = Permission {
        resource: grant,
        action: None,
    };
    world.registry.usage.counted.count(&Used {
        whose: Whose {
            id: token.id,
            account: &token.account,
            grants: &token.grants,
        },
        found: None,
        version,
        allowed: true,
        cost,
        consumer: (!consumer.is_empty()).then_some(consumer),
        required: (!grant.is_empty()).then_some(required),
        now: world.now(),
    });
}

/// So small that little begins a pass, and much does not end one.
fn bounds() -> Bounds {
    Bounds {
        fold_at: 1 << 10,
        fold_after: Duration::from_secs(1),
        most: 1 << 20,
    }
}
