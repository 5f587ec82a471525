//! Validation while 1,000 durable changes a second come from outside, beside the same validation left alone, and beside a
//! stranger that burns as much CPU.
//!
//! The server has the first core to itself, and serves with two threads. Validations come over the connections that `core-0`
//! serves, changes over those of `core-1`: so all that `core-0` uses is the validations' own, and what the changes cost is
//! on other threads (`core-1`, the committer, the directory, the store's, the log's) and is counted apart.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use keyward::api::proto;
use keyward::api::proto::credential_service_client::CredentialServiceClient;
use keyward::api::proto::validate_credentials_request::Presented;
use keyward::api::proto::{
    CreateTokenRequest, DeactivateTokenRequest, UpdateTokenRequest, ValidateCredentialsRequest,
};
use tokio::runtime::Runtime;
use tonic::transport::Channel;

use crate::cpu;
use crate::create::{self, CONNECTIONS, clients};
use crate::node::{ACCOUNT, Served};
use crate::report::{Report, Spread};

type Client = CredentialServiceClient<Channel>;

/// Changes a second, and how many may be on their way at once.
const RATE: u64 = 1_000;
const ON_THEIR_WAY: usize = 64;
/// Validations in flight, spread over the connections.
const IN_FLIGHT: usize = 128;
/// Tokens that are validated, and updated meanwhile.
const TOKENS: usize = 1_000;
/// The thread that serves validations.
const CORE: &str = "core-0";
/// Calls over a connection that tell which thread serves it.
const PROBE: usize = 1_500;

/// What one round came to.
#[derive(Default)]
struct Outcome {
    validations: u64,
    changes: u64,
    wall: Duration,
    core: Duration,
    others: Duration,
    p50: Duration,
    p99: Duration,
}

pub(crate) fn measure(rounds: usize, round: Duration, report: &mut Report) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    let dir = dir.expect("a temporary directory can be made");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let served = Served::start(dir.path(), 2);
    pin(served.pid(), 0);
    pin(std::process::id(), 1);
    let clients = runtime.block_on(clients(&served, 2 * CONNECTIONS));
    let tokens = runtime.block_on(tokens(&served, &clients));
    let mut load = Load {
        served,
        validators: clients,
        changers: Vec::new(),
        tokens,
    };
    load.deal(&runtime);
    let mut outcomes: [Vec<Outcome>; 3] = Default::default();
    // The first round warms caches and connections.
    for number in 0..=rounds {
        let quiet = load.round(&runtime, round, 0);
        let both = load.round(&runtime, round, RATE);
        let burner = Burner::start(both.others.as_secs_f64() / both.wall.as_secs_f64());
        let stranger = load.round(&runtime, round, 0);
        drop(burner);
        for (of, outcome) in outcomes.iter_mut().zip([quiet, both, stranger]) {
            of.extend((number > 0).then_some(outcome));
        }
    }
    pin_anywhere();
    report.add(
        "Validation with 1,000 changes a second beside it",
        &table(&outcomes),
    );
}

/// A server under load.
struct Load {
    served: Served,
    validators: Vec<Client>,
    changers: Vec<Client>,
    /// Ids and texts.
    tokens: Vec<(String, String)>,
}

impl Load {
    /// Leaves those connections to the changes that another thread than the validations' serves.
    fn deal(&mut self, runtime: &Runtime) {
        for client in std::mem::take(&mut self.validators) {
            let before = cpu::by_thread(self.served.pid());
            runtime.block_on(async {
                let calls = (0..PROBE).map(|place| self.validate_one(client.clone(), place));
                futures_util::future::join_all(calls).await
            });
            let after = cpu::by_thread(self.served.pid());
            let used = |name: &str| after.get(name).copied().zip(before.get(name).copied());
            let used = |name| used(name).map_or(Duration::ZERO, |(after, before)| after - before);
            match used(CORE) > used("core-1") {
                true => self.validators.push(client),
                false => self.changers.push(client),
            }
        }
        println!(
            "{} connections for validations, {} for changes",
            self.validators.len(),
            self.changers.len()
        );
    }

    fn round(&self, runtime: &Runtime, round: Duration, rate: u64) -> Outcome {
        let threads = cpu::by_thread(self.served.pid());
        let begun = Instant::now();
        let latency = RefCell::new(create::histogram());
        let changes = Cell::new(0);
        runtime.block_on(async {
            let validators =
                (0..IN_FLIGHT).map(|place| self.validate(place, begun, round, &latency));
            let changers = (0..if rate > 0 { ON_THEIR_WAY } else { 0 })
                .map(|_| self.change(begun, round, rate, &changes));
            futures_util::future::join(
                futures_util::future::join_all(validators),
                futures_util::future::join_all(changers),
            )
            .await
        });
        let wall = begun.elapsed();
        let (mut core, mut others) = (Duration::ZERO, Duration::ZERO);
        for (name, used) in cpu::by_thread(self.served.pid()) {
            let used = used.saturating_sub(threads.get(&name).copied().unwrap_or_default());
            *(if name == CORE { &mut core } else { &mut others }) += used;
        }
        let latency = latency.into_inner();
        let at = |quantile| Duration::from_nanos(latency.value_at_quantile(quantile));
        Outcome {
            validations: latency.len(),
            changes: changes.get(),
            wall,
            core,
            others,
            p50: at(0.5),
            p99: at(0.99),
        }
    }

    /// One validation after the other.
    async fn validate(
        &self,
        place: usize,
        begun: Instant,
        round: Duration,
        latency: &RefCell<Histogram<u64>>,
    ) {
        let client = &self.validators[place % self.validators.len()];
        let mut next = place * 7;
        while begun.elapsed() < round {
            next += 7_919;
            let sent = Instant::now();
            self.validate_one(client.clone(), next).await;
            let nanos = u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX);
            latency.borrow_mut().saturating_record(nanos);
        }
    }

    async fn validate_one(&self, mut client: Client, number: usize) {
        let text = &self.tokens[number % self.tokens.len()].1;
        let asked = self.served.request(ValidateCredentialsRequest {
            presented: Some(Presented::Token(text.clone())),
            ..Default::default()
        });
        let answer = client.validate_credentials(asked).await;
        let decision = answer.expect("it is answered").into_inner().decision();
        assert_eq!(decision, proto::Decision::Allow);
    }

    /// Creates, updates and deactivates in turn, each when its time has come. `changes` counts those of all.
    async fn change(&self, begun: Instant, round: Duration, rate: u64, changes: &Cell<u64>) {
        let mut own: Option<String> = None;
        loop {
            let number = changes.get();
            let due = begun + Duration::from_nanos(number * 1_000_000_000 / rate);
            if due >= begun + round {
                return;
            }
            changes.set(number + 1);
            tokio::time::sleep_until(due.into()).await;
            let mut client = self.changers[number as usize % self.changers.len()].clone();
            match (number % 3, own.take()) {
                (0, Some(token_id)) => self.deactivate(&mut client, token_id).await,
                (1, made) => {
                    own = made;
                    self.update(&mut client, number).await;
                }
                (_, _) => own = Some(self.create(&mut client).await.0),
            }
        }
    }

    async fn create(&self, client: &mut Client) -> (String, String) {
        create(&self.served, client).await
    }

    async fn update(&self, client: &mut Client, number: u64) {
        let token = proto::Token {
            id: self.tokens[number as usize % self.tokens.len()].0.clone(),
            description: format!("changed {number}"),
            ..Default::default()
        };
        let mask = prost_types::FieldMask {
            paths: vec!["description".into()],
        };
        let asked = UpdateTokenRequest {
            token: Some(token),
            update_mask: Some(mask),
        };
        let updated = client.update_token(self.served.request(asked)).await;
        updated.expect("a token can be updated");
    }

    async fn deactivate(&self, client: &mut Client, token_id: String) {
        let asked = DeactivateTokenRequest {
            token_id,
            ..Default::default()
        };
        let done = client.deactivate_token(self.served.request(asked)).await;
        done.expect("a token can be deactivated");
    }
}

async fn tokens(served: &Served, clients: &[Client]) -> Vec<(String, String)> {
    let mut tokens = Vec::new();
    while tokens.len() < TOKENS {
        let mut group: Vec<Client> = clients.to_vec();
        let made = group.iter_mut().map(|client| create(served, client));
        tokens.extend(futures_util::future::join_all(made).await);
    }
    tokens
}

/// The id and the text of a new token.
async fn create(served: &Served, client: &mut Client) -> (String, String) {
    let asked = served.request(CreateTokenRequest {
        account_id: ACCOUNT.into(),
        name: "credential".into(),
        ..Default::default()
    });
    let made = client.create_token(asked).await;
    let made = made.expect("a token can be made").into_inner();
    (made.token.unwrap_or_default().id, made.secret)
}

/// A process on the server's core that burns a part of it.
struct Burner(Child);

impl Burner {
    fn start(part: f64) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let child = Command::new(program)
            .args(["--burn", &part.to_string()])
            .spawn()
            .expect("it starts");
        pin(child.id(), 0);
        Self(child)
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In the child: burns so much of a core, in pieces about as long as a commit takes.
pub(crate) fn burn(arguments: &[String]) {
    const PIECE: Duration = Duration::from_millis(2);
    let part: f64 = arguments[0].parse().expect("a part of one");
    loop {
        let begun = Instant::now();
        while begun.elapsed() < PIECE.mul_f64(part.min(1.0)) {
            std::hint::black_box(begun);
        }
        std::thread::sleep(PIECE.saturating_sub(begun.elapsed()));
    }
}

/// Keeps a process, with all its threads, on one core.
fn pin(pid: u32, core: usize) {
    let moved = Command::new("taskset")
        .args(["-a", "-p", "-c", &core.to_string(), &pid.to_string()])
        .output();
    if !moved.is_ok_and(|output| output.status.success()) {
        println!("taskset did nothing: processes are not pinned, and the figures are worth less");
    }
}

fn pin_anywhere() {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let pid = std::process::id().to_string();
    let _ = Command::new("taskset")
        .args(["-a", "-p", "-c", &format!("0-{}", all.max(2) - 1), &pid])
        .output();
}

fn table(outcomes: &[Vec<Outcome>; 3]) -> String {
    let mut text = format!(
        "{:<24} {:>13} {:>10} {:>15} {:>16} {:>9} {:>9}\n",
        "", "validations/s", "changes/s", "CPU/validation", "(least – most)", "p50", "p99"
    );
    let names = ["quiet", "with changes", "with a stranger's CPU"];
    for (name, rounds) in names.iter().zip(outcomes) {
        let cpu = each(rounds);
        let median = |of: fn(&Outcome) -> f64| Spread::of(rounds.iter().map(of)).median;
        let _ = writeln!(
            text,
            "{name:<24} {:>13.0} {:>10.0} {:>12.2} µs {:>16} {:>6.1} ms {:>6.1} ms",
            median(|round| round.validations as f64 / round.wall.as_secs_f64()),
            median(|round| round.changes as f64 / round.wall.as_secs_f64()),
            cpu.median,
            format!("({:.2} – {:.2})", cpu.least, cpu.most),
            median(|round| round.p50.as_secs_f64() * 1e3),
            median(|round| round.p99.as_secs_f64() * 1e3),
        );
    }
    let [quiet, both, stranger] = outcomes;
    let part = |rounds| each(rounds).median / each(quiet).median;
    let change = |round: &Outcome| micros(round.others) / round.changes.max(1) as f64;
    let _ = writeln!(
        text,
        "\nCPU of a validation as a part of the quiet one's: {:.2} with changes, {:.2} with a stranger\nCPU of a change, all of it: {:.0} µs",
        part(both),
        part(stranger),
        Spread::of(both.iter().map(change)).median
    );
    text
}

/// Microseconds of a validation.
fn each(rounds: &[Outcome]) -> Spread {
    Spread::of(
        rounds
            .iter()
            .map(|round| micros(round.core) / round.validations.max(1) as f64),
    )
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}
