//! Pages of ListTokens in accounts of different sizes: CPU and rows read for each, by the page's size, place and filter.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyward::clock::{Clock, SystemClock};
use keyward::directory::Directory;
use keyward::domain::account::{Account, Policy};
use keyward::domain::id::{AccountId, TokenId};
use keyward::domain::secret::{Digest, KeyId, Place, Secret};
use keyward::domain::text::Environment;
use keyward::domain::token::{Token, TokenState};
use keyward::keyring::Keyring;
use keyward::meter::Meter;
use keyward::random::{self, SystemRandom};
use keyward::registry::page::{Page, Paged};
use keyward::registry::tokens::TokenFilter;
use keyward::registry::usage::Ledger;
use keyward::registry::{Call, Registry};
use keyward::store::open::{Options, open_backend};
use keyward::store::record::{Pointer, Tally};
use keyward::store::sled::SledBackend;
use keyward::store::{Store, StoreError, key};
use tokio::runtime::Runtime;

use crate::counted::Counted;
use crate::cpu;
use crate::node::ACCOUNT;
use crate::report::Report;

const SIZES: [usize; 2] = [50, 1_000];
/// Tokens that one change makes while an account is filled.
const AT_ONCE: usize = 250;
/// One token of so many has the label that a filter asks for.
const RARE: usize = 100;
/// How far into the list a deep page begins.
const DEEP: f64 = 0.9;
/// CPU that a measurement takes at least: the kernel counts in hundredths of a second.
const LONG_ENOUGH: Duration = Duration::from_millis(300);

/// An account of some size, as operators list it.
struct Listed {
    registry: Registry,
    call: Call,
    backend: Arc<Counted>,
}

pub(crate) fn measure(accounts: &[usize], report: &mut Report) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be made");
    let mut table = format!(
        "{:>10} {:>6} {:<34} {:>8} {:>11} {:>11}\n",
        "tokens", "page", "", "shown", "rows read", "CPU"
    );
    for &tokens in accounts {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let dir = dir.expect("a temporary directory can be made");
        println!("making {tokens} tokens of one account");
        let listed = Listed::new(dir.path(), tokens);
        let deep = (tokens as f64 * DEEP) as usize;
        for size in SIZES {
            for (name, filter, skipped) in kinds(deep) {
                let begin = listed.page_after(&runtime, skipped);
                let (shown, rows, cpu) = listed.cost(&runtime, &filter, size, &begin);
                let _ = writeln!(
                    table,
                    "{tokens:>10} {size:>6} {name:<34} {shown:>8} {rows:>11.0} {:>8.0} µs",
                    cpu.as_secs_f64() * 1e6
                );
            }
        }
    }
    report.add("Pages of ListTokens", &table);
}

/// What is listed, and how many tokens of the list come before.
fn kinds(deep: usize) -> [(&'static str, TokenFilter, usize); 5] {
    let active = TokenFilter {
        states: vec![TokenState::Active],
        ..TokenFilter::default()
    };
    let rare = TokenFilter {
        labels: [label()].into(),
        ..TokenFilter::default()
    };
    [
        ("first", TokenFilter::default(), 0),
        ("deep", TokenFilter::default(), deep),
        ("deep, filter that all match", active, deep),
        ("first, filter that 1 % match", rare.clone(), 0),
        ("deep, filter that 1 % match", rare, deep),
    ]
}

fn label() -> (String, String) {
    ("team".into(), "rare".into())
}

impl Listed {
    fn new(dir: &Path, tokens: usize) -> Self {
        let opening = SledBackend::open(&dir.join("store"), Options::default());
        let backend = Arc::new(Counted::new(opening.expect("a new store opens").accept()));
        let random = Arc::new(SystemRandom);
        let keyring = Arc::new(Keyring::generate(&*random));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let opened = open_backend(
            Arc::clone(&backend) as _,
            Arc::clone(&keyring),
            Arc::clone(&clock),
            &*random,
        );
        let store = opened.expect("a new store opens").store;
        let operator = fill(&store, &*clock, tokens).expect("the store takes tokens");
        // Lists are read from the store; nothing here asks the directory.
        let directory = Arc::new(Directory::default());
        let usage = Meter::new(Arc::clone(&directory), 0).usage;
        let registry = Registry {
            usage: Arc::new(Ledger::new(usage, &*random)),
            store,
            directory,
            keyring,
            clock,
            random,
            environment: Environment::parse("bench").expect("it is an environment"),
        };
        let call = registry.own_call(operator);
        Self {
            registry,
            call,
            backend,
        }
    }

    fn list(
        &self,
        runtime: &Runtime,
        filter: &TokenFilter,
        size: usize,
        token: &str,
    ) -> Paged<Token> {
        let page = Page {
            size,
            token: token.to_owned(),
            method: "ListTokens",
            filter: Vec::new(),
        };
        let listed = self
            .registry
            .list_tokens(&self.call, ACCOUNT, filter.clone(), page);
        runtime.block_on(listed).expect("the account is listed")
    }

    /// The page token after so many tokens: good for every filter, for all are bound to the same bytes here.
    fn page_after(&self, runtime: &Runtime, tokens: usize) -> String {
        let (mut seen, mut token) = (0, String::new());
        while seen < tokens {
            let page = self.list(runtime, &TokenFilter::default(), SIZES[1], &token);
            seen += page.items.len();
            token = page.next;
        }
        token
    }

    /// Tokens shown, rows read, and CPU of one page.
    fn cost(
        &self,
        runtime: &Runtime,
        filter: &TokenFilter,
        size: usize,
        token: &str,
    ) -> (usize, f64, Duration) {
        // Once before, so that all of them find the same in the cache.
        let shown = self.list(runtime, filter, size, token).items.len();
        let (used, rows) = (cpu::of(std::process::id()), self.backend.rows());
        let mut pages = 0;
        let spent = loop {
            self.list(runtime, filter, size, token);
            pages += 1;
            let spent = cpu::of(std::process::id()) - used;
            if spent >= LONG_ENOUGH {
                break spent;
            }
        };
        let read = (self.backend.rows() - rows) as f64 / f64::from(pages);
        (shown, read, spent / pages)
    }
}

/// The account and its tokens, as CreateToken leaves them but for events. Gives the id of one.
fn fill(store: &Store, clock: &dyn Clock, tokens: usize) -> Result<TokenId, StoreError> {
    let account = AccountId::parse(ACCOUNT).expect("it is an id");
    let now = clock.now();
    let record = Account {
        id: account.clone(),
        display_name: String::new(),
        key: None,
        disabled: false,
        policy: Policy::standard(),
        create_time: now,
        generation: 1,
    };
    store.update_blocking(move |view| view.put(key::account(ACCOUNT), &record))?;
    let mut made = 0;
    let mut last = random::token_id(&SystemRandom);
    while made < tokens {
        let batch: Vec<Token> = (made..tokens.min(made + AT_ONCE))
            .map(|number| token(&account, number, now))
            .collect();
        made += batch.len();
        last = batch.last().map_or(last, |token| token.id);
        let account = account.clone();
        store.update_blocking::<_, StoreError, _>(move |view| {
            for token in &batch {
                view.put(key::token(token.id), token)?;
                let pointer = Pointer(token.id.to_string());
                view.put(key::account_token(&account, token.id), &pointer)?;
            }
            view.put(key::tally(&account), &Tally(made as u64))
        })?;
    }
    Ok(last)
}

fn token(account: &AccountId, number: usize, now: keyward::domain::time::Timestamp) -> Token {
    let first = Secret {
        version: 1,
        place: Place::Current,
        digest: Digest::new([7; 32]),
        key: KeyId(1),
        foreign: false,
        hint: "a1b2".into(),
        create_time: now,
    };
    let labels: BTreeMap<String, String> = number
        .is_multiple_of(RARE)
        .then(label)
        .into_iter()
        .collect();
    let id = random::token_id(&SystemRandom);
    let name = format!("credential {number}");
    Token {
        labels,
        ..Token::new(
            id,
            account.clone(),
            name,
            "0123456789ABCDEFGHIJKL".into(),
            first,
        )
    }
}
