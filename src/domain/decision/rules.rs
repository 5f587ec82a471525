//! The rules that a matched secret's token must keep, each with its test and its words.

use std::borrow::Cow;

use super::{DenyReason, Question, Standing, Subject};
use crate::domain::account::PrincipalRule;
use crate::domain::grant::Permission;
use crate::domain::secret::SecretState;
use crate::domain::time::Timestamp;
use crate::domain::token::{Access, TokenState};

/// A rule that a matched secret's token must keep.
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) reason: DenyReason,
    pub(super) holds: fn(&Subject<'_>, &Question<'_>, Timestamp) -> bool,
    pub(super) tell: fn(&Subject<'_>, &Question<'_>, Timestamp) -> Cow<'static, str>,
}

/// In the order of `DenyReason`.
pub(super) const RULES: [Rule; 9] = [
    Rule {
        name: "account_key",
        reason: DenyReason::AccountKeyMismatch,
        holds: |subject, question, _| match question.account_key {
            Some(presented) => subject
                .account
                .key
                .as_ref()
                .is_some_and(|key| key.as_str() == presented),
            None => !subject.account.policy.require_account_key,
        },
        tell: |subject, question, _| {
            Cow::Borrowed(
                match (
                    question.account_key,
                    subject.account.policy.require_account_key,
                ) {
                    (None, true) => "the account wants its account key presented beside the token",
                    (None, false) => "no account key is needed",
                    (Some(_), _) => {
                        "the account key presented is compared with the token's account's"
                    }
                },
            )
        },
    },
    Rule {
        name: "secret_version",
        reason: DenyReason::Superseded,
        holds: |subject, _, now| {
            !matches!(
                subject.credential.secret_state(subject.secret, now),
                None | Some(SecretState::Superseded)
            )
        },
        tell: |subject, _, now| match subject.credential.secret_state(subject.secret, now) {
            Some(SecretState::Current) => "the secret is the current one".into(),
            Some(SecretState::Pending) => "the secret is the pending one of a rekey".into(),
            Some(SecretState::Retiring { good_until }) => {
                format!("the secret was replaced and stops at {good_until}").into()
            }
            Some(SecretState::Superseded) | None => {
                "the secret was replaced, and its grace is over".into()
            }
        },
    },
    Rule {
        name: "expiry",
        reason: DenyReason::Expired,
        holds: |subject, _, now| subject.credential.state(now) != TokenState::Expired,
        tell: |subject, _, _| match subject.credential.expire_time {
            Some(end) => format!("the token ends at {end}").into(),
            None => "the token does not expire".into(),
        },
    },
    Rule {
        name: "active",
        reason: DenyReason::Inactive,
        holds: |subject, _, _| !subject.credential.inactive,
        tell: |subject, _, _| {
            Cow::Borrowed(if subject.credential.inactive {
                "the token is deactivated"
            } else {
                "the token is active"
            })
        },
    },
    Rule {
        name: "principal",
        reason: DenyReason::PrincipalDisabled,
        holds: |subject, _, _| match (subject.account.policy.principal_rule, subject.standing) {
            (PrincipalRule::Enforced, Some(standing)) => standing.principal.is_active_api_user(),
            (PrincipalRule::Enforced, None) => false,
            (PrincipalRule::None | PrincipalRule::Attribution, _) => true,
        },
        tell: |subject, _, _| match (subject.account.policy.principal_rule, subject.standing) {
            (PrincipalRule::Enforced, Some(standing))
                if standing.principal.is_active_api_user() =>
            {
                format!("the API user {} is active", standing.principal.id).into()
            }
            (PrincipalRule::Enforced, Some(standing)) => format!(
                "the principal {} is disabled, unverified, or no API user",
                standing.principal.id
            )
            .into(),
            (PrincipalRule::Enforced, None) => {
                "the token has no principal, and the account wants one".into()
            }
            (PrincipalRule::None | PrincipalRule::Attribution, _) => {
                "the principal's state does not matter here".into()
            }
        },
    },
    Rule {
        name: "account",
        reason: DenyReason::AccountDisabled,
        holds: |subject, _, _| !subject.account.disabled,
        tell: |subject, _, _| {
            Cow::Borrowed(if subject.account.disabled {
                "the account is disabled"
            } else {
                "the account is enabled"
            })
        },
    },
    Rule {
        name: "permission",
        reason: DenyReason::PermissionDenied,
        holds: |subject, question, _| {
            question
                .required
                .is_none_or(|required| permits(subject, &required))
        },
        tell: |subject, question, _| match question.required {
            Some(required) if permits(subject, &required) => {
                format!("the grants give {required}").into()
            }
            Some(required) => format!("the grants do not give {required}").into(),
            None => "the request names no permission".into(),
        },
    },
    Rule {
        name: "read_only",
        reason: DenyReason::ReadOnly,
        holds: |subject, question, _| {
            subject.credential.access == Access::Full
                || question.required.is_none_or(|required| required.is_read())
        },
        tell: |subject, _, _| {
            Cow::Borrowed(match subject.credential.access {
                Access::Full => "the token has full access",
                Access::ReadOnly => {
                    "the token is read-only: it passes the action read and no other"
                }
            })
        },
    },
    Rule {
        name: "address",
        reason: DenyReason::AddressNotAllowed,
        holds: |subject, question, _| {
            let networks = subject.credential.networks;
            let inside = |address| networks.iter().any(|network| network.contains(address));
            networks.is_empty() || question.client_address.is_some_and(inside)
        },
        tell: |subject, question, _| match (
            subject.credential.networks.is_empty(),
            question.client_address,
        ) {
            (true, _) => "the token may be used from any network".into(),
            (false, Some(address)) => {
                format!("the client's address {address} is held against the allowed networks")
                    .into()
            }
            (false, None) => {
                "the token has allowed networks, and the request names no client address".into()
            }
        },
    },
];

fn permits(subject: &Subject<'_>, required: &Permission<'_>) -> bool {
    let own = subject.credential.grants;
    match enforced(subject) {
        Some(standing) => {
            (own.is_empty() || own.allow(required)) && standing.grants.allow(required)
        }
        None if own.is_empty() => !required.is_reserved(),
        None => own.allow(required),
    }
}

pub(super) fn enforced<'a>(subject: &Subject<'a>) -> Option<Standing<'a>> {
    match subject.account.policy.principal_rule {
        PrincipalRule::Enforced => subject.standing,
        PrincipalRule::None | PrincipalRule::Attribution => None,
    }
}
