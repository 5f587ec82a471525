//! Tests: which grant meets which permission.

use proptest::prelude::*;

use super::*;

fn grant(text: &str) -> Grant {
    Grant::parse(text).unwrap_or_else(|rule| panic!("{text} {rule}"))
}

fn permission(text: &str) -> Permission<'_> {
    let (resource, action) = text.split_once(':').unwrap_or((text, ""));
    Permission::parse(resource, action).unwrap()
}

#[test]
fn grants_match_by_resource_and_action() {
    let table = [
        ("dispatch", "dispatch", true),
        ("dispatch", "dispatch:send", true),
        ("dispatch", "dispatch/now", false),
        ("tables/orders:read", "tables/orders:read", true),
        ("tables/orders:read", "tables/orders:write", false),
        ("tables/orders:read", "tables/orders", false),
        ("tables/*:read,write", "tables/orders:write", true),
        ("tables/*:read,write", "tables/orders/7:read", true),
        ("tables/*", "tables", false),
        ("tables/*", "tablespoon", false),
        ("*", "tables/orders:delete", true),
        ("*:read", "tables/orders:read", true),
        ("*:read", "tables/orders:write", false),
        ("*", "keyward/tokens:read", false),
        ("*", "keyward", false),
        ("*", "keywarden:read", true),
        ("keyward/tokens:read", "keyward/tokens:read", true),
        ("keyward/tokens", "keyward/tokens:write", true),
    ];
    for (held, needed, expected) in table {
        assert_eq!(
            grant(held).allows(&permission(needed)),
            expected,
            "{held} for {needed}"
        );
    }
}

#[test]
fn malformed_grants_name_their_rule() {
    for bad in [
        "",
        "/",
        "a//b",
        "a/",
        "/a",
        "a*",
        "*/a",
        "a/*/b",
        "a b",
        "a:",
        "a:read,",
        "a:*",
        "a:b:c",
        "**",
        "tables/*x",
        "keyward",
        "keyward/*",
        "keyward/*:read",
        "keyward/nothing:read",
        "keyward/tokens:delete",
        &"a".repeat(201),
    ] {
        assert!(Grant::parse(bad).is_err(), "{bad}");
    }
    assert!(Grant::parse(&"a".repeat(200)).is_ok());
}

#[test]
fn permissions_have_a_resource_without_wildcards() {
    for bad in ["", "*", "a/*", "a//b", "a b", &"r".repeat(201)] {
        assert!(
            matches!(
                Permission::parse(bad, ""),
                Err(PermissionError::Resource(_))
            ),
            "{bad}"
        );
    }
    for bad in ["a,b", "*", " ", &"a".repeat(65)] {
        assert!(
            matches!(Permission::parse("r", bad), Err(PermissionError::Action(_))),
            "{bad}"
        );
    }
    assert!(Permission::parse(&"r".repeat(200), &"a".repeat(64)).is_ok());
}

#[test]
fn covering_is_by_pattern_and_action() {
    let table = [
        ("*", "tables/*", true),
        ("tables/*", "*", false),
        ("tables/*", "tables/orders:read", true),
        ("tables/*:read", "tables/orders", false),
        ("tables/*:read", "tables/x/*:read", true),
        ("*", "keyward/tokens:read", false),
        ("keyward/tokens", "keyward/tokens:read", true),
        ("keyward/tokens:read", "keyward/tokens", false),
    ];
    for (wide, narrow, expected) in table {
        assert_eq!(
            grant(wide).covers(&grant(narrow)),
            expected,
            "{wide} over {narrow}"
        );
    }
}

fn any_grant() -> impl Strategy<Value = String> {
    let resource = prop::collection::vec("[ab]", 1..4).prop_map(|segments| segments.join("/"));
    (resource, any::<bool>(), prop::collection::vec("[xy]", 0..3)).prop_map(
        |(resource, wild, actions)| {
            let wildcard = if wild { "/*" } else { "" };
            let actions = if actions.is_empty() {
                String::new()
            } else {
                format!(":{}", actions.join(","))
            };
            format!("{resource}{wildcard}{actions}")
        },
    )
}

fn any_permission() -> impl Strategy<Value = String> {
    (prop::collection::vec("[ab]", 1..5), "(:[xy])?")
        .prop_map(|(segments, action)| segments.join("/") + &action)
}

proptest! {
    #[test]
    fn an_intersection_allows_just_what_both_allow(a in any_grant(), b in any_grant(), needed in any_permission()) {
        let (a, b, needed) = (grant(&a), grant(&b), permission(&needed));
        // Two lists of actions that share none still agree on nothing; an action-less need matches no list.
        let both = a.allows(&needed) && b.allows(&needed);
        prop_assert_eq!(a.intersect(&b).is_some_and(|grant| grant.allows(&needed)), both);
    }

    #[test]
    fn what_is_covered_is_allowed(a in any_grant(), b in any_grant(), needed in any_permission()) {
        let (a, b, needed) = (grant(&a), grant(&b), permission(&needed));
        prop_assert!(!(a.covers(&b) && b.allows(&needed)) || a.allows(&needed));
    }

    #[test]
    fn a_grant_reads_back_as_written(text in any_grant()) {
        let once = grant(&text);
        prop_assert_eq!(&grant(&once.to_string()), &once);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,40}") {
        let _ = Grant::parse(&text);
    }
}
