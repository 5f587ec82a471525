//! Daily calls: many callers at once use up an account's day while the server is killed or cut off again and again between a
//! lease and its use. What clients were answered is never more than the limit, and less only by the documented waste.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use keyward::api::proto;
use keyward::api::proto::validate_credentials_request::Presented;
use keyward::api::proto::{Decision, DenyReason};
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::client::Client;
use super::process::Process;
use super::{End, Ground, Store};
use crate::random::Random;
use crate::subject::now;

const CALLERS: usize = 64;
const CONNECTIONS: usize = 8;
/// Calls a day: with waste by the least, and by the hundredth.
const LIMITS: [u64; 4] = [40, 700, 2_500, 10_000];
/// The first day is this one: 2,500 calls and three ends in between.
const FIRST: (u64, u64) = (2_500, 3);
/// How often the server ends on one of the other days, at the most.
const MOST_ENDS: u64 = 6;
/// In what time callers use up a call, more or less: ends come while there are some.
const CALL: Duration = Duration::from_micros(300);

/// What callers of one account's day have seen.
#[derive(Default)]
struct Seen {
    /// Calls let in, as clients were told.
    allowed: u64,
    /// Calls that were under way when the server went.
    in_flight: u64,
    /// The server's ends that may each have wasted a lease.
    crashes: u64,
    /// The day's end. Another one, and all is in vain: the real clock turned the day.
    reset_time: Option<prost_types::Timestamp>,
    turned: bool,
}

/// What one caller saw of one server.
#[derive(Default)]
struct Told {
    /// The cost of each call let in, and when it was answered.
    allowed: Vec<(u64, Duration)>,
    in_flight: u64,
    reset_times: Vec<Option<prost_types::Timestamp>>,
    /// A single call was refused for the quota.
    exhausted: bool,
}

pub(crate) fn run(end: End, ends: u64, random: &mut Random) -> Result<(), String> {
    let runtime = super::runtime()?;
    let (mut done, mut days, mut allowed, mut wasted) = (0, 0, 0, 0);
    while done < ends {
        let (limit, ends_of_day) = match days {
            0 => FIRST,
            _ => (
                LIMITS[random.below(LIMITS.len() as u64) as usize],
                1 + random.below(MOST_ENDS),
            ),
        };
        let mut ground = match Ground::new(end) {
            Ok(ground) => ground,
            Err(reason) => {
                println!("crash: power cuts under daily calls not run: {reason}");
                return Ok(());
            }
        };
        let seen = runtime.block_on(day(&mut ground, limit, ends_of_day, random));
        let seen = seen.map_err(|loss| {
            let kept = ground.keep();
            format!("a day of {limit} calls, after {done} ends: {loss}{kept}")
        })?;
        if !seen.turned {
            days += 1;
            done += ends_of_day;
            allowed += seen.allowed;
            wasted += limit - seen.allowed;
        }
    }
    let what = match end {
        End::Kill => "kills",
        End::PowerCut => "power cuts",
    };
    println!(
        "crash: {done} ends of the server, most by {what}, in {days} days under {CALLERS} callers; {allowed} calls let in, none too many; {wasted} wasted"
    );
    Ok(())
}

/// One day on a data directory of its own, to its last call.
async fn day(
    ground: &mut Ground,
    limit: u64,
    ends: u64,
    random: &mut Random,
) -> Result<Seen, String> {
    let (server, address) = Process::start(&ground.dir).ready()?;
    let till = prepare(&ground.dir, address, limit).await?;
    let mut seen = Seen::default();
    let mut running = (server, address);
    for left in (1..=ends).rev() {
        let part = CALL * u32::try_from(limit).expect("it is small")
            / u32::try_from(left).expect("it is small");
        let callers = call(&ground.dir, running.1, &till, random)?;
        tokio::time::sleep(random.delay(part)).await;
        let gone = end(ground, running.0, &mut seen, random)?;
        seen.take_in(callers.join_all().await, gone, false)?;
        if random.below(4) == 0 {
            let opening = Process::start(&ground.dir);
            thread::sleep(random.delay(Store::OPENS_IN * 2));
            ground.end(opening, random)?;
        }
        running = Process::start(&ground.dir).ready()?;
    }
    let callers = call(&ground.dir, running.1, &till, random)?;
    seen.take_in(callers.join_all().await, Duration::MAX, true)?;
    seen.compare(limit)?;
    running.0.stop()?;
    Ok(seen)
}

/// Ends a server under its callers: now and then in order, which wastes nothing. From what time on nothing counts as
/// acknowledged any more: a machine without power answers nobody.
fn end(
    ground: &mut Ground,
    server: Process,
    seen: &mut Seen,
    random: &mut Random,
) -> Result<Duration, String> {
    if random.below(5) == 0 {
        server.stop()?;
        return Ok(Duration::MAX);
    }
    seen.crashes += 1;
    let gone = match ground.disk {
        Some(_) => now(),
        None => Duration::MAX,
    };
    ground.end(server, random)?;
    Ok(gone)
}

/// Makes the account and its token; the token's text.
async fn prepare(dir: &Path, address: SocketAddr, limit: u64) -> Result<String, String> {
    let mut client = client(dir, address)?;
    let policy = proto::AccountPolicy {
        daily_calls: Some(limit),
        ..Default::default()
    };
    let account = proto::CreateAccountRequest {
        account_id: "shop".into(),
        terms: Some(proto::create_account_request::Terms::Policy(policy)),
        ..Default::default()
    };
    let made = client.directory.create_account(account).await;
    made.map_err(|status| status.to_string())?;
    let token = proto::CreateTokenRequest {
        account_id: "shop".into(),
        name: "till".into(),
        ..Default::default()
    };
    let made = client.credentials.create_token(token).await;
    made.map(|made| made.into_inner().secret)
        .map_err(|status| status.to_string())
}

fn client(dir: &Path, address: SocketAddr) -> Result<Client, String> {
    let operator = std::fs::read_to_string(dir.join("operator.token"));
    let operator = operator.map_err(|error| format!("operator.token: {error}"))?;
    Client::new(address, &operator)
}

/// Callers that go on until the day is used up or the server is gone.
fn call(
    dir: &Path,
    address: SocketAddr,
    till: &str,
    random: &mut Random,
) -> Result<JoinSet<Result<Told, String>>, String> {
    let clients: Result<Vec<_>, _> = (0..CONNECTIONS).map(|_| client(dir, address)).collect();
    let clients = clients?;
    let till: Arc<str> = till.into();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let client = clients[caller % CONNECTIONS].clone();
        let (till, random) = (Arc::clone(&till), Random::new(random.below(u64::MAX)));
        callers.spawn(use_up(client, till, random));
    }
    Ok(callers)
}

async fn use_up(mut client: Client, till: Arc<str>, mut random: Random) -> Result<Told, String> {
    let mut told = Told::default();
    let mut dear = true;
    loop {
        let cost = match random.below(8) {
            0 if dear => 2 + random.below(6),
            _ => 1,
        };
        let request = proto::ValidateCredentialsRequest {
            presented: Some(Presented::Token(till.to_string())),
            cost: u32::try_from(cost).expect("it is small"),
            ..Default::default()
        };
        match client.credentials.validate_credentials(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                let quota = answer.quota.ok_or("an answer without its quota")?;
                told.reset_times.push(quota.reset_time);
                match (answer.decision(), answer.reason()) {
                    (Decision::Allow, _) => told.allowed.push((cost, now())),
                    (Decision::Deny, DenyReason::QuotaExceeded) if cost > 1 => dear = false,
                    (Decision::Deny, DenyReason::QuotaExceeded) => {
                        told.exhausted = true;
                        return Ok(told);
                    }
                    _ => return Err(format!("{answer:?}")),
                }
            }
            // It was answered that nothing was decided: so nothing was spent.
            Err(status) if status.get_details_error_info().is_some() => {
                if status.code() != Code::Unavailable {
                    return Err(status.to_string());
                }
            }
            Err(_gone) => {
                told.in_flight += cost;
                return Ok(told);
            }
        }
    }
}

impl Seen {
    /// What callers were told before the server was gone; `last` where it was to serve them to the last call.
    fn take_in(
        &mut self,
        callers: Vec<Result<Told, String>>,
        gone: Duration,
        last: bool,
    ) -> Result<(), String> {
        for told in callers {
            let told = told?;
            for (cost, at) in told.allowed {
                match at <= gone {
                    true => self.allowed += cost,
                    false => self.in_flight += cost,
                }
            }
            self.in_flight += told.in_flight;
            for reset_time in told.reset_times {
                self.turned |= *self
                    .reset_time
                    .get_or_insert_with(|| reset_time.unwrap_or_default())
                    != reset_time.unwrap_or_default();
            }
            if last && !told.exhausted {
                return Err("a server that nobody ended was gone".into());
            }
        }
        Ok(())
    }

    fn compare(&self, limit: u64) -> Result<(), String> {
        let waste = self.crashes * (limit / 100).max(8) + self.in_flight;
        let expected = limit.saturating_sub(waste)..=limit;
        match self.turned || expected.contains(&self.allowed) {
            true => Ok(()),
            false => Err(format!(
                "{} calls were let in; expected were {expected:?}: {} crashes, {} calls in flight",
                self.allowed, self.crashes, self.in_flight
            )),
        }
    }
}
