//! The server under test: each step as a call of the real client, and what came of it compared with the reference.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use keyward::api::proto::{self, AccountPolicy, GetTokenRequest, SecretState};
use keyward::domain::time::Timestamp;
use tokio::runtime::Runtime;
use tonic::{Code, Status};

use super::calls::{Waste, until_told, validated};
use super::changes::directory;
use super::holders::Stream;
use super::steps::{DAY, Step};
use super::token::{Place, Token};
use super::wire::{account_id, at, principal_id, span, texts};
use super::world::{Account, Outcome, World};
use crate::harness::{Client, Home, Server, files, refused};

pub(super) struct Real {
    runtime: Runtime,
    /// Away only while it is stopped.
    node: Option<(Server, Client)>,
    home: Home,
    known: Known,
}

/// What the server has answered, by places in the reference.
#[derive(Default)]
pub(super) struct Known {
    pub(super) ids: Vec<String>,
    /// Those that tokens were made with.
    pub(super) etags: Vec<String>,
    /// By token and version.
    pub(super) texts: BTreeMap<(usize, u32), String>,
    pub(super) keys: BTreeMap<usize, String>,
    /// Connections, by their number in the reference, and of which token each is.
    pub(super) streams: BTreeMap<u32, (usize, Stream)>,
    /// By account and day.
    pub(super) waste: BTreeMap<(usize, i64), Waste>,
    /// The two have come apart where they may: nothing is compared any more.
    pub(super) apart: bool,
}

impl Real {
    pub(super) fn new(world: &World) -> Self {
        let runtime = Runtime::new().expect("threads are there");
        let home = Home::new();
        home.clock.set(Timestamp::from_millis(world.now));
        let node = runtime.block_on(start(&home));
        for (a, account) in world.accounts.iter().enumerate() {
            let made = runtime.block_on(make_account(&node.1, a, account));
            made.expect("it may be made");
        }
        Self {
            runtime,
            node: Some(node),
            home,
            known: Known::default(),
        }
    }

    /// Takes a step that has brought the reference to `world`.
    pub(super) fn step(&mut self, step: &Step, world: &World) {
        match step {
            _ if self.known.apart => {}
            Step::Time(to) => self.home.clock.set(Timestamp::from_millis(*to)),
            Step::Restart => self.restart(false, world),
            Step::Crash => self.restart(true, world),
            _ => {
                let (_, operator) = self.node.as_ref().expect("it serves");
                let took = self.known.take(operator, step, world);
                self.runtime.block_on(took);
            }
        }
        if !self.known.apart {
            self.runtime.block_on(self.known.hear(world));
        }
    }

    /// Compares every token.
    pub(super) fn compare(&self, world: &World) {
        let (_, operator) = self.node.as_ref().expect("it serves");
        for place in 0..world.tokens.len() {
            self.runtime
                .block_on(self.known.compare(operator, place, world));
        }
    }

    pub(super) fn end(mut self, world: &World) {
        self.compare(world);
        let (server, _) = self.node.take().expect("it serves");
        self.runtime.block_on(server.stop());
    }

    /// Stops it and starts it again; after a crash, on what was in its files at a moment before the stop.
    fn restart(&mut self, crash: bool, world: &World) {
        let data = self.home.data();
        let found = crash.then(|| {
            let mut found = files(&data);
            loop {
                let again = files(&data);
                if again == found {
                    return found;
                }
                found = again;
            }
        });
        let (server, _) = self.node.take().expect("it serves");
        self.runtime.block_on(server.stop());
        self.runtime.block_on(self.known.hear_the_end());
        if let Some(found) = found {
            std::fs::remove_dir_all(&data).expect("it is ours");
            for (name, bytes) in found {
                let path = data.join(name);
                let folder = path.parent().expect("it lies below");
                std::fs::create_dir_all(folder).expect("there is room");
                std::fs::write(&path, bytes).expect("there is room");
                let own = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(&path, own).expect("it is ours");
            }
            let own = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(&data, own).expect("it is ours");
            self.known.wasted(world);
        }
        self.node = Some(self.runtime.block_on(start(&self.home)));
        self.compare(world);
    }
}

async fn start(home: &Home) -> (Server, Client) {
    let server = home.start().await;
    let operator = server.operator();
    (server, operator)
}

/// With the roles and principals that it begins with.
pub(super) async fn make_account(
    operator: &Client,
    a: usize,
    account: &Account,
) -> Result<(), Status> {
    use proto::create_account_request::Terms;
    let terms = match account.preset {
        "own" => Terms::Policy(AccountPolicy {
            daily_calls: account.policy.daily_calls,
            rekey_grace: Some(span(account.policy.rekey_grace)),
            ..Default::default()
        }),
        preset => Terms::Preset(preset.into()),
    };
    let request = proto::CreateAccountRequest {
        account_id: account_id(a),
        terms: Some(terms),
        ..Default::default()
    };
    let mut service = operator.directory.clone();
    service.create_account(request).await?;
    for step in account.beginning(a) {
        directory(operator, &step).await?;
    }
    Ok(())
}

impl Known {
    async fn take(&mut self, operator: &Client, step: &Step, world: &World) {
        if let (
            Step::Validate(token, version, question) | Step::Hold(token, version, question),
            Outcome::Decided(decided),
        ) = (step.clone(), &world.outcome)
        {
            let token = world.bearer(token, version);
            let (secret, decided) = ((token, version), *decided);
            if matches!(step, Step::Hold(..)) {
                self.hold(operator, secret, question, decided, world).await;
            } else {
                validated(self, operator, secret, question, decided, world).await;
            }
            if decided.takes_over && !self.apart {
                // The decisions know it a little later than the store.
                let told = ("secret_version", "the secret is the current one");
                until_told(self, operator, secret, world, told).await;
            }
            return self.compare(operator, token, world).await;
        }
        match (step, &world.outcome) {
            (Step::Release(_), _) => return self.release(operator, world).await,
            (Step::List(a, filter), _) => return self.list(operator, *a, *filter, world).await,
            (Step::Usage(a), _) => return self.usage(operator, *a, world).await,
            (Step::Many(stream, asked), Outcome::All(decided)) => {
                return self.many(operator, *stream, asked, decided, world).await;
            }
            _ => {}
        }
        let told = self.change(operator, step, world).await;
        match &world.outcome {
            Outcome::Refused(reasons) => {
                let (_, reason) = refused(told);
                assert!(
                    reasons.contains(&reason.as_str()),
                    "{reason}, not one of {reasons:?}"
                );
            }
            _ => told.unwrap_or_else(|status| panic!("{status:?}")),
        }
        for token in step.tokens(world) {
            self.compare(operator, token, world).await;
        }
    }

    pub(super) async fn get(
        &self,
        operator: &Client,
        token: usize,
    ) -> Result<proto::Token, Status> {
        let request = GetTokenRequest {
            token_id: self.ids[token].clone(),
        };
        let got = operator.credentials.clone().get_token(request).await?;
        Ok(got.into_inner().token.unwrap_or_default())
    }

    /// A token as it is shown.
    async fn compare(&self, operator: &Client, place: usize, world: &World) {
        if self.apart {
            return;
        }
        let shown = self.get(operator, place).await;
        let token = &world.tokens[place];
        let now = world.now;
        if token.deleted {
            assert_eq!(shown.expect_err("it was deleted").code(), Code::NotFound);
            return;
        }
        let shown = shown.unwrap_or_else(|status| panic!("{status:?}"));
        assert_eq!(shown.state(), token.state(now));
        assert_eq!(shown.name, token.name);
        assert_eq!(shown.expire_time, token.expires.map(at));
        assert_eq!(
            shown.principal_id,
            token.principal.map(principal_id).unwrap_or_default()
        );
        assert_eq!(shown.grants, texts(token.grants));
        if !world.crashed {
            let calls = token.calls.get(&(now / DAY)).copied();
            assert_eq!(shown.calls_today, calls.unwrap_or_default());
            assert_eq!(shown.last_used_time, token.last_used.map(at));
        }
        let mut secrets: Vec<_> = shown
            .secrets
            .iter()
            .map(|secret| (secret.version, secret.state(), secret.good_until))
            .collect();
        secrets.sort_unstable_by_key(|secret| secret.0);
        assert_eq!(secrets, listed(token, now), "at {now}");
    }
}

impl Step {
    /// The tokens that it is about.
    fn tokens(&self, world: &World) -> Vec<usize> {
        match self {
            Step::MakeToken(..) | Step::Import(..) if matches!(world.outcome, Outcome::Done) => {
                vec![world.tokens.len() - 1]
            }
            Step::Once(_, step) => step.tokens(world),
            _ => self.token().into_iter().collect(),
        }
    }
}

/// The secrets that a token shows: superseded ones are not.
fn listed(token: &Token, now: i64) -> Vec<(u32, SecretState, Option<prost_types::Timestamp>)> {
    let shown = token.secrets.iter().filter_map(|secret| {
        let (state, end) = match secret.place {
            Place::Pending { .. } => (SecretState::Pending, None),
            Place::Current => (SecretState::Current, None),
            Place::Old { end } if now < token.end_of(end) => {
                (SecretState::Retiring, Some(at(token.end_of(end))))
            }
            Place::Old { .. } => return None,
        };
        Some((secret.version, state, end))
    });
    shown.collect()
}
