//! The parts of a validation, each with fixed inputs under fixed keys, run as often as is asked.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args as _, FromArgMatches as _};
use keyward::api::proto;
use keyward::clock::ManualClock;
use keyward::config::{Config, ServeArgs};
use keyward::domain::account::{Policy, PrincipalRule};
use keyward::domain::budget::Unmetered;
use keyward::domain::decision::{self, Question, Standing, Subject};
use keyward::domain::grant::{Grant, Grants, Permission};
use keyward::domain::id::{AccountId, PrincipalId, RoleId, TokenId};
use keyward::domain::network::Network;
use keyward::domain::operator::Scope;
use keyward::domain::presented::{self, Presented};
use keyward::domain::principal::PrincipalState;
use keyward::domain::secret::SecretText;
use keyward::domain::text::{self, Environment};
use keyward::domain::time::Timestamp;
use keyward::domain::token::Access;
use keyward::random::Random;
use keyward::registry::accounts::NewAccount;
use keyward::registry::principals::NewPrincipal;
use keyward::registry::roles::NewRole;
use keyward::registry::tokens::{Issued, NewToken};
use keyward::server::node::{Node, World};
use keyward::validator::Ask;
use prost::Message as _;

pub(crate) const NAMES: [&str; 11] = [
    "codec-decode-request",
    "codec-encode-answer",
    "decide-allow",
    "decide-deny",
    "digest",
    "parse-basic-header",
    "parse-token-text",
    "validate-hit",
    "validate-malformed",
    "validate-unknown",
    "validate-wrong-secret",
];

const ACCOUNT: &str = "acme";

/// Runs a case so many times, in a world that has it all.
pub(crate) fn run(name: &str, times: u64) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let made = Made::new(dir.path());
    let text = made.issued.secret.reveal();
    match name {
        "codec-decode-request" => {
            let bytes = request(text).encode_to_vec();
            repeat(times, || {
                proto::ValidateCredentialsRequest::decode(&*bytes).expect("it was encoded")
            });
        }
        "codec-encode-answer" => {
            let answer = answer(&made.issued);
            repeat(times, || answer.encode_to_vec());
        }
        "decide-allow" => made.decide(times, "read"),
        "decide-deny" => made.decide(times, "delete"),
        "digest" => {
            let key = made.node.desk.registry.keyring.current();
            let id = made.issued.token.id;
            repeat(times, || key.secret_digest(id, black_box(text)));
        }
        "parse-basic-header" => {
            let user = format!("{}:{text}", made.issued.token.id);
            let header = format!("Basic {}", STANDARD.encode(user));
            repeat(times, || {
                presented::read(Some(Presented::Header(black_box(&header)))).is_ok()
            });
        }
        "parse-token-text" => {
            let environment = environment();
            repeat(times, || text::token_id_of(black_box(text), &environment));
        }
        "validate-hit" => made.validate(times, text),
        "validate-malformed" => made.validate(times, &text[..text.len() - 1]),
        "validate-unknown" => {
            let nobody = TokenId::parse("0123456789ABCDEFGHIJKL").expect("it is an id");
            made.validate(times, assembled(nobody).reveal());
        }
        "validate-wrong-secret" => {
            made.validate(times, assembled(made.issued.token.id).reveal());
        }
        other => panic!("there is no case {other}"),
    }
}

fn repeat<T>(times: u64, mut case: impl FnMut() -> T) {
    for _ in 0..times {
        black_box(case());
    }
}

/// A node in memory, with one token of a principal whose role bounds it, and a few beside it.
struct Made {
    node: Node,
    issued: Issued,
    account_key: String,
}

impl Made {
    fn new(dir: &Path) -> Self {
        let world = World {
            clock: Arc::new(ManualClock::at(Timestamp::from_millis(1_800_000_000_000))),
            random: Arc::new(Counted::default()),
        };
        let node = Node::open(&config(), dir, world).expect("a store in memory opens");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime can be made");
        let (issued, account_key) = runtime.block_on(fill(&node));
        Self {
            node,
            issued,
            account_key,
        }
    }

    /// The rules alone, of what has been found.
    fn decide(&self, times: u64, action: &str) {
        let token = &self.issued.token;
        let directory = self.node.desk.validator.directory();
        let account = directory.account(&token.account).expect("it is there");
        let principal = token.principal.as_ref().expect("it has one");
        let member = directory.member(&token.account, principal);
        let member = member.expect("it is there");
        let subject = Subject {
            credential: token.credential(),
            secret: token.secrets[0].life(),
            account: &account,
            standing: Some(Standing {
                principal: &member.principal,
                grants: &member.grants,
            }),
        };
        let (question, now) = (self.question(action), self.node.desk.validator.now());
        repeat(times, || {
            decision::decide(Ok(black_box(&subject)), &question, now, &mut Unmetered)
        });
    }

    /// The whole of it behind the wire: parse, find, compare, decide, count.
    fn validate(&self, times: u64, text: &str) {
        let ask = Ask {
            presented: Some(Presented::Text(text)),
            scope: &Scope::Every,
            account: None,
            question: self.question("read"),
            consumer: None,
            cost: 1,
            dry_run: false,
        };
        let validator = &self.node.desk.validator;
        repeat(times, || {
            let answer = validator.validate(black_box(&ask), &mut Unmetered);
            answer.expect("nothing is metered").verdict.reason
        });
    }

    fn question<'a>(&'a self, action: &'a str) -> Question<'a> {
        Question {
            account_key: Some(&self.account_key),
            required: Some(Permission {
                resource: "tables/orders",
                action: Some(action),
            }),
            client_address: Some([10, 1, 2, 3].into()),
        }
    }
}

async fn fill(node: &Node) -> (Issued, String) {
    let registry = &node.desk.registry;
    let first = node.first_operator.as_ref().expect("the store is new");
    let call = registry.own_call(first.token);
    let policy = Policy {
        principal_rule: PrincipalRule::Enforced,
        require_account_key: true,
        ..Policy::standard()
    };
    let account = NewAccount {
        id: Some(AccountId::parse(ACCOUNT).expect("it is an id")),
        display_name: String::new(),
        policy,
    };
    let made = registry.create_account(&call, account, None).await;
    made.expect("an account can be made");
    let role = NewRole {
        id: Some(RoleId::parse("reader").expect("it is an id")),
        display_name: String::new(),
        grants: grants(["reports", "tables/*:read,write"]),
    };
    let made = registry.create_role(&call, ACCOUNT, role, None).await;
    let role = made.expect("a role can be made");
    let principal = NewPrincipal {
        id: Some(principal()),
        display_name: "an API user".into(),
        email: String::new(),
        state: PrincipalState::Active,
        api_user: true,
        roles: vec![role.id],
    };
    let made = registry.create_principal(&call, ACCOUNT, principal, None);
    made.await.expect("a principal can be made");
    let keyed = registry.create_account_key(&call, ACCOUNT).await;
    let key = keyed.expect("a key can be made").key.expect("it was made");
    let made = registry.create_token(&call, token(), None).await;
    let issued = made.expect("a token can be made");
    (issued, key.as_str().to_owned())
}

fn token() -> NewToken {
    NewToken {
        account: ACCOUNT.into(),
        name: "a credential".into(),
        description: String::new(),
        principal: Some(principal()),
        access: Access::Full,
        grants: grants(["dispatch", "tables/*:read"]),
        networks: vec![Network::parse("10.0.0.0/8").expect("it is a network")],
        rate_limit: None,
        max_connections: None,
        expiry: None,
        labels: std::collections::BTreeMap::new(),
        scope: String::new(),
    }
}

fn principal() -> PrincipalId {
    PrincipalId::parse("api").expect("it is an id")
}

fn grants<const N: usize>(texts: [&str; N]) -> Grants {
    Grants::new(texts.map(|text| Grant::parse(text).expect("it is a grant")))
}

/// A whole text that nobody was given.
fn assembled(id: TokenId) -> SecretText {
    text::assemble(&environment(), id, &[b'x'; text::SECRET_LENGTH])
}

fn environment() -> Environment {
    Environment::parse("bench").expect("it is an environment")
}

fn request(text: &str) -> proto::ValidateCredentialsRequest {
    proto::ValidateCredentialsRequest {
        presented: Some(proto::validate_credentials_request::Presented::Token(
            text.into(),
        )),
        account_key: "k".repeat(32),
        required: Some(proto::Permission {
            resource: "tables/orders".into(),
            action: "read".into(),
        }),
        client_address: "10.1.2.3".into(),
        ..Default::default()
    }
}

fn answer(issued: &Issued) -> proto::ValidateCredentialsResponse {
    proto::ValidateCredentialsResponse {
        decision: proto::Decision::Allow.into(),
        detail: "the credentials are good".into(),
        token_id: issued.token.id.to_string(),
        token_name: issued.token.name.clone(),
        account_id: ACCOUNT.into(),
        principal_id: "api".into(),
        principal_name: "an API user".into(),
        access: proto::Access::Full.into(),
        revision: 123_456_789,
        ..Default::default()
    }
}

fn config() -> Config {
    let flags = ["serve", "--store=memory", "--environment=bench"];
    let command = ServeArgs::augment_args(clap::Command::new("serve"));
    let matches = command.get_matches_from(flags);
    let said = ServeArgs::from_arg_matches(&matches).expect("the flags are right");
    said.resolve().expect("the settings are right")
}

/// The same bytes in every run.
#[derive(Debug, Default)]
struct Counted(AtomicU64);

impl Random for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            // An odd factor: every value comes, in an order that looks like none.
            *byte = (count.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
        }
    }
}
