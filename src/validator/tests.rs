//! Tests: what is presented, what is answered, and that a miss costs what a hit costs.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::*;
use crate::domain::account::Policy;
use crate::domain::decision::DenyReason::{
    AccountKeyMismatch, AddressNotAllowed, Expired, Malformed, Missing, PermissionDenied, ReadOnly,
    WrongEnvironment,
};
use crate::domain::grant::Permission;
use crate::domain::id::TokenId;
use crate::domain::limits;
use crate::domain::network::Network;
use crate::domain::token::Access;
use crate::registry::accounts::PolicyChange;
use crate::registry::tests::world::*;
use crate::registry::tokens::{Expiry, NewToken};

mod arrival;
mod imports;

const UNKNOWN: Option<DenyReason> = Some(DenyReason::Unknown);

/// The decision on what stands in a header.
fn header(world: &World, header: &str) -> Option<DenyReason> {
    world
        .validate(&ask(Presented::Header(header)))
        .verdict
        .reason
}

fn basic(id: &str, text: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{id}:{text}")))
}

#[tokio::test]
async fn every_form_in_which_a_good_text_comes_is_answered_alike() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    let (id, text) = (issued.token.id.to_string(), issued.secret.reveal());
    let other = world.token("acme").await.token.id.to_string();
    let (short, longer) = (&text[..text.len() - 1], format!("{text}x"));
    let elsewhere = crate::domain::text::Environment::parse("sandbox").unwrap();
    let foreign = crate::domain::text::assemble(&elsewhere, issued.token.id, &[b'x'; 43]);
    let wrong =
        crate::domain::text::assemble(&world.registry.environment, issued.token.id, &[b'x'; 43]);
    let nobody = TokenId::parse("0123456789ABCDEFGHIJKL").unwrap();
    let nobody = crate::domain::text::assemble(&world.registry.environment, nobody, &[b'x'; 43]);
    let headers = [
        (format!("Bearer {text}"), None),
        (format!("bEARER  {text} "), None),
        (text.to_owned(), None),
        (basic(&id, text), None),
        (basic(&id, text).replace('=', ""), None),
        (basic(&other, text), UNKNOWN),
        (basic("", text), UNKNOWN),
        (basic(&id.to_lowercase(), text), UNKNOWN),
        (basic(&id, ""), Some(Malformed)),
        (format!("Digest {text}"), Some(Malformed)),
        (format!("Bearer {short}"), Some(Malformed)),
        (format!("Bearer {longer}"), Some(Malformed)),
        ("Bearer kw_".into(), Some(Malformed)),
        (
            format!("Bearer {}", text.replace("kw_test", "kw_tesT")),
            Some(Malformed),
        ),
        (
            format!("Bearer {}", foreign.reveal()),
            Some(WrongEnvironment),
        ),
        (format!("Bearer {}", wrong.reveal()), UNKNOWN),
        (format!("Bearer {}", nobody.reveal()), UNKNOWN),
        ("Bearer some-foreign-key".into(), UNKNOWN),
        (format!("Bearer {}", "x".repeat(512)), UNKNOWN),
        (format!("Bearer {}", "x".repeat(513)), Some(Malformed)),
        ("Bearer a\u{7}b".into(), Some(Malformed)),
        (" ".into(), Some(Missing)),
        (String::new(), Some(Missing)),
    ];
    for (given, expected) in headers {
        assert_eq!(header(&world, &given), expected, "{given:?}");
    }
    let pairs = [
        (Presented::Text(text), None),
        (Presented::Text(""), Some(Missing)),
        (Presented::Text(short), Some(Malformed)),
        (Presented::Text(foreign.reveal()), Some(WrongEnvironment)),
        (Presented::IdAndText { id: &id, text }, None),
        (Presented::IdAndText { id: &other, text }, UNKNOWN),
        (Presented::IdAndText { id: "", text }, UNKNOWN),
        (Presented::IdAndText { id: &id, text: "" }, Some(Missing)),
        (
            Presented::IdAndText {
                id: &id,
                text: nobody.reveal(),
            },
            UNKNOWN,
        ),
    ];
    for (place, (given, expected)) in pairs.into_iter().enumerate() {
        assert_eq!(
            world.validate(&ask(given)).verdict.reason,
            expected,
            "pair {place}"
        );
    }
    let nothing = Ask {
        presented: None,
        ..ask(Presented::Text(""))
    };
    assert_eq!(world.validate(&nothing).verdict.reason, Some(Missing));
}

#[tokio::test]
async fn nobody_is_identified_before_the_secret_has_matched() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    let wrong =
        crate::domain::text::assemble(&world.registry.environment, issued.token.id, &[b'x'; 43]);
    for dry_run in [false, true] {
        let asked = |text| Ask {
            dry_run,
            ..ask(Presented::Text(text))
        };
        let (miss, hit) = (
            world.validate(&asked(wrong.reveal())),
            world.validate(&asked(issued.secret.reveal())),
        );
        assert!(miss.identity.is_none() && hit.identity.is_some());
        let steps = |answer: &Answered| {
            answer
                .steps
                .iter()
                .map(|step| (step.rule, step.passed))
                .collect::<Vec<_>>()
        };
        let told = [
            ("presented", true),
            ("shape", true),
            ("environment", true),
            ("secret", false),
        ];
        assert_eq!(steps(&miss), if dry_run { &told[..] } else { &[] });
        assert_eq!(hit.steps.len(), if dry_run { 16 } else { 0 });
    }
    let unknown = world.token("acme").await;
    world.deactivate(unknown.token.id).await;
    world.delete(unknown.token.id).await.unwrap();
    let deleted = world.validate(&ask(Presented::Text(unknown.secret.reveal())));
    let wrong = world.validate(&ask(Presented::Text(wrong.reveal())));
    assert_eq!(
        deleted.verdict, wrong.verdict,
        "the same answer for no token and a wrong secret"
    );
}

#[tokio::test]
async fn a_caller_of_one_account_knows_no_token_of_another() {
    let world = World::with_accounts(["acme", "globex"]).await;
    let issued = world.token("acme").await;
    let (acme, globex) = (
        Scope::Only(account_id("acme")),
        Scope::Only(account_id("globex")),
    );
    let table = [
        (&Scope::Every, None, None),
        (&Scope::Every, Some("acme"), None),
        (&Scope::Every, Some("globex"), UNKNOWN),
        (&Scope::Every, Some("nowhere"), UNKNOWN),
        (&Scope::Every, Some("No Account"), UNKNOWN),
        (&acme, None, None),
        (&acme, Some("acme"), None),
        (&acme, Some("globex"), UNKNOWN),
        (&globex, None, UNKNOWN),
        (&globex, Some("acme"), UNKNOWN),
    ];
    for (scope, account, expected) in table {
        let asked = Ask {
            scope,
            account,
            ..ask(Presented::Text(issued.secret.reveal()))
        };
        let answer = world.validate(&asked);
        assert_eq!(answer.verdict.reason, expected, "{scope:?} {account:?}");
        assert_eq!(answer.identity.is_some(), expected.is_none());
    }
}

#[tokio::test]
async fn an_account_key_is_compared_wherever_one_is_presented() {
    let world = World::with_accounts(["acme", "globex"]).await;
    let issued = world.token("acme").await;
    let key = |account| world.registry.create_account_key(&world.root, account);
    let reason = |account_key: Option<&str>| {
        let mut asked = ask(Presented::Text(issued.secret.reveal()));
        asked.question.account_key = account_key;
        world.validate(&asked).verdict.reason
    };
    assert_eq!(
        reason(Some("anything")),
        Some(AccountKeyMismatch),
        "the account has none"
    );
    let own = key("acme").await.unwrap().key.unwrap();
    let theirs = key("globex").await.unwrap().key.unwrap();
    for (required, without) in [(false, None), (true, Some(AccountKeyMismatch))] {
        world
            .set_policy("acme", PolicyChange::RequireAccountKey(required))
            .await
            .unwrap();
        assert_eq!(reason(None), without);
        assert_eq!(reason(Some(own.as_str())), None);
        assert_eq!(reason(Some(theirs.as_str())), Some(AccountKeyMismatch));
        assert_eq!(reason(Some(&own.as_str()[1..])), Some(AccountKeyMismatch));
    }
}

#[tokio::test]
async fn what_the_token_is_good_for_is_asked_after_who_it_is() {
    let world = World::new().await;
    world.account("acme", Policy::standard()).await;
    let new = NewToken {
        access: Access::ReadOnly,
        grants: grants(&["tables/*:read,write"]),
        networks: vec![Network::parse("10.0.0.0/8").unwrap()],
        expiry: Some(Expiry::Ttl(DAY)),
        ..new_token("acme")
    };
    let issued = world.create(new).await.unwrap();
    let inside: Option<IpAddr> = Some("10.1.2.3".parse().unwrap());
    let outside: Option<IpAddr> = Some("203.0.113.1".parse().unwrap());
    let read = Permission::parse("tables/a", "read").ok();
    let table = [
        (read, inside, None),
        (None, inside, None),
        (
            Permission::parse("tables/a", "write").ok(),
            inside,
            Some(ReadOnly),
        ),
        (
            Permission::parse("dispatch", "write").ok(),
            outside,
            Some(PermissionDenied),
        ),
        (
            Permission::parse("tables/a", "").ok(),
            inside,
            Some(PermissionDenied),
        ),
        (read, outside, Some(AddressNotAllowed)),
        (read, None, Some(AddressNotAllowed)),
    ];
    let reason = |required, client_address| {
        let question = Question {
            required,
            client_address,
            account_key: None,
        };
        world
            .validate(&Ask {
                question,
                ..ask(Presented::Text(issued.secret.reveal()))
            })
            .verdict
            .reason
    };
    for (required, client_address, expected) in table {
        assert_eq!(
            reason(required, client_address),
            expected,
            "{required:?} {client_address:?}"
        );
    }
    world.clock.advance(DAY - MILLI);
    assert_eq!(reason(read, inside), None);
    world.clock.advance(MILLI);
    assert_eq!(
        reason(read, outside),
        Some(Expired),
        "expiry outranks the rest"
    );
}

#[tokio::test]
async fn texts_under_the_current_and_under_the_retired_key_are_good() {
    let world = World::with_accounts(["acme"]).await;
    let old = world.token("acme").await;
    let world = world.restarted(&[2, 1]).await;
    let new = world.token("acme").await;
    assert_eq!(
        [&old, &new].map(|issued| world.reason(issued.secret.reveal())),
        [None, None]
    );
}

#[tokio::test]
async fn the_work_is_the_same_whether_there_is_a_token_or_not() {
    let world = World::with_accounts(["acme"]).await;
    world.import("acme", "legacy-key").await.unwrap();
    let known = world.token("acme").await;
    let unknown = world.token("acme").await;
    world.deactivate(unknown.token.id).await;
    world.delete(unknown.token.id).await.unwrap();
    let other = world.token("acme").await.token.id.to_string();
    for (keys, loaded) in [(&[1][..], 1), (&[2, 1], 2)] {
        let keyring = crate::registry::tests::words::keyring(keys);
        let made = std::cell::Cell::new(0);
        let digests = Digests::under_each(&keyring, |key| {
            made.set(made.get() + 1);
            key.secret_digest(known.token.id, known.secret.reveal())
        });
        assert_eq!(
            (made.get(), digests.iter().count()),
            (loaded, loaded),
            "one HMAC for each key"
        );
    }
    let acme = Scope::Only(account_id("acme"));
    let cases = [
        Presented::Text(known.secret.reveal()),
        Presented::Text(unknown.secret.reveal()),
        Presented::IdAndText {
            id: &other,
            text: known.secret.reveal(),
        },
        Presented::Text("legacy-key"),
        Presented::Text("legacy-kez"),
    ];
    let compared = cases.map(|presented| {
        let asked = Ask {
            scope: &acme,
            ..ask(presented)
        };
        let before = compare::compared::COUNT.with(std::cell::Cell::get);
        let _ = world.validate(&asked);
        compare::compared::COUNT.with(std::cell::Cell::get) - before
    });
    assert_eq!(
        compared,
        [limits::SECRETS_OF_TOKEN; 5],
        "every slot is compared, dummies included"
    );
}

#[tokio::test]
async fn only_good_tokens_of_the_system_account_are_operators() {
    let world = World::with_accounts(["acme"]).await;
    let application = world.token("acme").await;
    let operator = world.create(new_token("system")).await.unwrap();
    let authenticate = |text: &str| {
        let outcome = world
            .validator
            .authenticate(Some(Presented::Text(text)), None);
        outcome
            .map(|matched| matched.identity().id())
            .map_err(|verdict| verdict.reason)
    };
    assert_eq!(
        authenticate(operator.secret.reveal()),
        Ok(operator.token.id)
    );
    assert_eq!(authenticate(application.secret.reveal()), Err(UNKNOWN));
    world.deactivate(operator.token.id).await;
    assert_eq!(
        authenticate(operator.secret.reveal()),
        Err(Some(DenyReason::Inactive))
    );
}
