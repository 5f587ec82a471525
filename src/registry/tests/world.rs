//! The world of the registry's tests: a store in memory, a directory that follows it, a clock that is set by hand.

use std::time::Duration;

pub(crate) use super::words::*;
use crate::clock::{Clock as _, ManualClock};
use crate::directory::follow;
use crate::domain::account::Policy;
use crate::domain::budget::Unmetered;
use crate::domain::decision::{DenyReason, Step, Verdict};
use crate::domain::id::TokenId;
use crate::domain::presented::Presented;
use crate::domain::principal::{Principal, PrincipalState};
use crate::domain::time::Timestamp;
use crate::domain::token::{Activation, Token};
use crate::marks::Marks;
use crate::meter::usage::Usage;
use crate::random::testing::SeededRandom;
use crate::registry::accounts::{AccountPatch, NewAccount, PolicyChange};
use crate::registry::principals::{NewPrincipal, PrincipalPatch};
use crate::registry::roles::NewRole;
use crate::registry::tokens::{Imported, Issued, NewToken};
use crate::registry::usage::{Bounds, Ledger};
use crate::registry::*;
use crate::store::backend::{Backend as _, Direction};
use crate::store::memory::MemoryBackend;
use crate::store::open::open_backend;
use crate::store::record::LoggedEvent;
use crate::store::{Condition, Wanted};
use crate::validator::{Ask, Kept, Validator};

/// Consumers that are kept in all.
pub(crate) const MAX_CONSUMERS: usize = 3_000;
const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The whole service without its wire and its disk, at a time that the test sets. Marks are committed when the test says so.
pub(crate) struct World {
    pub(crate) backend: Arc<MemoryBackend>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) registry: Registry,
    pub(crate) validator: Validator,
    pub(crate) marks: Arc<Marks>,
    /// The first operator: every grant, all accounts.
    pub(crate) root: Call,
    seed: u64,
    bounds: Bounds,
}

/// An answer that holds nothing still.
pub(crate) struct Answered {
    pub(crate) verdict: Verdict,
    pub(crate) identity: Option<Kept>,
    pub(crate) steps: Vec<Step>,
}

impl World {
    /// An empty store but for the first operator, under one key.
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let backend = Arc::new(MemoryBackend::new());
        Self::over(backend, keyring(&[1]), clock, 1, None, Bounds::default()).await
    }

    /// The same with other bounds for what is counted.
    pub(crate) async fn within(bounds: Bounds) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let backend = Arc::new(MemoryBackend::new());
        Self::over(backend, keyring(&[1]), clock, 1, None, bounds).await
    }

    /// The same with accounts of the standard policy.
    pub(crate) async fn with_accounts<const N: usize>(accounts: [&str; N]) -> Self {
        let world = Self::new().await;
        for account in accounts {
            world.account(account, Policy::standard()).await;
        }
        world
    }

    /// The process as it would be after a restart over the same rows, with these keys, the current one first.
    pub(crate) async fn restarted(self, keys: &[u32]) -> Self {
        let (revision, rows) = (self.backend.revision(), self.backend.rows());
        let backend = Arc::new(MemoryBackend::with_rows(revision, rows));
        let (clock, seed, root) = (self.clock.clone(), self.seed + 1, self.root.clone());
        let bounds = self.bounds;
        drop(self);
        Self::over(backend, keyring(keys), clock, seed, Some(root), bounds).await
    }

    async fn over(
        backend: Arc<MemoryBackend>,
        keyring: Arc<Keyring>,
        clock: Arc<ManualClock>,
        seed: u64,
        root: Option<Call>,
        bounds: Bounds,
    ) -> Self {
        let build = move || {
            let random = Arc::new(SeededRandom::new(seed));
            let opened = open_backend(
                backend.clone(),
                keyring.clone(),
                clock.clone(),
                &*random,
                &(),
            )
            .unwrap();
            let directory = follow::start(opened.store.reader(), Vec::new()).unwrap();
            let marks = Arc::new(Marks::default());
            let environment = Environment::parse("test").unwrap();
            let counted = Arc::new(Usage::new(directory.clone(), MAX_CONSUMERS));
            let validator = Validator::new(
                directory.clone(),
                keyring.clone(),
                environment.clone(),
                clock.clone(),
                marks.clone(),
                counted.clone(),
            );
            let registry = Registry {
                store: opened.store,
                directory,
                keyring,
                clock: clock.clone(),
                usage: Arc::new(Ledger::bounded(counted, &*random, bounds)),
                random,
                environment,
            };
            let root = root.unwrap_or_else(|| {
                let first = registry.draw_operator("first");
                registry.own_call(registry.admit_operator(&first).unwrap())
            });
            Self {
                backend,
                clock,
                registry,
                validator,
                marks,
                root,
                seed,
                bounds,
            }
        };
        tokio::task::spawn_blocking(build).await.unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn account(&self, id: &str, policy: Policy) {
        let new = NewAccount {
            id: Some(account_id(id)),
            display_name: String::new(),
            policy,
        };
        self.registry
            .create_account(&self.root, new, None)
            .await
            .unwrap();
    }

    pub(crate) async fn set_policy(
        &self,
        account: &str,
        change: PolicyChange,
    ) -> Result<Account, Error> {
        let patch = AccountPatch {
            policy: vec![change],
            ..AccountPatch::default()
        };
        self.registry
            .update_account(&self.root, account, String::new(), patch)
            .await
    }

    pub(crate) async fn disable(&self, account: &str, disabled: bool) {
        let patch = AccountPatch {
            disabled: Some(disabled),
            ..AccountPatch::default()
        };
        let updated = self
            .registry
            .update_account(&self.root, account, String::new(), patch);
        updated.await.unwrap();
    }

    pub(crate) async fn principal(
        &self,
        account: &str,
        id: &str,
        state: PrincipalState,
        api_user: bool,
        roles: &[&str],
    ) -> Result<Principal, Error> {
        let new = NewPrincipal {
            id: Some(principal_id(id)),
            display_name: String::new(),
            email: String::new(),
            state,
            api_user,
            roles: roles.iter().map(|id| role_id(id)).collect(),
        };
        self.registry
            .create_principal(&self.root, account, new, None)
            .await
    }

    pub(crate) async fn set_principal(
        &self,
        account: &str,
        id: &str,
        patch: PrincipalPatch,
    ) -> Result<Principal, Error> {
        self.registry
            .update_principal(&self.root, account, id, String::new(), patch)
            .await
    }

    pub(crate) async fn role(&self, account: &str, id: &str, texts: &[&str]) {
        let new = NewRole {
            id: Some(role_id(id)),
            display_name: String::new(),
            grants: grants(texts),
        };
        self.registry
            .create_role(&self.root, account, new, None)
            .await
            .unwrap();
    }

    /// A token with all defaults.
    pub(crate) async fn token(&self, account: &str) -> Issued {
        self.create(new_token(account)).await.unwrap()
    }

    pub(crate) async fn create(&self, new: NewToken) -> Result<Issued, Error> {
        self.registry.create_token(&self.root, new, None).await
    }

    pub(crate) async fn import(&self, account: &str, text: &str) -> Result<Token, Error> {
        let imported = Imported {
            sha256: crate::keyring::sha256(text),
            foreign_id: Some("legacy".into()),
            hint: String::new(),
        };
        self.registry
            .import_token(&self.root, new_token(account), imported, None)
            .await
    }

    pub(crate) async fn rekey(
        &self,
        id: TokenId,
        grace: Duration,
        activation: Activation,
    ) -> Result<Issued, Error> {
        let new = new_secret(id, Some(grace), activation);
        self.registry.rekey(&self.root, new, None).await
    }

    pub(crate) async fn deactivate(&self, id: TokenId) -> Token {
        let (why, etag) = (String::new(), String::new());
        self.registry
            .deactivate_token(&self.root, id.to_string(), etag, why, false)
            .await
            .unwrap()
    }

    pub(crate) async fn reactivate(&self, id: TokenId) -> Result<Token, Error> {
        self.registry
            .reactivate_token(&self.root, id.to_string(), String::new())
            .await
    }

    pub(crate) async fn delete(&self, id: TokenId) -> Result<(), Error> {
        self.registry
            .delete_token(&self.root, id.to_string(), String::new(), false)
            .await
    }

    /// An operator with these grants, and the call that it makes.
    pub(crate) async fn operator(&self, texts: &[&str], scope: &str) -> Call {
        let new = NewToken {
            grants: grants(texts),
            scope: scope.into(),
            ..new_token(AccountId::SYSTEM)
        };
        self.call_of(&self.create(new).await.unwrap().token)
    }

    pub(crate) fn call_of(&self, token: &Token) -> Call {
        Call {
            operator: Operator::of(&token.credential()),
            origin: Origin {
                actor: token.id.to_string(),
                address: "192.0.2.1".into(),
                call_id: "call".into(),
            },
        }
    }

    pub(crate) fn validate(&self, ask: &Ask<'_>) -> Answered {
        let answer = self.validator.validate(ask, &mut Unmetered).unwrap();
        Answered {
            identity: answer.identity().map(|identity| identity.keep()),
            verdict: answer.verdict,
            steps: answer.steps,
        }
    }

    /// The decision on a bare text for a system-wide caller; `None` allows.
    pub(crate) fn reason(&self, text: &str) -> Option<DenyReason> {
        self.validate(&ask(Presented::Text(text))).verdict.reason
    }

    /// Commits the marks that wait; how many they were.
    pub(crate) async fn step_marks(&self) -> usize {
        let taken = self.marks.take_waiting(self.clock.steady());
        let count = taken.len();
        self.registry
            .commit_taken(&self.marks, taken)
            .await
            .unwrap();
        count
    }

    /// The audit log, oldest first.
    pub(crate) async fn events(&self) -> Vec<LoggedEvent> {
        let wanted = Wanted {
            prefix: key::EVENTS.into(),
            after: None,
            direction: Direction::Forward,
            limit: 10_000,
        };
        let rows = self.registry.store.scan(wanted).await.unwrap();
        rows.into_iter().map(|(_, event)| event).collect()
    }

    /// What the newest lines of the log tell of.
    pub(crate) async fn kinds_after(&self, lines: usize) -> Vec<i32> {
        let events = self.events().await;
        events[lines..].iter().map(|event| event.kind).collect()
    }

    /// Waits until the store has turned as wanted.
    pub(crate) async fn until_writable(&self, writable: bool) {
        let mut condition = self.registry.store.condition();
        let turned =
            condition.wait_for(|condition| (*condition == Condition::Writable) == writable);
        tokio::time::timeout(Duration::from_secs(20), turned)
            .await
            .unwrap()
            .unwrap();
    }
}
