//! `token doctor`: active tokens that somebody should look at.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde_json::Value;

use crate::api::proto::{ListTokensRequest, Token, TokenState, TokenUsage};
use crate::cli::client::{Client, Want};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::rows::Rows;
use crate::cli::session::Session;
use crate::cli::times::{parse_span, show_time, to_timestamp};
use crate::cli::usage;

/// Tokens fetched by one call: as many as a server gives.
const PAGE_SIZE: i32 = 1_000;

/// Report active tokens that expire soon, were never used, are idle, do not expire, or hold grants that were never exercised. Exit
/// code 0 where there are none, 1 where something was found.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Findings:
  expiring            it ends within --expiring-within
  never-used          no call was allowed yet
  idle                its last call is longer ago than --idle-for
  no-expiry           it never ends
  unexercised-grants  grants that no call has needed yet, of a token in use

Examples:
  keyward token doctor --account acme
  keyward token doctor --account acme --expiring-within 14d --idle-for 30d --output json")]
pub(crate) struct DoctorArgs {
    /// Account whose tokens to look at [default: the operator's own].
    #[arg(long, value_name = "ID")]
    account: Option<String>,

    /// How near an end is soon.
    #[arg(long, value_name = "SPAN", default_value = "30d", value_parser = parse_span)]
    expiring_within: Duration,

    /// How long without a call is idle.
    #[arg(long, value_name = "SPAN", default_value = "90d", value_parser = parse_span)]
    idle_for: Duration,
}

/// What is to be looked at, and why: a word for machines, a clause for people.
type Finding = (&'static str, String);

impl DoctorArgs {
    pub(crate) async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let now = session.shell.now();
        let account = self.account.clone().unwrap_or_default();
        let tokens = active_tokens(&session.client, &account).await?;
        let used = usage::fetch(&session.client, &account, 0).await?.tokens;
        let used: BTreeMap<&str, &TokenUsage> = used
            .iter()
            .map(|used| (used.token_id.as_str(), used))
            .collect();
        let mut rows = Vec::new();
        for token in &tokens {
            let unexercised = used
                .get(token.id.as_str())
                .map_or(&[][..], |used| &used.unexercised_grants);
            for (finding, detail) in self.findings(token, unexercised, now) {
                let name = token.name.clone();
                rows.push([token.id.clone(), name, finding.into(), detail].map(Value::String));
            }
        }
        let found = !rows.is_empty();
        let keys = ["id", "name", "finding", "detail"];
        Rows { keys, rows }.show(session.format, session.shell.stdout)?;
        Ok(if found {
            Outcome::Denied
        } else {
            Outcome::Success
        })
    }

    fn findings(&self, token: &Token, unexercised: &[String], now: DateTime<Utc>) -> Vec<Finding> {
        let span = |span| TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX);
        let soon = now
            .checked_add_signed(span(self.expiring_within))
            .map(to_timestamp);
        let idle_since = now
            .checked_sub_signed(span(self.idle_for))
            .map(to_timestamp);
        let seconds = |time: &prost_types::Timestamp| (time.seconds, time.nanos);
        let mut findings = Vec::new();
        match &token.expire_time {
            None => findings.push(("no-expiry", "it never ends".into())),
            Some(end) if soon.is_none_or(|soon| seconds(end) < seconds(&soon)) => {
                findings.push(("expiring", format!("it ends at {}", show_time(Some(end)))));
            }
            Some(_) => {}
        }
        match &token.last_used_time {
            None => findings.push((
                "never-used",
                format!("made at {}", show_time(token.create_time.as_ref())),
            )),
            Some(last) => {
                if idle_since.is_some_and(|since| seconds(last) < seconds(&since)) {
                    let told = format!("last used at {}", show_time(Some(last)));
                    findings.push(("idle", told));
                }
                if !unexercised.is_empty() {
                    findings.push(("unexercised-grants", unexercised.join(" ")));
                }
            }
        }
        findings
    }
}

async fn active_tokens(client: &Client, account: &str) -> Result<Vec<Token>, Failure> {
    let mut tokens = Vec::new();
    let fetch_page = async |page_token| {
        let request = ListTokensRequest {
            account_id: account.to_owned(),
            states: vec![TokenState::Active.into()],
            page_size: PAGE_SIZE,
            page_token,
            ..ListTokensRequest::default()
        };
        let answer = client
            .call(request, async |r| client.credentials().list_tokens(r).await)
            .await?;
        Ok((answer.tokens, answer.next_page_token))
    };
    let each = |token| {
        tokens.push(token);
        Ok(Want::More)
    };
    client.pages(fetch_page, each).await?;
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{NOW, parse};

    const DAY: i64 = 86_400;

    #[test]
    fn every_kind_of_finding_is_told_at_its_edge() {
        let at = |days: i64, seconds: i64| {
            Some(prost_types::Timestamp {
                seconds: NOW().timestamp() + days * DAY + seconds,
                nanos: 0,
            })
        };
        let table: [(_, _, &[&str], &[&str]); 7] = [
            (at(30, 0), at(-90, 0), &[], &[]),
            (at(30, -1), at(-90, 0), &[], &["expiring"]),
            (at(30, 0), at(-90, -1), &[], &["idle"]),
            (None, at(0, 0), &[], &["no-expiry"]),
            (at(60, 0), None, &[], &["never-used"]),
            (at(60, 0), at(0, 0), &["dispatch"], &["unexercised-grants"]),
            (None, None, &["dispatch"], &["no-expiry", "never-used"]),
        ];
        for (expire_time, last_used_time, unexercised, expected) in table {
            let token = Token {
                expire_time,
                last_used_time,
                ..Token::default()
            };
            let unexercised: Vec<String> = unexercised.iter().map(ToString::to_string).collect();
            let findings = parse::<DoctorArgs>("").findings(&token, &unexercised, NOW());
            let found: Vec<&str> = findings.iter().map(|(finding, _)| *finding).collect();
            assert_eq!(found, expected, "{expire_time:?} {last_used_time:?}");
        }
    }
}
