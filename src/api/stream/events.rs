//! WatchEvents: the audit log told as it grows. A watcher holds one page of it and the place where it stands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use super::super::convert::event as convert;
use super::super::gate::Caller;
use super::super::{Desk, proto, standing, status};
use super::pull::Source;
use super::wait;
use super::watches::Watch;
use crate::registry::watch::Watched;
use crate::store::record::LoggedEvent;

/// How often a watcher hears something, be it that there is nothing.
const HEARTBEAT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(in crate::api) struct EventWatch {
    desk: Arc<Desk>,
    caller: Caller,
    watched: Watched,
    /// What was read and is not told yet.
    page: VecDeque<LoggedEvent>,
    told: Instant,
    /// It has been told everything once, and knows it.
    caught_up: bool,
    _watch: Watch,
}

impl EventWatch {
    pub(in crate::api) async fn open(
        desk: &Arc<Desk>,
        caller: Caller,
        request: &proto::WatchEventsRequest,
    ) -> Result<Self, Status> {
        let watch = desk.watches.open(caller.token.id())?;
        let after = (request.after_sequence > 0).then_some(request.after_sequence);
        let begun = async {
            let filter = convert::watched(request)?;
            let call = caller.call();
            desk.registry.watch_events(&call, filter, after).await
        };
        let watched = desk.settle(&caller, begun).await?;
        Ok(Self {
            desk: Arc::clone(desk),
            caller,
            watched,
            page: VecDeque::new(),
            told: Instant::now(),
            caught_up: false,
            _watch: watch,
        })
    }

    fn tell(&mut self, event: LoggedEvent) -> proto::WatchEventsResponse {
        self.told = Instant::now();
        proto::WatchEventsResponse {
            sequence: event.sequence,
            event: Some(convert::wire(event)),
        }
    }

    fn heartbeat(&mut self) -> proto::WatchEventsResponse {
        self.told = Instant::now();
        proto::WatchEventsResponse {
            sequence: self.watched.sequence(),
            event: None,
        }
    }
}

impl Source for EventWatch {
    type Message = proto::WatchEventsResponse;

    async fn next(&mut self) -> Result<Self::Message, Status> {
        loop {
            standing::check(&self.desk, &self.caller)?;
            if let Some(event) = self.page.pop_front() {
                return Ok(self.tell(event));
            }
            if self.told.elapsed() >= HEARTBEAT {
                return Ok(self.heartbeat());
            }
            let seen = self.desk.validator.directory().revision();
            let logged = || self.desk.history.logged();
            let read = self.desk.registry.read_on(&mut self.watched, logged);
            match read.await.map_err(|error| status::of(&error))? {
                Some(lines) => self.page = lines.into(),
                None if !self.caught_up => {
                    self.caught_up = true;
                    return Ok(self.heartbeat());
                }
                None => wait(&self.desk, seen, self.told + HEARTBEAT).await,
            }
        }
    }
}
