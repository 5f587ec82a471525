//! What `serve --dev` makes and shows: a sample account with a token, a decision each way asked of the running server, and lines
//! to copy.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::client::Client;
use super::connection::{Connection, Server, Token};
use super::failure::Failure;
use super::secrets::Source;
use super::shell::Shell;
use crate::api::Desk;
use crate::api::proto;
use crate::domain::account::Policy;
use crate::domain::grant::{Grant, Grants};
use crate::domain::id::AccountId;
use crate::domain::secret::SecretText;
use crate::domain::token::Access;
use crate::registry::accounts::NewAccount;
use crate::registry::tokens::{Issued, NewToken};
use crate::registry::{Call, Error};

const ACCOUNT: &str = "sample";
/// What the sample token may do, as its grants say it.
const GRANTS: [&str; 2] = ["dispatch", "tables/*:read,write"];

/// How long one call to the server beside may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sample token, good for `dispatch` and every table.
#[derive(Debug)]
pub(crate) struct Sample {
    secret: SecretText,
}

/// Makes the sample account, where it is not there yet, and a token in it.
pub(crate) async fn prepare(desk: &Desk) -> Result<Sample, Failure> {
    let call = desk
        .registry
        .own_call(crate::random::token_id(&*desk.registry.random));
    let account = NewAccount {
        id: AccountId::parse(ACCOUNT).ok(),
        display_name: "A sample account".into(),
        policy: Policy::standard(),
    };
    match desk.registry.create_account(&call, account, None).await {
        Ok(_) | Err(Error::AlreadyExists(..)) => {}
        Err(error) => return Err(Failure::local(error.to_string())),
    }
    let issued = sample_token(desk, &call)
        .await
        .map_err(|error| Failure::local(error.to_string()))?;
    Ok(Sample {
        secret: issued.secret,
    })
}

async fn sample_token(desk: &Desk, call: &Call) -> Result<Issued, Error> {
    let grants = GRANTS
        .iter()
        .map(|text| Grant::parse(text).expect("the sample's grants are grants"));
    let new = NewToken {
        account: ACCOUNT.into(),
        name: "Sample integration".into(),
        description: String::new(),
        principal: None,
        access: Access::Full,
        grants: Grants::new(grants),
        networks: Vec::new(),
        rate_limit: None,
        max_connections: None,
        expiry: None,
        labels: std::collections::BTreeMap::new(),
        scope: String::new(),
    };
    desk.registry.create_token(call, new, None).await
}

/// Prints where everything is, lets the running server decide twice, and prints lines to go on with.
pub(crate) async fn show(
    address: SocketAddr,
    operator_file: &Path,
    sample: Sample,
    shell: &mut Shell<'_>,
) -> Result<(), Failure> {
    let client = connect(address, operator_file, shell).await?;
    let decisions = decide_twice(&client, &sample).await?;
    let text = render(address, operator_file, &sample, &decisions);
    let written = shell
        .stdout
        .write_all(text.as_bytes())
        .and_then(|()| shell.stdout.flush());
    // Nobody reading is no reason to stop serving.
    written.or(Ok(()))
}

fn render(
    address: SocketAddr,
    operator_file: &Path,
    sample: &Sample,
    decisions: &[String; 2],
) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "keyward".into());
    let file = operator_file.display();
    let secret = sample.secret.reveal();
    let [allowed, denied] = decisions;
    format!(
        "\
Keyward runs for development on {address}.

operator token: {file}
sample account: {ACCOUNT}
sample token: {secret}

This server was asked twice:
  the sample token, to dispatch           {allowed}
  another token, after DeactivateToken    {denied}

With grpcurl:
  grpcurl -plaintext -H \"authorization: Bearer $(cat {file})\" \\
    -d '{{\"token\": \"{secret}\", \"required\": {{\"resource\": \"dispatch\"}}}}' \\
    {address} keyward.v1.CredentialService/ValidateCredentials

With the command line:
  export KEYWARD_SERVER={address} KEYWARD_TOKEN_FILE={file}
  echo {secret} | {program} validate --resource dispatch
  {program} token create --account {ACCOUNT} --name 'Order sync' --expires 90d
  {program} token list --account {ACCOUNT}
"
    )
}

/// An ALLOW and a DENY, asked over gRPC as anybody would.
async fn decide_twice(client: &Client, sample: &Sample) -> Result<[String; 2], Failure> {
    let allowed = validate(client, sample.secret.reveal()).await?;
    let request = proto::CreateTokenRequest {
        account_id: ACCOUNT.into(),
        name: "Soon deactivated".into(),
        ..Default::default()
    };
    let created = client
        .call(request, async |r| {
            client.credentials().create_token(r).await
        })
        .await?;
    let request = proto::DeactivateTokenRequest {
        token_id: created.token.map(|token| token.id).unwrap_or_default(),
        why: "to show a denial".into(),
        ..Default::default()
    };
    client
        .call(request, async |r| {
            client.credentials().deactivate_token(r).await
        })
        .await?;
    let denied = validate(client, &created.secret).await?;
    Ok([allowed, denied])
}

/// A client that calls as the operator does.
async fn connect(
    address: SocketAddr,
    operator_file: &Path,
    shell: &mut Shell<'_>,
) -> Result<Client, Failure> {
    let source = Source::File(operator_file.to_owned());
    let server = Server::parse(&address.to_string()).map_err(Failure::local)?;
    Client::connect(Connection {
        server,
        token: Token::Given(source.read("operator token", shell)?),
        timeout: PATIENCE,
    })
    .await
}

/// The decision on a text that is to dispatch, in a line.
async fn validate(client: &Client, text: &str) -> Result<String, Failure> {
    let request = proto::ValidateCredentialsRequest {
        presented: Some(proto::validate_credentials_request::Presented::Token(
            text.to_owned(),
        )),
        required: Some(proto::Permission {
            resource: "dispatch".into(),
            action: String::new(),
        }),
        ..Default::default()
    };
    let answer = client
        .call(request, async |r| {
            client.credentials().validate_credentials(r).await
        })
        .await?;
    let word = |name: &'static str, prefix: &str| name.trim_start_matches(prefix).to_owned();
    let decision = word(answer.decision().as_str_name(), "DECISION_");
    let reason = word(answer.reason().as_str_name(), "DENY_REASON_");
    Ok(match answer.decision() {
        proto::Decision::Allow => format!(
            "{decision} ({} of account {})",
            answer.token_name, answer.account_id
        ),
        _ => format!("{decision} {reason} ({})", answer.detail),
    })
}
