//! Tests: pages, their tokens, and filters.

use std::collections::BTreeSet;

use super::world::*;
use crate::domain::id::TokenId;
use crate::domain::operator::Scope;
use crate::domain::principal::PrincipalState;
use crate::domain::token::TokenState;
use crate::registry::Call;
use crate::registry::tokens::{Expiry, NewToken, TokenFilter};
use crate::store::key;

/// Every token of the account that a filter wants, read in pages.
async fn all(world: &World, filter: &TokenFilter, size: usize) -> Vec<TokenId> {
    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let list =
            world
                .registry
                .list_tokens(&world.root, "acme", filter.clone(), page(size, &token));
        let paged = list.await.unwrap();
        assert!(paged.items.len() <= size);
        ids.extend(paged.items.iter().map(|token| token.id));
        if paged.next.is_empty() {
            return ids;
        }
        token = paged.next;
    }
}

#[tokio::test]
async fn pages_show_every_token_once_in_the_order_of_ids() {
    let world = World::with_accounts(["acme", "acme-2"]).await;
    let mut made = BTreeSet::new();
    for _ in 0..7 {
        made.insert(world.token("acme").await.token.id);
        world.token("acme-2").await;
    }
    let made: Vec<TokenId> = made.into_iter().collect();
    for size in [1, 2, 3, 7, 8, 1_000] {
        assert_eq!(
            all(&world, &TokenFilter::default(), size).await,
            made,
            "pages of {size}"
        );
    }
}

#[tokio::test]
async fn what_comes_and_goes_moves_nothing_else() {
    let world = World::with_accounts(["acme"]).await;
    let mut stay = BTreeSet::new();
    for _ in 0..10 {
        stay.insert(world.token("acme").await.token.id);
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let list = world.registry.list_tokens(
            &world.root,
            "acme",
            TokenFilter::default(),
            page(2, &token),
        );
        let paged = list.await.unwrap();
        seen.extend(paged.items.iter().map(|token| token.id));
        if paged.next.is_empty() {
            break;
        }
        token = paged.next;
        world.token("acme").await;
        // The very token that the page ended with is deleted.
        let last = paged.items.last().unwrap().id;
        world.deactivate(last).await;
        world.delete(last).await.unwrap();
        assert!(seen.len() < 100, "the list ends");
    }
    assert!(
        seen.is_sorted() && seen.iter().collect::<BTreeSet<_>>().len() == seen.len(),
        "no token twice"
    );
    assert!(stay.iter().all(|id| seen.contains(id)), "none skipped");
}

#[tokio::test]
async fn a_page_whose_tokens_have_just_gone_does_not_end_the_list() {
    let world = World::with_accounts(["acme"]).await;
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        ids.insert(world.token("acme").await.token.id);
    }
    let first = ids.pop_first().unwrap();
    // As a deletion between the reads of the index and of the token looks.
    world.backend.tamper(&key::token(first), None);
    assert_eq!(
        all(&world, &TokenFilter::default(), 1).await,
        ids.into_iter().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_page_is_read_no_further_than_it_needs() {
    let world = World::with_accounts(["acme"]).await;
    let mut ids = BTreeSet::new();
    for _ in 0..8 {
        ids.insert(world.token("acme").await.token.id);
    }
    // Whoever reads the last one hears that it is corrupt.
    let last = *ids.last().unwrap();
    world.backend.tamper(&key::token(last), Some(b"garbage"));
    let matching_all = TokenFilter {
        states: vec![TokenState::Active],
        ..TokenFilter::default()
    };
    for filter in [TokenFilter::default(), matching_all] {
        let list = |size| {
            let (filter, page) = (filter.clone(), page(size, ""));
            world
                .registry
                .list_tokens(&world.root, "acme", filter, page)
        };
        assert_eq!(list(4).await.unwrap().items.len(), 4);
        assert!(list(8).await.is_err());
    }
}

#[tokio::test]
async fn filters_add_up() {
    let world = World::with_accounts(["acme"]).await;
    world
        .principal("acme", "api", PrincipalState::Active, true, &[])
        .await
        .unwrap();
    let label = |text: &str| [("team".to_owned(), text.to_owned())].into();
    let make = |name: &str, principal: Option<&str>, days: Option<u32>, team: &str| NewToken {
        name: name.into(),
        principal: principal.map(principal_id),
        expiry: days.map(|days| Expiry::Ttl(days * DAY)),
        labels: label(team),
        ..new_token("acme")
    };
    let mut ids = Vec::new();
    for new in [
        make("alpha", Some("api"), Some(1), "red"),
        make("alps", None, Some(5), "blue"),
        make("Alpha", None, None, "red"),
        make("beta", Some("api"), Some(9), "red"),
    ] {
        ids.push(world.create(new).await.unwrap().token.id);
    }
    world.deactivate(ids[2]).await;
    world.clock.advance(2 * DAY);
    use TokenState::{Active, Expired, Inactive};
    let filter = TokenFilter::default;
    let now = world.now();
    let table = [
        (filter(), vec![0, 1, 2, 3]),
        (
            TokenFilter {
                states: vec![Active],
                ..filter()
            },
            vec![1, 3],
        ),
        (
            TokenFilter {
                states: vec![Expired],
                ..filter()
            },
            vec![0],
        ),
        (
            TokenFilter {
                states: vec![Inactive, Expired],
                ..filter()
            },
            vec![0, 2],
        ),
        (
            TokenFilter {
                principal: "api".into(),
                ..filter()
            },
            vec![0, 3],
        ),
        (
            TokenFilter {
                principal: "nobody".into(),
                ..filter()
            },
            vec![],
        ),
        (
            TokenFilter {
                name_prefix: "alp".into(),
                ..filter()
            },
            vec![0, 1],
        ),
        (
            TokenFilter {
                expire_before: Some(now.after(3 * DAY)),
                ..filter()
            },
            vec![0],
        ),
        (
            TokenFilter {
                expire_before: Some(now.after(3 * DAY + MILLI)),
                ..filter()
            },
            vec![0, 1],
        ),
        (
            TokenFilter {
                labels: label("red"),
                ..filter()
            },
            vec![0, 2, 3],
        ),
        (
            TokenFilter {
                labels: label("red"),
                states: vec![Active],
                ..filter()
            },
            vec![3],
        ),
    ];
    for (filter, expected) in table {
        let expected: BTreeSet<TokenId> = expected
            .into_iter()
            .map(|place: usize| ids[place])
            .collect();
        for size in [1, 50] {
            let listed = all(&world, &filter, size).await;
            assert_eq!(
                listed,
                expected.iter().copied().collect::<Vec<_>>(),
                "{filter:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_page_token_goes_on_only_with_its_own_list() {
    let world = World::with_accounts(["acme", "globex"]).await;
    let acme = world
        .operator(
            &[
                "keyward/tokens:read",
                "keyward/directory:read",
                "keyward/events:read",
            ],
            "acme",
        )
        .await;
    let registry = &world.registry;
    let given = registry
        .list_accounts(&world.root, page(1, ""))
        .await
        .unwrap()
        .next;
    assert!(!given.is_empty());
    let wrong = |page_token: &str, call: &Call| {
        let (page, call) = (page(1, page_token), call.clone());
        async move {
            [
                field(registry.list_accounts(&call, page.clone()).await),
                field(
                    registry
                        .list_principals(&call, "acme", false, page.clone())
                        .await,
                ),
                field(registry.list_roles(&call, "acme", page.clone()).await),
                field(
                    registry
                        .list_tokens(&call, "acme", TokenFilter::default(), page.clone())
                        .await,
                ),
                field(registry.list_events(&call, Default::default(), page).await),
            ]
        }
    };
    let refused = Some("page_token".to_owned());
    for call in [&world.root, &acme] {
        assert_eq!(
            wrong("forged", call).await,
            [(); 5].map(|()| refused.clone()),
            "{:?}",
            call.operator.scope
        );
    }
    assert_eq!(acme.operator.scope, Scope::Only(account_id("acme")));
    assert_eq!(
        field(registry.list_accounts(&acme, page(1, &given)).await),
        refused,
        "another's token"
    );
}

#[tokio::test]
async fn an_operator_of_one_account_lists_that_one() {
    let world = World::with_accounts(["acme", "globex"]).await;
    let acme = world.operator(&["keyward/directory:read"], "acme").await;
    let ids =
        |paged: crate::registry::page::Paged<crate::domain::account::Account>| -> Vec<String> {
            paged
                .items
                .iter()
                .map(|account| account.id.to_string())
                .collect()
        };
    let registry = &world.registry;
    assert_eq!(
        ids(registry.list_accounts(&acme, page(50, "")).await.unwrap()),
        ["acme"]
    );
    assert_eq!(
        ids(registry
            .list_accounts(&world.root, page(50, ""))
            .await
            .unwrap()),
        ["acme", "globex", "system"]
    );
}
