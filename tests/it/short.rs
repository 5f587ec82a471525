//! Calls that stories make again and again, in a line each.

#![expect(
    clippy::unwrap_used,
    reason = "a test's help: what is not as it should be ends the test"
)]

use keyward::api::proto::{
    Account, AccountPolicy, CreateAccountKeyRequest, CreatePrincipalRequest, CreateRoleRequest,
    CreateTokenRequest, DeleteTokenRequest, Event, EventType, GetAccountRequest, GetTokenRequest,
    GetUsageRequest, GetUsageResponse, ListTokensRequest, Permission, Principal, PrincipalState,
    ReactivateTokenRequest, RekeyRequest, RekeyResponse, Token, UpdateAccountRequest,
    UpdatePrincipalRequest, UpdateTokenRequest, ValidateCredentialsRequest,
};
use prost_types::FieldMask;
use tonic::Status;

use crate::harness::{Client, Home, Server};

/// A token and the text that its creation showed.
pub(crate) struct Issued {
    pub(crate) id: String,
    pub(crate) text: String,
    /// The ready-made Basic header.
    pub(crate) basic: String,
}

impl Client {
    /// A token that may be made.
    pub(crate) async fn issue(&self, request: CreateTokenRequest) -> Issued {
        let made = self.create(request).await.unwrap();
        Issued {
            id: made.token.unwrap().id,
            text: made.secret,
            basic: made.basic_authorization,
        }
    }

    /// The new text of a token whose grace is the policy's.
    pub(crate) async fn rekey(&self, id: &str) -> Result<RekeyResponse, Status> {
        let request = RekeyRequest {
            token_id: id.into(),
            ..Default::default()
        };
        let answer = self.credentials.clone().rekey(request).await;
        answer.map(tonic::Response::into_inner)
    }

    pub(crate) async fn shown(&self, id: &str) -> Token {
        let request = GetTokenRequest {
            token_id: id.into(),
        };
        let got = self.credentials.clone().get_token(request).await;
        got.unwrap().into_inner().token.unwrap()
    }

    /// The names of the tokens that a list has, in one page.
    pub(crate) async fn listed(&self, request: ListTokensRequest) -> Vec<String> {
        let listed = self.credentials.clone().list_tokens(request).await;
        let tokens = listed.unwrap().into_inner().tokens;
        let mut names: Vec<_> = tokens.into_iter().map(|token| token.name).collect();
        names.sort_unstable();
        names
    }

    pub(crate) async fn update(&self, token: Token, path: &str) -> Result<Token, Status> {
        let request = UpdateTokenRequest {
            token: Some(token),
            update_mask: Some(mask(path)),
        };
        let updated = self.credentials.clone().update_token(request).await?;
        Ok(updated.into_inner().token.unwrap())
    }

    pub(crate) async fn reactivate(&self, id: &str) -> Result<Token, Status> {
        let request = ReactivateTokenRequest {
            token_id: id.into(),
            ..Default::default()
        };
        let resumed = self.credentials.clone().reactivate_token(request).await?;
        Ok(resumed.into_inner().token.unwrap())
    }

    pub(crate) async fn delete(&self, id: &str) -> Result<(), Status> {
        let request = DeleteTokenRequest {
            token_id: id.into(),
            ..Default::default()
        };
        let deleted = self.credentials.clone().delete_token(request).await;
        deleted.map(drop)
    }

    pub(crate) async fn role(&self, account: &str, id: &str, grants: &[&str]) {
        let request = CreateRoleRequest {
            account_id: account.into(),
            role_id: id.into(),
            grants: grants.iter().map(|&grant| grant.into()).collect(),
            ..Default::default()
        };
        self.directory.clone().create_role(request).await.unwrap();
    }

    /// An active principal: an API user with these roles, where it is to be one.
    pub(crate) async fn principal(&self, account: &str, id: &str, api_user: bool, roles: &[&str]) {
        let request = CreatePrincipalRequest {
            account_id: account.into(),
            principal_id: id.into(),
            state: PrincipalState::Active.into(),
            api_user,
            role_ids: roles.iter().map(|&role| role.into()).collect(),
            ..Default::default()
        };
        let made = self.directory.clone().create_principal(request).await;
        made.unwrap();
    }

    /// Changes one value of a principal.
    pub(crate) async fn set_principal(
        &self,
        path: &str,
        principal: Principal,
    ) -> Result<Principal, Status> {
        let request = UpdatePrincipalRequest {
            principal: Some(principal),
            update_mask: Some(mask(path)),
        };
        let changed = self.directory.clone().update_principal(request).await?;
        Ok(changed.into_inner().principal.unwrap())
    }

    pub(crate) async fn set_state(&self, account: &str, id: &str, state: PrincipalState) {
        let principal = Principal {
            account_id: account.into(),
            id: id.into(),
            state: state.into(),
            ..Default::default()
        };
        self.set_principal("state", principal).await.unwrap();
    }

    pub(crate) async fn get_account(&self, id: &str) -> Account {
        let request = GetAccountRequest {
            account_id: id.into(),
        };
        let got = self.directory.clone().get_account(request).await;
        got.unwrap().into_inner().account.unwrap()
    }

    pub(crate) async fn disable_account(&self, id: &str, disabled: bool) {
        let account = Account {
            id: id.into(),
            disabled,
            ..Default::default()
        };
        let request = UpdateAccountRequest {
            account: Some(account),
            update_mask: Some(mask("disabled")),
        };
        let changed = self.directory.clone().update_account(request).await;
        changed.unwrap();
    }

    /// Changes values of an account's policy, each named as in the mask.
    pub(crate) async fn set_policy(&self, id: &str, names: &[&str], policy: AccountPolicy) {
        let account = Account {
            id: id.into(),
            policy: Some(policy),
            ..Default::default()
        };
        let paths = names.iter().map(|name| format!("policy.{name}")).collect();
        let request = UpdateAccountRequest {
            account: Some(account),
            update_mask: Some(FieldMask { paths }),
        };
        let changed = self.directory.clone().update_account(request).await;
        changed.unwrap();
    }

    pub(crate) async fn account_key(&self, id: &str) -> Result<String, Status> {
        let request = CreateAccountKeyRequest {
            account_id: id.into(),
        };
        let made = self.directory.clone().create_account_key(request).await?;
        Ok(made.into_inner().account.unwrap().account_key)
    }

    /// An account's day, and that of each of its tokens.
    pub(crate) async fn page(&self, account: &str) -> GetUsageResponse {
        let request = GetUsageRequest {
            account_id: account.into(),
            ..Default::default()
        };
        let page = self.usage.clone().get_usage(request).await;
        page.unwrap().into_inner()
    }

    /// Events about a token and so on, of one type, the oldest first.
    pub(crate) async fn told(&self, subject: &str, kind: EventType) -> Vec<Event> {
        let mut events = self.events_of(subject).await;
        events.retain(|event| event.r#type() == kind);
        events.reverse();
        events
    }
}

/// A node with the account `acme`, made of a preset, and its first operator.
pub(crate) async fn acme(preset: &str) -> (Home, Server, Client) {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", preset).await;
    (home, server, operator)
}

/// A request to do something, as whoever presents this text.
pub(crate) fn about_to(text: &str, resource: &str, action: &str) -> ValidateCredentialsRequest {
    ValidateCredentialsRequest {
        required: Some(Permission {
            resource: resource.into(),
            action: action.into(),
        }),
        ..crate::harness::presenting(text)
    }
}

pub(crate) fn mask(path: &str) -> FieldMask {
    FieldMask {
        paths: vec![path.into()],
    }
}
