//! An operator's client, and what is asked with it more than once.

use std::net::SocketAddr;
use std::time::Duration;

use keyward::api::proto;
use keyward::api::proto::credential_service_client::CredentialServiceClient;
use keyward::api::proto::directory_service_client::DirectoryServiceClient;
use keyward::api::proto::event_service_client::EventServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

const DEADLINE: Duration = Duration::from_secs(20);
const MAX_ANSWER_BYTES: usize = 64 << 20;
const PAGE_SIZE: i32 = 1000;

type Via = InterceptedService<Channel, Bearer>;

#[derive(Clone)]
pub(super) struct Client {
    pub(super) credentials: CredentialServiceClient<Via>,
    pub(super) directory: DirectoryServiceClient<Via>,
    pub(super) events: EventServiceClient<Via>,
}

#[derive(Clone)]
pub(super) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl Client {
    /// A connection of its own.
    pub(super) fn new(address: SocketAddr, operator: &str) -> Result<Self, String> {
        let header = format!("Bearer {}", operator.trim_end()).parse();
        let bearer = Bearer(header.map_err(|_| "the operator's token is not printable")?);
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| error.to_string())?
            .timeout(DEADLINE)
            .connect_lazy();
        let via = |bearer: &Bearer| InterceptedService::new(channel.clone(), bearer.clone());
        Ok(Self {
            credentials: CredentialServiceClient::new(via(&bearer))
                .max_decoding_message_size(MAX_ANSWER_BYTES),
            directory: DirectoryServiceClient::new(via(&bearer)),
            events: EventServiceClient::new(via(&bearer))
                .max_decoding_message_size(MAX_ANSWER_BYTES),
        })
    }

    /// The token, or `None` where it is not there.
    pub(super) async fn token(&mut self, id: &str) -> Result<Option<proto::Token>, Status> {
        let request = proto::GetTokenRequest {
            token_id: id.to_owned(),
        };
        let found = absent_or(self.credentials.get_token(request).await)?;
        Ok(found.and_then(|found| found.token))
    }

    /// All tokens of an account whose name begins so.
    pub(super) async fn tokens(
        &mut self,
        account: &str,
        name_prefix: &str,
    ) -> Result<Vec<proto::Token>, Status> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = proto::ListTokensRequest {
                account_id: account.to_owned(),
                name_prefix: name_prefix.to_owned(),
                page_size: PAGE_SIZE,
                page_token,
                ..Default::default()
            };
            let page = self.credentials.list_tokens(request).await?.into_inner();
            all.extend(page.tokens);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Every line of the audit log.
    pub(super) async fn all_events(&mut self) -> Result<Vec<proto::Event>, Status> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = proto::ListEventsRequest {
                page_size: PAGE_SIZE,
                page_token,
                ..Default::default()
            };
            let page = self.events.list_events(request).await?.into_inner();
            all.extend(page.events);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// The reason of the denial; `DENY_REASON_UNSPECIFIED` is an ALLOW.
    pub(super) async fn validate(
        &mut self,
        account: &str,
        text: &str,
    ) -> Result<proto::DenyReason, Status> {
        let presented = proto::validate_credentials_request::Presented::Token(text.to_owned());
        let request = proto::ValidateCredentialsRequest {
            presented: Some(presented),
            account_id: account.to_owned(),
            ..Default::default()
        };
        let answer = self.credentials.validate_credentials(request).await?;
        let answer = answer.into_inner();
        let allowed = answer.decision() == proto::Decision::Allow;
        match (allowed, answer.reason()) {
            (true, proto::DenyReason::Unspecified) => Ok(answer.reason()),
            (false, reason) if reason != proto::DenyReason::Unspecified => Ok(reason),
            (_, reason) => Err(Status::internal(format!(
                "neither fish nor fowl: {reason:?}"
            ))),
        }
    }
}

/// What was found, or `None` where the answer is NOT_FOUND.
pub(super) fn absent_or<T>(
    answer: Result<tonic::Response<T>, Status>,
) -> Result<Option<T>, Status> {
    match answer {
        Ok(found) => Ok(Some(found.into_inner())),
        Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
        Err(status) => Err(status),
    }
}
