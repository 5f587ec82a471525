//! `token rekey`: a new secret beside the old one, whose grace the flags bound.

use std::time::Duration;

use clap::Args;

use super::show::SecretArgs;
use crate::api::proto::{Activation, RekeyRequest};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::retry::{RequestIdArgs, explain, explain_lost};
use crate::cli::session::Session;
use crate::cli::times::{parse_span, to_wire_span};
use crate::cli::values::parse_id;
use crate::cli::words::choice;

/// Give a token a new secret, shown once; the old one goes on working for the grace.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  keyward token rekey 4bQ0…                                 the old secret works for the account's grace
  keyward token rekey 4bQ0… --grace 0                       the old secret is dead at once
  keyward token rekey 4bQ0… --activation on-first-use       the grace begins when the new one is first used")]
pub(crate) struct RekeyArgs {
    /// Id of the token.
    #[arg(value_name = "TOKEN_ID", value_parser = parse_id)]
    pub(crate) token_id: String,

    /// How long older secrets go on working, such as 4h; 0 ends them now; at most 30d [default: the account's].
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) grace: Option<Duration>,

    /// When the new secret takes over, and the grace begins [default: at-once].
    #[arg(long, value_parser = choice::<Activation>())]
    pub(crate) activation: Option<Activation>,

    /// Only if this is still the token's etag.
    #[arg(long)]
    pub(crate) etag: Option<String>,

    #[command(flatten)]
    pub(crate) request_id: RequestIdArgs,
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
}

impl RekeyArgs {
    pub(crate) fn request(&self) -> RekeyRequest {
        RekeyRequest {
            token_id: self.token_id.clone(),
            grace: self.grace.map(to_wire_span),
            activation: self.activation.map_or(0, Into::into),
            request_id: self.request_id.settle(),
            etag: self.etag.clone().unwrap_or_default(),
        }
    }

    pub(crate) async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let request = self.request();
        let id = request.request_id.clone();
        let place = self.secret.reserve()?;
        let client = &session.client;
        let answer = client
            .call(request, async |r| client.credentials().rekey(r).await)
            .await
            .map_err(|failure| explain(failure, &id))?;
        self.secret
            .print(&answer, place, session)
            .map_err(|failure| explain_lost(failure, &id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::parse;

    #[test]
    fn no_grace_and_a_grace_of_zero_are_two_things() {
        let grace = |line: &str| parse::<RekeyArgs>(line).request().grace;
        assert_eq!(grace("t1"), None);
        assert_eq!(grace("t1 --grace 0"), Some(to_wire_span(Duration::ZERO)));
        assert_eq!(
            grace("t1 --grace 4h"),
            Some(to_wire_span(Duration::from_secs(14_400)))
        );
    }

    #[test]
    fn every_field_of_a_rekey_has_a_flag() {
        let line = "t1 --grace 1s --activation on-first-use --etag e1 --request-id r1";
        assert_eq!(
            parse::<RekeyArgs>(line).request(),
            RekeyRequest {
                token_id: "t1".into(),
                grace: Some(to_wire_span(Duration::from_secs(1))),
                activation: Activation::OnFirstUse.into(),
                request_id: "r1".into(),
                etag: "e1".into(),
            }
        );
    }
}
