//! What it costs to save counted use: each simulated second many different tokens are counted, saved and folded, on a store in memory
//! and on one on disk. Prints processor seconds for each simulated second. `cargo bench --bench usage`; it asserts nothing.
//!
//! `KEYWARD_USAGE_TOKENS` (1000000) are all tokens, `KEYWARD_USAGE_TOUCHED` (250000) those used in a second, `KEYWARD_USAGE_SECONDS` (40),
//! `KEYWARD_USAGE_STORES` (`memory,disk`), `KEYWARD_USAGE_GRANTS` (1: each use exercises a grant).

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on is of no use; its figures are for people"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyward::clock::{Clock, ManualClock};
use keyward::directory::follow;
use keyward::domain::grant::{Grant, Grants, Permission};
use keyward::domain::id::{AccountId, BASE62, TokenId};
use keyward::domain::secret::{Digest, KeyId, Place, Secret};
use keyward::domain::text::Environment;
use keyward::domain::time::Timestamp;
use keyward::domain::token::Token;
use keyward::meter::usage::{Usage, Used, Whose};
use keyward::random::SystemRandom;
use keyward::registry::Registry;
use keyward::registry::usage::Ledger;
use keyward::store::open::{self, Opened};

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// Tokens of one account.
const OF_ACCOUNT: usize = 1_000;

/// Numbers that repeat: the same tokens in each run.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn id(&mut self) -> TokenId {
        let digits: Vec<u8> = (0..TokenId::LENGTH)
            .map(|_| BASE62[usize::try_from(self.next() % 62).unwrap()])
            .collect();
        TokenId::parse(std::str::from_utf8(&digits).unwrap()).unwrap()
    }
}

fn setting(name: &str, otherwise: usize) -> usize {
    let set = std::env::var(format!("KEYWARD_USAGE_{name}"));
    set.map_or(otherwise, |set| set.parse().unwrap())
}

fn main() {
    let (tokens, touched) = (setting("TOKENS", 1_000_000), setting("TOUCHED", 250_000));
    let seconds = setting("SECONDS", 40);
    let exercise = setting("GRANTS", 1) == 1;
    let stores = std::env::var("KEYWARD_USAGE_STORES").unwrap_or_else(|_| "memory,disk".into());
    println!(
        "{touched} of {tokens} tokens a second, {seconds} seconds; processor seconds for each"
    );
    for store in stores.split(',') {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let node = Node::open(store, dir.path());
        runtime.block_on(node.run(store, tokens, touched, seconds, exercise));
    }
}

struct Node {
    clock: Arc<ManualClock>,
    counted: Arc<Usage>,
    registry: Registry,
}

/// Sums of what one part of the work cost.
#[derive(Clone, Copy, Default)]
struct Cost {
    all: f64,
    worst: f64,
}

impl Cost {
    fn add(&mut self, from: f64) {
        let spent = processor() - from;
        self.all += spent;
        self.worst = self.worst.max(spent);
    }
}

impl Node {
    fn open(store: &str, dir: &Path) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let opened: Opened = match store {
            "memory" => open::open_memory(clock.clone(), &SystemRandom).unwrap(),
            _ => {
                let place = open::Place {
                    data_dir: dir.to_owned(),
                    keyring_file: None,
                    sled: open::Options::default(),
                };
                open::open(&place, clock.clone(), &SystemRandom, &()).unwrap()
            }
        };
        let directory = follow::start(opened.store.reader(), Vec::new()).unwrap();
        let counted = Arc::new(Usage::new(Arc::clone(&directory), 100_000));
        let registry = Registry {
            usage: Arc::new(Ledger::new(Arc::clone(&counted), &SystemRandom)),
            store: opened.store,
            directory,
            keyring: opened.keyring,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::new(SystemRandom),
            environment: Environment::parse("bench").unwrap(),
        };
        Self {
            clock,
            counted,
            registry,
        }
    }

    async fn run(
        &self,
        store: &str,
        tokens: usize,
        touched: usize,
        seconds: usize,
        exercise: bool,
    ) {
        let mut draw = Draw(7);
        let grants = Grants::new([Grant::parse("tables/*:read").unwrap()]);
        let ids: Vec<TokenId> = (0..tokens).map(|_| draw.id()).collect();
        let accounts: Vec<AccountId> = (0..tokens.div_ceil(OF_ACCOUNT))
            .map(|number| AccountId::parse(&format!("account-{number}")).unwrap())
            .collect();
        let required = exercise.then_some(Permission {
            resource: "tables/orders",
            action: Some("read"),
        });
        let (mut count, mut save, mut fold) = (Cost::default(), Cost::default(), Cost::default());
        let (mut half, mut most) = ((0.0, 0.0), 0);
        for second in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            // One of each so many that stand side by side, which have no order: different ones, at random.
            let side_by_side = (tokens / touched).max(1);
            let window: Vec<Arc<Token>> = (0..touched)
                .map(|number| {
                    let one = usize::try_from(draw.next()).unwrap() % side_by_side;
                    let place = (number * side_by_side + one) % tokens;
                    Arc::new(token(ids[place], &accounts[place / OF_ACCOUNT], &grants))
                })
                .collect();
            let from = processor();
            for token in &window {
                self.counted.count(&Used {
                    whose: Whose {
                        id: token.id,
                        account: &token.account,
                        grants: &token.grants,
                    },
                    found: None,
                    version: 1,
                    allowed: true,
                    cost: 1,
                    consumer: None,
                    required,
                    now: self.clock.now(),
                });
            }
            count.add(from);
            let from = processor();
            self.registry.save_usage().await.unwrap();
            save.add(from);
            drop(window);
            let from = processor();
            self.registry.keep_usage_folded().await.unwrap();
            fold.add(from);
            most = most.max(self.registry.usage.journal_bytes().await);
            if second + 1 == seconds / 2 {
                half = (save.all, fold.all);
            }
        }
        let each = |cost: Cost, before: f64| {
            let last = (seconds - seconds / 2) as f64;
            let each = cost.all / seconds as f64;
            let settled = (cost.all - before) / last;
            format!(
                "{each:.4} (second half {settled:.4}, worst {:.4})",
                cost.worst
            )
        };
        println!("{store}:");
        println!("  counting {}", each(count, 0.0));
        println!("  saving   {}", each(save, half.0));
        println!("  folding  {}", each(fold, half.1));
        println!("  journal  {} MiB at the most", most >> 20);
        println!("  resident {} MiB", resident() >> 20);
        let from = processor();
        let usage = self.registry.usage_of(ids[..1_000].to_vec()).await.unwrap();
        let calls: u64 = usage.iter().map(|usage| usage.today.counts.allowed).sum();
        println!(
            "  reading 1000 tokens {:.4}, {calls} calls",
            processor() - from
        );
    }
}

fn token(id: TokenId, account: &AccountId, grants: &Grants) -> Token {
    let secret = Secret {
        version: 1,
        place: Place::Current,
        digest: Digest::new([0; 32]),
        key: KeyId(1),
        foreign: false,
        hint: String::new(),
        create_time: START,
    };
    let (name, creator) = (String::new(), String::new());
    let mut token = Token::new(id, account.clone(), name, creator, secret);
    token.grants = grants.clone();
    token
}

/// Processor seconds of this process so far, all threads together.
fn processor() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}
