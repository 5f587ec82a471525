//! Tests: what operators may hand out, and whom they see.

use super::world::*;
use crate::domain::operator::Lack;
use crate::registry::tokens::{NewToken, TokenPatch};
use crate::registry::{Call, Error};

const WRITER: &[&str] = &["keyward/tokens:read,write"];
const ALL: &[&str] = &[
    "keyward/tokens:read,write",
    "keyward/directory:read,write",
    "keyward/events:read",
];

/// What each change that hands out a right is answered, for an operator token with these grants and this scope.
async fn outcomes(world: &World, by: &Call, texts: &[&str], scope: &str) -> Vec<Result<(), Error>> {
    let new = || NewToken {
        grants: grants(texts),
        scope: scope.into(),
        ..new_token("system")
    };
    let registry = &world.registry;
    let token = world.create(new()).await.unwrap().token;
    let (id, etag) = (token.id.to_string(), String::new);
    let created = registry.create_token(by, new(), None).await.map(drop);
    let rekeyed = registry
        .rekey(by, new_secret(token.id, None, Default::default()), None)
        .await
        .map(drop);
    world.deactivate(token.id).await;
    let reactivated = registry
        .reactivate_token(by, id.clone(), etag())
        .await
        .map(drop);
    let networks = TokenPatch {
        networks: Some(vec![
            crate::domain::network::Network::parse("10.0.0.0/8").unwrap(),
        ]),
        ..TokenPatch::default()
    };
    let widened = registry
        .update_token(by, id.clone(), etag(), networks)
        .await
        .map(drop);
    let bare = world
        .create(NewToken {
            scope: scope.into(),
            ..new_token("system")
        })
        .await
        .unwrap()
        .token;
    let grant = TokenPatch {
        grants: Some(grants(texts)),
        ..TokenPatch::default()
    };
    let granted = registry
        .update_token(by, bare.id.to_string(), etag(), grant)
        .await
        .map(drop);
    vec![created, rekeyed, reactivated, widened, granted]
}

#[tokio::test]
async fn nobody_hands_out_what_it_does_not_hold() {
    let world = World::with_accounts(["acme"]).await;
    let lack = |text: &str| Some(Lack::Grant(grants(&[text]).iter().next().unwrap().clone()));
    let scope = Some(Lack::Scope);
    let table = [
        (WRITER, "", &["keyward/tokens:write"][..], "", None),
        (WRITER, "", WRITER, "acme", None),
        (
            &["keyward/tokens:read", "keyward/tokens:write"],
            "",
            WRITER,
            "",
            None,
        ),
        (WRITER, "", &["keyward/tokens"], "", lack("keyward/tokens")),
        (
            WRITER,
            "",
            &["keyward/events:read"],
            "",
            lack("keyward/events:read"),
        ),
        (
            WRITER,
            "",
            &["keyward/events:read"],
            "acme",
            lack("keyward/events:read"),
        ),
        (WRITER, "", ALL, "", lack("keyward/directory:read,write")),
        (ALL, "", WRITER, "", None),
        (ALL, "system", WRITER, "system", None),
        (ALL, "system", WRITER, "", scope.clone()),
        (ALL, "system", WRITER, "acme", scope),
    ];
    for (held, reach, given, given_reach, expected) in table {
        let by = world.operator(held, reach).await;
        let expected = expected.map_or(Ok(()), |lack| Err(Error::Lacks(lack)));
        let outcomes = outcomes(&world, &by, given, given_reach).await;
        assert_eq!(
            outcomes,
            vec![expected; 5],
            "{held:?} {reach:?} gives {given:?} {given_reach:?}"
        );
    }
}

#[tokio::test]
async fn an_operator_of_one_account_does_not_see_operators() {
    let world = World::with_accounts(["acme"]).await;
    let acme = world.operator(ALL, "acme").await;
    for outcome in outcomes(&world, &acme, WRITER, "acme").await {
        assert!(matches!(outcome, Err(Error::NotFound(..))), "{outcome:?}");
    }
}

#[tokio::test]
async fn application_grants_need_no_more_than_the_right_to_write() {
    let world = World::with_accounts(["acme"]).await;
    let acme = world.operator(WRITER, "acme").await;
    let new = NewToken {
        grants: grants(&["*", "tables/orders:delete"]),
        ..new_token("")
    };
    let issued = world.registry.create_token(&acme, new, None).await.unwrap();
    assert_eq!(
        issued.token.account,
        account_id("acme"),
        "its own account where it names none"
    );
    assert_eq!(issued.token.created_by, acme.operator.token.to_string());
}

#[tokio::test]
async fn what_takes_rights_away_needs_none_of_them() {
    let world = World::new().await;
    let victim = world.operator(ALL, "").await.operator.token.to_string();
    let by = world.operator(WRITER, "").await;
    let registry = &world.registry;
    let narrow = TokenPatch {
        grants: Some(grants(&[])),
        ..TokenPatch::default()
    };
    assert!(
        registry
            .update_token(&by, victim.clone(), String::new(), narrow)
            .await
            .is_ok()
    );
    let (why, etag) = (String::new(), String::new);
    assert!(
        registry
            .deactivate_token(&by, victim.clone(), etag(), why, false)
            .await
            .is_ok()
    );
    assert!(
        registry
            .delete_token(&by, victim, etag(), false)
            .await
            .is_ok()
    );
}
