//! The decision on presented credentials: one table of rules, asked in the order of the contract's `DenyReason`, and at last
//! the budget.

mod rules;

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use super::account::Account;
use super::budget::{Budget, Charge, Spent};
use super::credential::Credential;
use super::grant::{Grants, Permission};
use super::principal::Principal;
use super::secret::Life;
use super::time::Timestamp;
use rules::{RULES, enforced};

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
    TooManyConnections = 14,
    RateLimited = 15,
    QuotaExceeded = 16,
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
    pub credential: Credential<'a>,
    /// Of the secret that was presented.
    pub secret: Life,
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
    /// When to come again, where the reason passes by itself.
    pub retry_after: Option<Duration>,
}

/// Whether the budget allows it is not known before the store has been asked: decide again when it has answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Undecided;

/// One rule as it was applied, for a connection test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub rule: &'static str,
    pub passed: bool,
    pub detail: Cow<'static, str>,
}

/// The answer to the question: the first rule that is broken decides, and where none is, the budget.
pub fn decide(
    found: Result<&Subject<'_>, Unfound>,
    question: &Question<'_>,
    now: Timestamp,
    budget: &mut impl Budget,
) -> Result<Verdict, Undecided> {
    match found {
        Ok(subject) => match judge(subject, question, now) {
            good if good.reason.is_none() => spend(subject, now, budget),
            broken => Ok(broken),
        },
        Err(unfound) => Ok(unfound.verdict()),
    }
}

/// What the rules say, without a budget: for what has been paid before.
#[must_use]
pub fn judge(subject: &Subject<'_>, question: &Question<'_>, now: Timestamp) -> Verdict {
    let broken = RULES
        .iter()
        .find(|rule| !(rule.holds)(subject, question, now));
    broken.map_or_else(Verdict::allow, |rule| {
        Verdict::deny(rule.reason, (rule.tell)(subject, question, now))
    })
}

/// Are all rules kept? The work of `judge` with nothing told of it.
#[must_use]
pub fn keeps_rules(subject: &Subject<'_>, question: &Question<'_>, now: Timestamp) -> bool {
    RULES
        .iter()
        .all(|rule| (rule.holds)(subject, question, now))
}

/// The same answer with every rule told, passed or not.
pub fn explain(
    found: Result<&Subject<'_>, Unfound>,
    question: &Question<'_>,
    now: Timestamp,
    budget: &mut impl Budget,
) -> Result<(Verdict, Vec<Step>), Undecided> {
    let verdict = decide(found, question, now, budget)?;
    let mut steps = Unfound::steps(found.err());
    if let Ok(subject) = found {
        steps.extend(RULES.iter().map(|rule| Step {
            rule: rule.name,
            passed: (rule.holds)(subject, question, now),
            detail: (rule.tell)(subject, question, now),
        }));
        for charge in Charge::ALL {
            let spent = budget.spend(charge, subject, now);
            steps.push(Step {
                rule: charge.name(),
                // What another rule has decided does not wait for the store; nothing says that this one is broken.
                passed: !matches!(spent, Spent::Refused { .. }),
                detail: budget.tell(charge, subject, now),
            });
        }
    }
    Ok((verdict, steps))
}

/// Pays, in the order of the reasons.
fn spend(
    subject: &Subject<'_>,
    now: Timestamp,
    budget: &mut impl Budget,
) -> Result<Verdict, Undecided> {
    for charge in Charge::ALL {
        match budget.spend(charge, subject, now) {
            Spent::Paid => {}
            Spent::Unknown => return Err(Undecided),
            Spent::Refused { retry_after } => {
                let detail = budget.tell(charge, subject, now);
                return Ok(Verdict {
                    retry_after,
                    ..Verdict::deny(charge.reason(), detail)
                });
            }
        }
    }
    Ok(Verdict::allow())
}

/// What the token may do, as its principal bounds it.
#[must_use]
pub fn effective_grants(subject: &Subject<'_>) -> Grants {
    let own = subject.credential.grants;
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
            retry_after: None,
        }
    }

    /// With a sentence of the caller's own.
    pub fn deny(reason: DenyReason, detail: Cow<'static, str>) -> Self {
        Self {
            reason: Some(reason),
            detail,
            retry_after: None,
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
        Verdict::deny(reason, Cow::Borrowed(failed))
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

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
