//! The reference's words as the contract has them.

use std::collections::BTreeMap;

use keyward::api::proto::{self, AccountPolicy};
use keyward::domain::time::Timestamp;

use super::steps::{PolicyChange, Rate, Rule, Standing};
use crate::harness::wire;

pub(super) fn account_id(account: usize) -> String {
    format!("account-{account}")
}

pub(super) fn policy(change: PolicyChange) -> (&'static str, AccountPolicy) {
    let mut to = AccountPolicy::default();
    let path = match change {
        PolicyChange::MaxTokens(limit) => {
            to.max_tokens = limit;
            "max_tokens"
        }
        PolicyChange::DailyCalls(calls) => {
            to.daily_calls = Some(calls);
            "daily_calls"
        }
        PolicyChange::Connections(most) => {
            to.max_connections_per_token = most;
            "max_connections_per_token"
        }
        PolicyChange::RekeyGrace(grace) => {
            to.rekey_grace = Some(span(grace));
            "rekey_grace"
        }
        PolicyChange::RequireKey(required) => {
            to.require_account_key = required;
            "require_account_key"
        }
        PolicyChange::RequireExpiry(required) => {
            to.require_expiry = required;
            "require_expiry"
        }
        PolicyChange::MaxLifetime(most) => {
            to.max_lifetime = most.map(span);
            "max_lifetime"
        }
        PolicyChange::Freeze(frozen) => {
            to.freeze_tokens = frozen;
            "freeze_tokens"
        }
        PolicyChange::Rule(rule) => {
            to.principal_rule = match rule {
                Rule::Unbound => proto::PrincipalRule::None,
                Rule::Enforced => proto::PrincipalRule::Enforced,
                Rule::Attribution => proto::PrincipalRule::Attribution,
            }
            .into();
            "principal_rule"
        }
    };
    (path, to)
}

pub(super) fn standing(state: Standing) -> proto::PrincipalState {
    match state {
        Standing::Unverified => proto::PrincipalState::Unverified,
        Standing::Active => proto::PrincipalState::Active,
        Standing::Disabled => proto::PrincipalState::Disabled,
    }
}

pub(super) fn rate(rate: Rate) -> proto::RateLimit {
    proto::RateLimit {
        calls: rate.calls,
        per: Some(span(rate.per)),
        burst: rate.burst,
    }
}

pub(super) fn principal_id(n: u8) -> String {
    format!("principal-{n}")
}

pub(super) fn role_id(n: &u8) -> String {
    format!("role-{n}")
}

/// A text that was issued elsewhere.
pub(super) fn foreign(n: u8) -> String {
    format!("foreign-{n}")
}

pub(super) fn texts(grants: &[&str]) -> Vec<String> {
    grants.iter().map(|&grant| grant.into()).collect()
}

pub(super) fn labels(some: bool) -> BTreeMap<String, String> {
    let label = ("team".into(), "orders".into());
    some.then_some(label).into_iter().collect()
}

pub(super) fn networks(some: bool) -> Vec<String> {
    some.then(|| "192.0.2.0/24".into()).into_iter().collect()
}

pub(super) fn mask(path: &str) -> prost_types::FieldMask {
    prost_types::FieldMask {
        paths: vec![path.into()],
    }
}

pub(super) fn at(time: i64) -> prost_types::Timestamp {
    wire(Timestamp::from_millis(time))
}

pub(super) fn span(millis: i64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: millis / 1_000,
        nanos: i32::try_from(millis % 1_000).expect("less than a second") * 1_000_000,
    }
}
