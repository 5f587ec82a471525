//! The whole server: the real program under several clients that change everything at once, killed or cut off while it starts
//! for the first time, opens, works and drains. What is found then is compared with every answer that was received before.

mod audit;
mod book;
pub(crate) mod calls;
mod client;
mod process;
mod rules;
mod thing;
mod token;
mod worker;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::disk::Disk;
use crate::random::Random;
use book::Book;
use process::Process;

/// The account that all workers' tokens are in.
const SHARED: &str = "shared";
/// After how many ends a new data directory is begun.
const ENDS_A_STORE: u64 = 10;
/// Room for a store and a copy of it.
const DISK_BYTES: u64 = 512 << 20;
/// How long the load lasts, at the most.
const LOAD: Duration = Duration::from_millis(500);
/// Within what time it ends that was told to drain, and how long it lives without power.
const SOON: Duration = Duration::from_millis(60);
/// What no file but the operator's and no log may hold.
const SECRETS: [&[u8]; 2] = [b"kw_dev_", b"foreign-secret-"];

/// How a server ends.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Kill,
    PowerCut,
}

/// When it ends.
enum Moment {
    Opening,
    Working,
    Draining,
}

#[derive(Default)]
struct Sum {
    ends: u64,
    opening: u64,
    first_starts: u64,
    draining: u64,
    acknowledged: u64,
    found: u64,
}

pub(crate) fn run(end: End, ends: u64, random: &mut Random) -> Result<(), String> {
    let runtime = runtime()?;
    let mut sum = Sum::default();
    while sum.ends < ends {
        let mut ground = match Ground::new(end) {
            Ok(ground) => ground,
            Err(reason) => {
                println!("crash: power cuts of the server not run: {reason}");
                return Ok(());
            }
        };
        let mut store = Store {
            book: Book::new(random),
            opens_in: Store::OPENS_IN,
        };
        let last = (sum.ends + ENDS_A_STORE).min(ends);
        let outcome = runtime.block_on(store.live(&mut ground, last, &mut sum, random));
        outcome.map_err(|loss| {
            let kept = ground.keep();
            format!("the server, after {} ends: {loss}{kept}", sum.ends)
        })?;
        sum.acknowledged += store.book.acknowledged();
        sum.found += store.book.found();
    }
    let what = match end {
        End::Kill => "kills",
        End::PowerCut => "power cuts",
    };
    let Sum {
        ends,
        opening,
        first_starts,
        draining,
        acknowledged,
        found,
    } = sum;
    println!(
        "crash: {ends} {what} of the server, {opening} while opening, {first_starts} more at the first start, {draining} while \
         draining; {acknowledged} acknowledged changes, none lost; {found} found that were not acknowledged yet"
    );
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build();
    runtime.map_err(|error| error.to_string())
}

/// One data directory from its first start to its end.
struct Store {
    book: Book,
    /// How long opening took when it was last waited for.
    opens_in: Duration,
}

impl Store {
    /// How long opening takes, more or less.
    const OPENS_IN: Duration = Duration::from_millis(60);

    async fn live(
        &mut self,
        ground: &mut Ground,
        last: u64,
        sum: &mut Sum,
        random: &mut Random,
    ) -> Result<(), String> {
        let mut fresh = true;
        let mut log = String::new();
        while sum.ends < last {
            let moment = match random.below(6) {
                0 | 1 => Moment::Opening,
                3 if fresh => Moment::Opening,
                2 => Moment::Draining,
                _ => Moment::Working,
            };
            log += &match moment {
                Moment::Opening => {
                    *if fresh {
                        &mut sum.first_starts
                    } else {
                        &mut sum.opening
                    } += 1;
                    let server = Process::start(&ground.dir);
                    thread::sleep(random.delay(self.opens_in * 3 / 2));
                    ground.end(server, random)?
                }
                Moment::Working => self.work(ground, false, random).await?,
                Moment::Draining => {
                    sum.draining += 1;
                    self.work(ground, true, random).await?
                }
            };
            fresh &= matches!(moment, Moment::Opening);
            sum.ends += 1;
        }
        let (server, address) = self.start(ground)?;
        self.book.compare(&ground.dir, address).await?;
        log += &server.stop()?;
        search(&ground.dir, &log)
    }

    async fn work(
        &mut self,
        ground: &mut Ground,
        drain: bool,
        random: &mut Random,
    ) -> Result<String, String> {
        let (server, address) = self.start(ground)?;
        self.book.compare(&ground.dir, address).await?;
        let load = self.book.load(address)?;
        tokio::time::sleep(random.delay(LOAD)).await;
        load.over();
        if drain {
            server.terminate();
            thread::sleep(random.delay(SOON));
        }
        let log = ground.end(server, random)?;
        self.book.close(load).await?;
        Ok(log)
    }

    fn start(&mut self, ground: &Ground) -> Result<(Process, std::net::SocketAddr), String> {
        let began = Instant::now();
        let ready = Process::start(&ground.dir).ready()?;
        self.opens_in = began.elapsed();
        Ok(ready)
    }
}

/// Where the data directory is: on the machine's disk, or on one whose power can be cut.
struct Ground {
    dir: PathBuf,
    root: Option<TempDir>,
    disk: Option<Disk>,
}

impl Ground {
    fn new(end: End) -> Result<Self, String> {
        match end {
            End::Kill => {
                let root = tempfile::tempdir().map_err(|error| error.to_string())?;
                Ok(Self {
                    dir: root.path().join("data"),
                    root: Some(root),
                    disk: None,
                })
            }
            End::PowerCut => {
                let disk = Disk::new(DISK_BYTES)?;
                Ok(Self {
                    dir: disk.mount_point().join("data"),
                    root: None,
                    disk: Some(disk),
                })
            }
        }
    }

    /// Ends the server; what it logged.
    fn end(&mut self, server: Process, random: &mut Random) -> Result<String, String> {
        let Some(disk) = &mut self.disk else {
            return Ok(server.kill());
        };
        disk.cut_power().map_err(|error| error.to_string())?;
        thread::sleep(random.delay(SOON));
        let log = server.kill();
        disk.recover()?;
        Ok(log)
    }

    /// Leaves the directory for whoever wants to look at it.
    fn keep(&mut self) -> String {
        let kept = self.root.take().map(TempDir::keep);
        kept.map_or_else(String::new, |path| format!("; kept in {}", path.display()))
    }
}

/// Looks for secrets where none may be.
fn search(dir: &Path, log: &str) -> Result<(), String> {
    let holds = |bytes: &[u8]| {
        SECRETS
            .iter()
            .any(|secret| bytes.windows(secret.len()).any(|found| found == *secret))
    };
    if holds(log.as_bytes()) {
        return Err("a secret is in the log".into());
    }
    let io_error = |error: std::io::Error| error.to_string();
    for entry in std::fs::read_dir(dir).map_err(io_error)? {
        let path = entry.map_err(io_error)?.path();
        if path.is_dir() {
            search(&path, "")?;
        } else if path.ends_with("operator.token") {
            continue;
        } else if holds(&std::fs::read(&path).map_err(io_error)?) {
            return Err(format!("a secret is in {}", path.display()));
        }
    }
    Ok(())
}

/// An error, and what it is about.
fn told<E: std::fmt::Display>(what: &impl std::fmt::Debug) -> impl FnOnce(E) -> String {
    move |error| format!("{what:?}: {error}")
}
