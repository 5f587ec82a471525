//! What a credential costs in memory, and what a validation costs as there are more of them: fills a directory, and asks it at random.
//! `cargo bench --bench memory`; `KEYWARD_BENCH_CREDENTIALS` says how many (1,000,000). No store, no network; it asserts nothing.
//!
//! Rounds over a small directory and the large one are interleaved, and medians of the thread's CPU time printed, for the machine may be
//! busy. `KEYWARD_BENCH_ONLY` (`hit`, `miss` or `wrong`) asks one kind alone, of the large one: for `perf stat` and callgrind.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on is of no use; its figures are for people"
)]

use std::sync::Arc;
use std::time::Duration;

use keyward::clock::{Clock, Reading};
use keyward::directory::{Directory, ENTRY_BYTES};
use keyward::domain::account::{Account, Policy, PrincipalRule};
use keyward::domain::budget::Unmetered;
use keyward::domain::decision::Question;
use keyward::domain::grant::{Grant, Grants, Permission};
use keyward::domain::id::{AccountId, BASE62, PrincipalId, RoleId, TokenId};
use keyward::domain::operator::Scope;
use keyward::domain::presented::Presented;
use keyward::domain::principal::{Principal, PrincipalState};
use keyward::domain::role::Role;
use keyward::domain::secret::{KeyId, Place, Secret, SecretText};
use keyward::domain::text::{self, Environment, SECRET_LENGTH};
use keyward::domain::time::Timestamp;
use keyward::domain::token::Token;
use keyward::keyring::Keyring;
use keyward::marks::Marks;
use keyward::meter::usage::Usage;
use keyward::random::SystemRandom;
use keyward::store::backend::{Key, Revision};
use keyward::store::record::Record;
use keyward::store::{Changed, key};
use keyward::validator::{Ask, Validator};
use rustix::time::{ClockId, clock_gettime};

/// Credentials of the small directory.
const SMALL: u64 = 1_000;
/// Rows of one commit.
const ROWS: u64 = 1_000;
/// Accounts that the credentials belong to.
const ACCOUNTS: u64 = 100;
/// Validations of one round.
const ASKED: u64 = 250_000;
const ROUNDS: usize = 7;
const KINDS: [&str; 3] = ["hit", "miss", "wrong"];

/// A clock that is not read: it costs the same whatever is measured, and callgrind does not get along with it.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn read(&self) -> Reading {
        Reading::default()
    }

    fn raise_floor(&self, _: Timestamp) {}
}

/// A filled directory and a validator over it.
struct World {
    credentials: u64,
    environment: Environment,
    validator: Validator,
    usage: Arc<Usage>,
    name_bytes: u64,
    sequence: u64,
}

impl World {
    fn new(credentials: u64) -> Self {
        let environment = Environment::parse("bench").unwrap();
        let keyring = Arc::new(Keyring::generate(&SystemRandom));
        let directory = Arc::new(Directory::default());
        let accounts = (0..ACCOUNTS).flat_map(rows_of_account).collect();
        apply(&directory, accounts);
        let mut name_bytes = 0;
        for first in (0..credentials).step_by(ROWS as usize) {
            let numbers = first..credentials.min(first + ROWS);
            let rows = numbers.map(|number| {
                let token = token(number, &environment, &keyring);
                name_bytes += token.name.len() as u64;
                (key::token(token.id), Some(token.encode()))
            });
            apply(&directory, rows.collect());
        }
        let usage = Arc::new(Usage::new(Arc::clone(&directory), 1_000_000));
        let validator = Validator::new(
            directory,
            keyring,
            environment.clone(),
            Arc::new(Still),
            Arc::new(Marks::default()),
            Arc::clone(&usage),
        );
        Self {
            credentials,
            environment,
            validator,
            usage,
            name_bytes,
            sequence: 0,
        }
    }

    /// Nanoseconds of CPU that a validation takes; `kind` is one of `KINDS`.
    fn measure(&mut self, kind: &str, round: u64) -> f64 {
        let texts = self.texts(kind, round);
        let began = clock_gettime(ClockId::ThreadCPUTime);
        self.ask(kind, &texts);
        let ended = clock_gettime(ClockId::ThreadCPUTime);
        self.save();
        let span = |time: rustix::time::Timespec| {
            Duration::new(time.tv_sec as u64, time.tv_nsec as u32).as_nanos() as f64
        };
        (span(ended) - span(began)) / ASKED as f64
    }

    fn texts(&self, kind: &str, round: u64) -> Vec<SecretText> {
        (0..ASKED)
            .map(|at| {
                let number = mix(round * ASKED + at) % self.credentials;
                let (id, secret) = match kind {
                    "miss" => (number + (1 << 40), number),
                    "wrong" => (number, number + (1 << 40)),
                    _ => (number, number),
                };
                text::assemble(&self.environment, id_of(id), &secret_of(secret))
            })
            .collect()
    }

    fn ask(&self, kind: &str, texts: &[SecretText]) {
        let allowed = texts.iter().filter(|text| self.allows(text)).count() as u64;
        assert_eq!(allowed, if kind == "hit" { ASKED } else { 0 });
    }

    /// As it is done once a second.
    fn save(&mut self) {
        self.sequence += 1;
        drop(self.usage.take(usize::MAX, self.sequence));
        self.usage.written();
    }

    fn allows(&self, text: &SecretText) -> bool {
        let ask = Ask {
            presented: Some(Presented::Text(text.reveal())),
            scope: &Scope::Every,
            account: None,
            question: Question {
                account_key: None,
                required: Permission::parse("tables/orders", "read").ok(),
                client_address: None,
            },
            consumer: None,
            cost: 1,
            dry_run: false,
        };
        let answer = self.validator.validate(&ask, &mut Unmetered).unwrap();
        let named = answer.identity().map_or(0, |identity| identity.name.len());
        answer.verdict.reason.is_none() && named > 0
    }
}

fn main() {
    let wanted = std::env::var("KEYWARD_BENCH_CREDENTIALS");
    let credentials: u64 = wanted.map_or(1_000_000, |text| text.parse().unwrap());
    let mut small = World::new(SMALL);
    let before = resident();
    let mut large = World::new(credentials);
    let bytes = resident().saturating_sub(before);
    let each = |bytes: u64| bytes as f64 / credentials as f64;
    println!(
        "{credentials} credentials, entries of {ENTRY_BYTES} bytes: {:.0} bytes each in memory, {:.0} beyond their names",
        each(bytes),
        each(bytes.saturating_sub(large.name_bytes))
    );
    if let Ok(kind) = std::env::var("KEYWARD_BENCH_ONLY") {
        large.ask(&kind, &large.texts(&kind, 1));
        large.save();
        return;
    }
    let mut spans = vec![(Vec::new(), Vec::new()); KINDS.len()];
    for round in 0..ROUNDS as u64 {
        for (kind, (of_small, of_large)) in KINDS.iter().zip(&mut spans) {
            of_small.push(small.measure(kind, round));
            of_large.push(large.measure(kind, round));
        }
    }
    println!("CPU of a validation, ns: {SMALL} credentials, {credentials} credentials, growth");
    for (kind, (of_small, of_large)) in KINDS.iter().zip(&mut spans) {
        let (few, many) = (median(of_small), median(of_large));
        println!("{kind:>6} {few:7.0} {many:7.0} {:7.2}", many / few);
    }
}

fn median(spans: &mut [f64]) -> f64 {
    spans.sort_unstable_by(f64::total_cmp);
    spans[spans.len() / 2]
}

/// What the process has in memory, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib * 1_024
}

fn apply(directory: &Directory, rows: Vec<(Key, Option<Vec<u8>>)>) {
    let revision = Revision(1);
    directory.apply(&Changed { revision, rows }).unwrap();
}

fn account_of(number: u64) -> AccountId {
    AccountId::parse(&format!("account-{}", number % ACCOUNTS)).unwrap()
}

fn rows_of_account(number: u64) -> [(Key, Option<Vec<u8>>); 3] {
    let (account, create_time) = (account_of(number), Timestamp::from_millis(0));
    let (role, principal) = (
        RoleId::parse("r").unwrap(),
        PrincipalId::parse("p").unwrap(),
    );
    let policy = Policy {
        principal_rule: PrincipalRule::Enforced,
        ..Policy::standard()
    };
    [
        (
            key::account(account.as_str()),
            Account {
                id: account.clone(),
                display_name: String::new(),
                key: None,
                disabled: false,
                policy,
                create_time,
                generation: 1,
            }
            .encode(),
        ),
        (
            key::role(&account, &role),
            Role {
                id: role.clone(),
                account: account.clone(),
                display_name: String::new(),
                grants: grants("tables/*"),
                create_time,
                generation: 1,
            }
            .encode(),
        ),
        (
            key::principal(&account, &principal),
            Principal {
                id: principal.clone(),
                account: account.clone(),
                display_name: "Principal".into(),
                email: String::new(),
                state: PrincipalState::Active,
                api_user: true,
                roles: vec![role.clone()],
                create_time,
                generation: 1,
            }
            .encode(),
        ),
    ]
    .map(|(name, row)| (name, Some(row)))
}

fn grants(text: &str) -> Grants {
    Grants::new([Grant::parse(text).unwrap()])
}

fn token(number: u64, environment: &Environment, keyring: &Keyring) -> Token {
    let id = id_of(number);
    let text = text::assemble(environment, id, &secret_of(number));
    let key = keyring.current();
    let secret = Secret {
        version: 1,
        place: Place::Current,
        digest: key.secret_digest(id, text.reveal()),
        key: KeyId(1),
        foreign: false,
        hint: text.hint(),
        create_time: Timestamp::from_millis(0),
    };
    let name = format!("integration {number}");
    let new = Token::new(id, account_of(number), name, "operator".into(), secret);
    Token {
        principal: PrincipalId::parse("p").ok(),
        grants: grants("tables/*:read,write"),
        expire_time: Some(Timestamp::MAX),
        ..new
    }
}

fn id_of(number: u64) -> TokenId {
    let text = base62::<{ TokenId::LENGTH }>(number);
    TokenId::parse(std::str::from_utf8(&text).unwrap()).unwrap()
}

fn secret_of(number: u64) -> [u8; SECRET_LENGTH] {
    base62(number + (1 << 50))
}

/// Characters as if drawn at random, the same for the same number.
fn base62<const N: usize>(number: u64) -> [u8; N] {
    let mut state = mix(number);
    std::array::from_fn(|_| {
        state = mix(state);
        BASE62[(state % 62) as usize]
    })
}

/// SplitMix64's step.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
