//! Tests: tokens created and imported under a policy.

use super::world::*;
use crate::domain::account::{Policy, PrincipalRule};
use crate::domain::event::EventKind;
use crate::domain::grant::Permission;
use crate::domain::principal::PrincipalState;
use crate::domain::refusal::Refusal;
use crate::registry::accounts::PolicyChange;
use crate::registry::tokens::{Expiry, NewToken, TokenPatch};
use crate::registry::{Error, Kind};

#[tokio::test]
async fn a_policy_binds_the_tokens_that_are_created_under_it() {
    let world = World::new().await;
    let standard = Policy::standard;
    let strict = || Policy {
        require_expiry: true,
        ..standard()
    };
    let short = || Policy {
        max_lifetime: Some(DAY),
        ..standard()
    };
    let now = world.now();
    let time = |end| Some(Expiry::Time(end));
    let table = [
        ("no end, and none needed", standard(), None, None),
        ("an end ahead", standard(), time(now.after(MILLI)), None),
        (
            "an end that is now",
            standard(),
            time(now),
            Some("expire_time"),
        ),
        (
            "a day that began",
            standard(),
            Some(Expiry::Date(now)),
            Some("expire_date"),
        ),
        (
            "no span",
            standard(),
            Some(Expiry::Ttl(std::time::Duration::ZERO)),
            Some("ttl"),
        ),
        (
            "no end where one is needed",
            strict(),
            None,
            Some("expire_time"),
        ),
        (
            "an end where one is needed",
            strict(),
            time(now.after(DAY)),
            None,
        ),
        (
            "no end under a longest life",
            short(),
            None,
            Some("expire_time"),
        ),
        ("the longest life", short(), Some(Expiry::Ttl(DAY)), None),
        (
            "a millisecond more",
            short(),
            Some(Expiry::Ttl(DAY + MILLI)),
            Some("ttl"),
        ),
        (
            "a day too far",
            short(),
            Some(Expiry::Date(now.after(2 * DAY))),
            Some("expire_date"),
        ),
    ];
    for (number, (case, policy, expiry, wrong)) in table.into_iter().enumerate() {
        let account = format!("account-{number}");
        world.account(&account, policy).await;
        let new = NewToken {
            expiry,
            ..new_token(&account)
        };
        let created = world.create(new).await;
        assert_eq!(created.is_ok(), wrong.is_none(), "{case}");
        assert_eq!(field(created).as_deref(), wrong, "{case}");
    }
}

#[tokio::test]
async fn a_principal_is_asked_for_as_the_policy_says() {
    use PrincipalState::{Active, Disabled, Unverified};
    let world = World::new().await;
    let rules = [
        PrincipalRule::None,
        PrincipalRule::Enforced,
        PrincipalRule::Attribution,
    ];
    let not_api_user = Err(Some(Refusal::PrincipalNotApiUser));
    let table = [
        (None, [Ok(()), Err(None), Err(None)]),
        (Some("api"), [Ok(()), Ok(()), Ok(())]),
        (Some("human"), [Ok(()), not_api_user, Ok(())]),
        (Some("stopped"), [Ok(()), not_api_user, Ok(())]),
        (Some("new"), [Ok(()), not_api_user, Ok(())]),
    ];
    for (rule, name) in rules.into_iter().zip(["none", "enforced", "attribution"]) {
        let policy = Policy {
            principal_rule: rule,
            ..Policy::standard()
        };
        world.account(name, policy).await;
        for (id, state, api_user) in [
            ("api", Active, true),
            ("stopped", Active, true),
            ("human", Active, false),
            ("new", Unverified, false),
        ] {
            world
                .principal(name, id, state, api_user, &[])
                .await
                .unwrap();
        }
        let stop = crate::registry::principals::PrincipalPatch {
            state: Some(Disabled),
            ..Default::default()
        };
        world.set_principal(name, "stopped", stop).await.unwrap();
    }
    for (id, expected) in table {
        for (account, expected) in ["none", "enforced", "attribution"]
            .into_iter()
            .zip(expected)
        {
            let new = NewToken {
                principal: id.map(principal_id),
                ..new_token(account)
            };
            let created = world.create(new).await;
            match expected {
                Ok(()) => assert!(created.is_ok(), "{id:?} in {account}: {created:?}"),
                Err(None) => assert_eq!(
                    field(created).as_deref(),
                    Some("principal_id"),
                    "{id:?} in {account}"
                ),
                Err(wanted) => assert_eq!(refusal(created), wanted, "{id:?} in {account}"),
            }
        }
    }
    let unknown = NewToken {
        principal: Some(principal_id("nobody")),
        ..new_token("none")
    };
    let missing = Error::NotFound(Kind::Principal, "nobody".into());
    assert_eq!(world.create(unknown).await.unwrap_err(), missing);
}

#[tokio::test]
async fn of_a_hundred_creates_at_the_limit_less_one_exactly_one_succeeds() {
    let world = World::new().await;
    let policy = Policy {
        max_tokens: Some(5),
        ..Policy::standard()
    };
    world.account("acme", policy).await;
    for _ in 0..4 {
        world.token("acme").await;
    }
    let lines = world.events().await.len();
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (registry, root) = (world.registry.clone(), world.root.clone());
        racers.spawn(async move { registry.create_token(&root, new_token("acme"), None).await });
    }
    let outcomes = racers.join_all().await;
    let limit = Error::TokenLimit {
        account: "acme".into(),
        limit: 5,
    };
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let refused =
        |outcome: &&Result<_, Error>| outcome.as_ref().is_err_and(|error| *error == limit);
    assert_eq!(outcomes.iter().filter(refused).count(), 99);
    assert_eq!(
        world.kinds_after(lines).await,
        [EventKind::TokenCreated as i32]
    );
}

#[tokio::test]
async fn dead_tokens_count_until_they_are_deleted() {
    let world = World::with_accounts(["acme"]).await;
    world
        .set_policy("acme", PolicyChange::MaxTokens(Some(1)))
        .await
        .unwrap();
    let first = world.token("acme").await.token.id;
    world.deactivate(first).await;
    assert!(
        world.create(new_token("acme")).await.is_err(),
        "an inactive one counts"
    );
    assert!(
        world.import("acme", "foreign").await.is_err(),
        "and bars imports"
    );
    world.delete(first).await.unwrap();
    let second = world.import("acme", "foreign").await.unwrap();
    assert!(
        world.create(new_token("acme")).await.is_err(),
        "an imported one counts"
    );
    world
        .set_policy("acme", PolicyChange::MaxTokens(Some(0)))
        .await
        .unwrap();
    assert_eq!(
        world
            .registry
            .get_token(&world.root, second.id.as_str())
            .await,
        Ok(second),
        "a lower limit bars new tokens only"
    );
}

#[tokio::test]
async fn what_belongs_to_operators_stands_in_the_system_account_only() {
    let world = World::with_accounts(["acme"]).await;
    let with = |account: &str, texts: &[&str], scope: &str| NewToken {
        grants: grants(texts),
        scope: scope.into(),
        ..new_token(account)
    };
    let table = [
        (with("acme", &["keyward/tokens:read"], ""), Some("grants")),
        (
            with("acme", &["dispatch", "keyward/events"], ""),
            Some("grants"),
        ),
        (with("acme", &["*"], ""), None),
        (
            with("acme", &["dispatch"], "acme"),
            Some("scope_account_id"),
        ),
        (with("system", &["keyward/tokens:read"], ""), None),
        (with("system", &["keyward/tokens:read"], "acme"), None),
    ];
    for (new, wrong) in table {
        let case = format!("{new:?}");
        assert_eq!(field(world.create(new).await).as_deref(), wrong, "{case}");
    }
    for nowhere in ["globex", "No Account"] {
        let error = world
            .create(with("system", &[], nowhere))
            .await
            .unwrap_err();
        assert_eq!(error, Error::NotFound(Kind::Account, nowhere.into()));
    }
    let token = world.token("acme").await.token;
    let widen = TokenPatch {
        grants: Some(grants(&["keyward/tokens:read"])),
        ..TokenPatch::default()
    };
    let widened =
        world
            .registry
            .update_token(&world.root, token.id.to_string(), String::new(), widen);
    assert_eq!(field(widened.await).as_deref(), Some("token.grants"));
}

#[tokio::test]
async fn no_wildcard_and_no_empty_grants_reach_what_is_keyward_s_own() {
    let world = World::with_accounts(["acme"]).await;
    let needed = Permission::parse("keyward/tokens", "read").unwrap();
    for texts in [&[][..], &["*"], &["*:read"]] {
        let new = NewToken {
            grants: grants(texts),
            ..new_token("system")
        };
        let issued = world.create(new).await.unwrap();
        let mut ask = ask(crate::domain::presented::Presented::Text(
            issued.secret.reveal(),
        ));
        assert_eq!(world.validate(&ask).verdict.reason, None);
        ask.question.required = Some(needed);
        let reason = world.validate(&ask).verdict.reason;
        assert_eq!(
            reason,
            Some(crate::domain::decision::DenyReason::PermissionDenied),
            "{texts:?}"
        );
    }
}

#[tokio::test]
async fn an_imported_digest_is_unique_in_its_account_for_as_long_as_its_token_lives() {
    let world = World::with_accounts(["acme", "globex"]).await;
    let first = world.import("acme", "foreign").await.unwrap();
    let taken = Err(Error::AlreadyExists(Kind::Token, "with this sha256".into()));
    assert_eq!(world.import("acme", "foreign").await, taken);
    assert!(
        world.import("globex", "foreign").await.is_ok(),
        "another account's is another"
    );
    let world = world.restarted(&[2, 1]).await;
    assert_eq!(
        world.import("acme", "foreign").await,
        taken,
        "indexed under a retired key"
    );
    world.deactivate(first.id).await;
    world.delete(first.id).await.unwrap();
    assert!(world.import("acme", "foreign").await.is_ok(), "free again");
    let refused = world.import("system", "foreign").await;
    assert_eq!(
        field(refused).as_deref(),
        Some("token.account_id"),
        "operators are never imported"
    );
}

#[tokio::test]
async fn a_disabled_account_gets_nothing_new() {
    let world = World::with_accounts(["acme"]).await;
    let token = world.token("acme").await.token;
    world.disable("acme", true).await;
    let disabled = Some(Refusal::AccountDisabled);
    assert_eq!(refusal(world.create(new_token("acme")).await), disabled);
    assert_eq!(refusal(world.import("acme", "foreign").await), disabled);
    assert_eq!(
        refusal(world.rekey(token.id, HOUR, Default::default()).await),
        disabled
    );
    assert_eq!(
        refusal(world.registry.create_account_key(&world.root, "acme").await),
        disabled
    );
    assert!(
        world
            .registry
            .get_token(&world.root, token.id.as_str())
            .await
            .is_ok()
    );
    world.deactivate(token.id).await;
    world.delete(token.id).await.unwrap();
    world.disable("acme", false).await;
    assert!(world.create(new_token("acme")).await.is_ok());
}
