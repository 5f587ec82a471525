//! `keyward events`: the audit log, as it grows too, and whether its chain holds.

mod follow;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::failure::{Failure, Outcome};
use super::output::{Listed, Record};
use super::session::{Page, PagingArgs, RemoteArgs, Session, with_session};
use super::shell::Shell;
use super::table::yes_no;
use super::times::{Moment, parse_moment, show_time, to_timestamp};
use super::values::show_map;
use super::words::{choice, word_of};
use crate::api::proto::{
    Event, EventType, ListEventsRequest, VerifyEventsRequest, VerifyEventsResponse,
};

/// Read the audit log, newest first; `keyward events` alone lists it.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct EventsArgs {
    #[command(subcommand)]
    verb: Option<EventsVerb>,
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Subcommand, Clone, Debug)]
enum EventsVerb {
    List(ListArgs),
    Verify(VerifyArgs),
}

/// List events, newest first, to the log's beginning where no limit is given.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  keyward events --account acme --limit 20
  keyward events --follow --after 1h
  keyward events --follow --after-sequence 4587520 --output jsonl
  keyward events list --type token-rekeyed --type token-deactivated --after 7d
  keyward events list --subject 4bQ0… --output jsonl")]
struct ListArgs {
    /// Only events of this account.
    #[arg(long, value_name = "ID")]
    account: Option<String>,

    /// Only events about this token, principal, role or account.
    #[arg(long, value_name = "ID")]
    subject: Option<String>,

    /// Only what this operator did.
    #[arg(long, value_name = "ID")]
    actor: Option<String>,

    /// Only events of this type; may be repeated [default: any].
    #[arg(long = "type", value_name = "TYPE", value_parser = choice::<EventType>())]
    types: Vec<EventType>,

    /// Only events after a time, a date, or a span ago such as 7d.
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    after: Option<Moment>,

    /// Only events before a time, a date, or a span ago such as 1h.
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    before: Option<Moment>,

    /// Tell events as they happen, oldest first, from the oldest one kept where no start is given. Goes on after a restart of
    /// the server; ends with Ctrl-C.
    #[arg(long, short, conflicts_with_all = ["before", "page_size"])]
    follow: bool,

    /// With --follow, begin after this sequence number: the last one heard.
    #[arg(long, value_name = "SEQUENCE", requires = "follow")]
    after_sequence: Option<u64>,

    #[command(flatten)]
    paging: PagingArgs,
}

/// Walk the log's chain; exit code 0 where it is intact, 1 where a line was changed or lost.
#[derive(Args, Clone, Debug)]
struct VerifyArgs {
    /// First sequence number to check [default: the log's first].
    #[arg(long, value_name = "SEQUENCE")]
    from: Option<u64>,

    /// Last sequence number to check [default: the log's last].
    #[arg(long, value_name = "SEQUENCE")]
    to: Option<u64>,
}

impl EventsArgs {
    pub(crate) fn run(&self, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
        with_session(&self.remote, shell, async |session| match &self.verb {
            None => self.list.run(session).await,
            Some(EventsVerb::List(args)) => args.run(session).await,
            Some(EventsVerb::Verify(args)) => args.run(session).await,
        })
    }
}

impl ListArgs {
    fn request(&self, now: DateTime<Utc>, page: Page) -> ListEventsRequest {
        ListEventsRequest {
            account_id: self.account.clone().unwrap_or_default(),
            subject_id: self.subject.clone().unwrap_or_default(),
            actor: self.actor.clone().unwrap_or_default(),
            types: self.types.iter().map(|kind| i32::from(*kind)).collect(),
            after: self.after.map(|when| to_timestamp(when.before(now))),
            before: self.before.map(|when| to_timestamp(when.before(now))),
            page_size: page.size,
            page_token: page.token,
        }
    }

    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        if self.follow {
            return follow::run(self, session).await;
        }
        // One "now" for all pages: their tokens are bound to the filter.
        let now = session.shell.now();
        let client = session.client.clone();
        session
            .list(&self.paging, async |page| {
                let request = self.request(now, page);
                let answer = client
                    .call(request, async |r| client.events().list_events(r).await)
                    .await?;
                Ok((answer.events, answer.next_page_token))
            })
            .await
    }
}

impl VerifyArgs {
    fn request(&self) -> VerifyEventsRequest {
        VerifyEventsRequest {
            from_sequence: self.from.unwrap_or_default(),
            to_sequence: self.to.unwrap_or_default(),
        }
    }

    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let answer = client
            .call(self.request(), async |r| {
                client.events().verify_events(r).await
            })
            .await?;
        session.show(&answer)?;
        Ok(if answer.intact {
            Outcome::Success
        } else {
            Outcome::Denied
        })
    }
}

impl Record for Event {
    const NAME: &'static str = "keyward.v1.Event";

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("sequence", self.sequence.to_string()),
            ("time", show_time(self.time.as_ref())),
            ("type", word_of::<EventType>(self.r#type)),
            ("account", self.account_id.clone()),
            ("subject", self.subject_id.clone()),
            ("actor", self.actor.clone()),
            ("address", self.actor_address.clone()),
            ("call id", self.call_id.clone()),
            ("details", show_map(&self.details)),
        ]
    }
}

impl Listed for Event {
    const COLUMNS: &'static [&'static str] = &[
        "SEQUENCE", "TIME", "TYPE", "ACCOUNT", "SUBJECT", "ACTOR", "ADDRESS", "CALL ID", "DETAILS",
    ];

    fn row(&self) -> Vec<String> {
        self.fields().into_iter().map(|(_, value)| value).collect()
    }
}

impl Record for VerifyEventsResponse {
    const NAME: &'static str = "keyward.v1.VerifyEventsResponse";

    fn fields(&self) -> Vec<(&'static str, String)> {
        let bad = (!self.intact).then(|| self.first_bad_sequence.to_string());
        vec![
            ("intact", yes_no(self.intact)),
            ("checked", self.checked.to_string()),
            ("first bad", bad.unwrap_or_default()),
            ("detail", self.detail.clone()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{NOW, parse};

    #[test]
    fn every_filter_has_a_flag_and_a_span_reaches_back() {
        let line = "--account acme --subject t1 --actor op --type token-rekeyed --type operator-denied \
                    --after 1d --before 2027-01-15";
        let page = Page {
            size: 7,
            token: "next".into(),
        };
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        assert_eq!(
            parse::<ListArgs>(line).request(NOW(), page),
            ListEventsRequest {
                account_id: "acme".into(),
                subject_id: "t1".into(),
                actor: "op".into(),
                types: vec![
                    EventType::TokenRekeyed.into(),
                    EventType::OperatorDenied.into()
                ],
                after: at(NOW().timestamp() - 86_400),
                before: at(NOW().timestamp() - 8 * 3600),
                page_size: 7,
                page_token: "next".into(),
            }
        );
    }

    #[test]
    fn a_verification_has_two_ends_or_none() {
        let request = |line: &str| {
            let request = parse::<VerifyArgs>(line).request();
            (request.from_sequence, request.to_sequence)
        };
        assert_eq!(request(""), (0, 0));
        assert_eq!(request("--from 3 --to 9"), (3, 9));
    }
}
