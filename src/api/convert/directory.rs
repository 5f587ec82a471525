//! Accounts, principals and roles.

use super::{Fields, bad_path, paths, request_id, required, span, token, wire_span, wire_time};
use crate::api::proto;
use crate::api::proto::create_account_request::Terms;
use crate::domain::account::{Account, Policy, PrincipalRule};
use crate::domain::field::{self, Rule};
use crate::domain::grant::Grants;
use crate::domain::id::{AccountId, PrincipalId, RoleId};
use crate::domain::limits;
use crate::domain::principal::{Principal, PrincipalState};
use crate::domain::role::Role;
use crate::registry::Error;
use crate::registry::accounts::{AccountPatch, NewAccount, PolicyChange};
use crate::registry::principals::{NewPrincipal, PrincipalPatch};
use crate::registry::roles::{NewRole, RolePatch};

pub(in crate::api) fn wire_account(account: &Account) -> proto::Account {
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
    proto::AccountPolicy {
        max_tokens: policy.max_tokens,
        rekey_grace: Some(wire_span(policy.rekey_grace)),
        principal_rule: rule.into(),
        require_account_key: policy.require_account_key,
        require_expiry: policy.require_expiry,
        max_lifetime: policy.max_lifetime.map(wire_span),
        freeze_tokens: policy.freeze_tokens,
    }
}

pub(in crate::api) fn wire_principal(principal: &Principal) -> proto::Principal {
    let state = match principal.state {
        PrincipalState::Unverified => proto::PrincipalState::Unverified,
        PrincipalState::Active => proto::PrincipalState::Active,
        PrincipalState::Disabled => proto::PrincipalState::Disabled,
    };
    proto::Principal {
        id: principal.id.to_string(),
        account_id: principal.account.to_string(),
        display_name: principal.display_name.clone(),
        email: principal.email.clone(),
        state: state.into(),
        api_user: principal.api_user,
        role_ids: principal.roles.iter().map(ToString::to_string).collect(),
        interactive_login_disabled: principal.api_user,
        sso_bypassed: principal.api_user,
        password_expiry_disabled: principal.api_user,
        create_time: Some(wire_time(principal.create_time)),
        etag: principal.etag(),
    }
}

pub(in crate::api) fn wire_role(role: &Role) -> proto::Role {
    proto::Role {
        id: role.id.to_string(),
        account_id: role.account.to_string(),
        display_name: role.display_name.clone(),
        grants: role.grants.iter().map(ToString::to_string).collect(),
        etag: role.etag(),
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
    let rekey_grace = fields.take(
        "policy.rekey_grace",
        wire.rekey_grace
            .as_ref()
            .map_or(Ok(Policy::standard().rekey_grace), grace),
    );
    let max_lifetime = fields.take(
        "policy.max_lifetime",
        wire.max_lifetime.as_ref().map(lifetime).transpose(),
    );
    let principal_rule = fields.check("policy.principal_rule", principal_rule(wire.principal_rule));
    Policy {
        max_tokens: wire.max_tokens,
        rekey_grace,
        principal_rule: principal_rule.unwrap_or(PrincipalRule::None),
        require_account_key: wire.require_account_key,
        require_expiry: wire.require_expiry,
        max_lifetime,
        freeze_tokens: wire.freeze_tokens,
        ..Policy::standard()
    }
}

fn grace(wire: &prost_types::Duration) -> Result<std::time::Duration, Rule> {
    let grace = span(wire)?;
    let most = limits::REKEY_GRACE;
    if grace > most {
        Err(format!("must be at most {} days", most.as_secs() / 86_400))
    } else {
        Ok(grace)
    }
}

fn lifetime(wire: &prost_types::Duration) -> Result<std::time::Duration, Rule> {
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

const POLICY_PATHS: [&str; 7] = [
    "policy.max_tokens",
    "policy.rekey_grace",
    "policy.principal_rule",
    "policy.require_account_key",
    "policy.require_expiry",
    "policy.max_lifetime",
    "policy.freeze_tokens",
];

/// The account that UpdateAccount names, and what it changes.
pub(in crate::api) fn account_patch(
    request: &proto::UpdateAccountRequest,
) -> Result<(proto::Account, AccountPatch), Error> {
    let account = request
        .account
        .clone()
        .ok_or_else(|| Error::invalid("account", "is required"))?;
    required("account.id", &account.id)?;
    let mut fields = Fields::default();
    let mut patch = AccountPatch::default();
    let wire = account.policy.unwrap_or_default();
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
        "policy.rekey_grace" => PolicyChange::RekeyGrace(policy.rekey_grace),
        "policy.principal_rule" => PolicyChange::PrincipalRule(policy.principal_rule),
        "policy.require_account_key" => PolicyChange::RequireAccountKey(policy.require_account_key),
        "policy.require_expiry" => PolicyChange::RequireExpiry(policy.require_expiry),
        "policy.max_lifetime" => PolicyChange::MaxLifetime(policy.max_lifetime),
        "policy.freeze_tokens" => PolicyChange::FreezeTokens(policy.freeze_tokens),
        _ => return None,
    })
}

pub(in crate::api) fn new_principal(
    request: &proto::CreatePrincipalRequest,
) -> Result<(NewPrincipal, Option<String>), Error> {
    let mut fields = Fields::default();
    let state = match proto::PrincipalState::try_from(request.state) {
        Ok(proto::PrincipalState::Unspecified) => Ok(PrincipalState::Unverified),
        _ => principal_state(request.state),
    };
    let new = NewPrincipal {
        id: fields.take(
            "principal_id",
            optional(&request.principal_id, PrincipalId::parse),
        ),
        display_name: fields.take(
            "display_name",
            field::free_text(&request.display_name, limits::NAME_CHARS),
        ),
        email: fields.take("email", field::email(&request.email)),
        state: fields
            .check("state", state)
            .unwrap_or(PrincipalState::Unverified),
        api_user: request.api_user,
        roles: fields.take("role_ids", roles(&request.role_ids)),
    };
    fields.finish()?;
    Ok((new, request_id(&request.request_id)?))
}

/// The principal that UpdatePrincipal names, and what it changes.
pub(in crate::api) fn principal_patch(
    request: &proto::UpdatePrincipalRequest,
) -> Result<(proto::Principal, PrincipalPatch), Error> {
    let principal = request
        .principal
        .clone()
        .ok_or_else(|| Error::invalid("principal", "is required"))?;
    required("principal.id", &principal.id)?;
    let mut fields = Fields::default();
    let mut patch = PrincipalPatch::default();
    for path in paths(request.update_mask.as_ref())? {
        match path.as_str() {
            "display_name" => {
                let name = field::free_text(&principal.display_name, limits::NAME_CHARS);
                patch.display_name = fields.check("principal.display_name", name);
            }
            "email" => {
                patch.email = fields.check("principal.email", field::email(&principal.email))
            }
            "state" => {
                patch.state = fields.check("principal.state", principal_state(principal.state))
            }
            "api_user" => patch.api_user = Some(principal.api_user),
            "role_ids" => {
                patch.roles = fields.check("principal.role_ids", roles(&principal.role_ids))
            }
            other => bad_path(
                &mut fields,
                other,
                &[
                    "id",
                    "account_id",
                    "interactive_login_disabled",
                    "sso_bypassed",
                    "password_expiry_disabled",
                    "create_time",
                    "etag",
                ],
                &["display_name", "email", "state", "api_user", "role_ids"],
            ),
        }
    }
    fields.finish()?;
    Ok((principal, patch))
}

fn principal_state(wire: i32) -> Result<PrincipalState, Rule> {
    match proto::PrincipalState::try_from(wire) {
        Ok(proto::PrincipalState::Unverified) => Ok(PrincipalState::Unverified),
        Ok(proto::PrincipalState::Active) => Ok(PrincipalState::Active),
        Ok(proto::PrincipalState::Disabled) => Ok(PrincipalState::Disabled),
        Ok(proto::PrincipalState::Unspecified) | Err(_) => {
            Err("must be UNVERIFIED, ACTIVE or DISABLED".into())
        }
    }
}

/// A role given twice is given once.
fn roles(texts: &[String]) -> Result<Vec<RoleId>, Rule> {
    let mut roles = Vec::new();
    for text in texts {
        let role = RoleId::parse(text)?;
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    let most = limits::ROLES_OF_PRINCIPAL;
    if roles.len() > most {
        Err(format!("must be at most {most}"))
    } else {
        Ok(roles)
    }
}

pub(in crate::api) fn new_role(
    request: &proto::CreateRoleRequest,
) -> Result<(NewRole, Option<String>), Error> {
    let mut fields = Fields::default();
    let new = NewRole {
        id: fields.take("role_id", optional(&request.role_id, RoleId::parse)),
        display_name: fields.take(
            "display_name",
            field::free_text(&request.display_name, limits::NAME_CHARS),
        ),
        grants: role_grants(&mut fields, "grants", &request.grants),
    };
    fields.finish()?;
    Ok((new, request_id(&request.request_id)?))
}

/// The role that UpdateRole names, and what it changes.
pub(in crate::api) fn role_patch(
    request: &proto::UpdateRoleRequest,
) -> Result<(proto::Role, RolePatch), Error> {
    let role = request
        .role
        .clone()
        .ok_or_else(|| Error::invalid("role", "is required"))?;
    required("role.id", &role.id)?;
    let mut fields = Fields::default();
    let mut patch = RolePatch::default();
    for path in paths(request.update_mask.as_ref())? {
        match path.as_str() {
            "display_name" => {
                let name = field::free_text(&role.display_name, limits::NAME_CHARS);
                patch.display_name = fields.check("role.display_name", name);
            }
            "grants" => patch.grants = Some(role_grants(&mut fields, "role.grants", &role.grants)),
            other => bad_path(
                &mut fields,
                other,
                &["id", "account_id", "etag"],
                &["display_name", "grants"],
            ),
        }
    }
    fields.finish()?;
    Ok((role, patch))
}

/// `keyward/` grants exist on tokens of the system account, never in roles.
fn role_grants(fields: &mut Fields, field: &str, texts: &[String]) -> Grants {
    let grants = token::grants(fields, field, texts);
    if let Some(grant) = grants.iter().find(|grant| grant.is_reserved()) {
        fields.wrong(
            field,
            format!(
                "must not hold {grant}: keyward/ grants exist on tokens of the system account only"
            ),
        );
    }
    grants
}

fn optional<T>(text: &str, parse: fn(&str) -> Result<T, Rule>) -> Result<Option<T>, Rule> {
    if text.is_empty() {
        Ok(None)
    } else {
        parse(text).map(Some)
    }
}
