//! HoldConnection: the decision, and its withdrawal.
//!
//! Each held connection has a task, which sleeps until an alarm rings for its token, its account, its caller or a time, and then
//! decides again. It is apart from the stream that tells the holder: that is not asked for messages while its reader has no
//! room for them, and a withdrawal must not wait for that.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_stream::Stream;
use tonic::Status;

use super::convert::validation::{self, Asked, Told};
use super::gate::Caller;
use super::peer::Cut;
use super::{Desk, proto, standing, status};
use crate::directory::alarms::{Alarm, Watched};
use crate::domain::field::Violation;
use crate::domain::operator::Scope;
use crate::meter::Purse;
use crate::meter::holders::Holder;
use crate::meter::slots::Slot;
use crate::meter::usage::Used;
use crate::registry::Error;
use crate::registry::cuts::CutConnection;
use crate::validator::{Answer, Identity};

/// How long a withdrawal may stay unread before the holder's transport connection is dropped.
const PATIENCE: Duration = Duration::from_secs(5);

/// The stream: the decision, and if it is withdrawn one message more, or the status that ends it.
#[derive(Debug)]
pub(super) struct Holding {
    first: Option<Box<proto::HoldConnectionResponse>>,
    ending: Option<oneshot::Receiver<Ending>>,
    /// Dropped with the stream: its task hears of it.
    _open: Option<oneshot::Sender<()>>,
}

type Ending = Result<Box<proto::HoldConnectionResponse>, Status>;

/// A connection that is held.
#[derive(Debug)]
struct Held {
    desk: Arc<Desk>,
    caller: Caller,
    /// What was asked, without the credentials that were presented.
    asked: proto::ValidateCredentialsRequest,
    /// Whose connection it is, as of the last decision.
    identity: Identity,
    alarm: Alarm,
    /// Who holds it.
    _holder: Holder,
    _slot: Slot,
}

/// Decides, and holds the connection where that is allowed.
pub(super) async fn hold(
    desk: &Arc<Desk>,
    caller: Caller,
    cut: Option<Cut>,
    mut asked: proto::ValidateCredentialsRequest,
) -> Result<Holding, Status> {
    let alarm = desk.alarms.alarm().map_err(|_| status::too_many_held())?;
    let ask = ask(&asked, &caller.scope).map_err(|error| desk.refuse(&caller, error))?;
    desk.reach(asked.min_revision).await?;
    let mut purse = desk.purse(&ask).for_connection();
    let tell = |answer: Answer, purse: &Purse<'_>| {
        let told = Told::of(&answer, desk.quota(&answer, purse), asked.with_grants);
        (
            told.message(),
            answer.verdict.reason.is_none(),
            answer.identity,
        )
    };
    let (response, allowed, identity) = desk.decide(&ask, &mut purse, tell).await?;
    // One that was paid for before something else was refused goes back.
    let slot = purse.take_slot().filter(|_| allowed);
    let (held, limit) = figures(desk, identity.as_ref());
    let first = Box::new(proto::HoldConnectionResponse {
        response: Some(response),
        held,
        limit,
    });
    let (Some(identity), Some(slot)) = (identity, slot) else {
        return Ok(Holding {
            first: Some(first),
            ending: None,
            _open: None,
        });
    };
    asked.presented = None;
    let version = identity.secret_version();
    let holders = &desk.meter.usage.holders;
    let holder = holders.hold(&identity.token, version, &asked.consumer);
    let held = Held {
        _holder: holder,
        desk: Arc::clone(desk),
        caller,
        asked,
        identity,
        alarm,
        _slot: slot,
    };
    let (tell, ending) = oneshot::channel();
    let (open, closed) = oneshot::channel();
    tokio::spawn(held.watch_over(tell, closed, cut));
    Ok(Holding {
        first: Some(first),
        ending: Some(ending),
        _open: Some(open),
    })
}

impl Held {
    /// Tells the holder when the decision is withdrawn; ends with the stream.
    async fn watch_over(
        mut self,
        tell: oneshot::Sender<Ending>,
        mut closed: oneshot::Receiver<()>,
        cut: Option<Cut>,
    ) {
        let ending = tokio::select! {
            _ = &mut closed => return self.count_end(),
            ending = self.withdrawn() => ending,
        };
        self.count_end();
        if ending.is_ok() {
            self.log(&ending);
        }
        drop(self);
        let unread =
            tell.send(ending).is_ok() && tokio::time::timeout(PATIENCE, closed).await.is_err();
        if let (true, Some(cut)) = (unread, cut) {
            tracing::info!("a holder did not read that its connection was cut");
            cut.cut();
        }
    }

    /// Decides again whenever it may come out otherwise, until it does.
    async fn withdrawn(&mut self) -> Ending {
        let mut watched = None;
        loop {
            let caller = standing::check(&self.desk, &self.caller)?;
            if let Err(withdrawn) = self.decide_again() {
                return Ok(withdrawn);
            }
            let now = self.desk.validator.now();
            let ends = [caller.good_until(now), self.identity.good_until(now)];
            let deadline = ends.into_iter().flatten().min();
            if watched == Some(deadline) {
                self.alarm.rung().await;
                // A clock that wavers may not be there yet: the deadline is set again.
                watched = None;
            } else {
                // What changed before it is set does not ring: all is looked at once more.
                self.alarm.watch(Watched {
                    tokens: vec![caller.token.id, self.identity.token.id],
                    accounts: vec![caller.account.id.clone(), self.identity.account.id.clone()],
                    deadline,
                });
                watched = Some(deadline);
            }
        }
    }

    /// The rules alone: what was paid stays paid.
    fn decide_again(&mut self) -> Result<(), Box<proto::HoldConnectionResponse>> {
        let validator = &self.desk.validator;
        let revision = validator.directory().revision();
        let question = validation::ask(&Asked::of(&self.asked), &self.caller.scope)
            .expect("it was asked before")
            .question;
        let (token, version) = (self.identity.token.id, self.identity.secret_version());
        let verdict = match validator.again(token, version, &question) {
            Ok(identity) => {
                self.identity = identity;
                return Ok(());
            }
            Err(verdict) => verdict,
        };
        let (held, limit) = figures(&self.desk, Some(&self.identity));
        let answer = Answer {
            verdict,
            identity: Some(self.identity.clone()),
            steps: Vec::new(),
            revision,
            now: validator.now(),
        };
        Err(Box::new(proto::HoldConnectionResponse {
            response: Some(Told::of(&answer, None, false).message()),
            held,
            limit,
        }))
    }

    /// Until now it was in use; its call was counted as it began.
    fn count_end(&self) {
        self.desk.meter.usage.count(&Used {
            token: &self.identity.token,
            version: self.identity.secret_version(),
            allowed: true,
            cost: 0,
            consumer: Some(&*self.asked.consumer).filter(|name| !name.is_empty()),
            required: None,
            now: self.desk.registry.clock.settled(),
        });
    }

    fn log(&self, ending: &Ending) {
        let response = ending.as_ref().ok().and_then(|told| told.response.as_ref());
        let reason = response.map_or(proto::DenyReason::Unspecified, |response| response.reason());
        let name = reason.as_str_name();
        self.desk.tell_of_cut(CutConnection {
            token: self.identity.token.id,
            account: self.identity.account.id.clone(),
            reason: name.strip_prefix("DENY_REASON_").unwrap_or(name),
            holder: self.caller.token.id,
            client_address: self.asked.client_address.clone(),
            consumer: self.asked.consumer.clone(),
        });
    }
}

impl Stream for Holding {
    type Item = Result<proto::HoldConnectionResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(*first)));
        }
        let Some(ending) = &mut self.ending else {
            return Poll::Ready(None);
        };
        let told = ready!(Pin::new(ending).poll(cx));
        self.ending = None;
        let told =
            told.unwrap_or_else(|_| Err(Status::internal("the connection was lost track of")));
        Poll::Ready(Some(told.map(|response| *response)))
    }
}

/// What is asked: as for a validation, but that there is no trying.
fn ask<'a>(
    asked: &'a proto::ValidateCredentialsRequest,
    scope: &'a Scope,
) -> Result<crate::validator::Ask<'a>, Error> {
    if asked.dry_run {
        let rule = "must not be set: a connection is held or not";
        return Err(Error::invalid("request.dry_run", rule));
    }
    validation::ask(&Asked::of(asked), scope).map_err(|error| match error {
        Error::Invalid(violations) => Error::Invalid(
            violations
                .into_iter()
                .map(|wrong| Violation::new(format!("request.{}", wrong.field), wrong.rule))
                .collect(),
        ),
        other => other,
    })
}

/// How many connections of a token are held, and may be (0: any number).
fn figures(desk: &Desk, identity: Option<&Identity>) -> (u32, u32) {
    identity.map_or((0, 0), |identity| {
        let limit = identity.token.max_connections(&identity.account.policy);
        (
            desk.meter.slots.held(identity.token.id),
            limit.unwrap_or_default(),
        )
    })
}
