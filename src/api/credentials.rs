//! CredentialService: each call parses, asks and converts.

use std::sync::Arc;

use prost::Message as _;
use tonic::{Request, Response, Streaming};

use super::batch;
use super::convert::validation::Asked;
use super::convert::{page, request_id, required, secret, token, usage};
use super::gate::Caller;
use super::hold::{self, Holding};
use super::peer::Peer;
use super::proto;
use super::proto::credential_service_server::CredentialService;
use super::stream::{Answers, InvalidationWatch, Pull};
use super::{Answer, Desk};
use crate::domain::field;
use crate::domain::limits;
use crate::domain::token::Token;
use crate::registry::Error;

#[derive(Debug)]
pub(super) struct Credentials(pub(super) Arc<Desk>);

impl Credentials {
    /// A token as it is now. What was changed is answered though its use cannot be read: an answer may hold the one copy of a
    /// secret.
    async fn token(&self, token: &Token) -> Option<proto::Token> {
        let usage = self.0.registry.usage_of(vec![token.id]).await;
        let usage = usage.unwrap_or_else(|error| {
            tracing::warn!(%error, "a token's use could not be read");
            Vec::new()
        });
        let usage = usage.into_iter().next().unwrap_or_default();
        Some(token::wire(token, &usage, self.0.validator.now()))
    }

    /// Tokens as they are now.
    async fn tokens(&self, tokens: &[Token]) -> Result<Vec<proto::Token>, Error> {
        let ids = tokens.iter().map(|token| token.id).collect();
        let usage = self.0.registry.usage_of(ids).await?;
        let now = self.0.validator.now();
        let both = tokens.iter().zip(&usage);
        Ok(both
            .map(|(token, usage)| token::wire(token, usage, now))
            .collect())
    }

    /// Who used a token lately. Where that cannot be read nobody is named: turning a token off does not wait for it, unless it is
    /// the whole question.
    async fn consumers(
        &self,
        caller: &Caller,
        token: &str,
        whole_question: bool,
    ) -> Result<Vec<proto::Consumer>, Error> {
        let call = caller.call();
        let recent = match self.0.registry.recent_consumers(&call, token).await {
            Err(Error::Store(error)) if !whole_question => {
                tracing::warn!(%error, "a token's consumers could not be read");
                Vec::new()
            }
            read => read?,
        };
        let now = self.0.registry.clock.settled();
        let recent = recent.into_iter();
        Ok(recent.map(|named| usage::consumer(named, now)).collect())
    }
}

#[tonic::async_trait]
impl CredentialService for Credentials {
    async fn validate_credentials(
        &self,
        request: Request<proto::ValidateCredentialsRequest>,
    ) -> Answer<proto::ValidateCredentialsResponse> {
        let caller = Caller::of(&request)?;
        let asked = Asked::of(request.get_ref());
        let answer = self.0.validate(&caller, &asked).await?;
        Ok(Response::new(answer))
    }

    type StreamValidateCredentialsStream = Answers;

    async fn stream_validate_credentials(
        &self,
        request: Request<Streaming<proto::StreamValidateCredentialsRequest>>,
    ) -> Answer<Answers> {
        let caller = Caller::of(&request)?;
        let answers = Answers::new(Arc::clone(&self.0), caller, request.into_inner());
        Ok(Response::new(answers))
    }

    async fn batch_validate_credentials(
        &self,
        request: Request<proto::BatchValidateCredentialsRequest>,
    ) -> Answer<proto::BatchValidateCredentialsResponse> {
        let caller = Caller::of(&request)?;
        let answer = batch::validate(&self.0, &caller, request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    type WatchInvalidationsStream = Pull<InvalidationWatch>;

    async fn watch_invalidations(
        &self,
        request: Request<proto::WatchInvalidationsRequest>,
    ) -> Answer<Self::WatchInvalidationsStream> {
        let caller = Caller::of(&request)?;
        let watch = InvalidationWatch::open(&self.0, caller, request.get_ref())?;
        Ok(Response::new(Pull::new(watch)))
    }

    type HoldConnectionStream = Holding;

    async fn hold_connection(
        &self,
        request: Request<proto::HoldConnectionRequest>,
    ) -> Answer<Holding> {
        let caller = Caller::of(&request)?;
        let cut = request
            .extensions()
            .get::<Peer>()
            .map(|peer| peer.cut.clone());
        let asked = request.into_inner().request;
        let asked = asked.ok_or_else(|| {
            self.0
                .refuse(&caller, Error::invalid("request", "is required"))
        })?;
        let held = hold::hold(&self.0, caller, cut, asked).await?;
        Ok(Response::new(held))
    }

    async fn create_token(
        &self,
        request: Request<proto::CreateTokenRequest>,
    ) -> Answer<proto::CreateTokenResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let created = async {
            let new = token::new_token(request, "")?;
            let once = caller.once(request_id(&request.request_id)?, request.encode_to_vec());
            self.0
                .registry
                .create_token(&caller.call(), new, once)
                .await
        };
        let issued = self.0.settle(&caller, created).await?;
        Ok(Response::new(proto::CreateTokenResponse {
            token: self.token(&issued.token).await,
            basic_authorization: secret::basic_authorization(issued.token.id, &issued.secret),
            secret: issued.secret.reveal().to_owned(),
        }))
    }

    async fn rekey(&self, request: Request<proto::RekeyRequest>) -> Answer<proto::RekeyResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let rekeyed = async {
            let new = secret::new_secret(request)?;
            let once = caller.once(request_id(&request.request_id)?, request.encode_to_vec());
            self.0.registry.rekey(&caller.call(), new, once).await
        };
        let issued = self.0.settle(&caller, rekeyed).await?;
        let old_end = issued
            .token
            .replaced_good_until()
            .map(super::convert::wire_time);
        Ok(Response::new(proto::RekeyResponse {
            token: self.token(&issued.token).await,
            basic_authorization: secret::basic_authorization(issued.token.id, &issued.secret),
            secret: issued.secret.reveal().to_owned(),
            old_secret_good_until: old_end,
        }))
    }

    async fn complete_rekey(
        &self,
        request: Request<proto::CompleteRekeyRequest>,
    ) -> Answer<proto::CompleteRekeyResponse> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let completed = async {
            let idle = secret::idle(&request)?;
            self.0
                .registry
                .complete_rekey(&caller.call(), request.token_id, request.etag, idle)
                .await
        };
        let token = self.0.settle(&caller, completed).await?;
        Ok(Response::new(proto::CompleteRekeyResponse {
            token: self.token(&token).await,
        }))
    }

    async fn cancel_rekey(
        &self,
        request: Request<proto::CancelRekeyRequest>,
    ) -> Answer<proto::CancelRekeyResponse> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let cancelled = async {
            required("token_id", &request.token_id)?;
            self.0
                .registry
                .cancel_rekey(&caller.call(), request.token_id, request.etag)
                .await
        };
        let token = self.0.settle(&caller, cancelled).await?;
        Ok(Response::new(proto::CancelRekeyResponse {
            token: self.token(&token).await,
        }))
    }

    async fn import_token(
        &self,
        request: Request<proto::ImportTokenRequest>,
    ) -> Answer<proto::ImportTokenResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let imported = async {
            let (new, imported) = token::imported(request)?;
            let id = request.token.as_ref().map_or("", |token| &token.request_id);
            let once = caller.once(request_id(id)?, request.encode_to_vec());
            self.0
                .registry
                .import_token(&caller.call(), new, imported, once)
                .await
        };
        let token = self.0.settle(&caller, imported).await?;
        Ok(Response::new(proto::ImportTokenResponse {
            token: self.token(&token).await,
        }))
    }

    async fn get_token(
        &self,
        request: Request<proto::GetTokenRequest>,
    ) -> Answer<proto::GetTokenResponse> {
        let caller = Caller::of(&request)?;
        let id = &request.get_ref().token_id;
        let found = async {
            required("token_id", id)?;
            let token = self.0.registry.get_token(&caller.call(), id).await?;
            self.tokens(&[token]).await
        };
        let mut found = self.0.settle(&caller, found).await?;
        Ok(Response::new(proto::GetTokenResponse {
            token: found.pop(),
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<proto::ListTokensRequest>,
    ) -> Answer<proto::ListTokensResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let listed = async {
            let bound = proto::ListTokensRequest {
                page_size: 0,
                page_token: String::new(),
                ..request.clone()
            };
            let page = page::page("ListTokens", request.page_size, &request.page_token, &bound)?;
            let filter = token::filter(request)?;
            let (call, account) = (caller.call(), &request.account_id);
            let listed = self.0.registry.list_tokens(&call, account, filter, page);
            let paged = listed.await?;
            Ok((self.tokens(&paged.items).await?, paged.next))
        };
        let (tokens, next_page_token) = self.0.settle(&caller, listed).await?;
        Ok(Response::new(proto::ListTokensResponse {
            tokens,
            next_page_token,
        }))
    }

    async fn update_token(
        &self,
        request: Request<proto::UpdateTokenRequest>,
    ) -> Answer<proto::UpdateTokenResponse> {
        let caller = Caller::of(&request)?;
        let updated = async {
            let (named, patch) = token::patch(request.get_ref())?;
            self.0
                .registry
                .update_token(&caller.call(), named.id, named.etag, patch)
                .await
        };
        let token = self.0.settle(&caller, updated).await?;
        Ok(Response::new(proto::UpdateTokenResponse {
            token: self.token(&token).await,
        }))
    }

    async fn deactivate_token(
        &self,
        request: Request<proto::DeactivateTokenRequest>,
    ) -> Answer<proto::DeactivateTokenResponse> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let deactivated = async {
            required("token_id", &request.token_id)?;
            let why = field::free_text(&request.why, limits::DESCRIPTION_CHARS);
            let why = why.map_err(|rule| Error::invalid("why", rule))?;
            let (id, only) = (&request.token_id, request.validate_only);
            let consumers = self.consumers(&caller, id, only).await?;
            let (call, registry) = (caller.call(), &self.0.registry);
            let (id, etag) = (request.token_id, request.etag);
            let deactivated = registry.deactivate_token(&call, id, etag, why, only);
            Ok((deactivated.await?, consumers))
        };
        let (token, consumers) = self.0.settle(&caller, deactivated).await?;
        Ok(Response::new(proto::DeactivateTokenResponse {
            token: self.token(&token).await,
            consumers,
        }))
    }

    async fn reactivate_token(
        &self,
        request: Request<proto::ReactivateTokenRequest>,
    ) -> Answer<proto::ReactivateTokenResponse> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let reactivated = async {
            required("token_id", &request.token_id)?;
            self.0
                .registry
                .reactivate_token(&caller.call(), request.token_id, request.etag)
                .await
        };
        let token = self.0.settle(&caller, reactivated).await?;
        Ok(Response::new(proto::ReactivateTokenResponse {
            token: self.token(&token).await,
        }))
    }

    async fn delete_token(
        &self,
        request: Request<proto::DeleteTokenRequest>,
    ) -> Answer<proto::DeleteTokenResponse> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let deleted = async {
            required("token_id", &request.token_id)?;
            let (id, only) = (&request.token_id, request.validate_only);
            let consumers = self.consumers(&caller, id, only).await?;
            let (call, registry) = (caller.call(), &self.0.registry);
            let (id, etag) = (request.token_id, request.etag);
            let deleted = registry.delete_token(&call, id, etag, only);
            deleted.await.map(|()| consumers)
        };
        let consumers = self.0.settle(&caller, deleted).await?;
        Ok(Response::new(proto::DeleteTokenResponse { consumers }))
    }
}
