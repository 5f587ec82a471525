//! `keyward usage`: an account's calls and what is left of them, and each token's, on one page.

use clap::Args;

use super::client::Client;
use super::failure::{Failure, Outcome};
use super::output::{Part, Record};
use super::session::{RemoteArgs, with_session};
use super::shell::Shell;
use super::times::show_time;
use crate::api::proto::{DayUsage, GetUsageRequest, GetUsageResponse, TokenUsage};

/// Tokens fetched by one call: as many as a server gives.
const PAGE_SIZE: i32 = 1_000;

/// Show an account's calls today, its limit and what is left of it, and each token's calls.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  keyward usage --account acme
  keyward usage --account acme --days 30 --output json")]
pub(crate) struct UsageArgs {
    /// Account whose usage to show [default: the operator's own].
    #[arg(long, value_name = "ID")]
    account: Option<String>,

    /// Days of history to show, today included; at most 90.
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=90))]
    days: u32,

    #[command(flatten)]
    remote: RemoteArgs,
}

impl UsageArgs {
    pub(crate) fn run(&self, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
        with_session(&self.remote, shell, async |session| {
            let account = self.account.clone().unwrap_or_default();
            let usage = fetch(&session.client, &account, self.days).await?;
            session.show(&usage)
        })
    }
}

/// An account's usage, with the tokens of all pages.
pub(crate) async fn fetch(
    client: &Client,
    account: &str,
    days: u32,
) -> Result<GetUsageResponse, Failure> {
    let mut usage: Option<GetUsageResponse> = None;
    let mut tokens: Vec<TokenUsage> = Vec::new();
    let fetch_page = async |page_token| {
        let request = GetUsageRequest {
            account_id: account.to_owned(),
            days,
            page_size: PAGE_SIZE,
            page_token,
        };
        let mut answer = client
            .call(request, async |r| client.usage().get_usage(r).await)
            .await?;
        let page = std::mem::take(&mut answer.tokens);
        let next = std::mem::take(&mut answer.next_page_token);
        usage = Some(answer);
        Ok((page, next))
    };
    let each = |token| {
        tokens.push(token);
        Ok(super::client::Want::More)
    };
    client.pages(fetch_page, each).await?;
    Ok(GetUsageResponse {
        tokens,
        ..usage.unwrap_or_default()
    })
}

impl Record for GetUsageResponse {
    const NAME: &'static str = "keyward.v1.GetUsageResponse";

    fn fields(&self) -> Vec<(&'static str, String)> {
        let limit = self
            .limit
            .map_or_else(|| "none".into(), |limit| limit.to_string());
        let remaining = self.limit.map(|_| self.remaining.to_string());
        vec![
            ("account", self.account_id.clone()),
            ("calls today", self.calls_today.to_string()),
            ("limit", limit),
            ("remaining", remaining.unwrap_or_default()),
            ("back at", show_time(self.reset_time.as_ref())),
        ]
    }

    fn parts(&self) -> Vec<Part> {
        let tokens = Part {
            columns: &["NAME", "ID", "CALLS TODAY", "LAST CALL"],
            rows: self.tokens.iter().map(token_row).collect(),
        };
        let days = Part {
            columns: &["DAY", "ALLOWED", "DENIED"],
            rows: self.days.iter().map(day_row).collect(),
        };
        [tokens, days]
            .into_iter()
            .filter(|part| !part.rows.is_empty())
            .collect()
    }
}

fn token_row(token: &TokenUsage) -> Vec<String> {
    let last_call = match &token.last_used_time {
        Some(time) => show_time(Some(time)),
        None => "never".into(),
    };
    vec![
        token.name.clone(),
        token.token_id.clone(),
        token.calls_today.to_string(),
        last_call,
    ]
}

fn day_row(day: &DayUsage) -> Vec<String> {
    vec![
        day.date.clone(),
        day.allowed.to_string(),
        day.denied.to_string(),
    ]
}
