//! What people see of usage: exact up to this moment on this node, what is stored and what waits together.

use std::sync::Arc;

use tokio::sync::OwnedRwLockReadGuard;

use super::{Ledger, Saving, counted, pages};
use crate::domain::account::Account;
use crate::domain::id::{AccountId, TokenId};
use crate::domain::time::{Day, Timestamp};
use crate::domain::token::Token;
use crate::domain::usage::{Consumer, Counts, Days, TokenUsage};
use crate::registry::page::{Page, Paged};
use crate::registry::tokens::TokenFilter;
use crate::registry::{Call, Error, Registry};
use crate::store::key::{self, Named};
use crate::store::record::packed::Packed as _;
use crate::store::record::{UsageFold, UsagePage};
use crate::store::seal::Corrupt;
use crate::store::{Reader, StoreError};

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

/// What was counted and is not folded, as long as nothing moves.
#[derive(Debug)]
pub(super) struct Unfolded {
    ledger: Arc<Ledger>,
    saving: OwnedRwLockReadGuard<Saving>,
    now: Timestamp,
}

/// How far the store says that the journals are folded.
pub(super) type Folds = Vec<Option<UsageFold>>;

/// What was counted and is not in the pages.
#[derive(Debug)]
pub(super) struct Unsaved<'a> {
    unfolded: &'a Unfolded,
    folds: &'a Folds,
}

/// Pages that were read, the last one kept: names that are read one after the other often stand on the same.
#[derive(Debug)]
pub(super) struct Pages<'a> {
    reader: &'a Reader,
    last: Option<(Box<[u8]>, UsagePage)>,
}

/// Whether the days before the newest one are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum History {
    LeftOut,
    Read,
}

impl Registry {
    /// The use of tokens, in their order, each with this day as `today`. A token without use has no more than that.
    pub async fn usage_of(&self, tokens: Vec<TokenId>) -> Result<Vec<TokenUsage>, Error> {
        let read = self.read_usage(move |reader, unsaved, today| {
            let mut pages = Pages::of(reader);
            let usage = |id: &TokenId| {
                let (usage, _) = unsaved.token(&mut pages, *id, today, History::LeftOut)?;
                Ok(usage)
            };
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
            let mut pages = Pages::of(reader);
            let all = unsaved.account(&mut pages, &id)?;
            let used = |token: &Token| {
                let (usage, all) = unsaved.token(&mut pages, token.id, today, history)?;
                let born = Day::of(token.create_time);
                let days = all.filled(born, today, days).collect();
                let token = token.clone();
                Ok(UsedToken { token, usage, days })
            };
            let tokens = tokens.iter().map(used).collect::<Result<_, StoreError>>()?;
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

    /// Reads what is stored beside what is not, while nothing moves from one to the other.
    pub(super) async fn read_usage<T: Send + 'static>(
        &self,
        read: impl Fn(&Reader, &Unsaved<'_>, Day) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Error> {
        let unfolded = self.unfolded_usage().await?;
        let found = self.store.read(move |reader| {
            let today = Day::of(unfolded.now);
            let mut folds = unfolded.folds(reader)?;
            loop {
                let unsaved = Unsaved {
                    unfolded: &unfolded,
                    folds: &folds,
                };
                let found = read(reader, &unsaved, today)?;
                // A commit that was in doubt may have come to light meanwhile.
                let now = unfolded.folds(reader)?;
                if now == folds {
                    return Ok(found);
                }
                folds = now;
            }
        });
        Ok(found.await?)
    }

    /// As long as this is held, nothing is saved or folded.
    pub(super) async fn unfolded_usage(&self) -> Result<Unfolded, Error> {
        self.adopt_usage().await?;
        Ok(Unfolded {
            ledger: Arc::clone(&self.usage),
            saving: Arc::clone(&self.usage.saving).read_owned().await,
            now: self.clock.settled(),
        })
    }
}

impl Unfolded {
    fn folds(&self, reader: &Reader) -> Result<Folds, StoreError> {
        let passes = self.saving.passes.iter();
        passes
            .map(|pass| reader.get(&key::usage_fold(&pass.saver)))
            .collect()
    }

    /// What was saved under a name and is not folded, as far as `folds` says; without it what is being folded right now, too.
    fn saved(&self, folds: Option<&Folds>, name: &[u8]) -> Result<Vec<TokenUsage>, StoreError> {
        let passes = self.saving.passes.iter().enumerate();
        let folding = passes.flat_map(|(place, pass)| {
            let after = folds.map_or(&[][..], |folds| pass.after(folds[place].as_ref()));
            pass.heap.of(name, after)
        });
        let values = folding.chain(self.saving.growing.of(name, &[]));
        let read = |value| TokenUsage::unpacked(value).map_err(|wrong| Corrupt::new(name, wrong));
        Ok(values.map(read).collect::<Result<_, _>>()?)
    }

    /// What was counted of a token and is not folded; of what is being folded right now it may be all or some.
    pub(super) fn of(&self, id: TokenId) -> Result<Vec<TokenUsage>, StoreError> {
        let mut all = self.saved(None, &key::token_name(id))?;
        all.extend(self.waiting(id));
        Ok(all)
    }

    fn waiting(&self, id: TokenId) -> impl Iterator<Item = TokenUsage> {
        let waiting = self.ledger.counted.waiting(id);
        let held = self.ledger.counted.held(id, self.now);
        waiting
            .into_iter()
            .chain(held)
            .map(|counted| counted::usage(&counted))
    }

    /// Whether there is anything of a token that is not folded.
    pub(super) fn has(&self, id: TokenId) -> bool {
        let name = key::token_name(id);
        let passes = self.saving.passes.iter().map(|pass| &pass.heap);
        let mut heaps = passes.chain([&self.saving.growing]);
        heaps.any(|heap| {
            heap.of(&name, &[]).next().is_some() || heap.consumers(&name, &[]).next().is_some()
        }) || self.ledger.counted.waiting(id).is_some()
    }
}

impl Unsaved<'_> {
    /// A token's use, with this day as `today`, and its days.
    pub(super) fn token(
        &self,
        pages: &mut Pages<'_>,
        id: TokenId,
        today: Day,
        history: History,
    ) -> Result<(TokenUsage, Days), StoreError> {
        let name = key::token_name(id);
        let mut usage = pages.usage(&name)?;
        // The clock was ahead for a while, and went back: what is counted today goes into the history.
        let history = match history {
            History::LeftOut if usage.today.day > today => History::Read,
            wanted => wanted,
        };
        let saved = self.unfolded.saved(Some(self.folds), &name)?;
        for counted in saved.into_iter().chain(self.unfolded.waiting(id)) {
            usage.add(&counted);
        }
        let days = days(pages.reader, &name, &mut usage, history)?;
        usage.today.day = today;
        usage.today.counts = days.of(today);
        Ok((usage, days))
    }

    /// All days of an account: those of its deleted tokens stay in.
    pub(super) fn account(
        &self,
        pages: &mut Pages<'_>,
        id: &AccountId,
    ) -> Result<Days, StoreError> {
        let name = key::account_name(id);
        let mut usage = pages.usage(&name)?;
        for counted in self.unfolded.saved(Some(self.folds), &name)? {
            usage.add(&counted);
        }
        let mut days = days(pages.reader, &name, &mut usage, History::Read)?;
        days.add_all(&self.unfolded.ledger.counted.waiting_in(id));
        Ok(days)
    }

    /// What was counted of the consumers of a token.
    pub(super) fn consumers(&self, id: TokenId) -> Result<Vec<(String, Consumer)>, StoreError> {
        let name = key::token_name(id);
        let mut all = Vec::new();
        let passes = self.unfolded.saving.passes.iter().zip(self.folds);
        let folding =
            passes.flat_map(|(pass, fold)| pass.heap.consumers(&name, pass.after(fold.as_ref())));
        for (entry, value) in folding.chain(self.unfolded.saving.growing.consumers(&name, &[])) {
            if let Some(Named::Consumer(_, consumer)) = key::usage_name(entry) {
                let seen = Consumer::unpacked(value).map_err(|wrong| Corrupt::new(entry, wrong))?;
                all.push((consumer.to_owned(), seen));
            }
        }
        let counted = &self.unfolded.ledger.counted;
        let waiting = counted
            .waiting(id)
            .into_iter()
            .chain(counted.held(id, self.unfolded.now));
        for counted in waiting {
            let seen = counted.consumers();
            all.extend(seen.map(|(name, seen)| (name.to_owned(), *seen)));
        }
        Ok(all)
    }
}

impl<'a> Pages<'a> {
    pub(super) fn of(reader: &'a Reader) -> Self {
        Self { reader, last: None }
    }

    /// What the pages have of the use of a token or an account.
    fn usage(&mut self, name: &[u8]) -> Result<TokenUsage, StoreError> {
        let known = self.last.as_ref();
        if !known.is_some_and(|(from, page)| *name >= **from && !pages::is_beyond(page, name)) {
            let (key, page) = pages::find(self.reader, key::USAGE_PAGES, name)?;
            self.last = Some((key[key::USAGE_PAGES.len()..].into(), page));
        }
        match &self.last {
            Some((_, page)) => Ok(pages::value(page, name)?.unwrap_or_default()),
            None => Ok(TokenUsage::default()),
        }
    }
}

/// The days of what was added up, with the history where it is wanted.
fn days(
    reader: &Reader,
    name: &[u8],
    usage: &mut TokenUsage,
    history: History,
) -> Result<Days, StoreError> {
    let mut days = std::mem::take(&mut usage.before);
    days.add(usage.today.day, usage.today.counts);
    if history == History::Read {
        let (_, page) = pages::find(reader, key::USAGE_HISTORIES, name)?;
        let kept: Option<Days> = pages::value(&page, name)?;
        days.add_all(&kept.unwrap_or_default());
    }
    Ok(days)
}
