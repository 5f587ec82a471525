//! How often each step is drawn: what matters more often than what does not.

use keyward::api::proto::TokenState;
use proptest::collection::btree_set;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::Union;

use super::steps::{
    Address, DAY, Filter, Granted, HOUR, Key, MS, Make, PolicyChange, Principal, PrincipalChange,
    Question, Rate, Rule, SECOND, Standing, Step, TokenChange,
};
use super::token::Place;
use super::world::World;

/// Spans of graces and lives, in milliseconds.
const SPANS: [i64; 6] = [MS, 20 * MS, SECOND, HOUR, 12 * HOUR, 30 * DAY];
/// Accounts that a history comes to.
const MOST_ACCOUNTS: usize = 4;
/// Grants of tokens and roles: few, so that they often meet.
const GRANTS: [&[&str]; 7] = [
    &[],
    &["orders"],
    &["orders:read"],
    &["orders:read,write"],
    &["tables/*:read"],
    &["tables/a", "orders:read"],
    &["*"],
];
/// What a request may be about to do.
const REQUIRED: [(&str, &str); 6] = [
    ("orders", ""),
    ("orders", "read"),
    ("orders", "write"),
    ("tables/a", "read"),
    ("tables/a", ""),
    ("tables/b/c", "read"),
];

pub(super) fn step(world: &World) -> BoxedStrategy<Step> {
    let mut drawn = vec![
        (3, directory(world)),
        (2, policies(world)),
        (6, time(world)),
        (
            1,
            prop_oneof![3 => Just(Step::Restart), 2 => Just(Step::Crash)].boxed(),
        ),
    ];
    let tokens = world.tokens.len();
    drawn.push((if tokens < 4 { 8 } else { 1 }, make_token(world)));
    drawn.push((2, retries(world)));
    if tokens > 0 {
        drawn.push((9, lives(tokens)));
        drawn.push((2, with_etag(tokens)));
        drawn.push((24, validate(world)));
        drawn.push((6, hold(world)));
        drawn.push((3, many(world)));
        drawn.push((3, lists(world)));
    }
    if !world.held.is_empty() {
        drawn.push((2, (0..world.held.len()).prop_map(Step::Release).boxed()));
    }
    Union::new_weighted(drawn).boxed()
}

fn account(world: &World) -> impl Strategy<Value = usize> + Clone + use<> {
    0..world.accounts.len()
}

/// One of three principals or roles of an account.
fn one() -> impl Strategy<Value = u8> {
    0..3_u8
}

fn granted() -> impl Strategy<Value = Granted> {
    proptest::sample::select(&GRANTS[..])
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        5 => Just(Standing::Active),
        2 => Just(Standing::Disabled),
        1 => Just(Standing::Unverified),
    ]
}

fn directory(world: &World) -> BoxedStrategy<Step> {
    let principal = (standing(), any::<bool>(), btree_set(one(), 0..3)).prop_map(
        |(standing, api_user, roles)| Principal {
            standing,
            api_user,
            roles,
        },
    );
    let change = prop_oneof![
        3 => standing().prop_map(PrincipalChange::Standing),
        1 => any::<bool>().prop_map(PrincipalChange::ApiUser),
        2 => btree_set(one(), 0..3).prop_map(PrincipalChange::Roles),
    ];
    prop_oneof![
        1 => (0..=world.accounts.len().min(MOST_ACCOUNTS - 1), preset(), calls())
            .prop_map(|(a, preset, calls)| Step::MakeAccount(a, preset, calls)),
        2 => account(world).prop_map(Step::AccountKey),
        3 => (account(world), one(), granted()).prop_map(|(a, n, grants)| Step::MakeRole(a, n, grants)),
        2 => (account(world), one(), granted()).prop_map(|(a, n, grants)| Step::SetRole(a, n, grants)),
        1 => (account(world), one()).prop_map(|(a, n)| Step::DeleteRole(a, n)),
        4 => (account(world), one(), principal).prop_map(|(a, n, principal)| Step::MakePrincipal(a, n, principal)),
        4 => (account(world), one(), change).prop_map(|(a, n, change)| Step::SetPrincipal(a, n, change)),
    ]
    .boxed()
}

fn policies(world: &World) -> BoxedStrategy<Step> {
    let rule = prop_oneof![
        Just(Rule::Unbound),
        Just(Rule::Enforced),
        Just(Rule::Attribution)
    ];
    let change = prop_oneof![
        1 => option::of(0..6_u32).prop_map(PolicyChange::MaxTokens),
        3 => calls().prop_map(PolicyChange::DailyCalls),
        2 => option::of(0..4_u32).prop_map(PolicyChange::Connections),
        2 => proptest::sample::select(&SPANS[..]).prop_map(PolicyChange::RekeyGrace),
        1 => Just(PolicyChange::RekeyGrace(0)),
        1 => any::<bool>().prop_map(PolicyChange::RequireKey),
        1 => any::<bool>().prop_map(PolicyChange::RequireExpiry),
        1 => option::of(proptest::sample::select(&SPANS[1..])).prop_map(PolicyChange::MaxLifetime),
        1 => any::<bool>().prop_map(PolicyChange::Freeze),
        2 => rule.prop_map(PolicyChange::Rule),
    ];
    prop_oneof![
        3 => (account(world), change).prop_map(|(a, change)| Step::Policy(a, change)),
        1 => (account(world), prop_oneof![1 => Just(true), 3 => Just(false)])
            .prop_map(|(a, disabled)| Step::Disable(a, disabled)),
    ]
    .boxed()
}

pub(super) fn preset() -> impl Strategy<Value = &'static str> {
    let presets = [
        "integration-tokens",
        "access-keys",
        "application-keys",
        "standard",
        "own",
        "own",
    ];
    proptest::sample::select(presets.to_vec())
}

pub(super) fn calls() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, 4..40_u64, Just(900)]
}

/// A little on, far on, or to just around a moment at which something ends.
fn time(world: &World) -> BoxedStrategy<Step> {
    let now = world.now;
    let spans = [MS, SECOND, HOUR, 7 * HOUR, 8 * DAY];
    let mut drawn = vec![(
        2,
        proptest::sample::select(spans.map(|span| now + span).to_vec()).boxed(),
    )];
    let around = world
        .ends()
        .into_iter()
        .flat_map(|end| [end - 1, end, end + 1]);
    let mut around: Vec<i64> = around.filter(|&moment| moment > now).collect();
    around.sort_unstable();
    // What is far is met less often than what is near.
    let near = around.iter().copied().take(9).collect::<Vec<_>>();
    if !near.is_empty() {
        drawn.push((8, proptest::sample::select(near).boxed()));
        drawn.push((1, proptest::sample::select(around).boxed()));
    }
    Union::new_weighted(drawn).prop_map(Step::Time).boxed()
}

/// What makes a secret, with one of few ids: for the first time, or again.
fn retries(world: &World) -> BoxedStrategy<Step> {
    let fresh = match world.tokens.len() {
        0 => make_token(world),
        tokens => prop_oneof![make_token(world), rekey(tokens)].boxed(),
    };
    let known: Vec<Step> = world
        .requests
        .iter()
        .map(|known| known.step.clone())
        .collect();
    let step = match known.len() {
        0 => fresh,
        _ => prop_oneof![2 => fresh, 5 => proptest::sample::select(known)].boxed(),
    };
    (0..2_u8, step)
        .prop_map(|(id, step)| Step::Once(id, Box::new(step)))
        .boxed()
}

fn with_etag(tokens: usize) -> BoxedStrategy<Step> {
    (any::<bool>(), lives(tokens))
        .prop_map(|(current, step)| Step::IfMatch(current, Box::new(step)))
        .boxed()
}

fn make_token(world: &World) -> BoxedStrategy<Step> {
    let rates = [
        Rate {
            calls: 2,
            per: SECOND,
            burst: 2,
        },
        Rate {
            calls: 1,
            per: 10 * SECOND,
            burst: 3,
        },
        Rate {
            calls: 4,
            per: HOUR,
            burst: 1,
        },
    ];
    let make = (
        option::weighted(0.6, one()),
        option::weighted(0.4, proptest::sample::select(&SPANS[1..])),
        prop::bool::weighted(0.2),
        granted(),
        prop::bool::weighted(0.2),
        any::<bool>(),
        option::weighted(0.3, proptest::sample::select(rates.to_vec())),
        0..4_u32,
    );
    let make = make.prop_map(
        |(principal, ttl, read_only, grants, networks, labelled, rate, connections)| Make {
            principal,
            ttl,
            read_only,
            grants,
            networks,
            labelled,
            rate,
            connections,
        },
    );
    (account(world), make, option::weighted(0.25, 0..3_u8))
        .prop_map(|(a, make, imported)| match imported {
            Some(n) => Step::Import(a, make, n),
            None => Step::MakeToken(a, make),
        })
        .boxed()
}

fn rekey(tokens: usize) -> BoxedStrategy<Step> {
    let grace = prop_oneof![
        2 => Just(None),
        1 => Just(Some(0)),
        4 => proptest::sample::select(&SPANS[..]).prop_map(Some),
    ];
    (0..tokens, grace, any::<bool>())
        .prop_map(|(token, grace, on_first_use)| Step::Rekey {
            token,
            grace,
            on_first_use,
        })
        .boxed()
}

fn lives(tokens: usize) -> BoxedStrategy<Step> {
    let token = move || 0..tokens;
    let change = prop_oneof![
        1 => Just(TokenChange::Name),
        1 => option::of(one()).prop_map(TokenChange::Principal),
        3 => option::of(proptest::sample::select(&SPANS[..])).prop_map(TokenChange::Expire),
        1 => any::<bool>().prop_map(TokenChange::ReadOnly),
        1 => granted().prop_map(TokenChange::Grants),
        1 => any::<bool>().prop_map(TokenChange::Networks),
        1 => (0..4_u32).prop_map(TokenChange::Connections),
    ];
    prop_oneof![
        8 => rekey(tokens),
        3 => token().prop_map(Step::CompleteRekey),
        2 => token().prop_map(Step::CancelRekey),
        3 => (token(), change).prop_map(|(token, change)| Step::SetToken(token, change)),
        2 => token().prop_map(Step::Deactivate),
        2 => token().prop_map(Step::Reactivate),
        1 => token().prop_map(Step::Delete),
    ]
    .boxed()
}

fn validate(world: &World) -> BoxedStrategy<Step> {
    (secret(world), question())
        .prop_map(|((token, version), question)| Step::Validate(token, version, question))
        .boxed()
}

fn many(world: &World) -> BoxedStrategy<Step> {
    let asked = (secret(world), question());
    let asked = asked.prop_map(|((token, version), question)| (token, version, question));
    (any::<bool>(), proptest::collection::vec(asked, 1..6))
        .prop_map(|(stream, asked)| Step::Many(stream, asked))
        .boxed()
}

fn lists(world: &World) -> BoxedStrategy<Step> {
    let states = [
        TokenState::Active,
        TokenState::Inactive,
        TokenState::Expired,
    ];
    let now = world.now;
    let moments = [now - HOUR, now, now + MS, now + 12 * HOUR, now + 31 * DAY];
    let moment = || option::weighted(0.3, proptest::sample::select(moments.to_vec()));
    let filter = (
        option::weighted(0.3, proptest::sample::select(states.to_vec())),
        option::weighted(0.2, one()),
        proptest::sample::select(&["", "", "tok", "another"][..]),
        (moment(), moment()),
        prop::bool::weighted(0.3),
        1..4,
    );
    let filter = filter.prop_map(
        |(state, principal, prefix, moments, labelled, page)| Filter {
            state,
            principal,
            prefix,
            expire_before: moments.0,
            unused_since: moments.1,
            labelled,
            page,
        },
    );
    prop_oneof![
        2 => (account(world), filter).prop_map(|(a, filter)| Step::List(a, filter)),
        1 => account(world).prop_map(Step::Usage),
    ]
    .boxed()
}

/// Mostly such as is let in, so that there is something to be withdrawn.
fn hold(world: &World) -> BoxedStrategy<Step> {
    let mild = question().prop_map(|question| Question {
        cost: question.cost.min(2),
        dry_run: false,
        ..question
    });
    (secret(world), mild)
        .prop_map(|((token, version), question)| Step::Hold(token, version, question))
        .boxed()
}

/// Any secret that a token ever had; those that still count for something more often.
fn secret(world: &World) -> impl Strategy<Value = (usize, u32)> + use<> {
    let mut texts = Vec::new();
    for (place, token) in world.tokens.iter().enumerate() {
        let all = (1..=token.versions).map(|version| (1, Just((place, version)).boxed()));
        texts.extend(all);
        let live = token.secrets.iter().filter(|secret| match secret.place {
            Place::Old { end } => end + HOUR > world.now,
            Place::Pending { .. } | Place::Current => true,
        });
        texts.extend(live.map(|secret| (5, Just((place, secret.version)).boxed())));
    }
    Union::new_weighted(texts)
}

fn question() -> impl Strategy<Value = Question> {
    let question = (
        prop_oneof![2 => Just(Key::Absent), 6 => Just(Key::Right), 1 => Just(Key::Wrong)],
        option::weighted(0.4, proptest::sample::select(&REQUIRED[..])),
        prop_oneof![2 => Just(Address::Absent), 4 => Just(Address::Inside), 1 => Just(Address::Outside)],
        prop_oneof![6 => 0..=2_u32, 2 => 3..30_u32, 1 => Just(901_u32)],
        prop::bool::weighted(0.1),
    );
    question.prop_map(|(key, required, address, cost, dry_run)| Question {
        key,
        required,
        address,
        cost,
        dry_run,
    })
}
