//! Calls to a server: one connection, the operator's token and a deadline on each call, lists page by page.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use tokio::time;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, TimeoutExpired};
use tonic_health::pb::health_client::HealthClient;
use zeroize::Zeroizing;

use super::connection::{Connection, Server, Token};
use super::failure::Failure;
use crate::api::proto::credential_service_client::CredentialServiceClient;
use crate::api::proto::directory_service_client::DirectoryServiceClient;
use crate::api::proto::event_service_client::EventServiceClient;
use crate::api::proto::usage_service_client::UsageServiceClient;

/// The largest answer that is read: a thousand tokens with everything they may hold.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// A connection to one server, and whoever speaks over it.
#[derive(Clone)]
pub(crate) struct Client {
    channel: Channel,
    server: Server,
    /// The header, or what to do should the server want one.
    authorization: Result<MetadataValue<Ascii>, String>,
    timeout: Duration,
}

impl Client {
    pub(crate) async fn connect(connection: Connection) -> Result<Self, Failure> {
        let Connection {
            server,
            token,
            timeout,
        } = connection;
        let authorization = match token {
            Token::Given(text) => Ok(bearer(&text)?),
            Token::Missing(hint) => Err(hint),
        };
        let endpoint = Endpoint::from(server.uri())
            .user_agent(concat!("keyward-cli/", env!("CARGO_PKG_VERSION")))
            .expect("name and version are printable");
        let channel = time::timeout(timeout, endpoint.connect())
            .await
            .map_err(|_| Failure::deadline(timeout))?
            .map_err(|error| unreachable(&server, &error))?;
        Ok(Self {
            channel,
            server,
            authorization,
            timeout,
        })
    }

    pub(crate) fn credentials(&self) -> CredentialServiceClient<Channel> {
        CredentialServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    pub(crate) fn directory(&self) -> DirectoryServiceClient<Channel> {
        DirectoryServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    pub(crate) fn events(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    pub(crate) fn usage(&self) -> UsageServiceClient<Channel> {
        UsageServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    pub(crate) fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel.clone())
    }

    /// The deadline of each call.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Makes one call: `send` gets the request with token and deadline on it.
    pub(crate) async fn call<Q, R>(
        &self,
        message: Q,
        send: impl AsyncFnOnce(Request<Q>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        if let Ok(value) = &self.authorization {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        match time::timeout(self.timeout, send(request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.failure(status)),
            Err(_) => Err(Failure::deadline(self.timeout)),
        }
    }

    /// Fetches page after page and hands every item to `each`, until it wants no more or there are none.
    pub(crate) async fn pages<T>(
        &self,
        mut fetch: impl AsyncFnMut(String) -> Result<(Vec<T>, String), Failure>,
        mut each: impl FnMut(T) -> Result<Want, Failure>,
    ) -> Result<(), Failure> {
        let mut page_token = String::new();
        loop {
            let (items, next) = fetch(page_token.clone()).await?;
            for item in items {
                if each(item)? == Want::NoMore {
                    return Ok(());
                }
            }
            if next.is_empty() {
                return Ok(());
            }
            if next == page_token {
                return Err(Failure::broken_answer(
                    "the server gives the same page again and again",
                ));
            }
            page_token = next;
        }
    }

    /// Why a call, or a stream in its middle, failed.
    pub(crate) fn failure(&self, status: Status) -> Failure {
        // The transport's own deadline, which it calls a cancellation.
        let expired = status
            .source()
            .is_some_and(|source| source.is::<TimeoutExpired>());
        if expired || (status.code() == Code::Cancelled && status.message() == "Timeout expired") {
            return Failure::deadline(self.timeout);
        }
        match (status.source(), status.code(), &self.authorization) {
            (Some(source), Code::Unavailable | Code::Unknown, _) => {
                unreachable(&self.server, source)
            }
            (_, Code::Unauthenticated, Err(hint)) => Failure::from(status).with_hint(hint),
            _ => status.into(),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// Whether a list goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    More,
    NoMore,
}

fn bearer(token: &str) -> Result<MetadataValue<Ascii>, Failure> {
    let header = Zeroizing::new(format!("Bearer {token}"));
    let mut value = MetadataValue::try_from(header.as_str())
        .map_err(|_| Failure::local("the operator token has characters that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn unreachable(server: &Server, error: &(dyn std::error::Error + 'static)) -> Failure {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Failure::unavailable(format!("cannot reach {server}: {cause}"))
        .with_hint("is it running there? name another server with --server or KEYWARD_SERVER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_no_header_can_carry_is_refused_without_being_told() {
        let failure = bearer("line\nbreak").unwrap_err();
        assert!(!failure.to_text().contains("break"));
        assert!(bearer("kw_dev_abc").unwrap().is_sensitive());
    }
}
