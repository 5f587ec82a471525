//! What is known of one data directory: who the operator is, and what each client of the load was answered. Compared with
//! what a server finds there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyward::api::proto::{self, EventType};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::client::{Client, absent_or};
use super::worker::{Events, Worker};
use super::{SHARED, audit};
use crate::random::Random;

const WORKERS: usize = 4;
const SYSTEM: &str = "system";

pub(super) struct Book {
    /// The content of `operator.token`, once a server was ready.
    operator: Option<String>,
    workers: Vec<Worker>,
    /// Events that are not of a worker's changes.
    events: BTreeMap<String, Events>,
}

/// A load that runs.
pub(super) struct Load {
    over: Arc<AtomicBool>,
    running: JoinSet<(Worker, Result<(), String>)>,
}

impl Book {
    pub(super) fn new(random: &mut Random) -> Self {
        let workers = 0..WORKERS;
        Self {
            operator: None,
            workers: workers
                .map(|number| Worker::new(number, random.below(u64::MAX)))
                .collect(),
            events: BTreeMap::new(),
        }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.workers.iter().map(|worker| worker.acknowledged).sum()
    }

    pub(super) fn found(&self) -> u64 {
        self.workers.iter().map(|worker| worker.found).sum()
    }

    /// Compares everything.
    pub(super) async fn compare(&mut self, dir: &Path, address: SocketAddr) -> Result<(), String> {
        let operator = std::fs::read_to_string(dir.join("operator.token"));
        let operator = operator.map_err(|error| format!("operator.token: {error}"))?;
        if *self.operator.get_or_insert_with(|| operator.clone()) != operator {
            return Err("there is another operator's token".into());
        }
        let mut client = Client::new(address, &operator)?;
        self.compare_operator(&mut client).await?;
        self.shared_account(&mut client).await.map_err(told)?;
        self.compare_workers(address, &operator).await?;
        self.compare_list(&mut client).await?;
        self.compare_tally(&mut client).await?;
        let mut expected = self.events.clone();
        for worker in &self.workers {
            expected.extend(worker.events.clone());
        }
        audit::compare(&mut client, expected).await
    }

    /// Starts the load, on the state that was compared.
    pub(super) fn load(&mut self, address: SocketAddr) -> Result<Load, String> {
        let operator = self.operator.clone().expect("it was compared");
        let over = Arc::new(AtomicBool::new(false));
        let mut running = JoinSet::new();
        for mut worker in self.workers.drain(..) {
            let mut client = Client::new(address, &operator)?;
            let over = Arc::clone(&over);
            running.spawn(async move {
                let result = worker.load(&mut client, &over).await;
                (worker, result)
            });
        }
        Ok(Load { over, running })
    }

    /// Takes back who made the load.
    pub(super) async fn close(&mut self, mut load: Load) -> Result<(), String> {
        let mut outcome = Ok(());
        while let Some(ended) = load.running.join_next().await {
            let (worker, result) = ended.map_err(|error| error.to_string())?;
            outcome = outcome.and(result);
            self.workers.push(worker);
        }
        outcome
    }

    async fn compare_operator(&mut self, client: &mut Client) -> Result<(), String> {
        let tokens = client.tokens(SYSTEM, "").await.map_err(told)?;
        let text = self.operator.as_deref().unwrap_or_default();
        let [token] = &tokens[..] else {
            return Err(format!("{} operators were made", tokens.len()));
        };
        if !text.contains(&token.id) {
            return Err(format!(
                "the operator is {}, and not whose text is kept",
                token.id
            ));
        }
        let once = |event| Events::from([(event, 1)]);
        self.events
            .insert(token.id.clone(), once(EventType::TokenCreated));
        self.events
            .insert(SYSTEM.into(), once(EventType::AccountCreated));
        Ok(())
    }

    /// The account of all tokens, made once.
    async fn shared_account(&mut self, client: &mut Client) -> Result<(), Status> {
        let account_id = SHARED.to_owned();
        let request = proto::GetAccountRequest {
            account_id: account_id.clone(),
        };
        let found = absent_or(client.directory.get_account(request).await)?;
        match (found.is_some(), self.events.contains_key(SHARED)) {
            (false, false) => {
                let request = proto::CreateAccountRequest {
                    account_id,
                    ..Default::default()
                };
                client.directory.create_account(request).await?;
                self.logged(SHARED, EventType::AccountCreated);
                Ok(())
            }
            (true, true) => Ok(()),
            (there, known) => Err(Status::internal(format!(
                "the shared account is there: {there}, and was made: {known}"
            ))),
        }
    }

    async fn compare_workers(&mut self, address: SocketAddr, operator: &str) -> Result<(), String> {
        let mut running = JoinSet::new();
        for mut worker in self.workers.drain(..) {
            let mut client = Client::new(address, operator)?;
            running.spawn(async move {
                let settled = worker.settle(&mut client).await;
                let result = match settled {
                    Ok(()) => worker.compare(&mut client).await,
                    lost => lost,
                };
                (worker, result)
            });
        }
        let over = Arc::new(AtomicBool::new(true));
        self.close(Load { over, running }).await
    }

    /// The list has what is there one by one, and nothing else.
    async fn compare_list(&mut self, client: &mut Client) -> Result<(), String> {
        let listed = client.tokens(SHARED, "").await.map_err(told)?;
        let listed: BTreeSet<String> = listed.into_iter().map(|token| token.id).collect();
        let known: BTreeSet<String> = self.living().collect();
        let differ: Vec<_> = listed.symmetric_difference(&known).collect();
        match differ.is_empty() {
            true => Ok(()),
            false => Err(format!("listed or known, but not both: {differ:?}")),
        }
    }

    /// The count that bounds the account's tokens is that of its tokens: there is room for one more, and no second.
    async fn compare_tally(&mut self, client: &mut Client) -> Result<(), String> {
        let living = u32::try_from(self.living().count()).expect("they are few");
        self.limit(client, Some(living + 1)).await.map_err(told)?;
        let request = proto::CreateTokenRequest {
            account_id: SHARED.into(),
            name: "one more".into(),
            ..Default::default()
        };
        let made = client.credentials.create_token(request.clone()).await;
        let made = made.map_err(|status| format!("no room for token {}: {status}", living + 1))?;
        let token_id = made.into_inner().token.unwrap_or_default().id;
        match client.credentials.create_token(request).await {
            Err(status) if status.code() == Code::ResourceExhausted => {}
            other => return Err(format!("one token too many was answered {other:?}")),
        }
        let request = proto::DeactivateTokenRequest {
            token_id: token_id.clone(),
            ..Default::default()
        };
        client
            .credentials
            .deactivate_token(request)
            .await
            .map_err(told)?;
        let request = proto::DeleteTokenRequest {
            token_id: token_id.clone(),
            ..Default::default()
        };
        client
            .credentials
            .delete_token(request)
            .await
            .map_err(told)?;
        for event in [
            EventType::TokenCreated,
            EventType::TokenDeactivated,
            EventType::TokenDeleted,
        ] {
            self.logged(&token_id, event);
        }
        self.limit(client, None).await.map_err(told)
    }

    async fn limit(&mut self, client: &mut Client, max_tokens: Option<u32>) -> Result<(), Status> {
        let policy = proto::AccountPolicy {
            max_tokens,
            ..Default::default()
        };
        let account = proto::Account {
            id: SHARED.into(),
            policy: Some(policy),
            ..Default::default()
        };
        let paths = vec!["policy.max_tokens".to_owned()];
        let request = proto::UpdateAccountRequest {
            account: Some(account),
            update_mask: Some(prost_types::FieldMask { paths }),
        };
        client.directory.update_account(request).await?;
        self.logged(SHARED, EventType::AccountUpdated);
        Ok(())
    }

    fn living(&self) -> impl Iterator<Item = String> {
        let tokens = self.workers.iter().flat_map(|worker| &worker.tokens);
        tokens
            .filter(|token| token.state.is_some())
            .map(|token| token.id.clone())
    }

    fn logged(&mut self, id: &str, event: EventType) {
        let events = self.events.entry(id.to_owned()).or_default();
        *events.entry(event).or_default() += 1;
    }
}

impl Load {
    /// What is answered from now on counts as not acknowledged.
    pub(super) fn over(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

fn told(status: Status) -> String {
    status.to_string()
}
