//! `keyward hold`: holds a connection as a calling service would, and shows the decision and its withdrawal.

use clap::Args;

use super::failure::{Failure, Outcome};
use super::output::{Part, Record};
use super::session::{Session, with_session};
use super::shell::Shell;
use super::validate::{ValidateArgs, outcome};
use crate::api::proto::{HoldConnectionRequest, HoldConnectionResponse};

/// Hold one of a token's connections, until its decision is withdrawn or you interrupt it; exit code 1 denied or withdrawn.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
The flags are those of `validate`; --dry-run is refused.

Examples:
  keyward hold --text-file ci.token
  keyward hold --text-file ci.token --resource tables/orders --action read --output jsonl")]
pub(crate) struct HoldArgs {
    #[command(flatten)]
    asked: ValidateArgs,
}

impl HoldArgs {
    pub(crate) fn run(&self, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
        self.asked.check()?;
        with_session(&self.asked.remote, shell, async |session| {
            tokio::select! {
                ended = self.hold(session) => ended,
                _ = tokio::signal::ctrl_c() => Ok(Outcome::Success),
            }
        })
    }

    async fn hold(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let request = HoldConnectionRequest {
            request: Some(self.asked.request(session.shell)?),
        };
        let client = session.client.clone();
        let mut stream = client
            .call(request, async |r| {
                client.credentials().hold_connection(r).await
            })
            .await?;
        loop {
            let message = stream.message().await;
            let message = message.map_err(|status| client.failure(status))?;
            let Some(message) = message else {
                return Err(Failure::broken_answer(
                    "the stream ended without a withdrawal",
                ));
            };
            session.show(&message)?;
            let decision = outcome(&message.response.unwrap_or_default())?;
            if decision != Outcome::Success {
                return Ok(decision);
            }
        }
    }
}

impl Record for HoldConnectionResponse {
    const NAME: &'static str = "keyward.v1.HoldConnectionResponse";

    fn fields(&self) -> Vec<(&'static str, String)> {
        let limit = match self.limit {
            0 => "any".to_owned(),
            limit => limit.to_string(),
        };
        let mut fields = self
            .response
            .as_ref()
            .map(Record::fields)
            .unwrap_or_default();
        fields.push(("held", format!("{} of {limit}", self.held)));
        fields
    }

    fn parts(&self) -> Vec<Part> {
        self.response
            .as_ref()
            .map(Record::parts)
            .unwrap_or_default()
    }
}
