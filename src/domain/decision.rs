//! The decision on presented credentials: one table of rules, asked in the order of the contract's `DenyReason`.

use std::borrow::Cow;
use std::net::IpAddr;

use super::account::{Account, PrincipalRule};
use super::grant::{Grants, Permission};
use super::principal::Principal;
use super::secret::{Secret, SecretState};
use super::time::Timestamp;
use super::token::{Access, Token, TokenState};

/// Why credentials are refused. The numbers are the contract's `DenyReason`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(i32)]
pub enum DenyReason {
    Missing = 1,
    Malformed = 2,
    WrongEnvironment = 3,
    Unknown = 4,
    AccountKeyMismatch = 5,
    Superseded = 6,
    Expired = 7,
    Inactive = 8,
    PrincipalDisabled = 9,
    AccountDisabled = 10,
    PermissionDenied = 11,
    ReadOnly = 12,
    AddressNotAllowed = 13,
}

/// Why no secret was matched: all that is told before one is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfound {
    Missing,
    Malformed,
    WrongEnvironment,
    Unknown,
}

/// A token whose secret was presented, with what bears on it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub token: &'a Token,
    pub secret: &'a Secret,
    pub account: &'a Account,
    /// The token's principal and the union of its roles' grants; `None` where the token stands alone.
    pub standing: Option<Standing<'a>>,
}

/// A principal and all that its roles let it do.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    pub principal: &'a Principal,
    pub grants: &'a Grants,
}

/// What is asked besides "is it good".
#[derive(Clone, Copy, Debug, Default)]
pub struct Question<'a> {
    pub account_key: Option<&'a str>,
    pub required: Option<Permission<'a>>,
    pub client_address: Option<IpAddr>,
}

/// ALLOW when `reason` is `None`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    pub reason: Option<DenyReason>,
    /// One sentence for a human; never a secret.
    pub detail: Cow<'static, str>,
}

/// One rule as it was applied, for a connection test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub rule: &'static str,
    pub passed: bool,
    pub detail: Cow<'static, str>,
}

/// The answer to the question: the first rule that is broken decides.
#[must_use]
pub fn decide(
    found: Result<&Subject<'_>, Unfound>,
    question: &Question<'_>,
    now: Timestamp,
) -> Verdict {
    let subject = match found {
        Ok(subject) => subject,
        Err(unfound) => return unfound.verdict(),
    };
    let broken = RULES
        .iter()
        .find(|rule| !(rule.holds)(subject, question, now));
    broken.map_or_else(Verdict::allow, |rule| Verdict {
        reason: Some(rule.reason),
        detail: (rule.tell)(subject, question, now),
    })
}

/// The same answer with every rule told, passed or not.
#[must_use]
pub fn explain(
    found: Result<&Subject<'_>, Unfound>,
    question: &Question<'_>,
    now: Timestamp,
) -> (Verdict, Vec<Step>) {
    let verdict = decide(found, question, now);
    let mut steps = Unfound::steps(found.err());
    if let Ok(subject) = found {
        steps.extend(RULES.iter().map(|rule| Step {
            rule: rule.name,
            passed: (rule.holds)(subject, question, now),
            detail: (rule.tell)(subject, question, now),
        }));
    }
    (verdict, steps)
}

/// What the token may do, as its principal bounds it.
#[must_use]
pub fn effective_grants(subject: &Subject<'_>) -> Grants {
    let own = &subject.token.grants;
    match enforced(subject) {
        Some(standing) if own.is_empty() => standing.grants.clone(),
        Some(standing) => own.intersect(standing.grants),
        None if own.is_empty() => Grants::everything(),
        None => own.clone(),
    }
}

impl Verdict {
    fn allow() -> Self {
        Self {
            reason: None,
            detail: Cow::Borrowed("the credentials are good"),
        }
    }
}

impl Unfound {
    const STEPS: [(Self, &'static str, DenyReason, &'static str, &'static str); 4] = [
        (
            Self::Missing,
            "presented",
            DenyReason::Missing,
            "credentials were presented",
            "no credentials were presented",
        ),
        (
            Self::Malformed,
            "shape",
            DenyReason::Malformed,
            "the credentials have a known shape",
            "the credentials have a wrong shape or checksum: a typo, a truncated copy, or a scheme other than Bearer and Basic",
        ),
        (
            Self::WrongEnvironment,
            "environment",
            DenyReason::WrongEnvironment,
            "the token is of this environment",
            "the token was issued in another environment",
        ),
        (
            Self::Unknown,
            "secret",
            DenyReason::Unknown,
            "the secret is the token's",
            "there is no such token, or the secret does not match",
        ),
    ];

    fn verdict(self) -> Verdict {
        let (_, _, reason, _, failed) = Self::STEPS[self as usize];
        Verdict {
            reason: Some(reason),
            detail: Cow::Borrowed(failed),
        }
    }

    /// The steps up to the one that failed, or all of them passed.
    fn steps(failed: Option<Self>) -> Vec<Step> {
        let reached = failed.map_or(Self::STEPS.len(), |failed| failed as usize + 1);
        let steps = Self::STEPS.iter().take(reached);
        steps
            .map(|&(step, rule, _, fine, broken)| {
                let passed = failed != Some(step);
                Step {
                    rule,
                    passed,
                    detail: Cow::Borrowed(if passed { fine } else { broken }),
                }
            })
            .collect()
    }
}

/// A rule that a matched secret's token must keep.
struct Rule {
    name: &'static str,
    reason: DenyReason,
    holds: fn(&Subject<'_>, &Question<'_>, Timestamp) -> bool,
    tell: fn(&Subject<'_>, &Question<'_>, Timestamp) -> Cow<'static, str>,
}

/// In the order of `DenyReason`.
const RULES: [Rule; 9] = [
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
                subject.token.secret_state(subject.secret, now),
                None | Some(SecretState::Superseded)
            )
        },
        tell: |subject, _, now| match subject.token.secret_state(subject.secret, now) {
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
        holds: |subject, _, now| subject.token.state(now) != TokenState::Expired,
        tell: |subject, _, _| match subject.token.expire_time {
            Some(end) => format!("the token ends at {end}").into(),
            None => "the token does not expire".into(),
        },
    },
    Rule {
        name: "active",
        reason: DenyReason::Inactive,
        holds: |subject, _, _| !subject.token.inactive,
        tell: |subject, _, _| {
            Cow::Borrowed(if subject.token.inactive {
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
            subject.token.access == Access::Full
                || question.required.is_none_or(|required| required.is_read())
        },
        tell: |subject, _, _| {
            Cow::Borrowed(match subject.token.access {
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
            let networks = &subject.token.networks;
            let inside = |address| networks.iter().any(|network| network.contains(address));
            networks.is_empty() || question.client_address.is_some_and(inside)
        },
        tell: |subject, question, _| match (
            subject.token.networks.is_empty(),
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
    let own = &subject.token.grants;
    match enforced(subject) {
        Some(standing) => {
            (own.is_empty() || own.allow(required)) && standing.grants.allow(required)
        }
        None if own.is_empty() => !required.is_reserved(),
        None => own.allow(required),
    }
}

fn enforced<'a>(subject: &Subject<'a>) -> Option<Standing<'a>> {
    match subject.account.policy.principal_rule {
        PrincipalRule::Enforced => subject.standing,
        PrincipalRule::None | PrincipalRule::Attribution => None,
    }
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
