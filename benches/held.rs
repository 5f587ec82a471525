//! What a held connection costs: opens some thousand over a few transport connections against a server of its own, and prints the
//! server's memory and processor time, and the store's commits. `cargo bench --bench held`; it asserts nothing.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on is of no use; its figures are for people"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyward::api::proto::credential_service_client::CredentialServiceClient;
use keyward::api::proto::directory_service_client::DirectoryServiceClient;
use keyward::api::proto::validate_credentials_request::Presented;
use keyward::api::proto::{
    CreateAccountRequest, CreateRoleRequest, CreateTokenRequest, DeactivateTokenRequest,
    HoldConnectionRequest, HoldConnectionResponse, ValidateCredentialsRequest,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};

const TRANSPORTS: usize = 20;
const HOLDS_EACH: usize = 200;
/// Connections that each token holds.
const OF_ONE_TOKEN: usize = 3;
const IDLE: Duration = Duration::from_secs(5);

struct Server {
    child: Child,
    _dir: tempfile::TempDir,
    address: String,
    operator: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let mut child = Command::new(env!("CARGO_BIN_EXE_keyward"))
            .args(["serve", "--listen=127.0.0.1:0", "--side-listen=127.0.0.1:0"])
            .args(["--cores=2", "--log-level=info", "--log-format=json"])
            .arg(format!("--data-dir={}", data.display()))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = lines.find(|line| line.as_ref().unwrap().contains("listening"));
        let listening = listening.unwrap().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let after = listening.split("\"address\":\"").nth(1).unwrap();
        let address = format!("http://{}", after.split('"').next().unwrap());
        let operator = std::fs::read_to_string(data.join("operator.token")).unwrap();
        Self {
            child,
            _dir: dir,
            address,
            operator: operator.trim().to_owned(),
        }
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.address.clone()).unwrap();
        endpoint.connect().await.unwrap()
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let header = format!("Bearer {}", self.operator).parse().unwrap();
        request.metadata_mut().insert("authorization", header);
        request
    }

    /// Bytes of memory, and processor time since the start.
    fn used(&self) -> (usize, Duration) {
        let proc = Path::new("/proc").join(self.child.id().to_string());
        let status = std::fs::read_to_string(proc.join("status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: usize = resident
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        let stat = std::fs::read_to_string(proc.join("stat")).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        let ticks = after_name.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        (kib * 1024, Duration::from_millis(ticks * 10))
    }

    async fn revision(&self, channel: &Channel) -> u64 {
        let mut credentials = CredentialServiceClient::new(channel.clone());
        let nothing = self.request(ValidateCredentialsRequest::default());
        let answer = credentials.validate_credentials(nothing).await.unwrap();
        answer.into_inner().revision
    }
}

#[tokio::main]
async fn main() {
    for limited in [false, true] {
        let limit = if limited { "a" } else { "no" };
        println!("tokens with {limit} limit of connections");
        measure(limited).await;
    }
}

async fn measure(limited: bool) {
    let server = Server::start();
    let mut channels = Vec::new();
    for _ in 0..TRANSPORTS {
        channels.push(server.channel().await);
    }
    let secrets = tokens(&server, &channels[0], limited).await;
    for channel in &channels {
        server.revision(channel).await;
    }
    let (memory, processor) = server.used();
    let revision = server.revision(&channels[0]).await;

    let began = Instant::now();
    let mut held: Vec<Streaming<HoldConnectionResponse>> = Vec::new();
    for (place, secret) in secrets
        .iter()
        .flat_map(|s| [&s.1; OF_ONE_TOKEN])
        .enumerate()
    {
        if held.len() == TRANSPORTS * HOLDS_EACH {
            break;
        }
        let mut credentials = CredentialServiceClient::new(channels[place % TRANSPORTS].clone());
        let message = HoldConnectionRequest {
            request: Some(ValidateCredentialsRequest {
                presented: Some(Presented::Token(secret.clone())),
                ..Default::default()
            }),
        };
        let answer = credentials.hold_connection(server.request(message)).await;
        let mut stream = answer.unwrap().into_inner();
        stream.message().await.unwrap().unwrap();
        held.push(stream);
    }
    let opened = began.elapsed();
    let count = held.len();
    let (with_holds, after) = server.used();
    let commits = server.revision(&channels[0]).await - revision;
    println!(
        "{count} held connections over {TRANSPORTS} transport connections, opened in {opened:?}, one after the other"
    );
    println!(
        "  memory        {} bytes each",
        (with_holds - memory) / count
    );
    println!(
        "  processor     {:?} each to open",
        (after - processor) / count as u32
    );
    println!("  commits       {commits}");

    tokio::time::sleep(IDLE).await;
    let (_, idle) = server.used();
    println!("  while idle    {:?} in {IDLE:?}", idle - after);

    let mut directory = DirectoryServiceClient::new(channels[0].clone());
    let role = CreateRoleRequest {
        account_id: "bench".into(),
        ..Default::default()
    };
    directory.create_role(server.request(role)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (_, decided) = server.used();
    println!(
        "  decided again {:?} for all, and a second of idling",
        decided - idle
    );

    let mut credentials = CredentialServiceClient::new(channels[0].clone());
    let stop = DeactivateTokenRequest {
        token_id: secrets[0].0.clone(),
        ..Default::default()
    };
    let began = Instant::now();
    let stopped = credentials.deactivate_token(server.request(stop)).await;
    stopped.unwrap();
    let acknowledged = began.elapsed();
    for stream in held.iter_mut().take(OF_ONE_TOKEN) {
        stream.message().await.unwrap().unwrap();
    }
    println!(
        "  told          {:?} after the call, {acknowledged:?} of it the change",
        began.elapsed()
    );
    drop(held);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let commits = server.revision(&channels[0]).await - revision - commits;
    println!("  commits after {commits}, the two changes and the event included");
}

/// Ids and secrets of as many tokens as are needed.
async fn tokens(server: &Server, channel: &Channel, limited: bool) -> Vec<(String, String)> {
    let account = CreateAccountRequest {
        account_id: "bench".into(),
        terms: Some(keyward::api::proto::create_account_request::Terms::Preset(
            "standard".into(),
        )),
        ..Default::default()
    };
    let mut directory = DirectoryServiceClient::new(channel.clone());
    directory
        .create_account(server.request(account))
        .await
        .unwrap();
    let mut made = Vec::new();
    for _ in 0..(TRANSPORTS * HOLDS_EACH).div_ceil(OF_ONE_TOKEN) {
        let token = CreateTokenRequest {
            account_id: "bench".into(),
            name: "held".into(),
            max_connections: if limited { OF_ONE_TOKEN as u32 } else { 0 },
            ..Default::default()
        };
        let mut credentials = CredentialServiceClient::new(channel.clone());
        let issued = credentials
            .create_token(server.request(token))
            .await
            .unwrap()
            .into_inner();
        made.push((issued.token.unwrap().id, issued.secret));
    }
    made
}
