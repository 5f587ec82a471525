//! Tokens of the fake: `t1` is there, any other is not; 250 are listed.

use std::time::Duration;

use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::usage::consumer;
use super::{Answer, Fake, admit, called};
use crate::api::proto::credential_service_server::CredentialService;
use crate::api::proto::validate_credentials_request::Presented;
use crate::api::proto::*;

/// What it issues.
pub(crate) const SECRET: &str = "kw_dev_fresh";
/// How many tokens it lists.
pub(crate) const TOKENS: usize = 250;
/// The token whose calls are never answered.
pub(crate) const SILENT: &str = "silent";

fn token(id: &str) -> Token {
    Token {
        id: id.into(),
        account_id: "acme".into(),
        name: "evil\u{1b}[2J".into(),
        access: Access::Full.into(),
        state: TokenState::Active.into(),
        secrets: vec![SecretVersion {
            version: 1,
            state: SecretState::Current.into(),
            hint: "wxyz".into(),
            ..SecretVersion::default()
        }],
        ..Token::default()
    }
}

#[tonic::async_trait]
impl CredentialService for Fake {
    type HoldConnectionStream =
        tokio_stream::Iter<std::vec::IntoIter<Result<HoldConnectionResponse, Status>>>;

    /// Held by whoever presents `good`, and withdrawn at once.
    async fn hold_connection(
        &self,
        request: Request<HoldConnectionRequest>,
    ) -> Answer<Self::HoldConnectionStream> {
        let asked = admit(request)?.request.unwrap_or_default();
        let message = |decision: Decision, reason: DenyReason| {
            Ok(HoldConnectionResponse {
                response: Some(ValidateCredentialsResponse {
                    decision: decision.into(),
                    reason: reason.into(),
                    detail: "told".into(),
                    ..ValidateCredentialsResponse::default()
                }),
                held: 1,
                limit: 3,
            })
        };
        let messages = match &asked.presented {
            Some(Presented::Token(text)) if text == "good" => vec![
                message(Decision::Allow, DenyReason::Unspecified),
                message(Decision::Deny, DenyReason::Inactive),
            ],
            _ => vec![message(Decision::Deny, DenyReason::Unknown)],
        };
        Ok(Response::new(tokio_stream::iter(messages)))
    }

    async fn validate_credentials(
        &self,
        request: Request<ValidateCredentialsRequest>,
    ) -> Answer<ValidateCredentialsResponse> {
        let request = admit(request)?;
        let step = |passed| Step {
            rule: "secret".into(),
            passed,
            detail: "compared".into(),
        };
        let answer = |allowed: bool| ValidateCredentialsResponse {
            decision: if allowed {
                Decision::Allow
            } else {
                Decision::Deny
            }
            .into(),
            reason: if allowed {
                DenyReason::Unspecified
            } else {
                DenyReason::Unknown
            }
            .into(),
            detail: "told".into(),
            steps: if request.dry_run {
                vec![step(allowed)]
            } else {
                Vec::new()
            },
            ..ValidateCredentialsResponse::default()
        };
        match &request.presented {
            Some(Presented::Token(text)) if text == "good" => Ok(Response::new(answer(true))),
            Some(Presented::Token(text)) if text == "away" => {
                let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(1)));
                let status = Status::with_error_details(Code::Unavailable, "store away", details);
                Err(called(status))
            }
            _ => Ok(Response::new(answer(false))),
        }
    }

    type StreamValidateCredentialsStream =
        tokio_stream::Empty<Result<StreamValidateCredentialsResponse, Status>>;

    async fn stream_validate_credentials(
        &self,
        _: Request<tonic::Streaming<StreamValidateCredentialsRequest>>,
    ) -> Answer<Self::StreamValidateCredentialsStream> {
        Err(Status::unimplemented("no verb asks for it"))
    }

    async fn batch_validate_credentials(
        &self,
        _: Request<BatchValidateCredentialsRequest>,
    ) -> Answer<BatchValidateCredentialsResponse> {
        Err(Status::unimplemented("no verb asks for it"))
    }

    type WatchInvalidationsStream = tokio_stream::Empty<Result<WatchInvalidationsResponse, Status>>;

    async fn watch_invalidations(
        &self,
        request: Request<WatchInvalidationsRequest>,
    ) -> Answer<Self::WatchInvalidationsStream> {
        admit(request)?;
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Answer<CreateTokenResponse> {
        let request = admit(request)?;
        if request.name.is_empty() {
            let details = ErrorDetails::with_bad_request_violation("name", "1 to 200 characters");
            let status = Status::with_error_details(Code::InvalidArgument, "not valid", details);
            return Err(called(status));
        }
        Ok(Response::new(CreateTokenResponse {
            token: Some(token("t1")),
            secret: SECRET.into(),
            basic_authorization: "Basic abc".into(),
        }))
    }

    async fn rekey(&self, request: Request<RekeyRequest>) -> Answer<RekeyResponse> {
        let request = admit(request)?;
        if request.token_id == SILENT {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(RekeyResponse {
            token: Some(token(&request.token_id)),
            secret: SECRET.into(),
            ..RekeyResponse::default()
        }))
    }

    async fn get_token(&self, request: Request<GetTokenRequest>) -> Answer<GetTokenResponse> {
        let request = admit(request)?;
        if request.token_id != "t1" {
            return Err(called(Status::not_found("no such token")));
        }
        Ok(Response::new(GetTokenResponse {
            token: Some(token("t1")),
        }))
    }

    async fn list_tokens(&self, request: Request<ListTokensRequest>) -> Answer<ListTokensResponse> {
        let request = admit(request)?;
        let from: usize = request.page_token.parse().unwrap_or(0);
        let to = TOKENS.min(from + usize::try_from(request.page_size).unwrap());
        let next = if to < TOKENS {
            to.to_string()
        } else {
            String::new()
        };
        Ok(Response::new(ListTokensResponse {
            tokens: (from..to).map(|n| token(&format!("t{n}"))).collect(),
            next_page_token: next,
        }))
    }

    async fn deactivate_token(
        &self,
        request: Request<DeactivateTokenRequest>,
    ) -> Answer<DeactivateTokenResponse> {
        let request = admit(request)?;
        let state = TokenState::Inactive.into();
        let token = Token {
            state,
            ..token(&request.token_id)
        };
        Ok(Response::new(DeactivateTokenResponse {
            token: Some(token),
            consumers: vec![consumer()],
        }))
    }

    async fn delete_token(
        &self,
        request: Request<DeleteTokenRequest>,
    ) -> Answer<DeleteTokenResponse> {
        admit(request)?;
        Ok(Response::new(DeleteTokenResponse {
            consumers: vec![consumer()],
        }))
    }

    async fn complete_rekey(
        &self,
        request: Request<CompleteRekeyRequest>,
    ) -> Answer<CompleteRekeyResponse> {
        let request = admit(request)?;
        Ok(Response::new(CompleteRekeyResponse {
            token: Some(token(&request.token_id)),
        }))
    }

    async fn cancel_rekey(
        &self,
        request: Request<CancelRekeyRequest>,
    ) -> Answer<CancelRekeyResponse> {
        let request = admit(request)?;
        Ok(Response::new(CancelRekeyResponse {
            token: Some(token(&request.token_id)),
        }))
    }

    async fn import_token(
        &self,
        request: Request<ImportTokenRequest>,
    ) -> Answer<ImportTokenResponse> {
        admit(request)?;
        Ok(Response::new(ImportTokenResponse {
            token: Some(Token {
                imported: true,
                ..token("t1")
            }),
        }))
    }

    async fn update_token(
        &self,
        request: Request<UpdateTokenRequest>,
    ) -> Answer<UpdateTokenResponse> {
        let request = admit(request)?;
        Ok(Response::new(UpdateTokenResponse {
            token: request.token,
        }))
    }

    async fn reactivate_token(
        &self,
        request: Request<ReactivateTokenRequest>,
    ) -> Answer<ReactivateTokenResponse> {
        let request = admit(request)?;
        Ok(Response::new(ReactivateTokenResponse {
            token: Some(token(&request.token_id)),
        }))
    }
}
