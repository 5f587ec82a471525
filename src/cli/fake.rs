//! A server for tests that answers by the request alone: enough of the contract to prove the command line end to end.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::api::proto::credential_service_server::{CredentialService, CredentialServiceServer};
use crate::api::proto::directory_service_server::{DirectoryService, DirectoryServiceServer};
use crate::api::proto::event_service_server::{EventService, EventServiceServer};
use crate::api::proto::validate_credentials_request::Presented;
use crate::api::proto::*;

/// What the fake wants from its callers.
pub(crate) const OPERATOR: &str = "the-operator";
/// What it issues.
pub(crate) const SECRET: &str = "kw_dev_fresh";
/// How many tokens it lists.
pub(crate) const TOKENS: usize = 250;
/// The token whose calls are never answered.
pub(crate) const SILENT: &str = "silent";

/// Starts the fake on a port of its own, for as long as the test process lives.
pub(crate) fn start() -> SocketAddr {
    let (ready, address) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            ready.send(listener.local_addr().unwrap()).unwrap();
            let (reporter, health) = tonic_health::server::health_reporter();
            reporter
                .set_serving::<CredentialServiceServer<Fake>>()
                .await;
            reporter.set_not_serving::<EventServiceServer<Fake>>().await;
            let incoming = TcpListenerStream::new(listener)
                .map(|socket| socket.inspect(|socket| socket.set_nodelay(true).unwrap()));
            Server::builder()
                .add_service(health)
                .add_service(CredentialServiceServer::new(Fake))
                .add_service(DirectoryServiceServer::new(Fake))
                .add_service(EventServiceServer::new(Fake))
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
    });
    address.recv().unwrap()
}

struct Fake;

type Answer<T> = Result<Response<T>, Status>;

/// The request of an operator, else why not.
fn admit<T>(request: Request<T>) -> Result<T, Status> {
    match request.metadata().get("authorization") {
        Some(value) if value == format!("Bearer {OPERATOR}").as_str() => Ok(request.into_inner()),
        Some(_) => {
            let info = [("grant".to_owned(), "keyward/tokens:write".to_owned())];
            let details = ErrorDetails::with_error_info("GRANT_MISSING", "keyward.v1", info);
            Err(called(Status::with_error_details(
                Code::PermissionDenied,
                "not you",
                details,
            )))
        }
        None => Err(called(Status::unauthenticated("who are you?"))),
    }
}

fn called(mut status: Status) -> Status {
    status
        .metadata_mut()
        .insert("x-request-id", "call-1".parse().unwrap());
    status
}

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
        }))
    }

    async fn delete_token(
        &self,
        request: Request<DeleteTokenRequest>,
    ) -> Answer<DeleteTokenResponse> {
        admit(request)?;
        Ok(Response::new(DeleteTokenResponse {}))
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

fn account(id: &str) -> Account {
    Account {
        id: id.into(),
        display_name: "Acme".into(),
        ..Account::default()
    }
}

fn principal(id: &str) -> Principal {
    Principal {
        id: id.into(),
        state: PrincipalState::Active.into(),
        ..Principal::default()
    }
}

fn role(id: &str) -> Role {
    Role {
        id: id.into(),
        grants: vec!["dispatch".into()],
        ..Role::default()
    }
}

#[tonic::async_trait]
impl DirectoryService for Fake {
    async fn create_account(
        &self,
        request: Request<CreateAccountRequest>,
    ) -> Answer<CreateAccountResponse> {
        let request = admit(request)?;
        Ok(Response::new(CreateAccountResponse {
            account: Some(account(&request.account_id)),
        }))
    }

    async fn get_account(&self, request: Request<GetAccountRequest>) -> Answer<GetAccountResponse> {
        let request = admit(request)?;
        Ok(Response::new(GetAccountResponse {
            account: Some(account(&request.account_id)),
        }))
    }

    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Answer<ListAccountsResponse> {
        admit(request)?;
        let accounts = vec![account("acme"), account("system")];
        Ok(Response::new(ListAccountsResponse {
            accounts,
            next_page_token: String::new(),
        }))
    }

    async fn update_account(
        &self,
        request: Request<UpdateAccountRequest>,
    ) -> Answer<UpdateAccountResponse> {
        let request = admit(request)?;
        Ok(Response::new(UpdateAccountResponse {
            account: request.account,
        }))
    }

    async fn create_account_key(
        &self,
        request: Request<CreateAccountKeyRequest>,
    ) -> Answer<CreateAccountKeyResponse> {
        let request = admit(request)?;
        let account = Account {
            account_key: "ak1".into(),
            ..account(&request.account_id)
        };
        Ok(Response::new(CreateAccountKeyResponse {
            account: Some(account),
        }))
    }

    async fn create_principal(
        &self,
        request: Request<CreatePrincipalRequest>,
    ) -> Answer<CreatePrincipalResponse> {
        let request = admit(request)?;
        let principal = Some(principal(&request.principal_id));
        Ok(Response::new(CreatePrincipalResponse { principal }))
    }

    async fn get_principal(
        &self,
        request: Request<GetPrincipalRequest>,
    ) -> Answer<GetPrincipalResponse> {
        let request = admit(request)?;
        let principal = Some(principal(&request.principal_id));
        Ok(Response::new(GetPrincipalResponse { principal }))
    }

    async fn list_principals(
        &self,
        request: Request<ListPrincipalsRequest>,
    ) -> Answer<ListPrincipalsResponse> {
        admit(request)?;
        let principals = vec![principal("p1")];
        Ok(Response::new(ListPrincipalsResponse {
            principals,
            next_page_token: String::new(),
        }))
    }

    async fn update_principal(
        &self,
        request: Request<UpdatePrincipalRequest>,
    ) -> Answer<UpdatePrincipalResponse> {
        let request = admit(request)?;
        Ok(Response::new(UpdatePrincipalResponse {
            principal: request.principal,
        }))
    }

    async fn create_role(&self, request: Request<CreateRoleRequest>) -> Answer<CreateRoleResponse> {
        let request = admit(request)?;
        Ok(Response::new(CreateRoleResponse {
            role: Some(role(&request.role_id)),
        }))
    }

    async fn get_role(&self, request: Request<GetRoleRequest>) -> Answer<GetRoleResponse> {
        let request = admit(request)?;
        Ok(Response::new(GetRoleResponse {
            role: Some(role(&request.role_id)),
        }))
    }

    async fn list_roles(&self, request: Request<ListRolesRequest>) -> Answer<ListRolesResponse> {
        admit(request)?;
        // The same page again and again: what a broken server may do.
        Ok(Response::new(ListRolesResponse {
            roles: Vec::new(),
            next_page_token: "again".into(),
        }))
    }

    async fn update_role(&self, request: Request<UpdateRoleRequest>) -> Answer<UpdateRoleResponse> {
        let request = admit(request)?;
        Ok(Response::new(UpdateRoleResponse { role: request.role }))
    }

    async fn delete_role(&self, request: Request<DeleteRoleRequest>) -> Answer<DeleteRoleResponse> {
        admit(request)?;
        Ok(Response::new(DeleteRoleResponse {}))
    }
}

#[tonic::async_trait]
impl EventService for Fake {
    async fn list_events(&self, request: Request<ListEventsRequest>) -> Answer<ListEventsResponse> {
        let request = admit(request)?;
        let newest: u64 = request.page_token.parse().unwrap_or(1000);
        let size = u64::try_from(request.page_size).unwrap();
        let events = (newest.saturating_sub(size)..newest)
            .rev()
            .map(|sequence| Event {
                sequence,
                r#type: EventType::TokenCreated.into(),
                actor: "op".into(),
                ..Event::default()
            });
        let next = newest.saturating_sub(size);
        let next_page_token = if next > 0 {
            next.to_string()
        } else {
            String::new()
        };
        Ok(Response::new(ListEventsResponse {
            events: events.collect(),
            next_page_token,
        }))
    }

    async fn verify_events(
        &self,
        request: Request<VerifyEventsRequest>,
    ) -> Answer<VerifyEventsResponse> {
        let request = admit(request)?;
        Ok(Response::new(VerifyEventsResponse {
            checked: 10,
            intact: request.from_sequence == 0,
            first_bad_sequence: request.from_sequence,
            detail: "told".into(),
        }))
    }
}
