//! Records for the tests: any at random, as far as a kind has more than one shape.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::samples::{account_id, event, full_account, token};
use crate::domain::account::{Account, Policy, PrincipalRule};
use crate::domain::grant::{Grant, Grants};
use crate::domain::id::PrincipalId;
use crate::domain::rate::RateLimit;
use crate::domain::secret::{Digest, KeyId, Place, Secret};
use crate::domain::time::{Day, Timestamp};
use crate::domain::token::{Access, Token};
use crate::domain::usage::{Consumer, Counts, Days, GrantMark, SecretUse, Today, TokenUsage};
use crate::store::record::LoggedEvent;

fn any_time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_millis)
}

fn any_span() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_millis)
}

fn any_secret() -> impl Strategy<Value = Secret> {
    let place = prop_oneof![
        Just(Place::Current),
        any_time().prop_map(|good_until| Place::Old { good_until }),
        any_span().prop_map(|grace| Place::Pending { grace }),
    ];
    (
        any::<u32>(),
        place,
        any::<[u8; 32]>(),
        any::<u32>(),
        any::<bool>(),
        any_time(),
    )
        .prop_map(
            |(version, place, digest, key, foreign, create_time)| Secret {
                version,
                place,
                digest: Digest::new(digest),
                key: KeyId(key),
                foreign,
                hint: "hint".into(),
                create_time,
            },
        )
}

fn any_rate_limit() -> impl Strategy<Value = RateLimit> {
    (1..=1_000_000u32, 1..=86_400_000u64, 0..=1_000_000u32)
        .prop_filter_map("a burst refills in time", |(calls, per, burst)| {
            RateLimit::new(calls, Duration::from_millis(per), burst).ok()
        })
}

fn any_grants() -> impl Strategy<Value = Grants> {
    vec(
        "[a-z]{1,8}(/[a-z]{1,8}){0,2}(/\\*)?(:[a-z]{1,5}(,[a-z]{1,5})?)?",
        0..5,
    )
    .prop_map(|texts| Grants::new(texts.iter().map(|text| Grant::parse(text).unwrap())))
}

pub(super) fn any_token() -> impl Strategy<Value = Token> {
    let labels = btree_map("[a-z]{1,8}", ".{0,20}", 0..4);
    let texts = (
        ".{0,30}",
        ".{0,30}",
        option::of("[A-Za-z0-9._-]{1,64}"),
        option::of("[a-z0-9-]{3,40}"),
    );
    let times = (
        any_time(),
        any_time(),
        option::of(any_time()),
        option::of(any_time()),
    );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<u64>());
    (
        texts,
        times,
        flags,
        vec(any_secret(), 0..8),
        any_grants(),
        labels,
        (option::of(any_rate_limit()), any::<u32>()),
    )
        .prop_map(
            |(texts, times, flags, secrets, grants, labels, limits)| Token {
                name: texts.0,
                description: texts.1,
                principal: texts.2.map(|id| PrincipalId::parse(&id).unwrap()),
                scope: texts.3.map(|id| account_id(&id)),
                create_time: times.0,
                update_time: times.1,
                expire_time: times.2,
                rekey_time: times.3,
                inactive: flags.0,
                imported: flags.1,
                access: if flags.2 {
                    Access::ReadOnly
                } else {
                    Access::Full
                },
                generation: flags.3,
                secrets,
                grants,
                labels,
                rate_limit: limits.0,
                max_connections: NonZeroU32::new(limits.1),
                ..token()
            },
        )
}

pub(super) fn any_account() -> impl Strategy<Value = Account> {
    let rule = prop_oneof![
        Just(PrincipalRule::None),
        Just(PrincipalRule::Enforced),
        Just(PrincipalRule::Attribution)
    ];
    let limits = (
        option::of(any::<u32>()),
        option::of(any::<u64>()),
        option::of(any::<u32>()),
    );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let spans = (any_span(), option::of(any_span()), vec(any_span(), 0..3));
    (".{0,30}", rule, limits, flags, spans, any_time()).prop_map(
        |(display_name, principal_rule, limits, flags, spans, create_time)| Account {
            display_name,
            disabled: flags.0,
            create_time,
            policy: Policy {
                max_tokens: limits.0,
                daily_calls: limits.1,
                max_connections_per_token: limits.2,
                rekey_grace: spans.0,
                principal_rule,
                require_account_key: flags.1,
                require_expiry: flags.2,
                max_lifetime: spans.1,
                freeze_tokens: flags.3,
                notify_before_expiry: spans.2,
            },
            ..full_account()
        },
    )
}

pub(super) fn any_event() -> impl Strategy<Value = LoggedEvent> {
    let details = btree_map("[a-z]{1,8}", ".{0,20}", 0..4);
    (
        any::<u64>(),
        any_time(),
        any::<i32>(),
        details,
        any::<[u8; 32]>(),
    )
        .prop_map(|(sequence, time, kind, details, chain)| LoggedEvent {
            sequence,
            time,
            kind,
            details,
            chain,
            ..event()
        })
}

fn any_day() -> impl Strategy<Value = Day> {
    prop_oneof![any::<i32>(), 19_999..20_001_i32].prop_map(Day::numbered)
}

fn any_counts() -> impl Strategy<Value = Counts> {
    (0..3_u64, any::<u64>()).prop_map(|(allowed, denied)| Counts { allowed, denied })
}

pub(super) fn any_days() -> impl Strategy<Value = Days> {
    vec((any_day(), any_counts()), 0..5).prop_map(|days| days.into_iter().collect())
}

fn any_use() -> impl Strategy<Value = SecretUse> {
    (any::<u32>(), any_day(), 0..3_u64, any_time()).prop_map(|(version, day, calls, last_used)| {
        SecretUse {
            version,
            day,
            calls,
            last_used,
        }
    })
}

/// Often with a single secret that was used as the token was.
pub(super) fn any_usage() -> impl Strategy<Value = TokenUsage> {
    let counted = (
        any_day(),
        any_counts(),
        option::of(any_time()),
        any::<u64>(),
    );
    let parts = (vec(any_use(), 0..4), vec(any::<u64>(), 0..3), any_days());
    (counted, parts, any::<bool>()).prop_map(
        |((day, counts, last_used, consumers), parts, alike)| {
            let (mut secrets, exercised, before) = parts;
            if let (true, Some(last_used), Some(first)) = (alike, last_used, secrets.first_mut()) {
                (first.day, first.calls, first.last_used) = (day, counts.allowed, last_used);
            }
            TokenUsage {
                today: Today { day, counts },
                before,
                last_used,
                secrets,
                exercised: exercised.into_iter().map(GrantMark).collect(),
                consumers,
            }
        },
    )
}

pub(super) fn any_consumer() -> impl Strategy<Value = Consumer> {
    let times = (any_time(), any_time(), option::of(any_time()));
    (times, any_day(), any::<u64>(), any::<u32>()).prop_map(
        |((first_seen, last_seen, old_used), day, calls, version)| Consumer {
            first_seen,
            last_seen,
            day,
            calls,
            version,
            old_used,
        },
    )
}
