//! Tests: the rules, each alone and in their order.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::domain::account::{Policy, PrincipalRule};
use crate::domain::budget::Unmetered;
use crate::domain::grant::Grant;
use crate::domain::id::{AccountId, AccountKey, PrincipalId, TokenId};
use crate::domain::network::Network;
use crate::domain::principal::PrincipalState;
use crate::domain::secret::{Digest, KeyId, Place, Secret};
use crate::domain::token::{Access, Token};

const NOW: Timestamp = Timestamp::from_millis(1_000);
const KEY: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUV";

/// A subject in whose favour every rule speaks; tests break it rule by rule.
struct Case {
    token: Token,
    account: Account,
    principal: Principal,
    roles: Grants,
    key: Option<&'static str>,
    required: Option<(&'static str, &'static str)>,
    address: Option<&'static str>,
}

fn grants(texts: &[&str]) -> Grants {
    Grants::new(texts.iter().map(|text| Grant::parse(text).unwrap()))
}

fn case() -> Case {
    let account = AccountId::parse("acme").unwrap();
    let principal = PrincipalId::parse("api").unwrap();
    Case {
        token: Token {
            id: TokenId::parse("0123456789ABCDEFGHIJKL").unwrap(),
            account: account.clone(),
            name: "integration".into(),
            description: String::new(),
            principal: Some(principal.clone()),
            access: Access::Full,
            grants: Grants::default(),
            networks: vec![Network::parse("10.0.0.0/8").unwrap()],
            rate_limit: None,
            max_connections: None,
            inactive: false,
            deactivations: 0,
            expire_time: Some(Timestamp::from_millis(5_000)),
            create_time: Timestamp::from_millis(0),
            created_by: String::new(),
            update_time: Timestamp::from_millis(0),
            rekey_time: None,
            secrets: vec![Secret {
                version: 1,
                place: Place::Current,
                digest: Digest::new([1; 32]),
                key: KeyId(1),
                foreign: false,
                hint: String::new(),
                create_time: Timestamp::from_millis(0),
            }],
            last_version: 1,
            labels: BTreeMap::new(),
            generation: 1,
            scope: None,
            imported: false,
            foreign_id: None,
        },
        account: Account {
            id: account.clone(),
            display_name: String::new(),
            key: Some(AccountKey::parse(KEY).unwrap()),
            disabled: false,
            policy: Policy::preset("integration-tokens").unwrap(),
            create_time: Timestamp::from_millis(0),
            generation: 1,
        },
        principal: Principal {
            id: principal,
            account,
            display_name: String::new(),
            email: String::new(),
            state: PrincipalState::Active,
            api_user: true,
            roles: Vec::new(),
            create_time: Timestamp::from_millis(0),
            generation: 1,
        },
        roles: grants(&["tables/*"]),
        key: Some(KEY),
        required: Some(("tables/orders", "read")),
        address: Some("10.1.2.3"),
    }
}

impl Case {
    fn ask<T>(&self, ask: impl FnOnce(Result<&Subject<'_>, Unfound>, &Question<'_>) -> T) -> T {
        let subject = Subject {
            credential: self.token.credential(),
            secret: self.token.secrets[0].life(),
            account: &self.account,
            standing: Some(Standing {
                principal: &self.principal,
                grants: &self.roles,
            }),
        };
        let question = Question {
            account_key: self.key,
            required: self
                .required
                .map(|(resource, action)| Permission::parse(resource, action).unwrap()),
            client_address: self.address.map(|address| address.parse().unwrap()),
        };
        ask(Ok(&subject), &question)
    }

    fn reason(&self) -> Option<DenyReason> {
        self.ask(|found, question| decide(found, question, NOW, &mut Unmetered).unwrap())
            .reason
    }
}

type Break = fn(&mut Case);

/// One way to break each rule, in the contract's order.
const BREAKS: [(DenyReason, Break); 9] = [
    (DenyReason::AccountKeyMismatch, |case| case.key = None),
    (DenyReason::Superseded, |case| {
        case.token.secrets[0].place = Place::Old { good_until: NOW }
    }),
    (DenyReason::Expired, |case| {
        case.token.expire_time = Some(NOW)
    }),
    (DenyReason::Inactive, |case| case.token.inactive = true),
    (DenyReason::PrincipalDisabled, |case| {
        case.principal.state = PrincipalState::Disabled
    }),
    (DenyReason::AccountDisabled, |case| {
        case.account.disabled = true
    }),
    (DenyReason::PermissionDenied, |case| {
        case.roles = Grants::default()
    }),
    (DenyReason::ReadOnly, |case| {
        case.token.access = Access::ReadOnly;
        case.required = Some(("tables/orders", "write"));
    }),
    (DenyReason::AddressNotAllowed, |case| {
        case.address = Some("192.0.2.1")
    }),
];

#[test]
fn the_first_broken_rule_decides_whatever_else_is_broken() {
    assert_eq!(case().reason(), None);
    for (first, (reason, _)) in BREAKS.iter().enumerate() {
        let mut case = case();
        for (_, break_rule) in &BREAKS[first..] {
            break_rule(&mut case);
        }
        assert_eq!(case.reason(), Some(*reason));
    }
}

#[test]
fn each_rule_alone_denies() {
    for (reason, break_rule) in BREAKS {
        let mut case = case();
        break_rule(&mut case);
        assert_eq!(case.reason(), Some(reason));
    }
}

#[test]
fn the_rules_stand_in_the_contract_s_order() {
    assert!(RULES.windows(2).all(|pair| pair[0].reason < pair[1].reason));
}

#[test]
fn what_is_not_found_is_told_without_the_rest() {
    for (unfound, reason, steps) in [
        (Unfound::Missing, DenyReason::Missing, 1),
        (Unfound::Malformed, DenyReason::Malformed, 2),
        (Unfound::WrongEnvironment, DenyReason::WrongEnvironment, 3),
        (Unfound::Unknown, DenyReason::Unknown, 4),
    ] {
        let (verdict, told) =
            explain(Err(unfound), &Question::default(), NOW, &mut Unmetered).unwrap();
        assert_eq!(verdict.reason, Some(reason));
        assert_eq!(told.len(), steps);
        assert!(told.iter().rev().skip(1).all(|step| step.passed) && !told[steps - 1].passed);
    }
}

#[test]
fn a_dry_run_gives_the_same_answer_and_tells_every_rule() {
    for (reason, break_rule) in BREAKS {
        let mut case = case();
        break_rule(&mut case);
        let (verdict, steps) =
            case.ask(|found, question| explain(found, question, NOW, &mut Unmetered).unwrap());
        assert_eq!(verdict.reason, Some(reason));
        assert_eq!(steps.len(), 4 + RULES.len() + Charge::ALL.len());
        assert_eq!(
            steps.iter().find(|step| !step.passed).unwrap().detail,
            verdict.detail
        );
    }
}

/// A budget that refuses one charge, or cannot say, and remembers what it was asked.
#[derive(Default)]
struct Purse {
    refused: Option<Charge>,
    unknown: Option<Charge>,
    asked: Vec<Charge>,
}

impl Budget for Purse {
    fn spend(&mut self, charge: Charge, _: &Subject<'_>, _: Timestamp) -> Spent {
        self.asked.push(charge);
        if self.refused == Some(charge) {
            let retry_after = Some(Duration::from_millis(7));
            Spent::Refused { retry_after }
        } else if self.unknown == Some(charge) {
            Spent::Unknown
        } else {
            Spent::Paid
        }
    }

    fn tell(&self, charge: Charge, _: &Subject<'_>, _: Timestamp) -> Cow<'static, str> {
        charge.name().into()
    }
}

#[test]
fn the_budget_is_asked_last_and_no_further_than_it_refuses() {
    let table = [
        (Charge::Connection, DenyReason::TooManyConnections, 1),
        (Charge::Rate, DenyReason::RateLimited, 2),
        (Charge::Quota, DenyReason::QuotaExceeded, 3),
    ];
    for (charge, reason, asked) in table {
        let mut purse = Purse {
            refused: Some(charge),
            ..Purse::default()
        };
        let verdict =
            case().ask(|found, question| decide(found, question, NOW, &mut purse).unwrap());
        assert_eq!(verdict.reason, Some(reason));
        assert_eq!(verdict.retry_after, Some(Duration::from_millis(7)));
        assert_eq!(purse.asked, Charge::ALL[..asked]);
    }
    for (reason, break_rule) in BREAKS {
        let (mut case, mut purse) = (case(), Purse::default());
        break_rule(&mut case);
        case.ask(|found, question| decide(found, question, NOW, &mut purse).unwrap());
        assert_eq!(purse.asked, [], "{reason:?} spends nothing");
    }
}

#[test]
fn what_only_the_store_knows_is_not_decided() {
    let mut purse = Purse {
        unknown: Some(Charge::Quota),
        ..Purse::default()
    };
    let verdict = case().ask(|found, question| decide(found, question, NOW, &mut purse));
    assert_eq!(verdict, Err(Undecided));
}

#[test]
fn a_dry_run_that_another_rule_decides_does_not_say_that_an_unknown_charge_is_broken() {
    for (reason, break_rule) in BREAKS {
        let mut case = case();
        break_rule(&mut case);
        let mut purse = Purse {
            unknown: Some(Charge::Quota),
            ..Purse::default()
        };
        let (_, steps) =
            case.ask(|found, question| explain(found, question, NOW, &mut purse).unwrap());
        let broken = steps
            .iter()
            .filter(|step| !step.passed && step.rule == Charge::Quota.name());
        assert_eq!(broken.count(), 0, "{reason:?}");
    }
}

#[test]
fn a_wrong_account_key_is_a_mismatch_even_where_none_is_required() {
    let mut case = case();
    case.account.policy.require_account_key = false;
    case.key = None;
    assert_eq!(case.reason(), None);
    case.key = Some("wrong");
    assert_eq!(case.reason(), Some(DenyReason::AccountKeyMismatch));
    case.account.key = None;
    case.key = Some(KEY);
    assert_eq!(case.reason(), Some(DenyReason::AccountKeyMismatch));
}

#[test]
fn only_enforced_principals_bound_their_tokens() {
    for rule in [PrincipalRule::None, PrincipalRule::Attribution] {
        let mut case = case();
        case.account.policy.principal_rule = rule;
        case.principal.state = PrincipalState::Disabled;
        case.roles = Grants::default();
        assert_eq!(case.reason(), None, "{rule:?}");
        case.token.grants = grants(&["dispatch"]);
        assert_eq!(
            case.reason(),
            Some(DenyReason::PermissionDenied),
            "{rule:?}"
        );
    }
}

#[test]
fn empty_grants_reach_everything_but_keyward_s_own() {
    let mut case = case();
    case.account.policy.principal_rule = PrincipalRule::None;
    case.required = Some(("anything/at/all", "delete"));
    assert_eq!(case.reason(), None);
    case.required = Some(("keyward/tokens", "read"));
    assert_eq!(case.reason(), Some(DenyReason::PermissionDenied));
}

#[test]
fn a_read_only_token_passes_the_action_read_and_no_other() {
    let mut case = case();
    case.token.access = Access::ReadOnly;
    for (required, expected) in [
        (None, None),
        (Some(("tables/orders", "read")), None),
        (Some(("tables/orders", "write")), Some(DenyReason::ReadOnly)),
        (Some(("tables/orders", "")), Some(DenyReason::ReadOnly)),
    ] {
        case.required = required;
        assert_eq!(case.reason(), expected, "{required:?}");
    }
}

#[test]
fn allowed_networks_want_an_address() {
    let mut case = case();
    case.address = None;
    assert_eq!(case.reason(), Some(DenyReason::AddressNotAllowed));
    case.token.networks.clear();
    assert_eq!(case.reason(), None);
}

#[test]
fn effective_grants_are_the_token_s_within_its_roles() {
    let listed = |case: &Case| {
        let grants = case.ask(|found, _| effective_grants(found.unwrap()));
        grants.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let mut case = case();
    assert_eq!(listed(&case), ["tables/*"]);
    case.token.grants = grants(&["tables/orders:read", "dispatch"]);
    assert_eq!(listed(&case), ["tables/orders:read"]);
    case.account.policy.principal_rule = PrincipalRule::None;
    assert_eq!(listed(&case), ["tables/orders:read", "dispatch"]);
    case.token.grants = Grants::default();
    assert_eq!(listed(&case), ["*"]);
}

#[test]
fn time_decides_to_the_millisecond() {
    let mut case = case();
    case.token.expire_time = Some(Timestamp::from_millis(1_001));
    assert_eq!(case.reason(), None);
    case.token.expire_time = Some(NOW);
    assert_eq!(case.reason(), Some(DenyReason::Expired));
    case.token.expire_time = None;
    case.token.secrets[0].place = Place::Old {
        good_until: NOW.after(Duration::from_millis(1)),
    };
    assert_eq!(case.reason(), None);
}
