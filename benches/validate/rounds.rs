//! A round: so much load on one server, with its CPU measured; and rounds interleaved.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use keyward::load::{Load, Pace, Tally};

use crate::cpu;
use crate::raw::Raw;
use crate::servers::{Script, Server};
use crate::settings::Settings;

/// A round whose strangers took more of the cores than this is not believed.
const STRANGERS: f64 = 0.05;
/// How often a disturbed round is made again before it counts as it is.
const TRIES: usize = 3;
/// How often the server's CPU is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// A round ends at last after this, whatever the server has used.
const LONGEST: Duration = Duration::from_secs(60);
/// Every question is answered within this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// One of those that are compared.
pub(crate) struct Contestant<'s> {
    pub(crate) name: String,
    pub(crate) server: &'s Server,
    pub(crate) script: Script,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) pace: Pace,
}

/// How long a round lasts.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// The server has used so much CPU.
    Cpu(Duration),
    Wall(Duration),
    Answers(u64),
}

/// What one round came to.
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) cpu: Duration,
    /// The generator's own CPU.
    pub(crate) own: Duration,
    pub(crate) wall: Duration,
    /// The part of the cores that neither the server nor the load used.
    pub(crate) strangers: f64,
}

/// All rounds of one contestant.
#[derive(Default)]
pub(crate) struct Rounds {
    pub(crate) outcomes: Vec<Outcome>,
    /// Rounds that others disturbed, and that were made again.
    pub(crate) discarded: usize,
    /// Rounds that others disturbed each time, and that count nevertheless.
    pub(crate) disturbed: usize,
}

impl<'s> Contestant<'s> {
    /// One whose every answer makes room for the next question.
    pub(crate) fn new(
        name: impl Into<String>,
        server: &'s Server,
        script: Script,
        shape: (usize, usize),
    ) -> Self {
        Self {
            name: name.into(),
            server,
            script,
            connections: shape.0,
            in_flight: shape.1,
            pace: Pace::Closed,
        }
    }
}

impl Outcome {
    /// Microseconds of server CPU for each answered question.
    pub(crate) fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.tally.answered().max(1) as f64
    }

    /// Microseconds of the generator's CPU for each answered question.
    pub(crate) fn own_each(&self) -> f64 {
        self.own.as_secs_f64() * 1e6 / self.tally.answered().max(1) as f64
    }

    pub(crate) fn rate(&self) -> f64 {
        self.tally.answered() as f64 / self.wall.as_secs_f64()
    }
}

/// Rounds A B C, A B C; the first of each warms caches, pools and connections, and does not count.
pub(crate) fn interleave(
    contestants: &[Contestant<'_>],
    settings: &Settings,
    until: Until,
) -> Vec<Rounds> {
    let mut all: Vec<Rounds> = contestants.iter().map(|_| Rounds::default()).collect();
    for round in 0..=settings.rounds {
        for (contestant, rounds) in contestants.iter().zip(&mut all) {
            if round == 0 {
                measure(contestant, warm(until));
                continue;
            }
            let mut outcome = measure(contestant, until);
            for _ in 1..TRIES {
                if outcome.strangers <= STRANGERS {
                    break;
                }
                rounds.discarded += 1;
                outcome = measure(contestant, until);
            }
            rounds.disturbed += usize::from(outcome.strangers > STRANGERS);
            rounds.outcomes.push(outcome);
        }
    }
    all
}

fn warm(until: Until) -> Until {
    match until {
        Until::Cpu(cpu) => Until::Cpu(cpu / 4),
        Until::Wall(wall) => Until::Wall(wall / 4),
        Until::Answers(_) => until,
    }
}

/// Runs one round. Any answer that is not right ends the whole.
pub(crate) fn measure(contestant: &Contestant<'_>, until: Until) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let pid = contestant.server.pid();
    let (own, begun) = (std::process::id(), Instant::now());
    let before = (cpu::of(pid), cpu::of(own), cpu::of_all());
    let done = |tally: &Tally| match until {
        _ if begun.elapsed() >= LONGEST => true,
        Until::Cpu(cpu) => cpu::of(pid) - before.0 >= cpu,
        Until::Wall(wall) => begun.elapsed() >= wall,
        Until::Answers(count) => tally.answered() >= count,
    };
    let tally = runtime.block_on(run(contestant, done));
    let wall = begun.elapsed();
    let used = cpu::of(pid) - before.0;
    let own = cpu::of(own) - before.1;
    let strangers = (cpu::of_all() - before.2).saturating_sub(used + own);
    let cores = cpu::cores();
    let wrong = !tally.failed.is_empty() || !tally.denied.is_empty() || tally.good != tally.asked;
    assert!(!wrong, "{}: {tally:?}", contestant.name);
    Outcome {
        tally,
        cpu: used,
        own,
        wall,
        strangers: strangers.as_secs_f64() / (cores as f64 * wall.as_secs_f64()),
    }
}

async fn run(contestant: &Contestant<'_>, done: impl Fn(&Tally) -> bool) -> Tally {
    let (connections, in_flight) = (contestant.connections, contestant.in_flight);
    match &contestant.script {
        Script::Http2 {
            path,
            authorization,
            form,
            questions,
            judge,
        } => {
            let mut plan = contestant.server.plan(path, authorization.clone(), *form);
            (plan.connections, plan.in_flight, plan.pace) =
                (connections, in_flight, contestant.pace);
            let load = Load::new(plan, questions.clone(), judge.clone());
            watch(load.run(), || done(&load.tally()), || load.stop()).await;
            load.tally().clone()
        }
        Script::Raw(ask) => {
            let raw = Raw {
                address: contestant.server.address,
                ask: ask.clone(),
                connections,
                in_flight,
                stopped: Cell::new(false),
                tally: RefCell::default(),
            };
            watch(
                raw.run(),
                || done(&raw.tally.borrow()),
                || raw.stopped.set(true),
            )
            .await;
            raw.tally.into_inner()
        }
    }
}

/// Runs a load until it is done, and has had its answers.
async fn watch(
    load: impl Future<Output = std::io::Result<()>>,
    done: impl Fn() -> bool,
    stop: impl Fn(),
) {
    let watch = async {
        while !done() {
            tokio::time::sleep(LOOK).await;
        }
        stop();
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        ended = load => ended.expect("the server is there"),
        () = watch => panic!("a question was not answered within {PATIENCE:?}"),
    }
}
