//! Durable CreateToken from 64 writers, at the registry and over gRPC, beside PostgreSQL's insert and a bare append.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use keyward::api::proto::credential_service_client::CredentialServiceClient;
use keyward::api::proto::directory_service_client::DirectoryServiceClient;
use keyward::api::proto::{CreateAccountRequest, CreateTokenRequest};
use tokio::runtime::Runtime;

use crate::cpu;
use crate::node::{self, ACCOUNT, InProcess, Served};
use crate::postgres::Postgres;
use crate::raw;
use crate::report::{Report, Spread};

/// The slowest answer that is told apart, in nanoseconds.
const SLOWEST: u64 = 60_000_000_000;
pub(crate) const WRITERS: usize = 64;
/// Transport connections that the writers share over gRPC.
pub(crate) const CONNECTIONS: usize = 8;

/// What one round came to.
pub(crate) struct Outcome {
    pub(crate) made: u64,
    pub(crate) wall: Duration,
    /// Of the server alone, where it is a process of its own.
    pub(crate) cpu: Duration,
    pub(crate) p99: Option<Duration>,
    /// Of the one thread that commits, where there is one.
    pub(crate) committer: Option<Duration>,
}

const NAMES: [&str; 4] = [
    "CreateToken at the registry",
    "CreateToken over gRPC",
    "PostgreSQL, prepared INSERT",
    "append, fdatasync by 64",
];

pub(crate) fn measure(rounds: usize, round: Duration, report: &mut Report) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    let dir = dir.expect("a temporary directory can be made");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let registry = InProcess::open(&dir.path().join("registry"));
    runtime.block_on(registry.make_account());
    let served = Served::start(&dir.path().join("grpc"), 2);
    let clients = runtime.block_on(clients(&served, CONNECTIONS));
    let postgres = Postgres::start()
        .inspect_err(|why| println!("PostgreSQL: not run ({why})"))
        .ok();
    let mut outcomes: [Vec<Outcome>; NAMES.len()] = Default::default();
    // The first round warms caches and connections.
    for number in 0..=rounds {
        let taken = [
            Some(at_the_registry(&runtime, &registry, round)),
            Some(over_grpc(&runtime, &served, &clients, round)),
            postgres.as_ref().map(|postgres| postgres.round(round)),
            Some(raw::round(dir.path(), round)),
        ];
        for (of, outcome) in outcomes.iter_mut().zip(taken) {
            of.extend(outcome.filter(|_| number > 0));
        }
    }
    report.add("Durable changes a second, 64 writers", &table(&outcomes));
}

fn at_the_registry(runtime: &Runtime, node: &InProcess, round: Duration) -> Outcome {
    runtime.block_on(writers(std::process::id(), round, |writer, count| {
        let new = node::token(writer << 40 | count);
        async move {
            let made = node.registry.create_token(&node.call, new, None).await;
            made.expect("a token can be made");
        }
    }))
}

fn over_grpc(
    runtime: &Runtime,
    served: &Served,
    clients: &[CredentialServiceClient<tonic::transport::Channel>],
    round: Duration,
) -> Outcome {
    runtime.block_on(writers(served.pid(), round, |writer, count| {
        let mut client = clients[writer as usize % clients.len()].clone();
        let request = served.request(CreateTokenRequest {
            account_id: ACCOUNT.into(),
            name: format!("credential {}", writer << 40 | count),
            grants: vec!["tables/*:read".into()],
            allowed_networks: vec!["10.0.0.0/8".into()],
            ..Default::default()
        });
        async move {
            let made = client.create_token(request).await;
            made.expect("a token can be made");
        }
    }))
}

/// An account, and connections to make tokens over.
pub(crate) async fn clients(
    served: &Served,
    connections: usize,
) -> Vec<CredentialServiceClient<tonic::transport::Channel>> {
    let mut directory = DirectoryServiceClient::new(served.channel().await);
    let account = CreateAccountRequest {
        account_id: ACCOUNT.into(),
        ..Default::default()
    };
    let made = directory.create_account(served.request(account)).await;
    made.expect("an account can be made");
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(CredentialServiceClient::new(served.channel().await));
    }
    clients
}

/// Each writer makes one after the other until the round is over; what is on its way then is waited for and counted.
async fn writers<C>(pid: u32, round: Duration, create: impl Fn(u64, u64) -> C) -> Outcome
where
    C: Future<Output = ()>,
{
    let (begun, used) = (Instant::now(), cpu::of(pid));
    let committer = || cpu::by_thread(pid).remove("committer");
    let committer_used = committer();
    let latency = RefCell::new(histogram());
    let writer = async |writer| {
        while begun.elapsed() < round {
            let sent = Instant::now();
            let count = latency.borrow().len();
            create(writer, count).await;
            let nanos = u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX);
            latency.borrow_mut().saturating_record(nanos);
        }
    };
    futures_util::future::join_all((0..WRITERS as u64).map(writer)).await;
    let latency = latency.into_inner();
    Outcome {
        made: latency.len(),
        wall: begun.elapsed(),
        cpu: cpu::of(pid) - used,
        p99: Some(Duration::from_nanos(latency.value_at_quantile(0.99))),
        committer: committer()
            .zip(committer_used)
            .map(|(now, then)| now - then),
    }
}

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, SLOWEST, 3).expect("the bounds are possible")
}

fn table(outcomes: &[Vec<Outcome>; NAMES.len()]) -> String {
    let rate = |outcome: &Outcome| outcome.made as f64 / outcome.wall.as_secs_f64();
    let rates = outcomes
        .each_ref()
        .map(|rounds| (!rounds.is_empty()).then(|| Spread::of(rounds.iter().map(rate))));
    let postgres = rates[2].as_ref().map(|rate| rate.median);
    let mut text = format!(
        "{:<28} {:>10} {:>20} {:>11} {:>12} {:>9} {:>14}\n",
        "", "a second", "(least – most)", "CPU each", "committer's", "p99", "of PostgreSQL"
    );
    for ((name, rounds), rate) in NAMES.iter().zip(outcomes).zip(&rates) {
        let Some(rate) = rate else {
            let _ = writeln!(text, "{name:<28} {:>10}", "not run");
            continue;
        };
        let part = postgres.map(|postgres| format!("{:.2}", rate.median / postgres));
        let _ = writeln!(
            text,
            "{name:<28} {:>10.0} {:>20} {:>11} {:>12} {:>9} {:>14}",
            rate.median,
            format!("({:.0} – {:.0})", rate.least, rate.most),
            micros_each(rounds, |round| Some(round.cpu)),
            micros_each(rounds, |round| round.committer),
            p99(rounds),
            part.unwrap_or_default()
        );
    }
    text
}

/// Some CPU for each change; nothing where it is not known.
fn micros_each(rounds: &[Outcome], of: impl Fn(&Outcome) -> Option<Duration>) -> String {
    let each = |round| Some(of(round)?.as_secs_f64() * 1e6 / round.made.max(1) as f64);
    let each: Option<Vec<f64>> = rounds.iter().map(each).collect();
    each.map_or_else(String::new, |each| {
        format!("{:.1} µs", Spread::of(each).median)
    })
}

fn p99(rounds: &[Outcome]) -> String {
    let spans: Option<Vec<f64>> = rounds
        .iter()
        .map(|round| Some(round.p99?.as_secs_f64() * 1e3))
        .collect();
    spans.map_or_else(String::new, |spans| {
        format!("{:.1} ms", Spread::of(spans).median)
    })
}
