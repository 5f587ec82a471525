//! Accounts and their policies.

use std::time::Duration;

use super::{Fields, bad_path, connections, optional, paths, required, span, wire_span, wire_time};
use crate::api::proto;
use crate::api::proto::create_account_request::Terms;
use crate::domain::account::{Account, Policy, PrincipalRule};
use crate::domain::field::{self, Rule};
use crate::domain::id::AccountId;
use crate::domain::limits;
use crate::registry::Error;
use crate::registry::accounts::{AccountPatch, NewAccount, PolicyChange};

pub(in crate::api) fn wire(account: &Account) -> proto::Account {
    proto::Account {
        id: account.id.to_string(),
        display_name: account.display_name.clone(),
        account_key: account
            .key
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        disabled: account.disabled,
        policy: Some(wire_policy(&account.policy)),
        create_time: Some(wire_time(account.create_time)),
        etag: account.etag(),
    }
}

fn wire_policy(policy: &Policy) -> proto::AccountPolicy {
    let rule = match policy.principal_rule {
        PrincipalRule::None => proto::PrincipalRule::None,
        PrincipalRule::Enforced => proto::PrincipalRule::Enforced,
        PrincipalRule::Attribution => proto::PrincipalRule::Attribution,
    };
    let notices = policy.notify_before_expiry.iter().copied();
    proto::AccountPolicy {
        max_tokens: policy.max_tokens,
        daily_calls: policy.daily_calls,
        max_connections_per_token: policy.max_connections_per_token,
        rekey_grace: Some(wire_span(policy.rekey_grace)),
        principal_rule: rule.into(),
        require_account_key: policy.require_account_key,
        require_expiry: policy.require_expiry,
        max_lifetime: policy.max_lifetime.map(wire_span),
        freeze_tokens: policy.freeze_tokens,
        notify_before_expiry: notices.map(wire_span).collect(),
    }
}

pub(in crate::api) fn new_account(
    request: &proto::CreateAccountRequest,
) -> Result<NewAccount, Error> {
    let mut fields = Fields::default();
    let id = fields.take(
        "account_id",
        optional(&request.account_id, AccountId::parse),
    );
    let display_name = fields.take(
        "display_name",
        field::free_text(&request.display_name, limits::NAME_CHARS),
    );
    let policy = match &request.terms {
        None => Some(Policy::standard()),
        Some(Terms::Preset(name)) => {
            let policy = Policy::preset(name);
            let rule = || format!("must be one of {}", Policy::PRESETS.join(", "));
            fields.check("preset", policy.ok_or_else(rule))
        }
        Some(Terms::Policy(wire)) => Some(policy(&mut fields, wire)),
    };
    fields.finish()?;
    Ok(NewAccount {
        id,
        display_name,
        policy: policy.unwrap_or_else(Policy::standard),
    })
}

/// A policy spelled out: what it leaves out has no limit, no grace, no rule.
fn policy(fields: &mut Fields, wire: &proto::AccountPolicy) -> Policy {
    let rekey_grace = wire.rekey_grace.as_ref().map(grace).transpose();
    let rekey_grace = fields.take("policy.rekey_grace", rekey_grace);
    let max_lifetime = fields.take(
        "policy.max_lifetime",
        wire.max_lifetime.as_ref().map(lifetime).transpose(),
    );
    let daily_calls = wire.daily_calls.map(daily_calls).transpose();
    let connections = wire.max_connections_per_token.map(connections).transpose();
    let principal_rule = fields.check("policy.principal_rule", principal_rule(wire.principal_rule));
    Policy {
        max_tokens: wire.max_tokens,
        daily_calls: fields.take("policy.daily_calls", daily_calls),
        max_connections_per_token: fields.take("policy.max_connections_per_token", connections),
        rekey_grace: rekey_grace.unwrap_or_default(),
        principal_rule: principal_rule.unwrap_or(PrincipalRule::None),
        require_account_key: wire.require_account_key,
        require_expiry: wire.require_expiry,
        max_lifetime,
        freeze_tokens: wire.freeze_tokens,
        notify_before_expiry: notices(fields, &wire.notify_before_expiry),
    }
}

fn grace(wire: &prost_types::Duration) -> Result<Duration, Rule> {
    let grace = span(wire)?;
    let most = limits::REKEY_GRACE;
    if grace > most {
        Err(format!("must be at most {} days", most.as_secs() / 86_400))
    } else {
        Ok(grace)
    }
}

fn daily_calls(calls: u64) -> Result<u64, Rule> {
    let most = limits::DAILY_CALLS;
    if calls > most {
        Err(format!(
            "must be at most {most}; leave it unset for no limit"
        ))
    } else {
        Ok(calls)
    }
}

/// The notices before a token's expiry, the longest first; each that is wrong is named by its place.
fn notices(fields: &mut Fields, wire: &[prost_types::Duration]) -> Vec<Duration> {
    const FIELD: &str = "policy.notify_before_expiry";
    if wire.len() > limits::NOTICES {
        fields.wrong(FIELD, format!("must be at most {}", limits::NOTICES));
        return Vec::new();
    }
    let mut notices: Vec<Duration> = Vec::with_capacity(wire.len());
    for (place, wire) in wire.iter().enumerate() {
        let notice = match notice(wire) {
            Ok(notice) if notices.contains(&notice) => Err("must not be there twice".into()),
            other => other,
        };
        notices.extend(fields.check(&format!("{FIELD}[{place}]"), notice));
    }
    notices.sort_unstable_by(|one, other| other.cmp(one));
    notices
}

fn notice(wire: &prost_types::Duration) -> Result<Duration, Rule> {
    let notice = span(wire)?;
    if limits::NOTICE.contains(&notice) {
        Ok(notice)
    } else {
        Err("must be 1 second to 366 days".into())
    }
}

fn lifetime(wire: &prost_types::Duration) -> Result<Duration, Rule> {
    let lifetime = span(wire)?;
    if lifetime.is_zero() {
        Err("must be more than 0; leave it unset for no limit".into())
    } else {
        Ok(lifetime)
    }
}

fn principal_rule(wire: i32) -> Result<PrincipalRule, Rule> {
    match proto::PrincipalRule::try_from(wire) {
        Ok(proto::PrincipalRule::Unspecified | proto::PrincipalRule::None) => {
            Ok(PrincipalRule::None)
        }
        Ok(proto::PrincipalRule::Enforced) => Ok(PrincipalRule::Enforced),
        Ok(proto::PrincipalRule::Attribution) => Ok(PrincipalRule::Attribution),
        Err(_) => Err("must be NONE, ENFORCED or ATTRIBUTION".into()),
    }
}

const POLICY_PATHS: [&str; 10] = [
    "policy.max_tokens",
    "policy.daily_calls",
    "policy.max_connections_per_token",
    "policy.rekey_grace",
    "policy.principal_rule",
    "policy.require_account_key",
    "policy.require_expiry",
    "policy.max_lifetime",
    "policy.freeze_tokens",
    "policy.notify_before_expiry",
];

/// The account that UpdateAccount names, and what it changes.
pub(in crate::api) fn patch(
    request: &proto::UpdateAccountRequest,
) -> Result<(proto::Account, AccountPatch), Error> {
    let account = request
        .account
        .clone()
        .ok_or_else(|| Error::invalid("account", "is required"))?;
    required("account.id", &account.id)?;
    let mut fields = Fields::default();
    let mut patch = AccountPatch::default();
    let wire = account.policy.clone().unwrap_or_default();
    let mut wanted = Fields::default();
    let policy = self::policy(&mut wanted, &wire);
    for path in paths(request.update_mask.as_ref())? {
        match path.as_str() {
            "display_name" => {
                let name = field::free_text(&account.display_name, limits::NAME_CHARS);
                patch.display_name = fields.check("account.display_name", name);
            }
            "disabled" => patch.disabled = Some(account.disabled),
            "policy" => patch.policy.extend(
                POLICY_PATHS
                    .iter()
                    .filter_map(|path| policy_change(path, &policy)),
            ),
            path => match policy_change(path, &policy) {
                Some(change) => patch.policy.push(change),
                None => bad_path(
                    &mut fields,
                    path,
                    &["id", "account_key", "create_time", "etag"],
                    &[
                        "display_name",
                        "disabled",
                        "policy",
                        &POLICY_PATHS.join(", "),
                    ],
                ),
            },
        }
    }
    fields.finish()?;
    if !patch.policy.is_empty() {
        wanted.finish().map_err(within_account)?;
    }
    Ok((account, patch))
}

/// The policy's fields stand below `account` in an update.
fn within_account(error: Error) -> Error {
    match error {
        Error::Invalid(mut violations) => {
            violations
                .iter_mut()
                .for_each(|violation| violation.field.insert_str(0, "account."));
            Error::Invalid(violations)
        }
        other => other,
    }
}

fn policy_change(path: &str, policy: &Policy) -> Option<PolicyChange> {
    Some(match path {
        "policy.max_tokens" => PolicyChange::MaxTokens(policy.max_tokens),
        "policy.daily_calls" => PolicyChange::DailyCalls(policy.daily_calls),
        "policy.max_connections_per_token" => {
            PolicyChange::MaxConnectionsPerToken(policy.max_connections_per_token)
        }
        "policy.rekey_grace" => PolicyChange::RekeyGrace(policy.rekey_grace),
        "policy.principal_rule" => PolicyChange::PrincipalRule(policy.principal_rule),
        "policy.require_account_key" => PolicyChange::RequireAccountKey(policy.require_account_key),
        "policy.require_expiry" => PolicyChange::RequireExpiry(policy.require_expiry),
        "policy.max_lifetime" => PolicyChange::MaxLifetime(policy.max_lifetime),
        "policy.freeze_tokens" => PolicyChange::FreezeTokens(policy.freeze_tokens),
        "policy.notify_before_expiry" => {
            PolicyChange::NotifyBeforeExpiry(policy.notify_before_expiry.clone())
        }
        _ => return None,
    })
}
