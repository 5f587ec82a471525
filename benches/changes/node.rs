//! Keyward with its store on the disk: in this process, or served by one of its own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use clap::{Args as _, FromArgMatches as _};
use keyward::clock::SystemClock;
use keyward::config::{Config, ServeArgs};
use keyward::domain::account::Policy;
use keyward::domain::grant::{Grant, Grants};
use keyward::domain::id::AccountId;
use keyward::domain::network::Network;
use keyward::domain::token::Access;
use keyward::random::SystemRandom;
use keyward::registry::accounts::NewAccount;
use keyward::registry::tokens::NewToken;
use keyward::registry::{Call, Registry};
use keyward::server::node::{Node, World};
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

/// The account that all tokens belong to.
pub(crate) const ACCOUNT: &str = "bench";

/// A registry, and who calls it. What it stands on is closed when it is dropped.
pub(crate) struct InProcess {
    pub(crate) registry: Registry,
    pub(crate) call: Call,
    _node: Node,
}

impl InProcess {
    /// A new store in `dir`, with the account. Blocks.
    pub(crate) fn open(dir: &Path) -> Self {
        let world = World {
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
        };
        let node = Node::open(&config(), dir, world).expect("a new store opens");
        let registry = node.desk.registry.clone();
        let first = node.first_operator.as_ref().expect("the store is new");
        let call = registry.own_call(first.token);
        Self {
            registry,
            call,
            _node: node,
        }
    }

    pub(crate) async fn make_account(&self) {
        let account = NewAccount {
            id: Some(AccountId::parse(ACCOUNT).expect("it is an id")),
            display_name: String::new(),
            policy: Policy::standard(),
        };
        let made = self.registry.create_account(&self.call, account, None);
        made.await.expect("an account can be made");
    }
}

/// What CreateToken is asked for: the same at the registry and over gRPC.
pub(crate) fn token(number: u64) -> NewToken {
    NewToken {
        account: ACCOUNT.into(),
        name: format!("credential {number}"),
        description: String::new(),
        principal: None,
        access: Access::Full,
        grants: Grants::new([Grant::parse("tables/*:read").expect("it is a grant")]),
        networks: vec![Network::parse("10.0.0.0/8").expect("it is a network")],
        rate_limit: None,
        max_connections: None,
        expiry: None,
        labels: BTreeMap::new(),
        scope: String::new(),
    }
}

fn config() -> Config {
    let command = ServeArgs::augment_args(clap::Command::new("serve"));
    let matches = command.get_matches_from(["serve", "--environment=bench"]);
    let said = ServeArgs::from_arg_matches(&matches).expect("the flags are right");
    said.resolve().expect("the settings are right")
}

/// A server of its own process; killed when dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
    operator: String,
}

impl Served {
    /// Starts it over a new store in `dir`, and waits until it serves.
    pub(crate) fn start(dir: &Path, cores: usize) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_keyward"))
            .args(["serve", "--listen=127.0.0.1:0", "--side-listen=127.0.0.1:0"])
            .args([
                "--environment=bench",
                "--log-level=info",
                "--log-format=json",
            ])
            .arg(format!("--cores={cores}"))
            .arg(format!("--data-dir={}", dir.display()))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped"))
            .lines()
            .map_while(Result::ok);
        let listening = lines
            .find(|line| line.contains("listening"))
            .expect("the server listens");
        // Nobody reads on, but the pipe must not fill.
        std::thread::spawn(move || lines.for_each(drop));
        let address = listening.split("\"address\":\"").nth(1);
        let address = address.and_then(|rest| rest.split('"').next());
        let operator = std::fs::read_to_string(dir.join("operator.token"));
        Self {
            child,
            address: address.expect("it says where").to_owned(),
            operator: operator.expect("it was written").trim().to_owned(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address));
        let endpoint = endpoint.expect("it is an address");
        endpoint.connect().await.expect("the server answers")
    }

    /// The message as the operator sends it.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let header = format!("Bearer {}", self.operator);
        let header = header.parse().expect("a token is ASCII");
        request.metadata_mut().insert("authorization", header);
        request
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
