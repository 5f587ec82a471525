//! What `serve --dev` makes and shows: a sample account with a token, a decision each way asked of the running server, and lines
//! to copy.

use std::net::SocketAddr;
use std::path::Path;

use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use super::failure::Failure;
use super::shell::Shell;
use crate::api::Desk;
use crate::api::proto;
use crate::api::proto::credential_service_client::CredentialServiceClient;
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
    let decisions = decide_twice(address, operator_file, &sample).await?;
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
Keyward runs for development on {address}, environment dev.

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
async fn decide_twice(
    address: SocketAddr,
    operator_file: &Path,
    sample: &Sample,
) -> Result<[String; 2], Failure> {
    let mut client = Client::connect(address, operator_file).await?;
    let allowed = client.validate(sample.secret.reveal()).await?;
    let request = proto::CreateTokenRequest {
        account_id: ACCOUNT.into(),
        name: "Soon deactivated".into(),
        ..Default::default()
    };
    let created = client
        .inner
        .create_token(client.operator.request(request))
        .await?;
    let created = created.into_inner();
    let token_id = created.token.map(|token| token.id).unwrap_or_default();
    let request = proto::DeactivateTokenRequest {
        token_id,
        why: "to show a denial".into(),
        ..Default::default()
    };
    let deactivated = client
        .inner
        .deactivate_token(client.operator.request(request))
        .await;
    deactivated?;
    let denied = client.validate(&created.secret).await?;
    Ok([allowed, denied])
}

struct Client {
    inner: CredentialServiceClient<Channel>,
    operator: Operator,
}

/// The header that makes a request an operator's.
struct Operator(MetadataValue<Ascii>);

impl Operator {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        request
    }
}

impl Client {
    async fn connect(address: SocketAddr, operator_file: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(operator_file)
            .map_err(|error| Failure::local(error.to_string()))?;
        let header = format!("Bearer {}", text.trim()).parse::<MetadataValue<Ascii>>();
        let mut header = header.map_err(|error| Failure::local(error.to_string()))?;
        header.set_sensitive(true);
        let inner = CredentialServiceClient::connect(format!("http://{address}")).await;
        let inner = inner.map_err(|error| Failure::local(error.to_string()))?;
        Ok(Self {
            inner,
            operator: Operator(header),
        })
    }

    /// The decision on a text that is to dispatch, in a line.
    async fn validate(&mut self, text: &str) -> Result<String, Failure> {
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
        let answer = self
            .inner
            .validate_credentials(self.operator.request(request))
            .await;
        let answer = answer?.into_inner();
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
}
