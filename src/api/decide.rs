//! One question, from the wire to the wire: what a call, a batch's item and a stream's message have in common. Most are answered
//! at once (`answer`); the rest waits (`answer_late`), in two cases only: for a revision that the caller asks for, and for the
//! store where a lease ran dry.

use std::time::{Duration, Instant};

use tonic::Status;

use super::convert::validation::{self, Asked, Told};
use super::gate::Caller;
use super::{Desk, proto, status};
use crate::clock::Reading;
use crate::domain::limits;
use crate::domain::reuse;
use crate::meter::quota::Figures;
use crate::meter::{Bill, Purse, Unleased};
use crate::store::backend::Revision;
use crate::validator::{Answer, Ask};

/// How long a validation waits for the store, where calls of the day or connections are left and none are in hand.
const PATIENCE: Duration = Duration::from_millis(250);

/// Why a question has no answer yet.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// It gets none.
    Refused(Status),
    /// It must wait; what it has paid stays paid.
    Waits(Bill),
}

impl Desk {
    /// The answer to one question as a message, however long it takes.
    pub(super) async fn validate(
        &self,
        caller: &Caller,
        asked: &Asked<'_>,
    ) -> Result<proto::ValidateCredentialsResponse, Status> {
        let tell = |told: &Told<'_>| told.message();
        match self.answer(self.validator.clocks(), caller, asked, tell) {
            Ok(message) => Ok(message),
            Err(Unanswered::Refused(status)) => Err(status),
            Err(Unanswered::Waits(bill)) => self.answer_late(caller, asked, bill, tell).await,
        }
    }

    /// The answer, where it can be given at once.
    pub(super) fn answer<T>(
        &self,
        clocks: Reading,
        caller: &Caller,
        asked: &Asked<'_>,
        tell: impl FnOnce(&Told<'_>) -> T,
    ) -> Result<T, Unanswered> {
        let ask = validation::ask(asked, &caller.scope);
        let ask = ask.map_err(|error| Unanswered::Refused(status::of(&error)))?;
        let mut purse = self.purse(&ask);
        if !self.has_reached(asked.min_revision) {
            return Err(Unanswered::Waits(purse.into_bill()));
        }
        match self.validator.validate_at(clocks, &ask, &mut purse) {
            Ok(answer) => Ok(tell(&self.told(caller, asked, &answer, &purse))),
            Err(_) => Err(Unanswered::Waits(purse.into_bill())),
        }
    }

    /// The answer to a question that must wait, and what it has paid before.
    pub(super) async fn answer_late<T>(
        &self,
        caller: &Caller,
        asked: &Asked<'_>,
        bill: Bill,
        mut tell: impl FnMut(&Told<'_>) -> T,
    ) -> Result<T, Status> {
        let ask = validation::ask(asked, &caller.scope).map_err(|error| status::of(&error))?;
        self.reach(asked.min_revision).await?;
        let mut purse = Purse::resumed(&self.meter, bill, &*self.registry.clock);
        let tell =
            |answer: Answer, purse: &Purse<'_>| tell(&self.told(caller, asked, &answer, purse));
        if purse.lacks().is_some() {
            self.decide_late(&ask, &mut purse, tell).await
        } else {
            self.decide(&ask, &mut purse, tell).await
        }
    }

    fn has_reached(&self, wanted: u64) -> bool {
        wanted == 0 || self.validator.directory().revision().0 >= wanted
    }

    /// Waits until the directory has a state that the caller knows of.
    pub(super) async fn reach(&self, wanted: u64) -> Result<(), Status> {
        if self.has_reached(wanted) {
            return Ok(());
        }
        let directory = self.validator.directory();
        let reached = directory.reached(Revision(wanted));
        let waited = tokio::time::timeout(limits::REVISION_PATIENCE, reached).await;
        waited.map_err(|_| status::revision_not_reached(wanted, directory.revision().0))
    }

    /// What a request pays from.
    pub(super) fn purse(&self, ask: &Ask<'_>) -> Purse<'_> {
        Purse::new(&self.meter, ask.cost, ask.dry_run, &*self.registry.clock)
    }

    /// Decides, and pays from the purse. Only where the store must be asked for a lease does it wait.
    pub(super) async fn decide<T>(
        &self,
        ask: &Ask<'_>,
        purse: &mut Purse<'_>,
        mut tell: impl FnMut(Answer, &Purse<'_>) -> T,
    ) -> Result<T, Status> {
        if let Ok(answer) = self.validator.validate(ask, purse) {
            return Ok(tell(answer, purse));
        }
        self.decide_late(ask, purse, tell).await
    }

    /// Decides once the store has been asked.
    async fn decide_late<T>(
        &self,
        ask: &Ask<'_>,
        purse: &mut Purse<'_>,
        tell: impl FnMut(Answer, &Purse<'_>) -> T,
    ) -> Result<T, Status> {
        match tokio::time::timeout(PATIENCE, self.decide_again(ask, purse, tell)).await {
            Ok(decided) => decided.map_err(status::unleased),
            Err(_) => Err(status::unleased(purse.lacks().unwrap_or(Unleased::Calls))),
        }
    }

    /// Decides whenever the store has answered: what was good before the wait may not be good after it.
    async fn decide_again<T>(
        &self,
        ask: &Ask<'_>,
        purse: &mut Purse<'_>,
        mut tell: impl FnMut(Answer, &Purse<'_>) -> T,
    ) -> Result<T, Unleased> {
        loop {
            purse.wait().await?;
            if let Ok(answer) = self.validator.validate(ask, purse) {
                return Ok(tell(answer, purse));
            }
        }
    }

    fn told<'a>(
        &self,
        caller: &Caller,
        asked: &Asked<'_>,
        answer: &'a Answer,
        purse: &Purse<'_>,
    ) -> Told<'a> {
        let with_grants = asked.with_grants || asked.dry_run;
        let told = Told::of(answer, self.quota(answer, purse), with_grants);
        Told {
            cache_for: self.cache_for(caller, answer, asked.dry_run),
            ..told
        }
    }

    /// The account's day as an answer tells it: only once the secret has matched.
    pub(super) fn quota(&self, answer: &Answer, purse: &Purse<'_>) -> Option<Figures> {
        let account = &answer.identity.as_ref()?.account;
        let limit = account.policy.daily_calls?;
        purse
            .figures()
            .or_else(|| self.meter.quotas.figures(&account.id, limit, answer.now))
    }

    /// How long the caller may give the answer again.
    fn cache_for(&self, caller: &Caller, answer: &Answer, dry_run: bool) -> Option<Duration> {
        let follower = (caller.token.id, caller.address?);
        let heard = self.streams.heard(&follower, Instant::now)?;
        let (identity, now) = (answer.identity.as_ref()?, answer.now);
        reuse::cache_for(&reuse::Answered {
            allowed: answer.verdict.reason.is_none(),
            dry_run,
            token: &identity.token,
            account: &identity.account,
            good_until: identity.good_until(now),
            now,
            heard: Some(heard),
        })
    }
}
