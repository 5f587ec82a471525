//! What people see of usage: exact up to this moment on this node, what is stored and what waits together.

use std::sync::Arc;

use super::Ledger;
use crate::domain::account::Account;
use crate::domain::id::{AccountId, TokenId};
use crate::domain::time::{Day, Timestamp};
use crate::domain::token::Token;
use crate::domain::usage::{Counts, Days, TokenUsage};
use crate::meter::usage::{Batch, Counted};
use crate::registry::page::{Page, Paged};
use crate::registry::tokens::TokenFilter;
use crate::registry::{Call, Error, Registry};
use crate::store::record::AccountUsage;
use crate::store::{Reader, StoreError, key};

/// An account's day, its history, and a page of its tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountUsagePage {
    pub account: Account,
    pub calls_today: u64,
    /// When today's calls come back.
    pub reset_time: Timestamp,
    /// Oldest first, without a gap.
    pub days: Vec<(Day, Counts)>,
    pub tokens: Paged<UsedToken>,
}

/// A token and its use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsedToken {
    pub token: Token,
    /// `today` is this day.
    pub usage: TokenUsage,
    /// Oldest first, without a gap.
    pub days: Vec<(Day, Counts)>,
}

/// What was counted and is not in the store.
pub(super) struct Unsaved<'a> {
    ledger: &'a Ledger,
    /// A batch whose commit failed, and was not made all the same.
    batch: Option<Arc<Batch>>,
    now: Timestamp,
}

/// Whether the days before the newest one are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum History {
    LeftOut,
    Read,
}

impl Registry {
    /// The use of tokens, in their order, each with this day as `today`. A token without use has no more than that.
    pub async fn usage_of(&self, tokens: Vec<TokenId>) -> Result<Vec<TokenUsage>, Error> {
        let read = self.read_usage(move |reader, unsaved, today| {
            let usage =
                |id: &TokenId| Ok(token_usage(reader, unsaved, *id, today, History::LeftOut)?.0);
            tokens.iter().map(usage).collect()
        });
        read.await
    }

    /// An account's calls today and on the days before, and those of its tokens, a page at a time.
    pub async fn get_usage(
        &self,
        call: &Call,
        named: &str,
        days: i32,
        page: Page,
    ) -> Result<AccountUsagePage, Error> {
        let id = call.account(named)?;
        let account = self.get_account(call, id.as_str()).await?;
        let paged = self
            .list_tokens(call, id.as_str(), TokenFilter::default(), page)
            .await?;
        let (tokens, next) = (paged.items, paged.next);
        let history = if days > 0 {
            History::Read
        } else {
            History::LeftOut
        };
        let read = self.read_usage(move |reader, unsaved, today| {
            let all = account_days(reader, unsaved, &id)?;
            let used = |token: Token| {
                let (usage, all) = token_usage(reader, unsaved, token.id, today, history)?;
                let born = Day::of(token.create_time);
                let days = all.filled(born, today, days).collect();
                Ok(UsedToken { token, usage, days })
            };
            let tokens: Vec<UsedToken> = tokens
                .into_iter()
                .map(used)
                .collect::<Result<_, StoreError>>()?;
            Ok((today, all, tokens))
        });
        let (today, all, items) = read.await?;
        let born = Day::of(account.create_time);
        let calls_today = all.of(today).allowed;
        Ok(AccountUsagePage {
            calls_today,
            reset_time: today.end(),
            days: all.filled(born, today, days).collect(),
            tokens: Paged { items, next },
            account,
        })
    }

    /// Reads what is stored beside what waits, while nothing moves from one to the other.
    pub(super) async fn read_usage<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader, &Unsaved<'_>, Day) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Error> {
        let nothing_moves = self.usage.saving.read().await;
        let ledger = Arc::clone(&self.usage);
        let now = self.clock.settled();
        let read = self.store.read(move |reader| {
            let unsaved = ledger.unsaved(reader, now)?;
            read(reader, &unsaved, Day::of(now))
        });
        let found = read.await;
        drop(nothing_moves);
        Ok(found?)
    }
}

impl Ledger {
    fn unsaved(&self, reader: &Reader, now: Timestamp) -> Result<Unsaved<'_>, StoreError> {
        let mut batch = self.counted.unwritten();
        if let Some(in_doubt) = &batch
            && self.has_saved(reader, in_doubt.sequence)?
        {
            batch = None;
        }
        Ok(Unsaved {
            ledger: self,
            batch,
            now,
        })
    }
}

impl Unsaved<'_> {
    pub(super) fn of(&self, id: TokenId) -> impl Iterator<Item = Counted> {
        let in_batch = self.batch.iter().flat_map(|batch| &batch.tokens);
        in_batch
            .filter(move |counted| counted.id == id)
            .cloned()
            .chain(self.ledger.counted.waiting(id))
            .chain(self.ledger.counted.held(id, self.now))
    }

    fn of_account(&self, id: &AccountId) -> Days {
        let mut days = self.ledger.counted.waiting_in(id);
        let in_batch = self.batch.iter().flat_map(|batch| &batch.tokens);
        in_batch
            .filter(|counted| counted.account == *id)
            .flat_map(Counted::days)
            .for_each(|(day, counts)| days.add(day, counts));
        days
    }
}

/// A token's use, with this day as `today`, and its days.
fn token_usage(
    reader: &Reader,
    unsaved: &Unsaved<'_>,
    id: TokenId,
    today: Day,
    history: History,
) -> Result<(TokenUsage, Days), StoreError> {
    let mut usage: TokenUsage = reader.get(&key::usage(id))?.unwrap_or_default();
    let mut days = match history {
        // The clock was ahead for a while, and went back: what is counted today goes into the history.
        History::LeftOut if usage.today.day <= today => Days::default(),
        _ => reader.get(&key::usage_history(id))?.unwrap_or_default(),
    };
    days.add(usage.today.day, usage.today.counts);
    for counted in unsaved.of(id) {
        for (day, counts) in counted.days() {
            days.add(day, counts);
        }
        usage.last_used = usage.last_used.max(counted.last_used);
        usage.add_secrets(counted.secrets());
        usage.add_exercised(counted.exercised(), &counted.grants);
    }
    usage.today.day = today;
    usage.today.counts = days.of(today);
    Ok((usage, days))
}

/// All days of an account: those of its deleted tokens stay in.
fn account_days(
    reader: &Reader,
    unsaved: &Unsaved<'_>,
    id: &AccountId,
) -> Result<Days, StoreError> {
    let AccountUsage(today) = reader.get(&key::account_usage(id))?.unwrap_or_default();
    let mut days: Days = reader
        .get(&key::account_usage_history(id))?
        .unwrap_or_default();
    days.add(today.day, today.counts);
    days.add_all(&unsaved.of_account(id));
    Ok(days)
}
