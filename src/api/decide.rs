//! One question, from the wire to the wire: what a call, a batch's item and a stream's message have in common. It waits in two
//! cases only: for a revision that the caller asks for, and for the store where a lease ran dry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::Status;

use super::convert::{validation, wire_span};
use super::gate::Caller;
use super::{Desk, proto, status};
use crate::domain::limits;
use crate::domain::reuse;
use crate::meter::quota::Figures;
use crate::meter::{Purse, Unleased};
use crate::store::backend::Revision;
use crate::validator::{Answer, Ask};

/// How long a validation waits for the store, where calls of the day or connections are left and none are in hand.
const PATIENCE: Duration = Duration::from_millis(250);

impl Desk {
    /// The answer to one question.
    pub(super) async fn validate(
        self: &Arc<Self>,
        caller: &Caller,
        asked: &proto::ValidateCredentialsRequest,
    ) -> Result<proto::ValidateCredentialsResponse, Status> {
        let ask =
            validation::ask(asked, &caller.scope).map_err(|error| self.refuse(caller, error))?;
        self.reach(asked.min_revision).await?;
        let mut purse = self.purse(&ask);
        let answer = self.decide(&ask, &mut purse).await?;
        let quota = self.quota(&answer, &purse);
        let with_grants = asked.with_grants || asked.dry_run;
        let cache_for = self.cache_for(caller, &answer, asked.dry_run);
        let mut response = validation::answer(answer, quota, with_grants);
        response.cache_for = cache_for.map(wire_span);
        Ok(response)
    }

    /// Waits until the directory has a state that the caller knows of.
    pub(super) async fn reach(&self, wanted: u64) -> Result<(), Status> {
        let directory = self.validator.directory();
        if directory.revision().0 >= wanted {
            return Ok(());
        }
        let reached = directory.reached(Revision(wanted));
        let waited = tokio::time::timeout(limits::REVISION_PATIENCE, reached).await;
        waited.map_err(|_| status::revision_not_reached(wanted, directory.revision().0))
    }

    /// What a request pays from.
    pub(super) fn purse(&self, ask: &Ask<'_>) -> Purse<'_> {
        Purse::new(&self.meter, ask.cost, ask.dry_run, &*self.registry.clock)
    }

    /// Decides, and pays from the purse. Only where the store must be asked for a lease does it wait.
    pub(super) async fn decide(
        &self,
        ask: &Ask<'_>,
        purse: &mut Purse<'_>,
    ) -> Result<Answer<'_>, Status> {
        if let Ok(answer) = self.validator.validate(ask, purse) {
            return Ok(answer);
        }
        match tokio::time::timeout(PATIENCE, self.decide_again(ask, purse)).await {
            Ok(decided) => decided.map_err(status::unleased),
            Err(_) => Err(status::unleased(purse.lacks().unwrap_or(Unleased::Calls))),
        }
    }

    /// The account's day as an answer tells it: only once the secret has matched.
    pub(super) fn quota(&self, answer: &Answer<'_>, purse: &Purse<'_>) -> Option<Figures> {
        let identity = answer.identity()?;
        let account = identity.account;
        let limit = account.policy.daily_calls?;
        purse
            .figures()
            .or_else(|| self.meter.quotas.figures(&account.id, limit, answer.now))
    }

    /// How long the caller may give the answer again.
    fn cache_for(&self, caller: &Caller, answer: &Answer<'_>, dry_run: bool) -> Option<Duration> {
        let follower = (caller.token.id(), caller.address?);
        let heard = self.streams.heard(&follower, Instant::now)?;
        let (identity, now) = (answer.identity()?, answer.now);
        reuse::cache_for(&reuse::Answered {
            allowed: answer.verdict.reason.is_none(),
            dry_run,
            credential: identity.credential,
            account: identity.account,
            good_until: identity.good_until(now),
            now,
            heard: Some(heard),
        })
    }

    /// Decides whenever the store has answered: what was good before the wait may not be good after it.
    async fn decide_again(
        &self,
        ask: &Ask<'_>,
        purse: &mut Purse<'_>,
    ) -> Result<Answer<'_>, Unleased> {
        loop {
            purse.wait().await?;
            if let Ok(answer) = self.validator.validate(ask, purse) {
                return Ok(answer);
            }
        }
    }
}
