//! What an answer tells, borrowed from it.

use std::time::Duration;

use crate::api::convert::{token, wire_span, wire_time};
use crate::api::proto;
use crate::domain::decision::{DenyReason, Step};
use crate::domain::id::TokenId;
use crate::domain::time::Timestamp;
use crate::meter::quota::Figures;
use crate::validator::{Answer, Identity};

/// The fields of a `ValidateCredentialsResponse`; what an account's day and spans of time are on the wire is the writer's affair.
#[derive(Clone, Debug)]
pub(in crate::api) struct Told<'a> {
    pub(in crate::api) decision: proto::Decision,
    pub(in crate::api) reason: proto::DenyReason,
    pub(in crate::api) detail: &'a str,
    pub(in crate::api) token_id: Option<TokenId>,
    pub(in crate::api) token_name: &'a str,
    pub(in crate::api) account_id: &'a str,
    pub(in crate::api) principal_id: &'a str,
    pub(in crate::api) principal_name: &'a str,
    pub(in crate::api) access: proto::Access,
    pub(in crate::api) grants: Vec<String>,
    pub(in crate::api) expire_time: Option<Timestamp>,
    pub(in crate::api) quota: Option<Figures>,
    pub(in crate::api) secret_good_until: Option<Timestamp>,
    pub(in crate::api) retry_after: Option<Duration>,
    pub(in crate::api) cache_for: Option<Duration>,
    pub(in crate::api) revision: u64,
    pub(in crate::api) steps: &'a [Step],
}

impl<'a> Told<'a> {
    /// What there is to tell of an answer, `cache_for` apart.
    pub(in crate::api) fn of(
        answer: &'a Answer,
        quota: Option<Figures>,
        with_grants: bool,
    ) -> Self {
        let verdict = &answer.verdict;
        let allowed = verdict.reason.is_none();
        let told = Self {
            decision: if allowed {
                proto::Decision::Allow
            } else {
                proto::Decision::Deny
            },
            reason: verdict
                .reason
                .map_or(proto::DenyReason::Unspecified, reason),
            detail: &verdict.detail,
            token_id: None,
            token_name: "",
            account_id: "",
            principal_id: "",
            principal_name: "",
            access: proto::Access::Unspecified,
            grants: Vec::new(),
            expire_time: None,
            quota,
            secret_good_until: None,
            retry_after: verdict.retry_after,
            cache_for: None,
            revision: answer.revision.0,
            steps: &answer.steps,
        };
        match &answer.identity {
            Some(identity) => told.with_identity(identity, answer.now, allowed && with_grants),
            None => told,
        }
    }

    fn with_identity(self, identity: &'a Identity, now: Timestamp, with_grants: bool) -> Self {
        let token = &identity.token;
        let grants = with_grants.then(|| identity.effective_grants());
        let grants = grants.iter().flat_map(|grants| grants.iter());
        Self {
            token_id: Some(token.id),
            token_name: &token.name,
            account_id: token.account.as_str(),
            principal_id: token.principal.as_ref().map_or("", |id| id.as_str()),
            principal_name: identity
                .member
                .as_ref()
                .map_or("", |member| &member.principal.display_name),
            access: token::wire_access(token.access),
            grants: grants.map(ToString::to_string).collect(),
            expire_time: token.expire_time,
            secret_good_until: identity.secret_good_until(now),
            ..self
        }
    }

    /// As a generated message.
    pub(in crate::api) fn message(&self) -> proto::ValidateCredentialsResponse {
        proto::ValidateCredentialsResponse {
            decision: self.decision.into(),
            reason: self.reason.into(),
            detail: self.detail.to_owned(),
            token_id: self.token_id.map(|id| id.to_string()).unwrap_or_default(),
            token_name: self.token_name.to_owned(),
            account_id: self.account_id.to_owned(),
            principal_id: self.principal_id.to_owned(),
            principal_name: self.principal_name.to_owned(),
            access: self.access.into(),
            grants: self.grants.clone(),
            expire_time: self.expire_time.map(wire_time),
            quota: self.quota.map(wire_quota),
            secret_good_until: self.secret_good_until.map(wire_time),
            retry_after: self.retry_after.map(wire_span),
            cache_for: self.cache_for.map(wire_span),
            revision: self.revision,
            steps: self.steps.iter().map(wire_step).collect(),
        }
    }
}

fn wire_quota(figures: Figures) -> proto::Quota {
    proto::Quota {
        limit: figures.limit,
        remaining: figures.remaining,
        reset_time: Some(wire_time(figures.reset_time)),
    }
}

fn wire_step(step: &Step) -> proto::Step {
    proto::Step {
        rule: step.rule.to_owned(),
        passed: step.passed,
        detail: step.detail.clone().into_owned(),
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
