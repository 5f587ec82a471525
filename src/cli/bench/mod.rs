//! `keyward bench`: asks a running server as fast, or as often, as it is told, and shows how long its answers take.
//!
//! The flags and the run are here; `asked` is what is presented, `issue` makes tokens to present and takes them away again, `judge` reads the answers,
//! `report` shows what it came to. The load itself is `crate::load`, which the project's own benchmarks use as well.

mod asked;
mod issue;
mod judge;
mod report;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use zeroize::Zeroizing;

use self::issue::Issued;
use self::judge::Decisions;
use self::report::Report;
use super::client::Client;
use super::connection::{Server, Token};
use super::failure::{Failure, Outcome};
use super::secrets::Source;
use super::session::{RemoteArgs, Session, block_on};
use super::shell::Shell;
use super::times::{parse_nonzero_span, show_span};
use super::values::parse_id;
use crate::load::{Arrivals, Form, LONGEST_MESSAGE, Load, Pace, Plan};

/// A run is over after this at the latest.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// Calls that are on their way at once, over all connections: what one core of a server takes before it refuses.
const MOST_CALLS: usize = 1_024;
/// Questions that are on their way at once on streams, over all of them.
const MOST_QUESTIONS: usize = 16 * 1_024;
/// How often the progress is shown, and an interrupt looked for.
const TICK: Duration = Duration::from_millis(100);

/// Load a running server with validations and show throughput, latency and what was denied; exit code 1 where anything was.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
What is presented counts as used: calls of the day are spent, and usage shows them. --issue presents tokens of an account of their
own, and takes them away again, also when it is interrupted; the account stays. They expire an hour after the run at the latest.

Without --rate each answer makes room for the next question: that shows how much a server can do. With --rate questions come when
they are due, whether or not the server has answered, and latency counts from then: that shows how long callers wait. The load
keeps one core of this machine busy; run it on another one than the server.

Limits: 256 connections, 256 calls in flight on each and 1024 in all (of --stream: 1024 questions on each and 16384 in all),
1000000 calls a second, an hour, 1000000 credentials, 10000 issued ones.

Examples:
  keyward bench --issue 1000
  keyward bench --issue 1000 --rate 20000 --duration 1m --output json
  keyward bench --text-file tokens.txt --stream --connections 1 --in-flight 1024")]
pub(crate) struct BenchArgs {
    /// File with credentials to present, the text of a token on each line, or - for the standard input.
    #[arg(long, value_name = "PATH", value_parser = Source::parse, required_unless_present = "issue", conflicts_with = "issue")]
    text_file: Option<Source>,

    /// Issue so many tokens, present them, and delete them afterwards.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    issue: Option<u32>,

    /// Account that they are issued in; it is made where it is not there.
    #[arg(long, value_name = "ID", value_parser = parse_id, default_value = "keyward-bench", conflicts_with = "text_file")]
    account: String,

    /// Connections to open.
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,

    /// Calls on their way on each connection at once; of --stream, questions.
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    in_flight: u16,

    /// How long to go on.
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = parse_nonzero_span)]
    duration: Duration,

    /// Calls a second, answered or not; of --stream, questions [default: as many as are answered].
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,

    /// With --rate: at even distances, not as independent callers come.
    #[arg(long, requires = "rate")]
    even: bool,

    /// Ask over one StreamValidateCredentials for each connection.
    #[arg(long)]
    stream: bool,

    /// Ask by BatchValidateCredentials, so many in a call.
    #[arg(long, value_name = "COUNT", conflicts_with = "stream", value_parser = clap::value_parser!(u16).range(1..=100))]
    batch: Option<u16>,

    /// Account key to present with each.
    #[arg(long, value_name = "KEY")]
    account_key: Option<String>,

    /// What each request is about to touch, such as tables/orders.
    #[arg(long)]
    resource: Option<String>,

    /// What it is about to do there, such as read.
    #[arg(long)]
    action: Option<String>,

    /// IP address that each request came from.
    #[arg(long, value_name = "IP")]
    client_address: Option<String>,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// How often Ctrl-C was pressed.
type Interrupts = watch::Receiver<u32>;

impl BenchArgs {
    pub(crate) fn run(&self, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
        self.check()?;
        let texts = self.texts(shell)?;
        let connection = self.remote.connection.resolve(shell)?;
        let authorization = match &connection.token {
            Token::Given(text) => Some(Rc::new(Zeroizing::new(format!("Bearer {}", **text)))),
            Token::Missing(_) => None,
        };
        let server = connection.server.clone();
        block_on(async {
            let client = Client::connect(connection).await?;
            let plan = self.plan(&server, authorization).await?;
            let format = self.remote.output.output;
            let mut session = Session {
                client,
                format,
                shell,
            };
            self.bench(&mut session, plan, texts).await
        })
    }

    /// What no single flag can tell.
    fn check(&self) -> Result<(), Failure> {
        let stdin = self.text_file == Some(Source::Stdin);
        if stdin && self.remote.connection.token_stdin {
            return Err(Failure::usage(
                "the standard input holds either the operator token or the credentials",
            ));
        }
        if self.duration > LONGEST {
            let longest = show_span(LONGEST);
            return Err(Failure::usage(format!("a run is at most {longest} long")));
        }
        let (each, all) = if self.stream {
            (1_024, MOST_QUESTIONS)
        } else {
            (256, MOST_CALLS)
        };
        let asked = usize::from(self.connections) * usize::from(self.in_flight);
        if self.in_flight > each || asked > all {
            return Err(Failure::usage(format!(
                "{} connections of {} in flight are too many: at most {each} on each and {all} in all",
                self.connections, self.in_flight
            ))
            .with_hint("a server refuses what is beyond; more connections with fewer on each load it as much"));
        }
        Ok(())
    }

    async fn plan(
        &self,
        server: &Server,
        authorization: Option<Rc<Zeroizing<String>>>,
    ) -> Result<Plan, Failure> {
        let (method, form) = match (self.stream, self.batch) {
            (true, _) => ("StreamValidateCredentials", Form::Stream),
            (_, Some(count)) => ("BatchValidateCredentials", Form::Batch(count.into())),
            _ => ("ValidateCredentials", Form::Unary),
        };
        let arrivals = if self.even {
            Arrivals::Even
        } else {
            Arrivals::Poisson
        };
        let open = |rate| Pace::Open {
            rate: f64::from(rate),
            arrivals,
        };
        Ok(Plan {
            address: address_of(server).await?,
            authority: server.to_string(),
            path: format!("/keyward.v1.CredentialService/{method}"),
            authorization,
            form,
            connections: self.connections.into(),
            in_flight: self.in_flight.into(),
            pace: self.rate.map_or(Pace::Closed, open),
        })
    }

    async fn bench(
        &self,
        session: &mut Session<'_, '_>,
        plan: Plan,
        mut texts: Zeroizing<Vec<String>>,
    ) -> Result<Outcome, Failure> {
        let mut interrupts = interrupts();
        let mut issued = Issued::new(&self.account, self.duration);
        if let Some(count) = self.issue {
            session.shell.note(&format!(
                "issuing {count} tokens in account {} …",
                self.account
            ));
            let made = issued.issue(&session.client, count, &interrupts).await;
            texts = issued.texts();
            if let Err(failure) = made {
                issued.take_away(session, &mut interrupts).await;
                return Err(failure);
            }
        }
        let load = Load::new(plan, Rc::new(self.questions(&texts)), Rc::new(Decisions));
        let ran = match load.longest_message() {
            _ if texts.is_empty() => Err(Failure::local("there are no credentials to present")),
            length if length > LONGEST_MESSAGE => Err(Failure::usage(format!(
                "a batch of these would be up to {length} bytes long; a message has at most {LONGEST_MESSAGE}"
            ))
            .with_hint("present fewer in a batch")),
            _ => self.drive(&load, session, &mut interrupts).await,
        };
        issued.take_away(session, &mut interrupts).await;
        let report = ran?;
        report.show(session)?;
        Ok(report.outcome())
    }

    /// Runs the load for its time, or until it is interrupted.
    async fn drive(
        &self,
        load: &Load,
        session: &mut Session<'_, '_>,
        interrupts: &mut Interrupts,
    ) -> Result<Report, Failure> {
        let bar = self.progress(session.shell);
        let (begun, own) = (Instant::now(), thread_cpu());
        let mut stopped = None;
        let watch = async {
            while begun.elapsed() < self.duration && *interrupts.borrow() == 0 {
                let left = self.duration.saturating_sub(begun.elapsed());
                tokio::time::sleep(left.min(TICK)).await;
                let tally = load.tally();
                bar.set_position(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
                bar.set_message(format!("{} answers", tally.answered()));
            }
            load.stop();
            stopped = Some((begun.elapsed(), thread_cpu().saturating_sub(own)));
            // What is on its way has a call's time to be answered.
            tokio::time::sleep(session.client.timeout()).await;
        };
        let ran = tokio::select! {
            ran = load.run() => ran,
            () = watch => Ok(()),
        };
        bar.finish_and_clear();
        let last = || (begun.elapsed(), thread_cpu().saturating_sub(own));
        let (ended, own_used) = stopped.unwrap_or_else(last);
        let mut report = Report::new(self, &load.tally(), ended, own_used);
        report.interrupted = *interrupts.borrow() > 0;
        if let Err(error) = ran {
            let why = format!("the server cannot be reached any more: {error}");
            if load.tally().asked == 0 {
                return Err(Failure::unavailable(why));
            }
            session.shell.note(&format!("note: {why}"));
            report.server_gone = true;
        }
        Ok(report)
    }

    fn progress(&self, shell: &Shell<'_>) -> ProgressBar {
        let target = match shell.stderr_is_terminal {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let length = u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX);
        let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}");
        ProgressBar::with_draw_target(Some(length), target)
            .with_style(style.expect("the template is one"))
    }
}

/// Counts Ctrl-C from now on, instead of ending the process.
fn interrupts() -> Interrupts {
    let (sender, receiver) = watch::channel(0);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            sender.send_modify(|count| *count += 1);
        }
    });
    receiver
}

async fn address_of(server: &Server) -> Result<SocketAddr, Failure> {
    let uri = server.uri();
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or_default();
    let found = tokio::net::lookup_host((host, port)).await;
    let found =
        found.map_err(|error| Failure::unavailable(format!("cannot reach {server}: {error}")))?;
    let first = { found }.next();
    first.ok_or_else(|| Failure::unavailable(format!("{server} has no address")))
}

/// CPU that this thread has used.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{parse, try_parse};

    #[test]
    fn what_would_hurt_is_refused_and_the_limits_are_named() {
        for (line, says) in [
            ("--issue 1 --connections 4 --in-flight 256", ""),
            ("--issue 1 --connections 1 --in-flight 257", "256 on each"),
            ("--issue 1 --connections 5 --in-flight 256", "1024 in all"),
            ("--issue 1 --connections 16 --in-flight 1024 --stream", ""),
            (
                "--issue 1 --connections 17 --in-flight 1024 --stream",
                "16384 in all",
            ),
            ("--issue 1 --duration 1h", ""),
            ("--issue 1 --duration 61m", "at most 1h"),
            ("--text-file - --token-stdin", "standard input"),
        ] {
            let checked = parse::<BenchArgs>(line).check();
            let said = checked
                .err()
                .map(|failure| failure.message)
                .unwrap_or_default();
            assert!(
                said.contains(says) && said.is_empty() == says.is_empty(),
                "{line}: {said}"
            );
        }
        for line in [
            "",
            "--issue 0",
            "--issue 10001",
            "--issue 1 --text-file t",
            "--issue 1 --connections 257",
            "--issue 1 --in-flight 1025",
            "--issue 1 --rate 1000001",
            "--issue 1 --batch 101",
            "--issue 1 --batch 2 --stream",
            "--issue 1 --duration 0",
            "--issue 1 --even",
        ] {
            assert!(try_parse::<BenchArgs>(line).is_err(), "{line}");
        }
    }
}
