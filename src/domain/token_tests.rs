//! Tests: states, and the life of secrets.

use proptest::prelude::*;

use super::*;
use crate::domain::account::Policy;
use crate::domain::secret::{Digest, KeyId};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn secret(version: u32, create: i64) -> Secret {
    Secret {
        version,
        place: Place::Current,
        digest: Digest::new([version as u8; 32]),
        key: KeyId(1),
        foreign: false,
        hint: String::new(),
        create_time: at(create),
    }
}

pub(in crate::domain) fn token() -> Token {
    Token {
        id: TokenId::parse("0123456789ABCDEFGHIJKL").unwrap(),
        account: AccountId::parse("acme").unwrap(),
        name: "n".into(),
        description: String::new(),
        principal: None,
        access: Access::Full,
        grants: Grants::default(),
        networks: Vec::new(),
        rate_limit: None,
        max_connections: None,
        inactive: false,
        deactivations: 0,
        expire_time: None,
        create_time: at(0),
        created_by: String::new(),
        update_time: at(0),
        rekey_time: None,
        secrets: vec![secret(1, 0)],
        last_version: 1,
        labels: BTreeMap::new(),
        generation: 1,
        scope: None,
        imported: false,
        foreign_id: None,
    }
}

fn rekey(token: &mut Token, grace: u64, activation: Activation, now: i64) -> Result<(), Refusal> {
    let next = secret(token.next_version(), now);
    token.rekey(next, millis(grace), activation, at(now))
}

fn states(token: &Token, now: i64) -> Vec<Option<SecretState>> {
    token
        .secrets
        .iter()
        .map(|secret| token.secret_state(secret, at(now)))
        .collect()
}

#[test]
fn the_smaller_of_token_s_and_account_s_connections_counts() {
    for (own, account, most) in [
        (None, None, None),
        (Some(5), None, Some(5)),
        (None, Some(3), Some(3)),
        (Some(5), Some(3), Some(3)),
        (Some(2), Some(3), Some(2)),
        (Some(5), Some(0), Some(0)),
    ] {
        let mut token = token();
        token.max_connections = own.and_then(NonZeroU32::new);
        let policy = Policy {
            max_connections_per_token: account,
            ..Policy::standard()
        };
        assert_eq!(
            token.credential().max_connections(&policy),
            most,
            "{own:?} {account:?}"
        );
    }
}

#[test]
fn expired_outranks_inactive_to_the_millisecond() {
    let mut token = token();
    token.expire_time = Some(at(100));
    assert_eq!(token.state(at(99)), TokenState::Active);
    token.inactive = true;
    assert_eq!(token.state(at(99)), TokenState::Inactive);
    assert_eq!(token.state(at(100)), TokenState::Expired);
}

#[test]
fn an_old_secret_ends_with_its_grace() {
    let mut token = token();
    rekey(&mut token, 50, Activation::AtOnce, 100).unwrap();
    let retiring = SecretState::Retiring {
        good_until: at(150),
    };
    assert_eq!(
        states(&token, 149),
        [Some(retiring), Some(SecretState::Current)]
    );
    assert_eq!(
        states(&token, 150),
        [Some(SecretState::Superseded), Some(SecretState::Current)]
    );
    assert_eq!(token.replaced_good_until(), Some(at(150)));
}

#[test]
fn a_grace_never_outlives_the_token() {
    let mut token = token();
    token.expire_time = Some(at(120));
    rekey(&mut token, 50, Activation::AtOnce, 100).unwrap();
    assert_eq!(
        states(&token, 119)[0],
        Some(SecretState::Retiring {
            good_until: at(120)
        })
    );
    assert_eq!(states(&token, 120)[0], Some(SecretState::Superseded));
}

#[test]
fn a_grace_of_zero_kills_every_old_secret() {
    let mut token = token();
    rekey(&mut token, 500, Activation::AtOnce, 100).unwrap();
    rekey(&mut token, 0, Activation::AtOnce, 200).unwrap();
    let superseded = Some(SecretState::Superseded);
    assert_eq!(
        states(&token, 200),
        [superseded, superseded, Some(SecretState::Current)]
    );
}

#[test]
fn a_fourth_retiring_secret_is_refused_unless_the_grace_is_zero() {
    let mut token = token();
    for now in [10, 20, 30] {
        rekey(&mut token, 1_000, Activation::AtOnce, now).unwrap();
    }
    for activation in [Activation::AtOnce, Activation::OnFirstUse] {
        assert_eq!(
            rekey(&mut token, 1_000, activation, 40),
            Err(Refusal::TooManyRetiringSecrets)
        );
    }
    assert_eq!(token.secrets.len(), 4, "nothing half done");
    rekey(&mut token, 0, Activation::AtOnce, 40).unwrap();
}

#[test]
fn a_pending_secret_takes_over_at_its_first_use() {
    let mut token = token();
    rekey(&mut token, 50, Activation::OnFirstUse, 100).unwrap();
    assert_eq!(
        states(&token, 500),
        [Some(SecretState::Current), Some(SecretState::Pending)]
    );
    assert_eq!(token.replaced_good_until(), None);
    assert!(token.activate_pending(2, at(500)));
    assert_eq!(
        states(&token, 549)[0],
        Some(SecretState::Retiring {
            good_until: at(550)
        })
    );
    assert_eq!(states(&token, 549)[1], Some(SecretState::Current));
    assert!(
        !token.activate_pending(2, at(501)),
        "a second mark changes nothing"
    );
}

#[test]
fn a_second_rekey_replaces_a_pending_secret() {
    let mut token = token();
    rekey(&mut token, 50, Activation::OnFirstUse, 100).unwrap();
    rekey(&mut token, 50, Activation::OnFirstUse, 200).unwrap();
    assert_eq!(
        token
            .secrets
            .iter()
            .map(|secret| secret.version)
            .collect::<Vec<_>>(),
        [1, 3]
    );
}

#[test]
fn an_unused_pending_secret_is_dropped_after_seven_days() {
    let mut token = token();
    rekey(&mut token, 50, Activation::OnFirstUse, 0).unwrap();
    let week = limits::PENDING_KEPT.as_millis() as i64;
    assert!(!token.activate_pending(2, at(week)));
    assert_eq!(token.cancel_rekey(at(week)), Err(Refusal::NoPendingSecret));
    assert!(token.activate_pending(2, at(week - 1)));
}

#[test]
fn completing_ends_the_grace_and_cancelling_drops_the_pending_one() {
    let mut token = token();
    assert_eq!(token.complete_rekey(at(1)), Err(Refusal::NoRetiringSecret));
    assert_eq!(token.cancel_rekey(at(1)), Err(Refusal::NoPendingSecret));
    rekey(&mut token, 50, Activation::OnFirstUse, 100).unwrap();
    assert_eq!(token.complete_rekey(at(101)), Err(Refusal::RekeyPending));
    token.cancel_rekey(at(101)).unwrap();
    assert_eq!(states(&token, 101), [Some(SecretState::Current)]);
    assert_eq!(
        token.next_version(),
        3,
        "a cancelled version's number is not used again"
    );
    rekey(&mut token, 50, Activation::AtOnce, 110).unwrap();
    token.complete_rekey(at(120)).unwrap();
    assert_eq!(states(&token, 120)[0], Some(SecretState::Superseded));
    assert_eq!(token.cancel_rekey(at(120)), Err(Refusal::NoPendingSecret));
}

#[test]
fn an_expired_token_is_neither_resumed_nor_rekeyed_but_deleted() {
    let mut token = token();
    token.expire_time = Some(at(100));
    token.inactive = true;
    assert_eq!(token.reactivate(at(100)), Err(Refusal::TokenExpired));
    assert_eq!(
        rekey(&mut token, 0, Activation::AtOnce, 100),
        Err(Refusal::TokenExpired)
    );
    assert_eq!(token.deletable(at(100)), Ok(()));
    assert_eq!(token.reactivate(at(99)), Ok(true));
    assert_eq!(token.reactivate(at(99)), Ok(false));
    assert_eq!(token.deletable(at(99)), Err(Refusal::TokenActive));
}

proptest! {
    #[test]
    fn at_any_time_there_is_one_current_secret_and_no_bound_is_passed(
        steps in prop::collection::vec((0u64..100, any::<bool>(), 0i64..40, any::<bool>()), 0..40)
    ) {
        let mut token = token();
        let mut now = 0;
        for (grace, on_first_use, pause, use_pending) in steps {
            now += pause;
            let activation = if on_first_use { Activation::OnFirstUse } else { Activation::AtOnce };
            let _ = rekey(&mut token, grace, activation, now);
            if use_pending {
                token.activate_pending(token.next_version() - 1, at(now));
            }
            let states = states(&token, now);
            let count = |wanted: fn(&SecretState) -> bool| states.iter().flatten().filter(|state| wanted(state)).count();
            prop_assert_eq!(count(|state| *state == SecretState::Current), 1);
            prop_assert!(count(|state| *state == SecretState::Pending) <= 1);
            let retiring = count(|state| matches!(state, SecretState::Retiring { .. }));
            prop_assert!(retiring <= limits::RETIRING_SECRETS);
            prop_assert!(token.secrets.len() <= limits::SECRETS_OF_TOKEN);
        }
    }

    #[test]
    fn no_rekey_ever_lengthens_an_older_grace(graces in prop::collection::vec(0u64..100, 2..6)) {
        let mut token = token();
        let mut ends: BTreeMap<u32, Timestamp> = BTreeMap::new();
        for (step, grace) in graces.into_iter().enumerate() {
            let _ = rekey(&mut token, grace, Activation::AtOnce, step as i64 * 10);
            for secret in &token.secrets {
                if let Place::Old { good_until } = secret.place {
                    let before = ends.insert(secret.version, good_until);
                    prop_assert!(before.is_none_or(|before| good_until <= before));
                }
            }
        }
    }
}
