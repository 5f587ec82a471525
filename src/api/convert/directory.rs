//! Principals and roles.

use super::{Fields, bad_path, optional, paths, request_id, required, token, wire_time};
use crate::api::proto;
use crate::domain::field::{self, Rule};
use crate::domain::grant::Grants;
use crate::domain::id::{PrincipalId, RoleId};
use crate::domain::limits;
use crate::domain::principal::{Principal, PrincipalState};
use crate::domain::role::Role;
use crate::registry::Error;
use crate::registry::principals::{NewPrincipal, PrincipalPatch};
use crate::registry::roles::{NewRole, RolePatch};

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
