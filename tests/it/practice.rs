//! Practice around the three systems, sentence by sentence as the design has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyward::api::proto::create_token_request::Expiry;
use keyward::api::proto::{
    Activation, CompleteRekeyRequest, CreateTokenRequest, DeactivateTokenRequest, DenyReason,
    ListTokensRequest, PrincipalState, RekeyRequest, SecretState, TokenState,
    ValidateCredentialsRequest, ValidateCredentialsResponse,
};
use keyward::clock::Clock as _;
use keyward::domain::time::Timestamp;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{
    ALLOW, Client, Home, Server, decision, error, eventually, presenting, refused, wire,
};

/// 2027-01-16 00:00 UTC, as the date begins on which tests' tokens end.
const MIDNIGHT: Timestamp = Timestamp::from_millis(1_800_057_600_000);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn integration(name: &str) -> CreateTokenRequest {
    CreateTokenRequest {
        account_id: "acme".into(),
        name: name.into(),
        principal_id: "sync".into(),
        labels: BTreeMap::from([("integration".into(), name.into())]),
        expiry: Some(Expiry::ExpireDate("2027-01-16".into())),
        ..Default::default()
    }
}

/// A node with the account `acme` of integration tokens, its key, and its API user `sync`.
async fn acme() -> (Home, Server, Client, String) {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "integration-tokens").await;
    let key = operator.account_key("acme").await.expect("it has none yet");
    operator.role("acme", "all", &["*"]).await;
    operator.principal("acme", "sync", true, &["all"]).await;
    (home, server, operator, key)
}

/// *one token per integration;*
#[tokio::test]
async fn each_integration_has_a_token_that_is_found_and_stopped_by_itself() {
    let (_home, server, operator, key) = acme().await;
    let crm = operator.issue(integration("crm")).await;
    let erp = operator.issue(integration("erp")).await;
    let labelled = ListTokensRequest {
        account_id: "acme".into(),
        labels: BTreeMap::from([("integration".into(), "crm".into())]),
        ..Default::default()
    };
    assert_eq!(operator.listed(labelled).await, ["crm"]);
    operator.deactivate(&crm.id).await;
    let active = ListTokensRequest {
        account_id: "acme".into(),
        states: vec![TokenState::Active.into()],
        ..Default::default()
    };
    assert_eq!(operator.listed(active).await, ["erp"]);
    let beside = |text: &str| ValidateCredentialsRequest {
        account_key: key.clone(),
        ..presenting(text)
    };
    assert_eq!(decision(&operator.validate(beside(&erp.text)).await), ALLOW);
    server.stop().await;
}

/// A connection test: the first step that failed, with the reason.
fn failed(answer: &ValidateCredentialsResponse) -> (Option<DenyReason>, &str) {
    assert!(answer.steps.iter().all(|step| !step.detail.is_empty()));
    assert!(answer.detail.len() > 8, "in words: {}", answer.detail);
    let step = answer.steps.iter().find(|step| !step.passed);
    (decision(answer).err(), step.map_or("", |step| &step.rule))
}

/// *a connection test that says why it fails (inactive API user, expired or rekeyed token, wrong environment, account key of
/// another account);*
#[tokio::test]
async fn a_connection_test_says_why_it_fails() {
    let (home, server, operator, key) = acme().await;
    operator.account("rival", "integration-tokens").await;
    let rivals = operator.account_key("rival").await.unwrap();
    let token = operator.issue(integration("crm")).await;
    let test = async |text: &str, account_key: &str| {
        let request = ValidateCredentialsRequest {
            account_key: account_key.into(),
            dry_run: true,
            ..presenting(text)
        };
        operator.validate(request).await
    };
    let good = test(&token.text, &key).await;
    assert_eq!(decision(&good), ALLOW);
    assert!(good.steps.iter().all(|step| step.passed), "{good:?}");
    assert_eq!(good.grants, ["*"]);

    let other = test(&token.text, &rivals).await;
    let mismatch = DenyReason::AccountKeyMismatch;
    assert_eq!(failed(&other), (Some(mismatch), "account_key"));

    let new = operator.rekey(&token.id).await.unwrap().secret;
    let rekeyed = test(&token.text, &key).await;
    let superseded = DenyReason::Superseded;
    assert_eq!(failed(&rekeyed), (Some(superseded), "secret_version"));

    let foreign = elsewhere(&new);
    let foreign = test(&foreign, &key).await;
    let wrong = DenyReason::WrongEnvironment;
    assert_eq!(failed(&foreign), (Some(wrong), "environment"));

    operator
        .set_state("acme", "sync", PrincipalState::Disabled)
        .await;
    let user = test(&new, &key).await;
    let disabled = DenyReason::PrincipalDisabled;
    assert_eq!(failed(&user), (Some(disabled), "principal"));
    operator
        .set_state("acme", "sync", PrincipalState::Active)
        .await;

    home.clock.set(MIDNIGHT);
    let expired = test(&new, &key).await;
    assert_eq!(failed(&expired), (Some(DenyReason::Expired), "expiry"));
    server.stop().await;
}

/// The same token's text, as if it had been issued in another environment.
fn elsewhere(text: &str) -> String {
    let body = text.strip_prefix("kw_test_").expect("tests' environment");
    let (body, _) = body.split_at(body.len() - 6);
    let whole = format!("kw_elsewhere_{body}");
    let mut rest = crc32fast::hash(whole.as_bytes());
    let mut check = Vec::new();
    for _ in 0..6 {
        const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        check.push(BASE62[rest as usize % 62]);
        rest /= 62;
    }
    check.reverse();
    whole + std::str::from_utf8(&check).expect("letters and digits")
}

/// *separate environments;*
#[tokio::test]
async fn environments_are_separate() {
    let homes = [Home::new(), Home::new()];
    let [here, there] = &homes;
    let test = here.start().await;
    let staging = there.start_with(&["--environment=staging"]).await;
    let staging = staging.unwrap();
    for server in [&test, &staging] {
        server.operator().account("acme", "standard").await;
    }
    let own = test.operator().token("acme", "crm").await.secret;
    let foreign = staging.operator().token("acme", "crm").await.secret;
    assert!(own.starts_with("kw_test_") && foreign.starts_with("kw_staging_"));
    assert_eq!(test.operator().decide(&own).await, ALLOW);
    assert_eq!(staging.operator().decide(&foreign).await, ALLOW);
    let wrong = Err(DenyReason::WrongEnvironment);
    assert_eq!(test.operator().decide(&foreign).await, wrong);
    assert_eq!(staging.operator().decide(&own).await, wrong);
    assert_eq!(test.operator().decide(&elsewhere(&own)).await, wrong);
    test.stop().await;
    staging.stop().await;
}

/// Callers that present what they are told to, until they are told to stop; each must always be allowed.
struct Load {
    over: Arc<AtomicBool>,
    callers: JoinSet<u64>,
    text: tokio::sync::watch::Sender<String>,
}

impl Load {
    fn new(server: &Server, text: &str) -> Self {
        let (text, presented) = tokio::sync::watch::channel(text.to_owned());
        let over = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let (caller, presented) = (server.operator(), presented.clone());
            let over = Arc::clone(&over);
            callers.spawn(async move {
                let mut calls = 0;
                while !over.load(Ordering::SeqCst) {
                    let text = presented.borrow().clone();
                    assert_eq!(caller.decide(&text).await, ALLOW, "nobody is denied");
                    calls += 1;
                }
                calls
            });
        }
        Self {
            over,
            callers,
            text,
        }
    }

    /// The consumers are deployed with another secret.
    fn deploy(&self, text: &str) {
        self.text.send_replace(text.to_owned());
    }

    async fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        let calls: u64 = self.callers.join_all().await.into_iter().sum();
        assert!(calls > 0);
    }
}

async fn states(operator: &Client, id: &str) -> Vec<SecretState> {
    let mut secrets = operator.shown(id).await.secrets;
    secrets.sort_by_key(|secret| secret.version);
    secrets.iter().map(|secret| secret.state()).collect()
}

/// *rotation without an outage;*
#[tokio::test]
async fn a_rotation_denies_nobody_at_any_moment() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let made = operator.token("acme", "crm").await;
    let (id, first) = (made.token.unwrap().id, made.secret);
    let load = Load::new(&server, &first);

    let second = operator.rekey(&id).await.unwrap().secret;
    load.deploy(&second);
    let on_first_use = RekeyRequest {
        token_id: id.clone(),
        activation: Activation::OnFirstUse.into(),
        ..Default::default()
    };
    let third = operator.credentials.clone().rekey(on_first_use).await;
    let third = third.unwrap().into_inner().secret;
    let waiting = [
        SecretState::Retiring,
        SecretState::Current,
        SecretState::Pending,
    ];
    assert_eq!(states(&operator, &id).await, waiting);
    load.deploy(&third);
    eventually("the new secret to take over", async || {
        let states = states(&operator, &id).await;
        (states.last() == Some(&SecretState::Current)).then_some(())
    })
    .await;
    assert_eq!(operator.decide(&second).await, ALLOW, "a straggler");
    let complete = CompleteRekeyRequest {
        token_id: id.clone(),
        ..Default::default()
    };
    load.end().await;
    operator
        .credentials
        .clone()
        .complete_rekey(complete)
        .await
        .unwrap();
    for old in [&first, &second] {
        assert_eq!(operator.decide(old).await, Err(DenyReason::Superseded));
    }
    assert_eq!(operator.decide(&third).await, ALLOW);
    server.stop().await;
}

/// *knowing which consumers depend on a token before it is turned off;*
#[tokio::test]
async fn consumers_are_known_before_a_token_is_turned_off() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let made = operator.token("acme", "shared").await;
    let (id, old) = (made.token.unwrap().id, made.secret);
    let used_by = async |text: &str, consumer: &str| {
        let request = ValidateCredentialsRequest {
            consumer: consumer.into(),
            ..presenting(text)
        };
        assert_eq!(decision(&operator.validate(request).await), ALLOW);
    };
    used_by(&old, "yesterday's").await;
    home.clock.advance(DAY + HOUR);
    let try_it = DeactivateTokenRequest {
        token_id: id.clone(),
        validate_only: true,
        ..Default::default()
    };
    let mut credentials = operator.credentials.clone();
    let mut tried = async || {
        let tried = credentials.deactivate_token(try_it.clone()).await;
        let mut names: Vec<_> = tried
            .unwrap()
            .into_inner()
            .consumers
            .into_iter()
            .map(|consumer| consumer.name)
            .collect();
        names.sort_unstable();
        names
    };
    assert!(tried().await.is_empty(), "of the last day");
    used_by(&old, "billing").await;
    used_by(&old, "reports").await;
    assert_eq!(tried().await, ["billing", "reports"]);
    assert_eq!(operator.decide(&old).await, ALLOW, "nothing was done");

    // Before the old secret is turned off, too.
    let new = operator.rekey(&id).await.unwrap().secret;
    used_by(&new, "billing").await;
    let complete = CompleteRekeyRequest {
        token_id: id.clone(),
        if_old_idle_for: Some(prost_types::Duration {
            seconds: 3_600,
            nanos: 0,
        }),
        ..Default::default()
    };
    let mut credentials = operator.credentials.clone();
    home.clock.advance(2 * HOUR);
    used_by(&old, "reports").await;
    let refusal = credentials
        .complete_rekey(complete.clone())
        .await
        .unwrap_err();
    let violations = refusal
        .get_details_precondition_failure()
        .unwrap()
        .violations;
    let told = format!("{violations:?}");
    assert!(
        told.contains("reports") && !told.contains("billing"),
        "{told}"
    );
    assert_eq!(
        refused::<()>(Err(refusal)),
        error(Code::FailedPrecondition, "OLD_SECRET_IN_USE")
    );
    used_by(&new, "reports").await;
    home.clock.advance(HOUR);
    credentials.complete_rekey(complete).await.unwrap();
    assert_eq!(operator.decide(&old).await, Err(DenyReason::Superseded));
    assert_eq!(operator.decide(&new).await, ALLOW);
    server.stop().await;
}

/// *unused credentials found and removed.*
#[tokio::test]
async fn unused_credentials_are_found_and_removed() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let mut made = BTreeMap::new();
    for name in ["busy", "idle", "never"] {
        let token = operator.token("acme", name).await;
        made.insert(name, (token.token.unwrap().id, token.secret));
    }
    assert_eq!(operator.decide(&made["idle"].1).await, ALLOW);
    home.clock.advance(30 * DAY);
    let since = home.clock.now();
    home.clock.advance(HOUR);
    assert_eq!(operator.decide(&made["busy"].1).await, ALLOW);
    operator.token("acme", "new").await;
    let unused = ListTokensRequest {
        account_id: "acme".into(),
        unused_since: Some(wire(since)),
        ..Default::default()
    };
    assert_eq!(operator.listed(unused.clone()).await, ["idle", "never"]);
    for name in ["idle", "never"] {
        operator.deactivate(&made[name].0).await;
        operator.delete(&made[name].0).await.unwrap();
    }
    assert!(operator.listed(unused).await.is_empty());
    assert_eq!(operator.decide(&made["busy"].1).await, ALLOW);
    server.stop().await;
}
