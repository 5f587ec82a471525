//! Tests: an entry is small, and says of a token what the token says.

use std::num::NonZeroU32;
use std::time::Duration;

use super::*;
use crate::domain::grant::{Grant, Grants};
use crate::domain::id::{AccountId, PrincipalId};
use crate::domain::network::Network;
use crate::domain::rate::RateLimit;
use crate::domain::secret::Secret;

fn secret(version: u32, place: Place) -> Secret {
    Secret {
        version,
        place,
        digest: Digest::new([version as u8; 32]),
        key: KeyId(version),
        foreign: false,
        hint: "abcd".into(),
        create_time: Timestamp::from_millis(i64::from(version)),
    }
}

fn token(secrets: Vec<Secret>) -> Token {
    let id = TokenId::parse("0123456789ABCDEFGHIJKL").unwrap();
    let account = AccountId::parse("acme").unwrap();
    let first = secret(1, Place::Current);
    Token {
        secrets,
        ..Token::new(id, account, "a token".into(), "op".into(), first)
    }
}

fn entry(token: &Token) -> Entry {
    let tenant = Arc::new(Tenant::new(token.account.clone()));
    let seat = token.principal.clone().map(|id| Arc::new(Seat::new(id)));
    let profile = Arc::new(Profile::of(token));
    Entry::new(token.clone(), tenant, seat, profile)
}

#[test]
fn an_entry_takes_no_more_bytes_than_it_may() {
    assert!(size_of::<Entry>() <= ENTRY_BYTES, "{}", size_of::<Entry>());
    assert_eq!(size_of::<Option<Entry>>(), size_of::<Entry>());
}

#[test]
fn an_entry_says_of_a_token_what_the_token_says() {
    let plain = || token(vec![secret(1, Place::Current)]);
    let full = Token {
        principal: PrincipalId::parse("api").ok(),
        access: Access::ReadOnly,
        grants: Grants::new([Grant::parse("tables/*:read").unwrap()]),
        networks: vec![Network::parse("10.0.0.0/8").unwrap()],
        rate_limit: RateLimit::new(5, Duration::from_secs(1), 2).ok(),
        max_connections: NonZeroU32::new(3),
        inactive: true,
        expire_time: Some(Timestamp::from_millis(i64::MAX)),
        scope: AccountId::parse("shop").ok(),
        ..plain()
    };
    let ends = Token {
        expire_time: Some(Timestamp::from_millis(0)),
        ..plain()
    };
    for token in [plain(), full, ends] {
        let entry = entry(&token);
        assert_eq!(entry.credential(), token.credential());
        assert_eq!((entry.id(), entry.name()), (token.id, &*token.name));
        assert_eq!(entry.tenant().id(), &token.account);
        let principal = entry.seat().map(|seat| seat.id());
        assert_eq!(principal, token.principal.as_ref());
    }
}

#[test]
fn an_entry_has_the_secrets_of_its_token_whatever_their_places() {
    let old = Place::Old {
        good_until: Timestamp::from_millis(9),
    };
    let pending = Place::Pending {
        grace: Duration::from_secs(9),
    };
    let imported = Secret {
        foreign: true,
        ..secret(1, Place::Current)
    };
    let table = [
        (vec![secret(1, Place::Current)], 1),
        (vec![imported], 1),
        (vec![secret(1, old), secret(2, Place::Current)], 2),
        (vec![secret(1, Place::Current), secret(2, pending)], 1),
        (vec![secret(3, pending)], 1),
        (vec![], 1),
    ];
    for (secrets, current) in table {
        let token = token(secrets);
        let entry = entry(&token);
        assert_eq!(entry.version(), current);
        for slot in 0..9 {
            let kept = entry.secret(slot);
            let kept = kept.map(|kept| (*kept.digest, kept.key, kept.foreign, kept.version));
            let secret = token.secrets.get(slot);
            let parts =
                |secret: &Secret| (secret.digest, secret.key, secret.foreign, secret.version);
            assert_eq!(kept, secret.map(parts));
            for now in [0, 5, 9, 700_000_000].map(Timestamp::from_millis) {
                let state = entry.secret(slot).and_then(|kept| kept.life.state(now));
                assert_eq!(state, secret.and_then(|secret| secret.state(now)));
            }
        }
    }
}

#[test]
fn an_imported_token_goes_by_two_names() {
    let mut token = token(vec![secret(1, Place::Current)]);
    assert!(entry(&token).is_named(token.id.as_str()) && !entry(&token).is_named(""));
    token.foreign_id = Some("legacy".into());
    let entry = entry(&token);
    assert!(entry.is_named("legacy") && entry.is_named(token.id.as_str()));
    assert!(!entry.is_named("other"));
    assert_eq!(
        entry.secret(0).unwrap().version,
        1,
        "it has one secret all the same"
    );
}
