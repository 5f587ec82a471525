//! Who may call what: every method of the contract, by every kind of caller, with the code that each has to hear.
//!
//! The methods come from the descriptors. One without a row fails here, and so does a row without its method.

use std::collections::BTreeSet;

use keyward::api::proto::{
    Activation, CreatePrincipalRequest, CreateRoleRequest, CreateTokenRequest,
    DeactivateTokenRequest, EventType, GetAccountRequest, ListEventsRequest, RekeyRequest,
};
use prost_reflect::DynamicMessage;
use prost_reflect::prost::Message as _;
use tonic::Code;

use crate::any_method::{Wire, methods};
use crate::harness::{Client, Home, error, eventually, holds, refused};

/// What an operator that reaches one account may do with a method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    /// In its own account all; what belongs to another is NOT_FOUND.
    Account,
    /// Nothing: the method is for operators of all accounts.
    Every,
    /// It is answered, and the answer knows nothing of other accounts.
    Answered,
}

struct Row {
    method: &'static str,
    grant: &'static str,
    /// A request that succeeds, about a `$target` made for it (see [`Target`]).
    request: &'static str,
    reach: Reach,
}

const fn row(
    method: &'static str,
    grant: &'static str,
    request: &'static str,
    reach: Reach,
) -> Row {
    Row {
        method,
        grant,
        request,
        reach,
    }
}

#[rustfmt::skip]
const ROWS: [Row; 35] = [
    row("ValidateCredentials", "credentials:validate", r#"{"token": "$secret"}"#, Reach::Answered),
    row("HoldConnection", "credentials:validate", r#"{"request": {"token": "$secret"}}"#, Reach::Answered),
    row("StreamValidateCredentials", "credentials:validate", r#"{"request": {"token": "$secret"}}"#, Reach::Answered),
    row("BatchValidateCredentials", "credentials:validate", r#"{"requests": [{"token": "$secret"}]}"#, Reach::Answered),
    row("WatchInvalidations", "credentials:validate", r#"{"afterRevision": 1}"#, Reach::Answered),
    row("CreateToken", "tokens:write", r#"{"accountId": "$account", "name": "n"}"#, Reach::Account),
    row("Rekey", "tokens:write", r#"{"tokenId": "$token"}"#, Reach::Account),
    row("CompleteRekey", "tokens:write", r#"{"tokenId": "$retiring"}"#, Reach::Account),
    row("CancelRekey", "tokens:write", r#"{"tokenId": "$pending"}"#, Reach::Account),
    row("ImportToken", "tokens:write",
        r#"{"token": {"accountId": "$account", "name": "n"}, "sha256": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#,
        Reach::Account),
    row("GetToken", "tokens:read", r#"{"tokenId": "$token"}"#, Reach::Account),
    row("ListTokens", "tokens:read", r#"{"accountId": "$account"}"#, Reach::Account),
    row("UpdateToken", "tokens:write", r#"{"token": {"id": "$token", "name": "m"}, "updateMask": "name"}"#, Reach::Account),
    row("DeactivateToken", "tokens:write", r#"{"tokenId": "$token"}"#, Reach::Account),
    row("ReactivateToken", "tokens:write", r#"{"tokenId": "$inactive"}"#, Reach::Account),
    row("DeleteToken", "tokens:write", r#"{"tokenId": "$inactive"}"#, Reach::Account),
    row("CreateAccount", "directory:write", r#"{"displayName": "a new one"}"#, Reach::Every),
    row("GetAccount", "directory:read", r#"{"accountId": "$account"}"#, Reach::Account),
    row("ListAccounts", "directory:read", r#"{"pageSize": 1000}"#, Reach::Answered),
    row("UpdateAccount", "directory:write",
        r#"{"account": {"id": "$account", "displayName": "d"}, "updateMask": "displayName"}"#, Reach::Account),
    row("CreateAccountKey", "directory:write", r#"{"accountId": "$account"}"#, Reach::Account),
    row("CreatePrincipal", "directory:write", r#"{"accountId": "$account", "principalId": "new"}"#, Reach::Account),
    row("GetPrincipal", "directory:read", r#"{"accountId": "$account", "principalId": "$principal"}"#, Reach::Account),
    row("ListPrincipals", "directory:read", r#"{"accountId": "$account"}"#, Reach::Account),
    row("UpdatePrincipal", "directory:write",
        r#"{"principal": {"accountId": "$account", "id": "$principal"}, "updateMask": "displayName"}"#, Reach::Account),
    row("CreateRole", "directory:write", r#"{"accountId": "$account", "roleId": "new"}"#, Reach::Account),
    row("GetRole", "directory:read", r#"{"accountId": "$account", "roleId": "$role"}"#, Reach::Account),
    row("ListRoles", "directory:read", r#"{"accountId": "$account"}"#, Reach::Account),
    row("UpdateRole", "directory:write",
        r#"{"role": {"accountId": "$account", "id": "$role"}, "updateMask": "displayName"}"#, Reach::Account),
    row("DeleteRole", "directory:write", r#"{"accountId": "$account", "roleId": "$role"}"#, Reach::Account),
    row("ListEvents", "events:read", r#"{"accountId": "$account"}"#, Reach::Account),
    row("VerifyEvents", "events:read", "{}", Reach::Every),
    row("WatchEvents", "events:read", r#"{"accountId": "$account"}"#, Reach::Account),
    row("GetUsage", "usage:read", r#"{"accountId": "$account"}"#, Reach::Account),
    row("ListConsumers", "usage:read", r#"{"tokenId": "$token"}"#, Reach::Account),
];

/// Every grant under `keyward/`.
const GRANTS: [&str; 7] = [
    "credentials:validate",
    "tokens:read",
    "tokens:write",
    "directory:read",
    "directory:write",
    "events:read",
    "usage:read",
];

/// An account with everything that a row may name, each thing in the state that the row needs.
struct Target(Vec<(&'static str, String)>);

impl Target {
    async fn make(operator: &Client, account: &str) -> Self {
        operator.account(account, "standard").await;
        let (mut credentials, mut directory) =
            (operator.credentials.clone(), operator.directory.clone());
        let role = CreateRoleRequest {
            account_id: account.into(),
            ..Default::default()
        };
        let role = directory
            .create_role(role)
            .await
            .expect("it may be made")
            .into_inner();
        let principal = CreatePrincipalRequest {
            account_id: account.into(),
            ..Default::default()
        };
        let principal = directory
            .create_principal(principal)
            .await
            .expect("it may be made")
            .into_inner();
        let mut ids = Vec::new();
        let mut secret = String::new();
        for name in ["$token", "$retiring", "$pending", "$inactive"] {
            let made = operator.token(account, "a token").await;
            let token_id = made.token.expect("an answer has its token").id;
            ids.push((name, token_id.clone()));
            let activation = if name == "$pending" {
                Activation::OnFirstUse
            } else {
                Activation::AtOnce
            };
            let rekey = RekeyRequest {
                token_id: token_id.clone(),
                activation: activation.into(),
                ..Default::default()
            };
            match name {
                "$token" => secret = made.secret,
                "$inactive" => {
                    let stop = DeactivateTokenRequest {
                        token_id,
                        ..Default::default()
                    };
                    credentials
                        .deactivate_token(stop)
                        .await
                        .expect("it may be stopped");
                }
                _ => drop(credentials.rekey(rekey).await.expect("it may be rekeyed")),
            }
        }
        ids.extend([
            ("$account", account.to_owned()),
            ("$role", role.role.expect("an answer has its role").id),
            (
                "$principal",
                principal.principal.expect("an answer has its principal").id,
            ),
            ("$secret", secret),
        ]);
        Self(ids)
    }

    fn fill(&self, request: &str) -> String {
        self.0
            .iter()
            .fold(request.to_owned(), |text, (name, value)| {
                text.replace(name, value)
            })
    }

    fn token(&self) -> &str {
        &self.0[0].1
    }
}

struct Callers {
    application: String,
    without: String,
    own: String,
    foreign: String,
    every: String,
}

impl Callers {
    /// `without` holds every grant but the one, `own` and `foreign` and `every` nothing else.
    async fn make(operator: &Client, row: &Row, account: &str) -> Self {
        let grant = format!("keyward/{}", row.grant);
        let others: Vec<String> = GRANTS
            .iter()
            .map(|grant| format!("keyward/{grant}"))
            .filter(|other| *other != grant)
            .collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        Self {
            application: operator.token(account, "an application's").await.secret,
            without: operator.operator(&others, "").await,
            own: operator.operator(&[&grant], account).await,
            foreign: operator.operator(&[&grant], "foreign").await,
            every: operator.operator(&[&grant], "").await,
        }
    }
}

#[test]
fn every_method_of_the_contract_has_a_row_and_every_row_its_method() {
    let rows: BTreeSet<String> = ROWS.iter().map(|row| row.method.to_owned()).collect();
    let contract: BTreeSet<String> = methods().into_keys().collect();
    assert_eq!(rows, contract);
    assert_eq!(rows.len(), ROWS.len());
}

#[tokio::test]
async fn every_method_answers_every_kind_of_caller_as_the_table_says() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("foreign", "standard").await;
    let wire = Wire::new(server.address);
    for (n, row) in ROWS.iter().enumerate() {
        check(&wire, &operator, row, &format!("target-{n}")).await;
    }
    server.stop().await;
}

async fn check(wire: &Wire, operator: &Client, row: &Row, account: &str) {
    let target = Target::make(operator, account).await;
    let callers = Callers::make(operator, row, account).await;
    let request = target.fill(row.request);
    let call = async |text: Option<&str>| {
        let header = text.map(|text| format!("Bearer {text}"));
        wire.call(row.method, &request, header.as_deref()).await
    };
    let hears = async |who: &str, text: Option<&str>, code: Code, reason: &str| {
        assert_eq!(
            refused(call(text).await),
            error(code, reason),
            "{} by {who}",
            row.method
        );
    };
    let strangers = [
        ("nobody", None),
        ("garbage", Some("kw_test_garbage")),
        ("an application", Some(&*callers.application)),
    ];
    for (who, text) in strangers {
        hears(who, text, Code::Unauthenticated, "UNAUTHENTICATED").await;
    }
    hears(
        "one without the grant",
        Some(&callers.without),
        Code::PermissionDenied,
        "GRANT_MISSING",
    )
    .await;
    match row.reach {
        Reach::Account => {
            hears(
                "a foreign operator",
                Some(&callers.foreign),
                Code::NotFound,
                "NOT_FOUND",
            )
            .await;
            call(Some(&callers.own))
                .await
                .unwrap_or_else(|error| panic!("{} by its own: {error:?}", row.method));
        }
        Reach::Every => {
            for text in [&callers.foreign, &callers.own] {
                hears(
                    "a scoped operator",
                    Some(text),
                    Code::PermissionDenied,
                    "SYSTEM_WIDE_ONLY",
                )
                .await;
            }
        }
        Reach::Answered => {
            let knows = |answer: DynamicMessage| {
                let bytes = answer.encode_to_vec();
                holds(&bytes, account) || holds(&bytes, target.token())
            };
            assert!(
                knows(call(Some(&callers.own)).await.expect("it is answered")),
                "{}",
                row.method
            );
            assert!(
                !knows(call(Some(&callers.foreign)).await.expect("it is answered")),
                "{}",
                row.method
            );
        }
    }
    // Refusals changed nothing, and what the own operator changed is not in the way of the next.
    let again = Target::make(operator, &format!("{account}-again")).await;
    let every = Some(format!("Bearer {}", callers.every));
    let answer = wire
        .call(row.method, &again.fill(row.request), every.as_deref())
        .await;
    answer
        .unwrap_or_else(|error| panic!("{} by an operator of all accounts: {error:?}", row.method));
}

#[tokio::test]
async fn an_operators_refusals_are_one_event_a_minute_for_each_method() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    let reader = operator.operator(&["keyward/tokens:read"], "").await;
    for _ in 0..5 {
        let caller = server.caller(&reader);
        let mut directory = caller.directory.clone();
        let answer = directory.get_account(GetAccountRequest::default()).await;
        assert_eq!(
            refused(answer),
            error(Code::PermissionDenied, "GRANT_MISSING")
        );
    }
    let denied = eventually("the event", async || {
        let request = ListEventsRequest {
            types: vec![EventType::OperatorDenied.into()],
            ..Default::default()
        };
        let listed = operator.events.clone().list_events(request).await;
        let events = listed.expect("it may be listed").into_inner().events;
        (!events.is_empty()).then_some(events)
    });
    assert_eq!(denied.await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn nobody_gives_what_it_does_not_hold() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let writer = operator.operator(&["keyward/tokens:write"], "").await;
    let scoped = operator.operator(&["keyward/tokens:write"], "acme").await;
    let create = async |caller: &str, account: &str, grant: &str, scope: &str| {
        let request = CreateTokenRequest {
            account_id: account.into(),
            name: "n".into(),
            grants: vec![grant.into()],
            scope_account_id: scope.into(),
            ..Default::default()
        };
        server.caller(caller).create(request).await
    };
    let missing = error(Code::PermissionDenied, "GRANT_MISSING");
    assert_eq!(
        refused(create(&writer, "system", "keyward/events:read", "").await),
        missing
    );
    let invalid = error(Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(
        refused(create(&writer, "acme", "keyward/tokens:write", "").await),
        invalid
    );
    let unseen = error(Code::NotFound, "NOT_FOUND");
    assert_eq!(
        refused(create(&scoped, "system", "keyward/tokens:write", "acme").await),
        unseen
    );
    create(&writer, "system", "keyward/tokens:write", "")
        .await
        .unwrap();
    create(&writer, "system", "keyward/tokens:write", "acme")
        .await
        .unwrap();
    create(&scoped, "acme", "tables/*:read", "").await.unwrap();
    server.stop().await;
}
