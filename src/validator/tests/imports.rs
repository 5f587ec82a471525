//! Tests: imported texts.

use super::*;
use crate::domain::decision::DenyReason::Superseded;
use crate::domain::token::Activation::AtOnce;

#[tokio::test]
async fn an_imported_text_is_found_in_its_account_alone() {
    let world = World::with_accounts(["acme", "globex"]).await;
    let token = world.import("acme", "legacy-key").await.unwrap();
    let twin = world.import("globex", "legacy-key").await.unwrap();
    let acme = Scope::Only(account_id("acme"));
    let id = token.id.to_string();
    let found = |scope: &Scope, account, presented: &str| {
        let asked = Ask {
            scope,
            account,
            ..ask(Presented::Header(presented))
        };
        let answer = world.validate(&asked);
        answer
            .identity
            .map(|kept| kept.id())
            .ok_or(answer.verdict.reason)
    };
    let bearer = "Bearer legacy-key".to_owned();
    let table = [
        (&Scope::Every, None, bearer.clone(), Err(UNKNOWN)),
        (&Scope::Every, Some("acme"), bearer.clone(), Ok(token.id)),
        (&Scope::Every, Some("globex"), bearer.clone(), Ok(twin.id)),
        (&Scope::Every, Some("system"), bearer.clone(), Err(UNKNOWN)),
        (&acme, None, bearer.clone(), Ok(token.id)),
        (&acme, Some("globex"), bearer, Err(UNKNOWN)),
        (&acme, None, "Bearer legacy-kez".into(), Err(UNKNOWN)),
        (&acme, None, basic("legacy", "legacy-key"), Ok(token.id)),
        (&acme, None, basic(&id, "legacy-key"), Ok(token.id)),
        (&acme, None, basic("other", "legacy-key"), Err(UNKNOWN)),
        (&acme, None, basic("", "legacy-key"), Err(UNKNOWN)),
        (
            &acme,
            None,
            basic(twin.id.as_str(), "legacy-key"),
            Err(UNKNOWN),
        ),
    ];
    for (scope, account, presented, expected) in table {
        assert_eq!(
            found(scope, account, &presented),
            expected,
            "{scope:?} {account:?} {presented}"
        );
    }
}

#[tokio::test]
async fn the_rekey_of_an_imported_token_issues_a_text_of_ours() {
    let world = World::with_accounts(["acme"]).await;
    let token = world.import("acme", "legacy-key").await.unwrap();
    let issued = world.rekey(token.id, HOUR, AtOnce).await.unwrap();
    let acme = Scope::Only(account_id("acme"));
    let reason = |presented: Presented<'_>| {
        world
            .validate(&Ask {
                scope: &acme,
                ..ask(presented)
            })
            .verdict
            .reason
    };
    let both = || {
        (
            reason(Presented::Text("legacy-key")),
            reason(Presented::Text(issued.secret.reveal())),
        )
    };
    assert!(issued.secret.reveal().starts_with("kw_test_") && issued.token.imported);
    assert_eq!(both(), (None, None));
    world.clock.advance(HOUR);
    assert_eq!(both(), (Some(Superseded), None));
    assert_eq!(
        reason(Presented::Header(&basic("legacy", issued.secret.reveal()))),
        UNKNOWN,
        "the id is the text's own"
    );
    assert_eq!(
        reason(Presented::Header(&basic(
            token.id.as_str(),
            issued.secret.reveal()
        ))),
        None
    );
}
