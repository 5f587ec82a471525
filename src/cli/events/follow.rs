//! `keyward events --follow`: the audit log as it grows, across restarts of the server.

use std::io::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tonic::Code;

use super::ListArgs;
use crate::api::code_name;
use crate::api::proto::{Event, WatchEventsRequest};
use crate::cli::client::{Client, Want};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::List;
use crate::cli::session::Session;
use crate::cli::times::to_timestamp;

/// The pause before the server is asked again, doubled each time in vain.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The server says something each second: silence for this long is a connection that is dead.
const SILENCE: Duration = Duration::from_secs(15);

/// Prints until interrupted, or until as many were printed as are wanted.
pub(super) async fn run(
    args: &ListArgs,
    session: &mut Session<'_, '_>,
) -> Result<Outcome, Failure> {
    let now = session.shell.now();
    let shell = &mut *session.shell;
    let mut follower = Follower {
        args,
        client: &session.client,
        since: args.after.map(|when| when.before(now)),
        after: args.after_sequence.unwrap_or_default(),
        left: args.paging.limit.unwrap_or(u64::MAX),
        heard: false,
        list: List::endless::<Event>(session.format, &mut *shell.stdout),
    };
    let ended = tokio::select! {
        ended = follower.run(&mut *shell.stderr) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    follower.list.finish()?;
    ended.map(|()| Outcome::Success)
}

struct Follower<'f> {
    args: &'f ListArgs,
    client: &'f Client,
    since: Option<DateTime<Utc>>,
    /// The last sequence heard.
    after: u64,
    /// How many more are wanted.
    left: u64,
    /// Something was heard since the server was last asked.
    heard: bool,
    list: List<'f>,
}

impl Follower<'_> {
    async fn run(&mut self, notes: &mut dyn Write) -> Result<(), Failure> {
        let mut pause = FIRST_PAUSE;
        let mut ever_heard = false;
        loop {
            let ended = self.watch().await;
            ever_heard |= self.heard;
            let failure = match ended {
                Ok(()) => return Ok(()),
                Err(failure) if ever_heard && passes(&failure) => failure,
                Err(failure) => return Err(failure),
            };
            if std::mem::take(&mut self.heard) {
                pause = FIRST_PAUSE;
                // A note that nobody reads is no error.
                let _ = writeln!(notes, "going on after {}: {}", self.after, failure.message);
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// One stream, until it fails or no more is wanted.
    async fn watch(&mut self) -> Result<(), Failure> {
        let client = self.client;
        let mut stream = client
            .call(self.request(), async |r| {
                client.events().watch_events(r).await
            })
            .await?;
        loop {
            let message = tokio::time::timeout(SILENCE, stream.message())
                .await
                .map_err(|_| Failure::unavailable("the server has fallen silent"))?
                .map_err(|status| client.failure(status))?
                .ok_or_else(|| Failure::unavailable("the server ended the stream"))?;
            self.heard = true;
            if let Some(event) = message.event
                && self.wants(&event)
            {
                self.left -= 1;
                if self.list.push(&event)? == Want::NoMore || self.left == 0 {
                    return Ok(());
                }
            }
            self.after = message.sequence;
        }
    }

    fn request(&self) -> WatchEventsRequest {
        WatchEventsRequest {
            after_sequence: self.after,
            account_id: self.args.account.clone().unwrap_or_default(),
            types: self.args.types.iter().map(|kind| (*kind).into()).collect(),
        }
    }

    /// The filters that a watch of the server does not know.
    fn wants(&self, event: &Event) -> bool {
        let is = |wanted: &Option<String>, field: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == field)
        };
        let late_enough = self.since.is_none_or(|since| {
            let since = to_timestamp(since);
            event
                .time
                .is_some_and(|time| (time.seconds, time.nanos) > (since.seconds, since.nanos))
        });
        is(&self.args.subject, &event.subject_id)
            && is(&self.args.actor, &event.actor)
            && late_enough
    }
}

/// Whether another attempt may fare better.
fn passes(failure: &Failure) -> bool {
    [
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::ResourceExhausted,
        Code::Cancelled,
        Code::Unknown,
        Code::Internal,
    ]
    .map(code_name)
    .contains(&failure.code)
}
