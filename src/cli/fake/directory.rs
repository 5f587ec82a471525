//! The fake's directory: whatever is asked for is there.

use tonic::{Request, Response};

use super::{Answer, Fake, admit};
use crate::api::proto::directory_service_server::DirectoryService;
use crate::api::proto::*;

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
