//! A node in a thread, as production composes it, and clients that speak to it over a socket.
//!
//! Each [`Home`] has its own data directory and its own clock, which stands still until a test moves it. What has to be a
//! process of its own is in `process`.

#![expect(
    clippy::unwrap_used,
    reason = "a test's help: what is not as it should be ends the test"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::{Args as _, FromArgMatches as _};
use keyward::api::proto::credential_service_client::CredentialServiceClient;
use keyward::api::proto::directory_service_client::DirectoryServiceClient;
use keyward::api::proto::event_service_client::EventServiceClient;
use keyward::api::proto::usage_service_client::UsageServiceClient;
use keyward::api::proto::validate_credentials_request::Presented;
use keyward::api::proto::{
    CreateAccountRequest, CreateTokenRequest, CreateTokenResponse, DeactivateTokenRequest,
    Decision, DenyReason, Event, ListEventsRequest, ValidateCredentialsRequest,
    ValidateCredentialsResponse,
};
use keyward::clock::ManualClock;
use keyward::config::{Config, ServeArgs};
use keyward::domain::time::Timestamp;
use keyward::random::SystemRandom;
use keyward::server::Listeners;
use keyward::server::node::{Node, StartError, World};
use keyward::server::operator::NewOperator;
use keyward::store::open::OpenError;
use keyward::store::sled::OpenError as SledError;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt as _;

/// When every test begins: 2027-01-15 08:00:00 UTC.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// How long a test waits for what the outside world decides.
const PATIENCE: Duration = Duration::from_secs(20);

/// The answer of a validation, without what tells of the token.
pub(crate) type Answer = Result<(), DenyReason>;
pub(crate) const ALLOW: Answer = Ok(());

/// A data directory and a clock, on which nodes are started one after the other.
pub(crate) struct Home {
    dir: TempDir,
    pub(crate) clock: Arc<ManualClock>,
}

/// A node that serves, until it is stopped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) first_operator: Option<NewOperator>,
    operator_file: PathBuf,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<std::io::Result<()>>,
}

/// The services, as one caller.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) credentials: CredentialServiceClient<InterceptedService<Channel, Caller>>,
    pub(crate) directory: DirectoryServiceClient<InterceptedService<Channel, Caller>>,
    pub(crate) events: EventServiceClient<InterceptedService<Channel, Caller>>,
    pub(crate) usage: UsageServiceClient<InterceptedService<Channel, Caller>>,
}

/// Puts a caller's header on every call.
#[derive(Clone)]
pub(crate) struct Caller(Option<MetadataValue<Ascii>>);

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::new(ManualClock::at(START)),
        }
    }

    /// The data directory: not there before the first start.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Starts a node, the first one or the next one on the same data. A stopped node's directory thread holds the store for
    /// a fifth of a second longer, which nobody but its own process can see.
    pub(crate) async fn start(&self) -> Server {
        eventually("the data directory", async || {
            match self.start_with(&[]).await {
                Err(StartError::Open(
                    OpenError::InUse(_) | OpenError::Sled(SledError::InUse(_)),
                )) => None,
                started => Some(started.unwrap()),
            }
        })
        .await
    }

    /// Starts a node with flags of `serve`, besides those that a test needs.
    pub(crate) async fn start_with(&self, flags: &[&str]) -> Result<Server, StartError> {
        let config = config(flags);
        let (data, clock) = (self.data(), Arc::clone(&self.clock));
        let operator_file = keyward::server::operator::token_file(&config, &data);
        let (started, starting) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let random = Arc::new(SystemRandom);
            let node = match Node::open(&config, &data, World { clock, random }) {
                Ok(node) => node,
                Err(error) => {
                    drop(started.send(Err(error)));
                    return Ok(());
                }
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let listeners = Listeners::bind(config.listen, config.side_listen).await?;
                let first = node.first_operator.clone();
                drop(started.send(Ok((listeners.address()?, first))));
                node.run(listeners, &config, async { drop(stopped.await) })
                    .await
            })
        });
        let (address, first_operator) = starting.await.unwrap()?;
        Ok(Server {
            address,
            first_operator,
            operator_file,
            stop,
            thread,
        })
    }
}

impl Server {
    /// The first operator, whose streams are sent no more than it has read but for 64 KiB.
    pub(crate) fn narrow_operator(&self) -> Client {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        let channel = endpoint.initial_stream_window_size(65_535).connect_lazy();
        Client::over(channel, Some(&read(&self.operator_file)))
    }

    /// The first operator.
    pub(crate) fn operator(&self) -> Client {
        self.caller(&self.operator_text())
    }

    pub(crate) fn operator_text(&self) -> String {
        read(&self.operator_file)
    }

    /// Whoever presents this text.
    pub(crate) fn caller(&self, text: &str) -> Client {
        Client::new(self.address, Some(text))
    }

    /// Stops it as SIGTERM would, and waits for its end.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        let ended = tokio::task::spawn_blocking(|| self.thread.join());
        ended.await.unwrap().unwrap().unwrap();
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr, text: Option<&str>) -> Self {
        Self::over(channel(address), text)
    }

    /// One that speaks over a connection of its own making.
    pub(crate) fn over(channel: Channel, text: Option<&str>) -> Self {
        let caller = Caller(text.map(|text| format!("Bearer {text}").parse().unwrap()));
        Self {
            credentials: CredentialServiceClient::with_interceptor(channel.clone(), caller.clone()),
            directory: DirectoryServiceClient::with_interceptor(channel.clone(), caller.clone()),
            events: EventServiceClient::with_interceptor(channel.clone(), caller.clone()),
            usage: UsageServiceClient::with_interceptor(channel, caller),
        }
    }

    pub(crate) async fn account(&self, id: &str, preset: &str) {
        let request = CreateAccountRequest {
            account_id: id.into(),
            terms: Some(keyward::api::proto::create_account_request::Terms::Preset(
                preset.into(),
            )),
            ..Default::default()
        };
        let made = self.directory.clone().create_account(request).await;
        made.unwrap();
    }

    /// A token of an account; what else it is to be goes into `create`.
    pub(crate) async fn token(&self, account: &str, name: &str) -> CreateTokenResponse {
        let request = CreateTokenRequest {
            account_id: account.into(),
            name: name.into(),
            ..Default::default()
        };
        self.create(request).await.unwrap()
    }

    pub(crate) async fn create(
        &self,
        request: CreateTokenRequest,
    ) -> Result<CreateTokenResponse, Status> {
        let made = self.credentials.clone().create_token(request).await;
        made.map(tonic::Response::into_inner)
    }

    /// An operator with these grants, for one account or (empty) all: its secret.
    pub(crate) async fn operator(&self, grants: &[&str], scope: &str) -> String {
        let request = CreateTokenRequest {
            account_id: "system".into(),
            name: "operator".into(),
            grants: grants.iter().map(|&grant| grant.into()).collect(),
            scope_account_id: scope.into(),
            ..Default::default()
        };
        self.create(request).await.unwrap().secret
    }

    pub(crate) async fn validate(
        &self,
        request: ValidateCredentialsRequest,
    ) -> ValidateCredentialsResponse {
        let answer = self.credentials.clone().validate_credentials(request).await;
        answer.unwrap().into_inner()
    }

    /// The same, asked again while the account's calls are not leased: a slow disk is no answer.
    pub(crate) async fn validate_in_time(
        &self,
        request: &ValidateCredentialsRequest,
    ) -> ValidateCredentialsResponse {
        let deadline = Instant::now() + PATIENCE;
        let mut credentials = self.credentials.clone();
        loop {
            match credentials.validate_credentials(request.clone()).await {
                Ok(answer) => return answer.into_inner(),
                Err(status) => {
                    assert!(status.get_details_retry_info().is_some(), "{status:?}");
                    let reason = refused::<()>(Err(status));
                    assert_eq!(reason, error(Code::Unavailable, "CALLS_NOT_LEASED"));
                    assert!(Instant::now() < deadline, "the disk is too slow");
                }
            }
        }
    }

    /// The decision on a bare text.
    pub(crate) async fn decide(&self, text: &str) -> Answer {
        decision(&self.validate(presenting(text)).await)
    }

    pub(crate) async fn deactivate(&self, id: &str) {
        let request = DeactivateTokenRequest {
            token_id: id.into(),
            ..Default::default()
        };
        let stopped = self.credentials.clone().deactivate_token(request).await;
        stopped.unwrap();
    }

    /// Events about a token, principal, role or account, the newest first.
    pub(crate) async fn events_of(&self, subject: &str) -> Vec<Event> {
        let request = ListEventsRequest {
            subject_id: subject.into(),
            page_size: 1_000,
            ..Default::default()
        };
        let listed = self.events.clone().list_events(request).await;
        listed.unwrap().into_inner().events
    }
}

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", header.clone());
        }
        Ok(request)
    }
}

pub(crate) fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_lazy()
}

/// One who presents a bare text.
pub(crate) fn presenting(text: &str) -> ValidateCredentialsRequest {
    ValidateCredentialsRequest {
        presented: Some(Presented::Token(text.into())),
        ..Default::default()
    }
}

pub(crate) fn decision(answer: &ValidateCredentialsResponse) -> Answer {
    match answer.decision() {
        Decision::Allow => {
            assert_eq!(answer.reason(), DenyReason::Unspecified);
            Ok(())
        }
        Decision::Deny => Err(answer.reason()),
        Decision::Unspecified => panic!("{answer:?}"),
    }
}

/// The code of an error and the reason of its `ErrorInfo`.
pub(crate) fn refused<T: fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    let info = status.get_details_error_info();
    let info = info.unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "keyward.v1");
    (status.code(), info.reason)
}

/// For comparing with what [`refused`] gives.
pub(crate) fn error(code: Code, reason: &str) -> (Code, String) {
    (code, reason.into())
}

/// A time on the wire, to the millisecond.
pub(crate) fn wire(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_millis() / 1_000,
        nanos: i32::try_from(time.as_millis() % 1_000).unwrap() * 1_000_000,
    }
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file under a directory, by its path from there.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn collect(dir: &Path, root: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, root, into);
            } else {
                let name = path.strip_prefix(root).unwrap().to_owned();
                into.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(dir, dir, &mut found);
    found
}

/// Whether bytes hold a text.
pub(crate) fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// The next message of a stream, or the status that it ends with.
pub(crate) async fn next<T>(stream: &mut Streaming<T>) -> Result<T, Status> {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await;
    let message = message.expect("a stream says something each second");
    Ok(message?.expect("a stream ends with a status"))
}

/// The status that a stream ends with.
pub(crate) async fn ended<T: fmt::Debug>(stream: &mut Streaming<T>) -> (Code, String) {
    loop {
        if let Err(status) = next(stream).await {
            return refused(Err::<T, _>(status));
        }
    }
}

/// Asks again and again until there is an answer: for what the outside world decides.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn config(flags: &[&str]) -> Config {
    let needed = [
        "serve",
        "--listen=127.0.0.1:0",
        "--side-listen=127.0.0.1:0",
        "--cores=2",
        "--drain-wait=0s",
    ];
    let named = flags.iter().any(|flag| flag.starts_with("--environment"));
    let environment = (!named).then_some("--environment=test");
    let flags = environment.iter().chain(flags);
    let command = ServeArgs::augment_args(clap::Command::new("serve"));
    let matches = command.get_matches_from(needed.iter().chain(flags));
    ServeArgs::from_arg_matches(&matches)
        .unwrap()
        .resolve()
        .unwrap()
}
