//! Keyward as it is measured: filled with credentials, every check to be made, calls of the day and usage counted.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use clap::{Args as _, FromArgMatches as _};
use keyward::api::proto;
use keyward::clock::{Clock, ManualClock, SystemClock};
use keyward::config::{Config, ServeArgs};
use keyward::domain::account::{Policy, PrincipalRule};
use keyward::domain::grant::{Grant, Grants};
use keyward::domain::id::{AccountId, PrincipalId, RoleId, TokenId};
use keyward::domain::network::Network;
use keyward::domain::principal::PrincipalState;
use keyward::domain::text::{self, Environment};
use keyward::domain::time::Timestamp;
use keyward::domain::token::Access;
use keyward::random::SystemRandom;
use keyward::registry::accounts::NewAccount;
use keyward::registry::principals::NewPrincipal;
use keyward::registry::roles::NewRole;
use keyward::registry::tokens::NewToken;
use keyward::registry::{Call, Registry};
use keyward::server::Listeners;
use keyward::server::node::{Node, World};
use keyward::server::operator::token_file;
use tokio::task::JoinSet;

/// The account that all credentials belong to.
const ACCOUNT: &str = "bench";
const ENVIRONMENT: &str = "bench";
const ENVIRONMENT_FLAG: &str = "--environment=bench";
/// Tokens that are made side by side, so that they are committed together.
const AT_ONCE: usize = 256;
/// More calls than a run can make: they are counted, and never spent.
const DAILY_CALLS: u64 = 1 << 50;

/// Of more credentials than these the load presents so many, spread over all: what it must remember has a limit, too.
const SAMPLE: usize = 2_000_000;

/// What the load must know.
pub(crate) struct Filled {
    pub(crate) operator: String,
    pub(crate) account_key: String,
    /// Text and id of each that is presented.
    pub(crate) credentials: Rc<Vec<(String, String)>>,
}

/// The question of a service that wants everything checked.
pub(crate) fn question(account_key: &str, text: &str) -> proto::ValidateCredentialsRequest {
    proto::ValidateCredentialsRequest {
        presented: Some(proto::validate_credentials_request::Presented::Token(
            text.into(),
        )),
        account_key: account_key.into(),
        required: Some(proto::Permission {
            resource: "tables/orders".into(),
            action: "read".into(),
        }),
        client_address: "10.1.2.3".into(),
        ..Default::default()
    }
}

/// A text of the same form, for this id or one that nobody has.
pub(crate) fn never_issued(id: Option<&str>) -> String {
    let environment = Environment::parse(ENVIRONMENT).expect("it is a name");
    let id = id.and_then(TokenId::parse);
    let id = id.unwrap_or_else(|| keyward::random::token_id(&SystemRandom));
    let secret = keyward::random::secret(&SystemRandom);
    text::assemble(&environment, id, &secret)
        .reveal()
        .to_owned()
}

/// What the child has left for the load.
pub(crate) fn read(dir: &Path) -> Filled {
    let text = fs::read_to_string(dir.join("filled")).expect("the server has left it");
    let mut lines = text.lines();
    let mut line = || lines.next().expect("it is complete").to_owned();
    let (operator, account_key) = (line(), line());
    let credentials = lines.filter_map(|line| line.split_once(' '));
    Filled {
        operator,
        account_key,
        credentials: Rc::new(
            credentials
                .map(|(text, id)| (text.into(), id.into()))
                .collect(),
        ),
    }
}

/// Fills a node in memory and serves it.
pub(crate) fn serve(credentials: usize, dir: &Path, ticks: bool, say: fn(SocketAddr)) {
    let config = config();
    let clock: Arc<dyn Clock> = match ticks {
        true => Arc::new(SystemClock::new()),
        false => Arc::new(ManualClock::at(Timestamp::from_millis(1_800_000_000_000))),
    };
    let world = World {
        clock,
        random: Arc::new(SystemRandom),
    };
    let node = Node::open(&config, dir, world).expect("a store in memory opens");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let operator = fs::read_to_string(token_file(&config, dir)).expect("it was written");
        let filled = fill(&node, credentials).await;
        let lines = [operator, filled].join("\n");
        fs::write(dir.join("filled"), lines).expect("the directory can be written");
        let listeners = Listeners::bind(config.listen, config.side_listen).await;
        let listeners = listeners.expect("a port is free");
        say(listeners.address().expect("it is bound"));
        let forever = std::future::pending();
        node.run(listeners, &config, forever)
            .await
            .expect("it serves");
    });
}

/// The account key, and then a line for each credential.
async fn fill(node: &Node, credentials: usize) -> String {
    let registry = &node.desk.registry;
    let first = node.first_operator.as_ref().expect("the store is new");
    let call = registry.own_call(first.token);
    let mut lines = vec![account(registry, &call).await];
    let (mut made, each) = (0, credentials.div_ceil(SAMPLE));
    while made < credentials {
        let mut batch = JoinSet::new();
        for number in made..credentials.min(made + AT_ONCE) {
            let (registry, call) = (registry.clone(), call.clone());
            batch.spawn(async move { registry.create_token(&call, token(number), None).await });
        }
        for (place, issued) in batch.join_all().await.into_iter().enumerate() {
            let issued = issued.expect("a token can be made");
            if (made + place) % each == 0 {
                lines.push(format!("{} {}", issued.secret.reveal(), issued.token.id));
            }
        }
        made = credentials.min(made + AT_ONCE);
    }
    lines.join("\n")
}

/// The account, its key, and the API user whose role bounds the tokens.
async fn account(registry: &Registry, call: &Call) -> String {
    let policy = Policy {
        daily_calls: Some(DAILY_CALLS),
        principal_rule: PrincipalRule::Enforced,
        require_account_key: true,
        ..Policy::standard()
    };
    let account = NewAccount {
        id: Some(AccountId::parse(ACCOUNT).expect("it is an id")),
        display_name: String::new(),
        policy,
    };
    let made = registry.create_account(call, account, None).await;
    made.expect("an account can be made");
    let role = NewRole {
        id: Some(RoleId::parse("reader").expect("it is an id")),
        display_name: String::new(),
        grants: grants("tables/*:read,write"),
    };
    let made = registry.create_role(call, ACCOUNT, role, None).await;
    let role = made.expect("a role can be made");
    let principal = NewPrincipal {
        id: Some(PrincipalId::parse("api").expect("it is an id")),
        display_name: "an API user".into(),
        email: String::new(),
        state: PrincipalState::Active,
        api_user: true,
        roles: vec![role.id],
    };
    let made = registry
        .create_principal(call, ACCOUNT, principal, None)
        .await;
    made.expect("a principal can be made");
    let keyed = registry.create_account_key(call, ACCOUNT).await;
    let key = keyed.expect("a key can be made").key;
    key.expect("it was made").as_str().to_owned()
}

fn token(number: usize) -> NewToken {
    NewToken {
        account: ACCOUNT.into(),
        name: format!("credential {number}"),
        description: String::new(),
        principal: Some(PrincipalId::parse("api").expect("it is an id")),
        access: Access::Full,
        grants: grants("tables/*:read"),
        networks: vec![Network::parse("10.0.0.0/8").expect("it is a network")],
        rate_limit: None,
        max_connections: None,
        expiry: None,
        labels: std::collections::BTreeMap::new(),
        scope: String::new(),
    }
}

fn grants(text: &str) -> Grants {
    Grants::new([Grant::parse(text).expect("it is a grant")])
}

fn config() -> Config {
    let flags = [
        "serve",
        "--store=memory",
        "--listen=127.0.0.1:0",
        "--side-listen=127.0.0.1:0",
        "--cores=1",
        ENVIRONMENT_FLAG,
        "--log-level=warn",
    ];
    let command = ServeArgs::augment_args(clap::Command::new("serve"));
    let matches = command.get_matches_from(flags);
    let said = ServeArgs::from_arg_matches(&matches).expect("the flags are right");
    said.resolve().expect("the settings are right")
}
