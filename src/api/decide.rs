//! A decision, with the wait for the store that a dry lease costs it.

use std::time::Duration;

use tonic::Status;

use super::{Desk, status};
use crate::meter::Purse;
use crate::meter::quota::{Failed, Figures};
use crate::validator::{Answer, Ask};

/// How long a validation waits for the store, where calls of the day are left and none are in hand.
const PATIENCE: Duration = Duration::from_millis(250);

impl Desk {
    /// What a request pays from.
    pub(super) fn purse(&self, ask: &Ask<'_>) -> Purse<'_> {
        let steady = self.registry.clock.steady();
        Purse::new(&self.meter, ask.cost, ask.dry_run, steady)
    }

    /// Decides, and pays from the purse. Only where the store must be asked for calls of the day does it wait.
    pub(super) async fn decide(
        &self,
        ask: &Ask<'_>,
        purse: &mut Purse<'_>,
    ) -> Result<Answer, Status> {
        if let Ok(answer) = self.validator.validate(ask, purse) {
            return Ok(answer);
        }
        let waited = tokio::time::timeout(PATIENCE, self.decide_again(ask, purse)).await;
        waited
            .unwrap_or(Err(Failed))
            .map_err(|Failed| status::calls_not_leased())
    }

    /// The account's day as an answer tells it: only once the secret has matched.
    pub(super) fn quota(&self, answer: &Answer, purse: &Purse<'_>) -> Option<Figures> {
        let account = &answer.identity.as_ref()?.account;
        let limit = account.policy.daily_calls?;
        let now = || self.validator.now();
        purse
            .figures()
            .or_else(|| self.meter.quotas.figures(&account.id, limit, now()))
    }

    /// Decides whenever the store has answered: what was good before the wait may not be good after it.
    async fn decide_again(&self, ask: &Ask<'_>, purse: &mut Purse<'_>) -> Result<Answer, Failed> {
        loop {
            let wait = purse.take_wait().ok_or(Failed)?;
            wait.answered().await?;
            if let Ok(answer) = self.validator.validate(ask, purse) {
                return Ok(answer);
            }
        }
    }
}
