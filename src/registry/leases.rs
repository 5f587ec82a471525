//! Leases of daily calls: taken from the store before they are handed out, and what is left given back at the end.

use tokio::task::JoinSet;

use super::{Error, Registry};
use crate::domain::account::Account;
use crate::domain::id::AccountId;
use crate::domain::time::Day;
use crate::meter::quota::{Lease, Quotas, Request};
use crate::store::backend::{Direction, Key};
use crate::store::record::Tally;
use crate::store::{View, Wanted, key};

/// Leases that are asked for side by side, so that the committer makes them durable together.
const AT_ONCE: usize = 256;
/// Rows of days gone by that one step removes at the most.
pub const SWEPT: usize = 500;

impl Registry {
    /// Fetches leases as they are wanted, until the quotas are closed. One that cannot be had is told to those who wait.
    pub async fn fetch_leases(&self, quotas: &Quotas) {
        while let Some(wanted) = quotas.wanted().await {
            for requests in wanted.chunks(AT_ONCE) {
                let mut asked = JoinSet::new();
                for request in requests.iter().cloned() {
                    let registry = self.clone();
                    asked.spawn(async move {
                        let wanted = request.clone();
                        let leased = registry.store.update(move |view| lease(view, &wanted));
                        (request, leased.await)
                    });
                }
                while let Some(Ok((request, leased))) = asked.join_next().await {
                    if let Err(error) = &leased {
                        tracing::debug!(account = %request.account, %error, "no calls could be leased");
                    }
                    quotas.settle(&request, leased.ok().map(|leased| leased.value));
                }
            }
        }
    }

    /// Gives back what was leased and not handed out, so that an orderly end wastes nothing. For the very end: calls are
    /// not to be admitted any more.
    pub async fn return_leases(&self, quotas: &Quotas) -> Result<(), Error> {
        let unspent = quotas.unspent();
        if unspent.is_empty() {
            return Ok(());
        }
        let give_back = move |view: &mut View<'_>| {
            for (account, day, calls) in &unspent {
                let name = key::quota(*day, account);
                let Tally(taken) = view.get(&name)?.unwrap_or_default();
                view.put(name, &Tally(taken.saturating_sub(*calls)))?;
            }
            Ok::<_, Error>(())
        };
        self.store.update(give_back).await.map(drop)
    }

    /// Calls of an account's day that are leased by anybody.
    pub async fn leased(&self, account: &AccountId, day: Day) -> Result<u64, Error> {
        let kept: Option<Tally> = self.store.get(key::quota(day, account)).await?;
        Ok(kept.unwrap_or_default().0)
    }

    /// Removes the counts of days gone by; how many. By the floor, which no leap of the clock carries ahead: a day's count
    /// that was removed too early would be given out again. Call again while it is `SWEPT`.
    pub async fn sweep_quotas(&self) -> Result<usize, Error> {
        let today = Day::of(self.clock.floor());
        let wanted = Wanted {
            prefix: key::QUOTAS.into(),
            after: None,
            direction: Direction::Forward,
            limit: SWEPT,
        };
        let rows: Vec<(Key, Tally)> = self.store.scan(wanted).await?;
        let gone = |name: &Key| key::quota_day(name).is_some_and(|day| day < today.before(1));
        let gone: Vec<Key> = rows
            .into_iter()
            .map(|(name, _)| name)
            .filter(gone)
            .collect();
        let count = gone.len();
        if count > 0 {
            self.commit(move |view| {
                gone.iter()
                    .try_for_each(|name| Ok(view.delete(name.clone())?))
            })
            .await?;
        }
        Ok(count)
    }
}

/// Takes calls of the day, as many as are wanted and left.
fn lease(view: &mut View<'_>, request: &Request) -> Result<Lease, Error> {
    let account: Option<Account> = view.get(&key::account(request.account.as_str()))?;
    let limit = account.and_then(|account| account.policy.daily_calls);
    let name = key::quota(request.day, &request.account);
    let Tally(before) = view.get(&name)?.unwrap_or_default();
    let kept = before.saturating_sub(request.give_back);
    let calls = limit.map_or(0, |limit| request.size(limit, kept));
    let taken = kept + calls;
    if taken != before {
        view.put(name, &Tally(taken))?;
    }
    Ok(Lease { calls, taken })
}
