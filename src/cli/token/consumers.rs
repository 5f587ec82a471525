//! `token consumers`, and who breaks when a token is turned off.

use clap::Args;

use crate::api::proto::{
    Consumer, DeactivateTokenResponse, DeleteTokenResponse, ListConsumersRequest,
};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::{Listed, Part, Record};
use crate::cli::session::{PagingArgs, Session};
use crate::cli::table::yes_no;
use crate::cli::times::show_time;
use crate::cli::values::parse_id;

const COLUMNS: &[&str] = &[
    "CONSUMER",
    "CALLS TODAY",
    "FIRST SEEN",
    "LAST SEEN",
    "ON OLD SECRET",
];

/// List who uses a token: the services and integrations that validations named.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConsumersArgs {
    /// Id of the token.
    #[arg(value_name = "TOKEN_ID", value_parser = parse_id)]
    token_id: String,

    #[command(flatten)]
    paging: PagingArgs,
}

impl ConsumersArgs {
    pub(crate) async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = session.client.clone();
        session
            .list(&self.paging, async |page| {
                let request = ListConsumersRequest {
                    token_id: self.token_id.clone(),
                    page_size: page.size,
                    page_token: page.token,
                };
                let answer = client
                    .call(request, async |r| client.usage().list_consumers(r).await)
                    .await?;
                Ok((answer.consumers, answer.next_page_token))
            })
            .await
    }
}

impl Record for Consumer {
    const NAME: &'static str = "keyward.v1.Consumer";

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("consumer", self.name.clone()),
            ("calls today", self.calls_today.to_string()),
            ("first seen", show_time(self.first_seen.as_ref())),
            ("last seen", show_time(self.last_seen.as_ref())),
            ("on old secret", yes_no(self.uses_retired_secret)),
        ]
    }
}

impl Listed for Consumer {
    const COLUMNS: &'static [&'static str] = COLUMNS;

    fn row(&self) -> Vec<String> {
        self.fields().into_iter().map(|(_, value)| value).collect()
    }
}

impl Record for DeactivateTokenResponse {
    const NAME: &'static str = "keyward.v1.DeactivateTokenResponse";

    fn fields(&self) -> Vec<(&'static str, String)> {
        self.token.as_ref().map(Record::fields).unwrap_or_default()
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = self.token.as_ref().map(Record::parts).unwrap_or_default();
        parts.extend(users(&self.consumers));
        parts
    }
}

impl Record for DeleteTokenResponse {
    const NAME: &'static str = "keyward.v1.DeleteTokenResponse";

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![("used by", self.consumers.len().to_string())]
    }

    fn parts(&self) -> Vec<Part> {
        users(&self.consumers).into_iter().collect()
    }
}

/// Who used a token lately, as a table of its own.
fn users(consumers: &[Consumer]) -> Option<Part> {
    (!consumers.is_empty()).then(|| Part {
        columns: COLUMNS,
        rows: consumers.iter().map(Listed::row).collect(),
    })
}
