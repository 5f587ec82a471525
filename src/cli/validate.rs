//! `keyward validate`: presents credentials as a calling service would, and shows the decision.

use clap::Args;

use super::failure::{Failure, Outcome};
use super::output::{Part, Record};
use super::secrets::Source;
use super::session::{RemoteArgs, Session, with_session};
use super::shell::Shell;
use super::table::yes_no;
use super::times::{show_time, show_wire_span};
use super::values::parse_id;
use super::words::{Words, label, word_of};
use crate::api::proto::validate_credentials_request::Presented;
use crate::api::proto::{
    Access, Decision, DenyReason, IdAndSecret, Permission, Quota, ValidateCredentialsRequest,
    ValidateCredentialsResponse,
};

/// Ask whether credentials are good; exit code 0 allowed, 1 denied, 2 could not decide.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Credentials come from a file or the standard input, never from the argument list.

Examples:
  keyward validate --text-file ci.token --resource tables/orders --action read
  keyward validate --dry-run < ci.token
  echo 'Bearer …' | keyward validate --authorization-file -")]
pub(crate) struct ValidateArgs {
    /// File with the token's text, or - for the standard input [default: -].
    #[arg(long, value_name = "PATH", value_parser = Source::parse, group = "presented")]
    text_file: Option<Source>,

    /// File with an authorization header's value as it came (Bearer …, Basic …), or - for the standard input.
    #[arg(long, value_name = "PATH", value_parser = Source::parse, group = "presented")]
    authorization_file: Option<Source>,

    /// Present nothing.
    #[arg(long, group = "presented")]
    no_credentials: bool,

    /// Present this id and the text apart.
    #[arg(long, value_name = "ID", value_parser = parse_id, conflicts_with_all = ["authorization_file", "no_credentials"])]
    token_id: Option<String>,

    /// Account key, where the account wants both; it is public.
    #[arg(long, value_name = "KEY")]
    account_key: Option<String>,

    /// What the request is about to touch, such as tables/orders.
    #[arg(long)]
    resource: Option<String>,

    /// What it is about to do there, such as read.
    #[arg(long)]
    action: Option<String>,

    /// IP address that the request came from.
    #[arg(long, value_name = "IP")]
    client_address: Option<String>,

    /// Name of the service or integration that the question is for; kept among the token's consumers.
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,

    /// Only tokens of this account are good.
    #[arg(long, value_name = "ID")]
    account: Option<String>,

    /// Answer from a state at least this new, a revision of an earlier answer.
    #[arg(long, value_name = "REVISION")]
    min_revision: Option<u64>,

    /// Calls that the request counts for.
    #[arg(long, value_name = "CALLS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    cost: u32,

    /// Tell every rule's step, and mark nothing as used.
    #[arg(long)]
    dry_run: bool,

    /// List the effective grants.
    #[arg(long)]
    with_grants: bool,

    #[command(flatten)]
    pub(super) remote: RemoteArgs,
}

impl ValidateArgs {
    pub(crate) fn run(&self, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
        self.check()?;
        with_session(&self.remote, shell, async |session| self.ask(session).await)
    }

    /// What no single flag can tell.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.remote.connection.token_stdin && self.source() == Some(&Source::Stdin) {
            return Err(Failure::usage(
                "the standard input holds either the operator token or the credentials",
            )
            .with_hint("give one of them in a file"));
        }
        Ok(())
    }

    async fn ask(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let request = self.request(session.shell)?;
        let client = &session.client;
        let answer = client
            .call(request, async |r| {
                client.credentials().validate_credentials(r).await
            })
            .await?;
        session.show(&answer)?;
        outcome(&answer)
    }

    pub(super) fn request(
        &self,
        shell: &mut Shell<'_>,
    ) -> Result<ValidateCredentialsRequest, Failure> {
        let required = (self.resource.is_some() || self.action.is_some()).then(|| Permission {
            resource: self.resource.clone().unwrap_or_default(),
            action: self.action.clone().unwrap_or_default(),
        });
        Ok(ValidateCredentialsRequest {
            presented: self.presented(shell)?,
            account_key: self.account_key.clone().unwrap_or_default(),
            required,
            client_address: self.client_address.clone().unwrap_or_default(),
            consumer: self.consumer.clone().unwrap_or_default(),
            cost: self.cost,
            dry_run: self.dry_run,
            min_revision: self.min_revision.unwrap_or_default(),
            account_id: self.account.clone().unwrap_or_default(),
            with_grants: self.with_grants,
        })
    }

    fn presented(&self, shell: &mut Shell<'_>) -> Result<Option<Presented>, Failure> {
        let Some(source) = self.source() else {
            return Ok(None);
        };
        let text = source.read("credentials", shell)?.to_string();
        Ok(Some(match &self.token_id {
            _ if self.authorization_file.is_some() => Presented::Authorization(text),
            Some(id) => Presented::IdAndSecret(IdAndSecret {
                token_id: id.clone(),
                secret: text,
            }),
            None => Presented::Token(text),
        }))
    }

    fn source(&self) -> Option<&Source> {
        const DEFAULT: &Source = &Source::Stdin;
        let given = self.text_file.as_ref().or(self.authorization_file.as_ref());
        (!self.no_credentials).then(|| given.unwrap_or(DEFAULT))
    }
}

impl Record for ValidateCredentialsResponse {
    const NAME: &'static str = "keyward.v1.ValidateCredentialsResponse";

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("decision", label_of::<Decision>(self.decision)),
            ("reason", label_of::<DenyReason>(self.reason)),
            ("detail", self.detail.clone()),
            ("token", self.token_id.clone()),
            ("token name", self.token_name.clone()),
            ("account", self.account_id.clone()),
            ("principal", self.principal_id.clone()),
            ("principal name", self.principal_name.clone()),
            ("access", word_of::<Access>(self.access)),
            ("grants", self.grants.join(" ")),
            ("expires", show_time(self.expire_time.as_ref())),
            (
                "secret good until",
                show_time(self.secret_good_until.as_ref()),
            ),
            (
                "calls today",
                self.quota.as_ref().map(calls).unwrap_or_default(),
            ),
            ("retry after", show_wire_span(self.retry_after.as_ref())),
            ("revision", self.revision.to_string()),
        ];
        fields.retain(|(_, value)| !value.is_empty());
        fields
    }

    fn parts(&self) -> Vec<Part> {
        if self.steps.is_empty() {
            return Vec::new();
        }
        let steps = self.steps.iter();
        vec![Part {
            columns: &["RULE", "PASSED", "DETAIL"],
            rows: steps
                .map(|step| vec![step.rule.clone(), yes_no(step.passed), step.detail.clone()])
                .collect(),
        }]
    }
}

/// `2499 of 2500 remain, back at 2027-01-16T00:00:00Z`
fn calls(quota: &Quota) -> String {
    let back = show_time(quota.reset_time.as_ref());
    format!(
        "{} of {} remain, back at {back}",
        quota.remaining, quota.limit
    )
}

pub(super) fn outcome(answer: &ValidateCredentialsResponse) -> Result<Outcome, Failure> {
    match answer.decision() {
        Decision::Allow => Ok(Outcome::Success),
        Decision::Deny => Ok(Outcome::Denied),
        Decision::Unspecified => Err(Failure::broken_answer("the answer holds no decision")),
    }
}

/// `PERMISSION_DENIED`: decisions and reasons are shown as the documents write them.
fn label_of<E: Words>(number: i32) -> String {
    match (number, E::from_number(number)) {
        (0, _) => String::new(),
        (_, Some(value)) => label(value).to_owned(),
        (_, None) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{Scene, parse};

    fn request(line: &str) -> ValidateCredentialsRequest {
        let mut scene = Scene::new();
        scene.stdin("s3cret\n");
        scene
            .shell(|shell| parse::<ValidateArgs>(line).request(shell))
            .unwrap()
    }

    #[test]
    fn credentials_are_presented_in_every_form() {
        let text = || "s3cret".to_owned();
        for (line, presented) in [
            ("", Some(Presented::Token(text()))),
            ("--text-file -", Some(Presented::Token(text()))),
            (
                "--authorization-file -",
                Some(Presented::Authorization(text())),
            ),
            (
                "--token-id t1",
                Some(Presented::IdAndSecret(IdAndSecret {
                    token_id: "t1".into(),
                    secret: text(),
                })),
            ),
            ("--no-credentials", None),
        ] {
            assert!(request(line).presented == presented, "{line}");
        }
    }

    #[test]
    fn every_field_of_the_question_has_a_flag() {
        let line = "--account-key k --resource tables/orders --action read --client-address 10.1.2.3 \
                    --account acme --consumer billing --cost 5 --min-revision 7 --dry-run --with-grants";
        let request = request(line);
        let required = Permission {
            resource: "tables/orders".into(),
            action: "read".into(),
        };
        assert_eq!(request.account_key, "k");
        assert_eq!(request.required, Some(required));
        assert_eq!(request.client_address, "10.1.2.3");
        assert_eq!(request.account_id, "acme");
        assert_eq!(request.consumer, "billing");
        assert_eq!((request.cost, request.min_revision), (5, 7));
        assert!(request.dry_run && request.with_grants);
    }

    #[test]
    fn an_answer_without_a_decision_is_never_an_allow() {
        let answer = |decision| ValidateCredentialsResponse {
            decision,
            ..Default::default()
        };
        assert_eq!(outcome(&answer(1)), Ok(Outcome::Success));
        assert_eq!(outcome(&answer(2)), Ok(Outcome::Denied));
        assert!(outcome(&answer(0)).is_err());
        assert!(outcome(&answer(9)).is_err());
    }
}
