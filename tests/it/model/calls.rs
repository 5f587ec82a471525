//! A validation, and what of the day's calls crashes have wasted: that alone the reference cannot know, but for its bound.

use keyward::api::proto::validate_credentials_request::Presented;
use keyward::api::proto::{
    Decision, Permission, ValidateCredentialsRequest, ValidateCredentialsResponse,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::decision::Decided;
use super::real::Known;
use super::steps::{Address, DAY, Key, Question};
use super::wire::{account_id, at, principal_id, span};
use super::world::World;
use crate::harness::{Client, eventually};

/// Calls of an account's day that were leased and never let in.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Waste {
    /// As it came to be known by an answer. Less than nothing where the reference has let in what the server could not.
    known: i64,
    /// How much more there may be.
    unsure: i64,
}

impl Known {
    /// A crash: each account may have lost a hundredth of its day, or eight.
    pub(super) fn wasted(&mut self, world: &World) {
        for (a, account) in world.accounts.iter().enumerate() {
            // The limit may have been higher when the lease was taken.
            let most = 2_500 / 100;
            if account.policy.daily_calls.is_some() {
                self.waste.entry((a, world.now / DAY)).or_default().unsure += most;
            }
        }
    }
}

/// Presents a secret, and compares the answer.
pub(super) async fn validated(
    known: &mut Known,
    operator: &Client,
    secret: (usize, u32),
    question: Question,
    decided: Decided,
    world: &World,
) {
    let request = request(known, secret, question, world);
    let (answer, tries) = until_decided(async || {
        let mut credentials = operator.credentials.clone();
        let answer = credentials.validate_credentials(request.clone()).await?;
        Ok(answer.into_inner())
    })
    .await;
    answered(known, &answer, tries, secret.0, question, decided, world);
}

pub(super) fn request(
    known: &Known,
    (t, version): (usize, u32),
    question: Question,
    world: &World,
) -> ValidateCredentialsRequest {
    let token = &world.tokens[t];
    ValidateCredentialsRequest {
        presented: Some(Presented::Token(known.texts[&(t, version)].clone())),
        account_key: match question.key {
            Key::Absent => String::new(),
            Key::Right => known.keys.get(&token.account).cloned().unwrap_or_default(),
            Key::Wrong => "another".into(),
        },
        required: question.required.map(|(resource, action)| Permission {
            resource: resource.into(),
            action: action.into(),
        }),
        client_address: match question.address {
            Address::Absent => "",
            Address::Inside => "192.0.2.7",
            Address::Outside => "198.51.100.7",
        }
        .into(),
        cost: question.cost,
        dry_run: question.dry_run,
        account_id: token
            .imported
            .map(|_| account_id(token.account))
            .unwrap_or_default(),
        ..Default::default()
    }
}

/// Asks until the store was not too slow, and says how often.
pub(super) async fn until_decided<T>(
    mut ask: impl AsyncFnMut() -> Result<T, Status>,
) -> (T, usize) {
    let mut tries = 0;
    let answer = eventually("an answer", async || {
        tries += 1;
        match ask().await {
            Ok(answer) => Some(answer),
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                assert!(status.get_details_retry_info().is_some(), "{status:?}");
                None
            }
        }
    })
    .await;
    (answer, tries)
}

/// Tries a secret until a rule tells what begins so.
pub(super) async fn until_told(
    known: &Known,
    operator: &Client,
    secret: (usize, u32),
    world: &World,
    (rule, told): (&str, &str),
) {
    let question = Question {
        key: Key::Right,
        required: None,
        address: Address::Inside,
        cost: 1,
        dry_run: true,
    };
    let request = request(known, secret, question, world);
    eventually(told, async || {
        let mut steps = operator.validate(request.clone()).await.steps.into_iter();
        steps
            .find(|step| step.rule == rule && step.detail.starts_with(told))
            .map(drop)
    })
    .await;
}

/// Compares an answer that came after so many tries.
pub(super) fn answered(
    known: &mut Known,
    answer: &ValidateCredentialsResponse,
    tries: usize,
    t: usize,
    question: Question,
    decided: Decided,
    world: &World,
) {
    let token = &world.tokens[t];
    if tries > 1 && token.rate.is_some() {
        // What was paid of the rate before the answer stays paid.
        known.apart = true;
        return;
    }
    let came = came(known, answer, question, decided, world, token.account);
    assert_eq!(came, decided.reason, "{answer:?}");
    told(known, answer, t, decided, world);
}

/// The reason that was answered; where only the waste explains that it is another one, the reference's.
fn came(
    known: &mut Known,
    answer: &ValidateCredentialsResponse,
    question: Question,
    decided: Decided,
    world: &World,
    a: usize,
) -> Option<&'static str> {
    let reason = answer
        .reason()
        .as_str_name()
        .trim_start_matches("DENY_REASON_");
    let came = match answer.decision() {
        Decision::Allow => None,
        _ => Some(reason),
    };
    let quota = [None, Some("QUOTA_EXCEEDED")];
    let (Some(before), true) = (decided.before, quota.contains(&came)) else {
        return came.map(leak);
    };
    let day = world.now / DAY;
    let limit = world.accounts[a].policy.daily_calls.map_or(0, signed);
    let spent = world.accounts[a].spent.get(&day).copied().map_or(0, signed);
    let cost = i64::from(question.cost.max(1));
    let wet = if question.dry_run { 0 } else { cost };
    let counted = if decided.reason.is_none() { wet } else { 0 };
    let waste = known.waste.entry((a, day)).or_default();
    let (least, most) = (
        spent - counted + waste.known,
        spent - counted + waste.known + waste.unsure,
    );
    match came {
        None => {
            assert!(
                least + cost <= limit,
                "one call too many of {limit}: {least} and {cost}"
            );
            waste.known += wet - counted;
        }
        Some(_) => {
            assert!(
                most + cost > limit,
                "{before} were left: at the most {most} of {limit} are gone, and {cost} are wanted"
            );
            waste.known -= counted;
        }
    }
    // What the server takes for gone, where it says so.
    let gone = limit
        - answer
            .quota
            .as_ref()
            .map_or(0, |quota| signed(quota.remaining));
    let (least, most) = (spent + waste.known, spent + waste.known + waste.unsure);
    if answer.quota.is_some() && cost <= limit {
        assert!(
            (least.min(limit)..=most.min(limit)).contains(&gone),
            "{gone} are gone of {limit}, and {least} to {most} can be"
        );
        if gone < limit {
            waste.known = gone - spent;
            waste.unsure = 0;
        }
    }
    if came != decided.reason && decided.takes_over {
        known.apart = true;
    }
    decided.reason
}

/// What else the answer tells.
fn told(
    known: &Known,
    answer: &ValidateCredentialsResponse,
    t: usize,
    decided: Decided,
    world: &World,
) {
    let token = &world.tokens[t];
    assert!(!answer.detail.is_empty());
    if decided.reason == Some("UNKNOWN") {
        assert_eq!(
            (answer.token_id.as_str(), answer.account_id.as_str()),
            ("", "")
        );
        return;
    }
    assert_eq!(answer.token_id, known.ids[t]);
    assert_eq!(answer.account_id, account_id(token.account));
    assert_eq!(
        answer.principal_id,
        token.principal.map(principal_id).unwrap_or_default()
    );
    assert_eq!(answer.expire_time, token.expires.map(at));
    if decided.reason.is_none() && answer.decision() == Decision::Allow {
        assert_eq!(answer.secret_good_until, decided.good_until.map(at));
    }
    if decided
        .reason
        .is_some_and(|reason| reason == "RATE_LIMITED")
    {
        assert_eq!(answer.retry_after, decided.retry_after.map(span));
    }
    if let Some(quota) = &answer.quota {
        let end = (world.now / DAY + 1) * DAY;
        assert_eq!(quota.reset_time, Some(at(end)));
        if answer.reason().as_str_name().ends_with("QUOTA_EXCEEDED") {
            assert_eq!(answer.retry_after, Some(span(end - world.now)));
        }
    }
}

fn signed(calls: u64) -> i64 {
    i64::try_from(calls).expect("limits are small")
}

/// A reason's name lives as long as the program.
fn leak(reason: &str) -> &'static str {
    let all = (1..=16).filter_map(|n| keyward::api::proto::DenyReason::try_from(n).ok());
    let mut names = all.map(|reason| reason.as_str_name().trim_start_matches("DENY_REASON_"));
    names
        .find(|name| *name == reason)
        .expect("it is in the contract")
}
