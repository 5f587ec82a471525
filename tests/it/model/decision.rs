//! The reference's decision, in the order of the contract's reasons.

use super::steps::{Address, DAY, Granted, Key, Question, Rule};
use super::token::{Place, Token};
use super::world::World;

/// What a validation must be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Decided {
    /// The name of the reason; `None` is ALLOW.
    pub(super) reason: Option<&'static str>,
    /// Calls of the day that are left after it; `None` without a limit, or where the budget was not asked.
    pub(super) remaining: Option<u64>,
    /// Calls that the day had left before it.
    pub(super) before: Option<u64>,
    pub(super) retry_after: Option<i64>,
    /// The end of the retiring secret that was used.
    pub(super) good_until: Option<i64>,
    /// It was the first use of a pending secret.
    pub(super) takes_over: bool,
}

impl Decided {
    pub(super) fn deny(reason: &'static str) -> Self {
        Self {
            reason: Some(reason),
            ..Self::allow()
        }
    }

    fn allow() -> Self {
        Self {
            reason: None,
            remaining: None,
            before: None,
            retry_after: None,
            good_until: None,
            takes_over: false,
        }
    }
}

pub(super) fn decide(world: &mut World, t: usize, version: u32, question: Question) -> Decided {
    let now = world.now;
    let token = &world.tokens[t];
    let secret = token
        .secrets
        .iter()
        .find(|secret| secret.version == version);
    let Some(place) = secret.map(|secret| secret.place).filter(|_| !token.deleted) else {
        return Decided::deny("UNKNOWN");
    };
    if let Some(reason) = broken(world, token, place, question) {
        return Decided::deny(reason);
    }
    let mut decided = spend(world, t, question);
    if decided.reason.is_none() && !question.dry_run {
        let token = &mut world.tokens[t];
        *token.calls.entry(now / DAY).or_default() += u64::from(question.cost.max(1));
        token.last_used = Some(now);
    }
    if let Place::Old { end } = place {
        decided.good_until = Some(world.tokens[t].end_of(end));
    }
    if let Place::Pending { grace, .. } = place
        && decided.reason.is_none()
        && !question.dry_run
    {
        decided.takes_over = true;
        world.tokens[t].take_over(version, grace, now);
    }
    decided
}

/// The first rule that is broken, before the budget.
pub(super) fn broken(
    world: &World,
    token: &Token,
    place: Place,
    question: Question,
) -> Option<&'static str> {
    let (now, account) = (world.now, &world.accounts[token.account]);
    let key_fits = match question.key {
        Key::Wrong => false,
        Key::Right if account.has_key => true,
        Key::Right | Key::Absent => !account.policy.require_key,
    };
    let principal = token.principal.and_then(|n| account.principals.get(&n));
    let enforced = account.policy.rule == Rule::Enforced;
    let may_act = !enforced || principal.is_some_and(|who| who.may_have_tokens());
    let over = matches!(place, Place::Old { end } if now >= token.end_of(end));
    let permitted = question.required.is_none_or(|required| {
        let own = token.grants.is_empty() || covers(token.grants, required);
        let roles = principal.into_iter().flat_map(|who| &who.roles);
        let mut roles = roles.filter_map(|role| account.roles.get(role));
        own && (!enforced || roles.any(|grants| covers(grants, required)))
    });
    let reads = question.required.is_none_or(|(_, action)| action == "read");
    let near = !token.networks || question.address == Address::Inside;
    let rules = [
        (key_fits, "ACCOUNT_KEY_MISMATCH"),
        (!over, "SUPERSEDED"),
        (!token.expired(now), "EXPIRED"),
        (!token.inactive, "INACTIVE"),
        (may_act, "PRINCIPAL_DISABLED"),
        (!account.disabled, "ACCOUNT_DISABLED"),
        (permitted, "PERMISSION_DENIED"),
        (!token.read_only || reads, "READ_ONLY"),
        (near, "ADDRESS_NOT_ALLOWED"),
    ];
    rules
        .iter()
        .find(|(holds, _)| !holds)
        .map(|(_, reason)| *reason)
}

/// The rate first and then the day's calls: what was spent is never given back.
fn spend(world: &mut World, t: usize, question: Question) -> Decided {
    let (now, cost) = (world.now, question.cost.max(1));
    let token = &mut world.tokens[t];
    let account = &mut world.accounts[token.account];
    if let Some(rate) = token.rate {
        let used_until = token.rate_used_until.max(now) + rate.span(cost);
        let too_early = used_until - now - rate.span(rate.burst);
        if too_early > 0 {
            return Decided {
                retry_after: (cost <= rate.burst).then_some(too_early),
                ..Decided::deny("RATE_LIMITED")
            };
        }
        if !question.dry_run {
            token.rate_used_until = used_until;
        }
    }
    let Some(before) = account.remaining(now) else {
        return Decided::allow();
    };
    let day = now / DAY;
    let refused = before < u64::from(cost);
    if !refused && !question.dry_run {
        *account.spent.entry(day).or_default() += u64::from(cost);
    }
    Decided {
        reason: refused.then_some("QUOTA_EXCEEDED"),
        remaining: account.remaining(now),
        before: Some(before),
        retry_after: refused.then_some((day + 1) * DAY - now),
        ..Decided::allow()
    }
}

/// A grant covers by resource, exactly or under a last segment `*`, and by action; `*` alone covers all.
fn covers(grants: Granted, (resource, action): (&str, &str)) -> bool {
    grants.iter().any(|grant| {
        let (named, actions) = grant
            .split_once(':')
            .map_or((*grant, None), |(named, actions)| (named, Some(actions)));
        let by_resource = match named.strip_suffix('*') {
            Some(prefix) => resource.len() > prefix.len() && resource.starts_with(prefix),
            None => named == resource,
        };
        by_resource && actions.is_none_or(|actions| actions.split(',').any(|one| one == action))
    })
}
