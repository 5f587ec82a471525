//! `keyward health`: asks the standard health service; made for a container's HEALTHCHECK, where there is no shell.

use clap::Args;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::client::Client;
use super::connection::TargetArgs;
use super::failure::{Failure, Outcome};
use super::output::OutputArgs;
use super::session::block_on;
use super::shell::Shell;

/// Ask whether a server is serving; exit code 0 serving, 1 in every other case.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
It needs no token. Every other answer than serving, and none at all, is exit code 1: Docker keeps 2 for itself.

Examples:
  keyward health
  keyward health --server 127.0.0.1:9090 --service keyward.v1.CredentialService
  HEALTHCHECK CMD [\"keyward\", \"health\", \"--server\", \"127.0.0.1:9090\", \"--timeout\", \"3s\"]")]
pub(crate) struct HealthArgs {
    /// Service to ask about, such as keyward.v1.CredentialService [default: the server as a whole].
    #[arg(long, value_name = "NAME")]
    service: Option<String>,

    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl HealthArgs {
    pub(crate) fn run(&self, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
        let connection = self.target.resolve(shell)?;
        let status = block_on(async {
            let client = Client::connect(connection).await?;
            let request = HealthCheckRequest {
                service: self.service.clone().unwrap_or_default(),
            };
            client
                .call(request, async |r| client.health().check(r).await)
                .await
        })?
        .status();
        let name = status.as_str_name();
        let line = if self.output.output.is_json() {
            serde_json::json!({ "status": name }).to_string()
        } else {
            name.to_owned()
        };
        writeln!(shell.stdout, "{line}")?;
        Ok(match status {
            ServingStatus::Serving => Outcome::Success,
            ServingStatus::NotServing | ServingStatus::Unknown | ServingStatus::ServiceUnknown => {
                Outcome::Denied
            }
        })
    }
}
