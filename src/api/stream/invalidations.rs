//! WatchInvalidations: what callers that keep answers must drop, read from the history of commits.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use super::super::gate::Caller;
use super::super::{Desk, proto, standing};
use super::pull::Source;
use super::wait;
use super::watches::Watch;
use crate::invalidations::{Following, Told};
use crate::store::backend::Revision;

/// How often a watcher hears something: answers may be kept for a second past it.
const HEARTBEAT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(in crate::api) struct InvalidationWatch {
    desk: Arc<Desk>,
    caller: Caller,
    /// Everything up to here was told.
    at: Revision,
    /// When something was last told; `None` before the first message.
    told: Option<Instant>,
    /// Where the peer has an address that answers can be told apart by.
    following: Option<Following>,
    _watch: Watch,
}

impl InvalidationWatch {
    pub(in crate::api) fn open(
        desk: &Arc<Desk>,
        caller: Caller,
        request: &proto::WatchInvalidationsRequest,
    ) -> Result<Self, Status> {
        let watch = desk.watches.open(caller.token.id())?;
        let at = match request.after_revision {
            0 => desk.history.newest(),
            after => Revision(after),
        };
        let follower = caller.address.map(|address| (caller.token.id(), address));
        Ok(Self {
            desk: Arc::clone(desk),
            following: follower.map(|follower| desk.streams.follow(follower)),
            caller,
            at,
            told: None,
            _watch: watch,
        })
    }

    /// Hands a message out. What the caller is answered from now on may be kept for a while.
    fn tell(
        &mut self,
        message: proto::WatchInvalidationsResponse,
    ) -> proto::WatchInvalidationsResponse {
        self.told = Some(Instant::now());
        if let Some(following) = &self.following {
            following.tell(std::time::Instant::now());
        }
        message
    }

    fn reset(&mut self) -> proto::WatchInvalidationsResponse {
        self.at = self.desk.history.newest();
        self.tell(proto::WatchInvalidationsResponse {
            revision: self.at.0,
            reset: true,
            ..Default::default()
        })
    }
}

impl Source for InvalidationWatch {
    type Message = proto::WatchInvalidationsResponse;

    async fn next(&mut self) -> Result<Self::Message, Status> {
        loop {
            standing::check(&self.desk, &self.caller)?;
            let Ok(told) = self.desk.history.after(self.at, &self.caller.scope) else {
                return Ok(self.reset());
            };
            self.at = told.revision;
            let due = self.told.map(|told| told + HEARTBEAT);
            match due {
                Some(due) if told.is_nothing() && Instant::now() < due => {
                    wait(&self.desk, self.at, due).await;
                }
                _ => return Ok(self.tell(wire(told))),
            }
        }
    }
}

fn wire(told: Told) -> proto::WatchInvalidationsResponse {
    proto::WatchInvalidationsResponse {
        revision: told.revision.0,
        token_ids: told.tokens.iter().map(ToString::to_string).collect(),
        account_ids: told.accounts.iter().map(ToString::to_string).collect(),
        reset: false,
    }
}
