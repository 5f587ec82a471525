//! `token list`: the filters and the pages.

use chrono::{DateTime, Utc};
use clap::Args;

use crate::api::proto::{ListTokensRequest, TokenState};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::session::{Page, PagingArgs, Session};
use crate::cli::times::{Moment, parse_moment, to_timestamp};
use crate::cli::values::{labels, parse_label};
use crate::cli::words::choice;

/// List an account's tokens, dead ones included.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  keyward token list --account acme --state active --expires-before 30d
  keyward token list --account acme --unused-since 90d
  keyward token list --output jsonl | jq -r 'select(.imported) | .id'")]
pub(crate) struct ListArgs {
    /// Account whose tokens to list [default: the operator's own].
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<String>,

    /// Only those in this state; may be repeated [default: any].
    #[arg(long = "state", value_name = "STATE", value_parser = choice::<TokenState>())]
    pub(crate) states: Vec<TokenState>,

    /// Only those of this principal.
    #[arg(long, value_name = "ID")]
    pub(crate) principal: Option<String>,

    /// Only those whose name begins so.
    #[arg(long, value_name = "TEXT")]
    pub(crate) name_prefix: Option<String>,

    /// Only those that expire before a time, a date, or a span from now such as 30d.
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    pub(crate) expires_before: Option<Moment>,

    /// Only those made before a time, a date, or a span ago such as 90d, and not used since.
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    pub(crate) unused_since: Option<Moment>,

    /// Only those with this label; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub(crate) labels: Vec<(String, String)>,

    #[command(flatten)]
    pub(crate) paging: PagingArgs,
}

impl ListArgs {
    /// The request for one page.
    pub(crate) fn request(
        &self,
        now: DateTime<Utc>,
        page: Page,
    ) -> Result<ListTokensRequest, Failure> {
        Ok(ListTokensRequest {
            account_id: self.account.clone().unwrap_or_default(),
            page_size: page.size,
            page_token: page.token,
            states: self.states.iter().map(|state| i32::from(*state)).collect(),
            principal_id: self.principal.clone().unwrap_or_default(),
            name_prefix: self.name_prefix.clone().unwrap_or_default(),
            expire_before: self
                .expires_before
                .map(|when| to_timestamp(when.ahead_of(now))),
            unused_since: self.unused_since.map(|when| to_timestamp(when.before(now))),
            labels: labels(&self.labels)?,
        })
    }

    pub(crate) async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        // One "now" for all pages: their tokens are bound to the filter.
        let now = session.shell.now();
        let client = session.client.clone();
        session
            .list(&self.paging, async |page| {
                let request = self.request(now, page)?;
                let answer = client
                    .call(request, async |r| client.credentials().list_tokens(r).await)
                    .await?;
                Ok((answer.tokens, answer.next_page_token))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{NOW, parse};
    use prost_types::Timestamp;

    #[test]
    fn every_filter_has_a_flag() {
        let line = "--account acme --state active --state expired --principal p1 --name-prefix Sy \
                    --expires-before 1d --unused-since 2d --label env=prod";
        let page = Page {
            size: 7,
            token: "next".into(),
        };
        assert_eq!(
            parse::<ListArgs>(line).request(NOW(), page).unwrap(),
            ListTokensRequest {
                account_id: "acme".into(),
                page_size: 7,
                page_token: "next".into(),
                states: vec![TokenState::Active.into(), TokenState::Expired.into()],
                principal_id: "p1".into(),
                name_prefix: "Sy".into(),
                expire_before: Some(Timestamp {
                    seconds: NOW().timestamp() + 86_400,
                    nanos: 0
                }),
                unused_since: Some(Timestamp {
                    seconds: NOW().timestamp() - 2 * 86_400,
                    nanos: 0
                }),
                labels: [("env".to_owned(), "prod".to_owned())].into(),
            }
        );
    }
}
