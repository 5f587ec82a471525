//! The reference: what accounts, principals, roles and tokens come to by each step, written from the design alone.

use std::collections::BTreeMap;

use super::decision::{Decided, decide};
use super::held::Held;
use super::policy::Policy;
use super::retries::Request;
use super::steps::{
    DAY, Granted, PolicyChange, Principal, PrincipalChange, Question, Rule, Standing, Step,
};
use super::token::{PENDING_KEPT, Place, SUPERSEDED_KEPT, Token};

pub(super) const ACCOUNTS: usize = 2;
/// Everything, at a moment.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// Milliseconds since 1970.
    pub(super) now: i64,
    pub(super) accounts: Vec<Account>,
    /// Deleted ones too.
    pub(super) tokens: Vec<Token>,
    /// Connections, the oldest first.
    pub(super) held: Vec<Held>,
    /// Connections that there ever were.
    pub(super) holds: u32,
    /// Requests with an id that were done.
    pub(super) requests: Vec<Request>,
    /// A crash may have taken the last second's usage with it.
    pub(super) crashed: bool,
    /// Connections that the last step has cut, by number, and why.
    pub(super) cut: Vec<(u32, &'static str)>,
    /// What the last step had to come to.
    pub(super) outcome: Outcome,
}

#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Done,
    /// An error with one of these reasons, and nothing half done.
    Refused(Vec<&'static str>),
    /// The answer that was given before: a token and its secret.
    Again(usize, u32),
    Decided(Decided),
    /// Each of several.
    All(Vec<Decided>),
}

#[derive(Clone, Debug)]
pub(super) struct Account {
    /// What it was made by.
    pub(super) preset: &'static str,
    pub(super) has_key: bool,
    pub(super) disabled: bool,
    pub(super) policy: Policy,
    pub(super) roles: BTreeMap<u8, Granted>,
    pub(super) principals: BTreeMap<u8, Principal>,
    /// Calls let in, by UTC day.
    pub(super) spent: BTreeMap<i64, u64>,
    /// Secrets that matched and were denied, by UTC day.
    pub(super) denied: BTreeMap<i64, u64>,
}

impl Account {
    /// One that has a role and two API users already.
    pub(super) fn new(preset: &'static str, own_calls: u64) -> Self {
        let user = |roles: &[u8]| Principal {
            standing: Standing::Active,
            api_user: true,
            roles: roles.iter().copied().collect(),
        };
        Self {
            preset,
            has_key: false,
            disabled: false,
            policy: Policy::of(preset, own_calls),
            roles: BTreeMap::from([(0, &["orders"][..])]),
            principals: BTreeMap::from([(0, user(&[])), (1, user(&[0]))]),
            spent: BTreeMap::new(),
            denied: BTreeMap::new(),
        }
    }

    /// What brings the server to the same.
    pub(super) fn beginning(&self, a: usize) -> Vec<Step> {
        let roles = self.roles.iter();
        let mut steps: Vec<_> = roles
            .map(|(n, grants)| Step::MakeRole(a, *n, grants))
            .collect();
        let users = self.principals.iter();
        steps.extend(users.map(|(n, user)| Step::MakePrincipal(a, *n, user.clone())));
        steps
    }

    /// Calls of the day that are left; `None` without a limit.
    pub(super) fn remaining(&self, now: i64) -> Option<u64> {
        let spent = self.spent.get(&(now / DAY)).copied().unwrap_or_default();
        Some(self.policy.daily_calls?.saturating_sub(spent))
    }

    fn lacks_a_role(&self, principal: &Principal) -> bool {
        principal
            .roles
            .iter()
            .any(|role| !self.roles.contains_key(role))
    }

    /// What is wrong with a token's acting for this principal.
    pub(super) fn objections(&self, principal: Option<u8>) -> Vec<&'static str> {
        let rule = self.policy.rule;
        match principal.map(|n| self.principals.get(&n)) {
            None if rule == Rule::Unbound => vec![],
            None => vec!["INVALID_FIELD"],
            Some(None) => vec!["NOT_FOUND"],
            Some(Some(found)) if rule == Rule::Enforced && !found.may_have_tokens() => {
                vec!["PRINCIPAL_NOT_API_USER"]
            }
            Some(Some(_)) => vec![],
        }
    }
}

impl Principal {
    pub(super) fn may_have_tokens(&self) -> bool {
        self.standing == Standing::Active && self.api_user
    }
}

impl From<Vec<&'static str>> for Outcome {
    fn from(wrong: Vec<&'static str>) -> Self {
        if wrong.is_empty() {
            Self::Done
        } else {
            Self::Refused(wrong)
        }
    }
}

impl World {
    pub(super) fn step(mut self, step: &Step) -> Self {
        self.outcome = match *step {
            Step::Time(to) => {
                self.now = to;
                self.tokens.iter_mut().for_each(|token| token.forget(to));
                Outcome::Done
            }
            // Rates are kept in memory.
            Step::Restart | Step::Crash => {
                self.held.clear();
                self.crashed |= matches!(step, Step::Crash);
                self.tokens
                    .iter_mut()
                    .for_each(|token| token.rate_used_until = 0);
                Outcome::Done
            }
            Step::Validate(token, version, question) => {
                Outcome::Decided(self.validate(token, version, question))
            }
            Step::Hold(token, version, question) => {
                let token = self.bearer(token, version);
                let decided = self.hold(token, version, question);
                self.count_denied(token, question, &decided);
                Outcome::Decided(decided)
            }
            Step::Release(place) => {
                self.held.remove(place);
                Outcome::Done
            }
            Step::Many(_, ref asked) => {
                let asked = asked.iter();
                let decided = asked.map(|&(t, version, asked)| self.validate(t, version, asked));
                Outcome::All(decided.collect())
            }
            Step::List(..) | Step::Usage(_) => Outcome::Done,
            Step::Once(id, ref step) => self.once(id, step),
            _ => self.change(step).into(),
        };
        self.cut = self.withdraw();
        self
    }

    fn validate(&mut self, token: usize, version: u32, question: Question) -> Decided {
        let token = self.bearer(token, version);
        let decided = decide(self, token, version, question);
        self.count_denied(token, question, &decided);
        decided
    }

    /// Makes a change, unless it is refused: all that is wrong with it.
    pub(super) fn change(&mut self, step: &Step) -> Vec<&'static str> {
        match step {
            Step::MakeToken(account, make) => self.make_token(*account, make, None),
            Step::Import(account, make, n) => self.make_token(*account, make, Some(*n)),
            Step::IfMatch(current, step) => self.if_match(*current, step),
            Step::SetToken(token, change) => self.set_token(*token, change),
            Step::Rekey {
                token,
                grace,
                on_first_use,
            } => self.rekey(*token, *grace, *on_first_use),
            Step::CompleteRekey(token)
            | Step::CancelRekey(token)
            | Step::Deactivate(token)
            | Step::Reactivate(token)
            | Step::Delete(token) => self.life(*token, step),
            Step::Policy(account, change) => self.policy(*account, *change),
            _ => self.directory(step),
        }
    }

    fn directory(&mut self, step: &Step) -> Vec<&'static str> {
        let mut wrong = Vec::new();
        match step {
            Step::MakeAccount(a, preset, calls) => {
                let taken = *a < self.accounts.len();
                wrong.extend(taken.then_some("ALREADY_EXISTS"));
                if !taken {
                    self.accounts.push(Account::new(preset, *calls));
                }
            }
            Step::AccountKey(a) => {
                let account = &mut self.accounts[*a];
                wrong.extend(account.has_key.then_some("ACCOUNT_KEY_EXISTS"));
                wrong.extend(account.disabled.then_some("ACCOUNT_DISABLED"));
                account.has_key |= wrong.is_empty();
            }
            Step::Disable(a, disabled) => self.accounts[*a].disabled = *disabled,
            Step::MakeRole(a, n, grants) => {
                let account = &mut self.accounts[*a];
                wrong.extend(account.roles.contains_key(n).then_some("ALREADY_EXISTS"));
                wrong.extend(account.disabled.then_some("ACCOUNT_DISABLED"));
                if wrong.is_empty() {
                    account.roles.insert(*n, grants);
                }
            }
            Step::SetRole(a, n, grants) => match self.accounts[*a].roles.get_mut(n) {
                Some(role) => *role = grants,
                None => wrong.push("NOT_FOUND"),
            },
            Step::DeleteRole(a, n) => {
                let account = &mut self.accounts[*a];
                let given = account.principals.values().any(|who| who.roles.contains(n));
                wrong.extend(given.then_some("ROLE_IN_USE"));
                if wrong.is_empty() && account.roles.remove(n).is_none() {
                    wrong.push("NOT_FOUND");
                }
            }
            Step::MakePrincipal(a, n, principal) => {
                let account = &mut self.accounts[*a];
                let early = principal.api_user && principal.standing != Standing::Active;
                wrong.extend(
                    account
                        .principals
                        .contains_key(n)
                        .then_some("ALREADY_EXISTS"),
                );
                wrong.extend(account.disabled.then_some("ACCOUNT_DISABLED"));
                wrong.extend(account.lacks_a_role(principal).then_some("NOT_FOUND"));
                wrong.extend(early.then_some("PRINCIPAL_NOT_ACTIVE"));
                if wrong.is_empty() {
                    account.principals.insert(*n, principal.clone());
                }
            }
            Step::SetPrincipal(a, n, change) => {
                let account = &mut self.accounts[*a];
                let Some(mut principal) = account.principals.get(n).cloned() else {
                    return vec!["NOT_FOUND"];
                };
                let was = principal.api_user;
                match change {
                    PrincipalChange::Standing(standing) => principal.standing = *standing,
                    PrincipalChange::ApiUser(is) => principal.api_user = *is,
                    PrincipalChange::Roles(roles) => principal.roles.clone_from(roles),
                }
                let made = principal.api_user && !was;
                let early = made && principal.standing != Standing::Active;
                wrong.extend(account.lacks_a_role(&principal).then_some("NOT_FOUND"));
                wrong.extend(early.then_some("PRINCIPAL_NOT_ACTIVE"));
                if wrong.is_empty() {
                    account.principals.insert(*n, principal);
                }
            }
            other => unreachable!("{other:?}"),
        }
        wrong
    }

    fn policy(&mut self, a: usize, change: PolicyChange) -> Vec<&'static str> {
        let has_tokens = self.tokens_of(a) > 0;
        let policy = &mut self.accounts[a].policy;
        match change {
            PolicyChange::MaxTokens(limit) => policy.max_tokens = limit,
            PolicyChange::DailyCalls(calls) => policy.daily_calls = Some(calls),
            PolicyChange::Connections(most) => policy.connections = most,
            PolicyChange::RekeyGrace(grace) => policy.rekey_grace = grace,
            PolicyChange::RequireKey(required) => policy.require_key = required,
            PolicyChange::RequireExpiry(required) => policy.require_expiry = required,
            PolicyChange::MaxLifetime(most) => policy.max_lifetime = most,
            PolicyChange::Freeze(frozen) => policy.freeze = frozen,
            PolicyChange::Rule(rule) if has_tokens && rule != policy.rule => {
                return vec!["POLICY_FIXED"];
            }
            PolicyChange::Rule(rule) => policy.rule = rule,
        }
        vec![]
    }

    /// Dead ones included.
    pub(super) fn tokens_of(&self, account: usize) -> usize {
        let there = |token: &&Token| token.account == account && !token.deleted;
        self.tokens.iter().filter(there).count()
    }

    /// Moments at which something ends or comes back.
    pub(super) fn ends(&self) -> Vec<i64> {
        let mut ends = vec![(self.now / DAY + 1) * DAY];
        for token in self.tokens.iter().filter(|token| !token.deleted) {
            ends.extend(token.expires);
            ends.extend(
                token
                    .rate
                    .map(|rate| token.rate_used_until - rate.span(rate.burst - 1)),
            );
            ends.extend(
                token
                    .secrets
                    .iter()
                    .filter_map(|secret| match secret.place {
                        Place::Pending { since, .. } => Some(since + PENDING_KEPT),
                        Place::Current => None,
                        Place::Old { end } if token.end_of(end) > self.now => {
                            Some(token.end_of(end))
                        }
                        Place::Old { end } => Some(end + SUPERSEDED_KEPT),
                    }),
            );
        }
        ends
    }
}
