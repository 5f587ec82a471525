//! Tests: accounts, principals and roles.

use super::world::*;
use crate::domain::account::{Policy, PrincipalRule};
use crate::domain::decision::DenyReason::{
    self, AccountDisabled, PermissionDenied, PrincipalDisabled,
};
use crate::domain::grant::Permission;
use crate::domain::presented::Presented;
use crate::domain::principal::PrincipalState::{Active, Disabled, Unverified};
use crate::domain::refusal::Refusal;
use crate::registry::accounts::{AccountPatch, NewAccount, PolicyChange};
use crate::registry::principals::PrincipalPatch;
use crate::registry::roles::RolePatch;
use crate::registry::tokens::NewToken;
use crate::registry::{Error, Kind};

/// An account whose tokens are bounded by principals: a role, an API user that has it, and the text of its token.
async fn enforced(grants_of_role: &[&str]) -> (World, String) {
    let world = World::new().await;
    let policy = Policy {
        principal_rule: PrincipalRule::Enforced,
        ..Policy::standard()
    };
    world.account("acme", policy).await;
    world.role("acme", "reader", grants_of_role).await;
    world
        .principal("acme", "api", Active, true, &["reader"])
        .await
        .unwrap();
    let new = NewToken {
        principal: Some(principal_id("api")),
        ..new_token("acme")
    };
    let text = world.create(new).await.unwrap().secret.reveal().to_owned();
    (world, text)
}

fn may(world: &World, text: &str, resource: &str, action: &str) -> Option<DenyReason> {
    let mut ask = ask(Presented::Text(text));
    ask.question.required = Some(Permission::parse(resource, action).unwrap());
    world.validate(&ask).verdict.reason
}

#[tokio::test]
async fn a_change_of_a_role_is_in_the_next_decision() {
    let (world, text) = enforced(&["tables/*:read"]).await;
    assert_eq!(may(&world, &text, "tables/orders", "read"), None);
    assert_eq!(
        may(&world, &text, "dispatch", "send"),
        Some(PermissionDenied)
    );
    let patch = RolePatch {
        grants: Some(grants(&["dispatch"])),
        ..RolePatch::default()
    };
    world
        .registry
        .update_role(&world.root, "acme", "reader", String::new(), patch)
        .await
        .unwrap();
    assert_eq!(
        may(&world, &text, "tables/orders", "read"),
        Some(PermissionDenied)
    );
    assert_eq!(may(&world, &text, "dispatch", "send"), None);
    let bare = PrincipalPatch {
        roles: Some(vec![]),
        ..PrincipalPatch::default()
    };
    world.set_principal("acme", "api", bare).await.unwrap();
    assert_eq!(
        may(&world, &text, "dispatch", "send"),
        Some(PermissionDenied)
    );
    assert_eq!(world.reason(&text), None, "it is good, and may do nothing");
}

#[tokio::test]
async fn an_api_user_stops_and_starts_its_tokens() {
    let (world, text) = enforced(&["*"]).await;
    let patch = PrincipalPatch::default;
    let stopped = Some(PrincipalDisabled);
    let steps = [
        (
            PrincipalPatch {
                state: Some(Disabled),
                ..patch()
            },
            stopped,
        ),
        (
            PrincipalPatch {
                state: Some(Active),
                ..patch()
            },
            None,
        ),
        (
            PrincipalPatch {
                state: Some(Unverified),
                ..patch()
            },
            stopped,
        ),
        (
            PrincipalPatch {
                state: Some(Active),
                ..patch()
            },
            None,
        ),
        (
            PrincipalPatch {
                api_user: Some(false),
                ..patch()
            },
            stopped,
        ),
        (
            PrincipalPatch {
                api_user: Some(true),
                ..patch()
            },
            None,
        ),
    ];
    for (patch, expected) in steps {
        let case = format!("{patch:?}");
        world.set_principal("acme", "api", patch).await.unwrap();
        assert_eq!(world.reason(&text), expected, "{case}");
    }
}

#[tokio::test]
async fn only_an_active_principal_is_made_an_api_user() {
    let world = World::with_accounts(["acme"]).await;
    for state in [Unverified, Disabled] {
        let refused = world.principal("acme", "p", state, true, &[]).await;
        assert_eq!(
            refusal(refused),
            Some(Refusal::PrincipalNotActive),
            "{state:?}"
        );
    }
    world
        .principal("acme", "p", Unverified, false, &[])
        .await
        .unwrap();
    let promote = PrincipalPatch {
        api_user: Some(true),
        ..PrincipalPatch::default()
    };
    assert_eq!(
        refusal(world.set_principal("acme", "p", promote.clone()).await),
        Some(Refusal::PrincipalNotActive)
    );
    let both = PrincipalPatch {
        state: Some(Active),
        ..promote
    };
    assert!(
        world
            .set_principal("acme", "p", both)
            .await
            .unwrap()
            .is_active_api_user(),
        "active in the same change"
    );
}

#[tokio::test]
async fn a_role_in_use_is_not_deleted() {
    let world = World::with_accounts(["acme"]).await;
    world.role("acme", "reader", &["dispatch"]).await;
    let delete = || {
        world
            .registry
            .delete_role(&world.root, "acme", "reader", String::new())
    };
    for id in ["one", "two"] {
        world
            .principal("acme", id, Active, false, &["reader"])
            .await
            .unwrap();
    }
    for id in ["one", "two"] {
        assert_eq!(refusal(delete().await), Some(Refusal::RoleInUse));
        let bare = PrincipalPatch {
            roles: Some(vec![]),
            ..PrincipalPatch::default()
        };
        world.set_principal("acme", id, bare).await.unwrap();
    }
    delete().await.unwrap();
    let missing = Error::NotFound(Kind::Role, "reader".into());
    assert_eq!(delete().await.unwrap_err(), missing);
    assert_eq!(
        world
            .principal("acme", "three", Active, false, &["reader"])
            .await
            .unwrap_err(),
        missing
    );
    world.role("acme", "reader", &["tables/*"]).await;
}

#[tokio::test]
async fn a_disabled_account_s_tokens_are_refused_until_it_is_enabled() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    for (disabled, reason) in [(true, Some(AccountDisabled)), (false, None)] {
        world.disable("acme", disabled).await;
        assert_eq!(world.reason(issued.secret.reveal()), reason);
    }
}

#[tokio::test]
async fn the_system_account_keeps_what_operators_rely_on() {
    let world = World::new().await;
    let off = AccountPatch {
        disabled: Some(true),
        ..AccountPatch::default()
    };
    let disabled = world
        .registry
        .update_account(&world.root, "system", String::new(), off)
        .await;
    assert_eq!(refusal(disabled), Some(Refusal::SystemAccount));
    let keyed = world
        .set_policy("system", PolicyChange::RequireAccountKey(true))
        .await;
    assert_eq!(refusal(keyed), Some(Refusal::SystemAccount));
    let ruled = world
        .set_policy(
            "system",
            PolicyChange::PrincipalRule(PrincipalRule::Enforced),
        )
        .await;
    assert_eq!(refusal(ruled), Some(Refusal::PolicyFixed));
    assert!(
        world
            .set_policy("system", PolicyChange::MaxTokens(Some(5)))
            .await
            .is_ok()
    );
    let twice = NewAccount {
        id: Some(account_id("system")),
        display_name: String::new(),
        policy: Policy::standard(),
    };
    let taken = world
        .registry
        .create_account(&world.root, twice, None)
        .await;
    assert_eq!(
        taken.unwrap_err(),
        Error::AlreadyExists(Kind::Account, "system".into())
    );
}

#[tokio::test]
async fn the_rule_for_principals_is_fixed_once_a_token_exists() {
    let world = World::with_accounts(["acme"]).await;
    let rule = |rule| world.set_policy("acme", PolicyChange::PrincipalRule(rule));
    rule(PrincipalRule::Enforced).await.unwrap();
    rule(PrincipalRule::None).await.unwrap();
    let id = world.token("acme").await.token.id;
    assert_eq!(
        refusal(rule(PrincipalRule::Attribution).await),
        Some(Refusal::PolicyFixed)
    );
    assert!(
        rule(PrincipalRule::None).await.is_ok(),
        "the same rule is no change"
    );
    world.deactivate(id).await;
    assert_eq!(
        refusal(rule(PrincipalRule::Attribution).await),
        Some(Refusal::PolicyFixed),
        "a dead one exists"
    );
    world.delete(id).await.unwrap();
    rule(PrincipalRule::Attribution).await.unwrap();
}

#[tokio::test]
async fn an_account_gets_its_key_once() {
    let world = World::with_accounts(["acme"]).await;
    let create = || world.registry.create_account_key(&world.root, "acme");
    let key = create().await.unwrap().key;
    assert!(key.is_some());
    assert_eq!(refusal(create().await), Some(Refusal::AccountKeyExists));
    let world = world.restarted(&[1]).await;
    assert_eq!(
        world
            .registry
            .get_account(&world.root, "acme")
            .await
            .unwrap()
            .key,
        key
    );
}

#[tokio::test]
async fn only_a_system_wide_operator_makes_accounts_and_changes_what_binds_them() {
    let world = World::with_accounts(["acme"]).await;
    let acme = world
        .operator(&["keyward/directory:read,write"], "acme")
        .await;
    let new = NewAccount {
        id: None,
        display_name: String::new(),
        policy: Policy::standard(),
    };
    let registry = &world.registry;
    assert!(matches!(
        registry.create_account(&acme, new, None).await,
        Err(Error::SystemWideOnly(_))
    ));
    let patch = AccountPatch::default;
    let table = [
        (
            AccountPatch {
                disabled: Some(true),
                ..patch()
            },
            false,
        ),
        (
            AccountPatch {
                policy: vec![PolicyChange::MaxTokens(None)],
                ..patch()
            },
            false,
        ),
        (
            AccountPatch {
                display_name: Some("Acme".into()),
                ..patch()
            },
            true,
        ),
    ];
    for (patch, fine) in table {
        let case = format!("{patch:?}");
        let updated = registry
            .update_account(&acme, "", String::new(), patch)
            .await;
        assert_eq!(updated.is_ok(), fine, "{case}");
        assert!(
            fine || matches!(updated, Err(Error::SystemWideOnly(_))),
            "{case}"
        );
    }
}
