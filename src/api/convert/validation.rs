//! ValidateCredentials: borrowed from the request on the way in, built once on the way out.

use std::net::IpAddr;

use super::{Fields, wire_span, wire_time};
use crate::api::proto;
use crate::api::proto::validate_credentials_request::Presented as Wire;
use crate::domain::decision::{DenyReason, Question, Step};
use crate::domain::field;
use crate::domain::grant::{Permission, PermissionError};
use crate::domain::limits;
use crate::domain::operator::Scope;
use crate::domain::presented::Presented;
use crate::domain::time::Timestamp;
use crate::meter::quota::Figures;
use crate::registry::Error;
use crate::validator::{Answer, Ask, Identity};

/// What a request asks, borrowed from it.
pub(in crate::api) fn ask<'a>(
    request: &'a proto::ValidateCredentialsRequest,
    scope: &'a Scope,
) -> Result<Ask<'a>, Error> {
    let named = |text: &'a str| (!text.is_empty()).then_some(text);
    let mut fields = Fields::default();
    let required = request
        .required
        .as_ref()
        .and_then(|required| permission(&mut fields, required));
    let client_address = (!request.client_address.is_empty()).then(|| {
        let parsed = request.client_address.parse::<IpAddr>();
        fields.check(
            "client_address",
            parsed.map_err(|_| "must be an IP address, without a port".into()),
        )
    });
    let consumer = named(&request.consumer).and_then(|name| {
        let printable = field::borrowed_printable(name, limits::CONSUMER_BYTES);
        fields.check("consumer", printable)
    });
    fields.finish()?;
    let presented = request.presented.as_ref().map(|presented| match presented {
        Wire::Authorization(header) => Presented::Header(header),
        Wire::Token(text) => Presented::Text(text),
        Wire::IdAndSecret(pair) => Presented::IdAndText {
            id: &pair.token_id,
            text: &pair.secret,
        },
    });
    Ok(Ask {
        presented,
        scope,
        account: named(&request.account_id),
        question: Question {
            account_key: named(&request.account_key),
            required,
            client_address: client_address.flatten(),
        },
        consumer,
        cost: u64::from(request.cost.max(1)),
        dry_run: request.dry_run,
    })
}

fn permission<'a>(fields: &mut Fields, wire: &'a proto::Permission) -> Option<Permission<'a>> {
    match Permission::parse(&wire.resource, &wire.action) {
        Ok(permission) => return Some(permission),
        Err(PermissionError::Resource(rule)) => fields.wrong("required.resource", rule),
        Err(PermissionError::Action(rule)) => fields.wrong("required.action", rule),
    }
    None
}

/// The answer on the wire.
pub(in crate::api) fn answer(
    answer: Answer<'_>,
    quota: Option<Figures>,
    with_grants: bool,
) -> proto::ValidateCredentialsResponse {
    let allowed = answer.verdict.reason.is_none();
    let decision = if allowed {
        proto::Decision::Allow
    } else {
        proto::Decision::Deny
    };
    let mut response = proto::ValidateCredentialsResponse {
        decision: decision.into(),
        reason: answer
            .verdict
            .reason
            .map_or(proto::DenyReason::Unspecified, reason)
            .into(),
        detail: answer.verdict.detail.to_string(),
        quota: quota.map(wire_quota),
        retry_after: answer.verdict.retry_after.map(wire_span),
        revision: answer.revision.0,
        steps: answer.steps.iter().map(step).collect(),
        ..Default::default()
    };
    if let Some(identity) = answer.identity() {
        identify(&mut response, &identity, answer.now);
        if allowed && with_grants {
            response.grants = identity
                .effective_grants()
                .iter()
                .map(ToString::to_string)
                .collect();
        }
    }
    response
}

fn identify(
    response: &mut proto::ValidateCredentialsResponse,
    identity: &Identity<'_>,
    now: Timestamp,
) {
    let credential = identity.credential;
    response.token_id = identity.id().to_string();
    response.token_name = identity.name.to_owned();
    response.account_id = identity.account_id().to_string();
    response.principal_id = identity
        .principal()
        .map(ToString::to_string)
        .unwrap_or_default();
    response.principal_name = identity.principal_name().to_owned();
    response.access = super::token::wire_access(credential.access).into();
    response.expire_time = credential.expire_time.map(wire_time);
    response.secret_good_until = identity.secret_good_until(now).map(wire_time);
}

fn wire_quota(figures: Figures) -> proto::Quota {
    proto::Quota {
        limit: figures.limit,
        remaining: figures.remaining,
        reset_time: Some(wire_time(figures.reset_time)),
    }
}

fn step(step: &Step) -> proto::Step {
    proto::Step {
        rule: step.rule.to_owned(),
        passed: step.passed,
        detail: step.detail.to_string(),
    }
}

fn reason(reason: DenyReason) -> proto::DenyReason {
    match reason {
        DenyReason::Missing => proto::DenyReason::Missing,
        DenyReason::Malformed => proto::DenyReason::Malformed,
        DenyReason::WrongEnvironment => proto::DenyReason::WrongEnvironment,
        DenyReason::Unknown => proto::DenyReason::Unknown,
        DenyReason::AccountKeyMismatch => proto::DenyReason::AccountKeyMismatch,
        DenyReason::Superseded => proto::DenyReason::Superseded,
        DenyReason::Expired => proto::DenyReason::Expired,
        DenyReason::Inactive => proto::DenyReason::Inactive,
        DenyReason::PrincipalDisabled => proto::DenyReason::PrincipalDisabled,
        DenyReason::AccountDisabled => proto::DenyReason::AccountDisabled,
        DenyReason::PermissionDenied => proto::DenyReason::PermissionDenied,
        DenyReason::ReadOnly => proto::DenyReason::ReadOnly,
        DenyReason::AddressNotAllowed => proto::DenyReason::AddressNotAllowed,
        DenyReason::TooManyConnections => proto::DenyReason::TooManyConnections,
        DenyReason::RateLimited => proto::DenyReason::RateLimited,
        DenyReason::QuotaExceeded => proto::DenyReason::QuotaExceeded,
    }
}
