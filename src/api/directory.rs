//! DirectoryService: accounts, principals and roles.

use std::sync::Arc;

use prost::Message as _;
use tonic::{Request, Response};

use super::convert::{self, directory as wire, page, request_id, required};
use super::gate::Caller;
use super::proto;
use super::proto::directory_service_server::DirectoryService;
use super::{Answer, Desk};

#[derive(Debug)]
pub(super) struct Directory(pub(super) Arc<Desk>);

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn create_account(
        &self,
        request: Request<proto::CreateAccountRequest>,
    ) -> Answer<proto::CreateAccountResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let created = async {
            let new = convert::account::new_account(request)?;
            let once = caller.once(request_id(&request.request_id)?, request.encode_to_vec());
            self.0
                .registry
                .create_account(&caller.call(), new, once)
                .await
        };
        let account = self.0.settle(&caller, created).await?;
        Ok(Response::new(proto::CreateAccountResponse {
            account: Some(convert::account::wire(&account)),
        }))
    }

    async fn get_account(
        &self,
        request: Request<proto::GetAccountRequest>,
    ) -> Answer<proto::GetAccountResponse> {
        let caller = Caller::of(&request)?;
        let (call, id) = (caller.call(), &request.get_ref().account_id);
        let found = self.0.registry.get_account(&call, id);
        let account = self.0.settle(&caller, found).await?;
        Ok(Response::new(proto::GetAccountResponse {
            account: Some(convert::account::wire(&account)),
        }))
    }

    async fn list_accounts(
        &self,
        request: Request<proto::ListAccountsRequest>,
    ) -> Answer<proto::ListAccountsResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let listed = async {
            let bound = proto::ListAccountsRequest::default();
            let page = page::page(
                "ListAccounts",
                request.page_size,
                &request.page_token,
                &bound,
            )?;
            self.0.registry.list_accounts(&caller.call(), page).await
        };
        let paged = self.0.settle(&caller, listed).await?;
        Ok(Response::new(proto::ListAccountsResponse {
            accounts: paged.items.iter().map(convert::account::wire).collect(),
            next_page_token: paged.next,
        }))
    }

    async fn update_account(
        &self,
        request: Request<proto::UpdateAccountRequest>,
    ) -> Answer<proto::UpdateAccountResponse> {
        let caller = Caller::of(&request)?;
        let updated = async {
            let (named, patch) = convert::account::patch(request.get_ref())?;
            self.0
                .registry
                .update_account(&caller.call(), &named.id, named.etag, patch)
                .await
        };
        let account = self.0.settle(&caller, updated).await?;
        Ok(Response::new(proto::UpdateAccountResponse {
            account: Some(convert::account::wire(&account)),
        }))
    }

    async fn create_account_key(
        &self,
        request: Request<proto::CreateAccountKeyRequest>,
    ) -> Answer<proto::CreateAccountKeyResponse> {
        let caller = Caller::of(&request)?;
        let (call, id) = (caller.call(), &request.get_ref().account_id);
        let created = self.0.registry.create_account_key(&call, id);
        let account = self.0.settle(&caller, created).await?;
        Ok(Response::new(proto::CreateAccountKeyResponse {
            account: Some(convert::account::wire(&account)),
        }))
    }

    async fn create_principal(
        &self,
        request: Request<proto::CreatePrincipalRequest>,
    ) -> Answer<proto::CreatePrincipalResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let created = async {
            let (new, id) = wire::new_principal(request)?;
            let once = caller.once(id, request.encode_to_vec());
            self.0
                .registry
                .create_principal(&caller.call(), &request.account_id, new, once)
                .await
        };
        let principal = self.0.settle(&caller, created).await?;
        Ok(Response::new(proto::CreatePrincipalResponse {
            principal: Some(wire::wire_principal(&principal)),
        }))
    }

    async fn get_principal(
        &self,
        request: Request<proto::GetPrincipalRequest>,
    ) -> Answer<proto::GetPrincipalResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let found = async {
            required("principal_id", &request.principal_id)?;
            self.0
                .registry
                .get_principal(&caller.call(), &request.account_id, &request.principal_id)
                .await
        };
        let principal = self.0.settle(&caller, found).await?;
        Ok(Response::new(proto::GetPrincipalResponse {
            principal: Some(wire::wire_principal(&principal)),
        }))
    }

    async fn list_principals(
        &self,
        request: Request<proto::ListPrincipalsRequest>,
    ) -> Answer<proto::ListPrincipalsResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let listed = async {
            let bound = proto::ListPrincipalsRequest {
                page_size: 0,
                page_token: String::new(),
                ..request.clone()
            };
            let page = page::page(
                "ListPrincipals",
                request.page_size,
                &request.page_token,
                &bound,
            )?;
            let only = request.api_users_only;
            self.0
                .registry
                .list_principals(&caller.call(), &request.account_id, only, page)
                .await
        };
        let paged = self.0.settle(&caller, listed).await?;
        Ok(Response::new(proto::ListPrincipalsResponse {
            principals: paged.items.iter().map(wire::wire_principal).collect(),
            next_page_token: paged.next,
        }))
    }

    async fn update_principal(
        &self,
        request: Request<proto::UpdatePrincipalRequest>,
    ) -> Answer<proto::UpdatePrincipalResponse> {
        let caller = Caller::of(&request)?;
        let updated = async {
            let (named, patch) = wire::principal_patch(request.get_ref())?;
            let call = caller.call();
            self.0
                .registry
                .update_principal(&call, &named.account_id, &named.id, named.etag, patch)
                .await
        };
        let principal = self.0.settle(&caller, updated).await?;
        Ok(Response::new(proto::UpdatePrincipalResponse {
            principal: Some(wire::wire_principal(&principal)),
        }))
    }

    async fn create_role(
        &self,
        request: Request<proto::CreateRoleRequest>,
    ) -> Answer<proto::CreateRoleResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let created = async {
            let (new, id) = wire::new_role(request)?;
            let once = caller.once(id, request.encode_to_vec());
            self.0
                .registry
                .create_role(&caller.call(), &request.account_id, new, once)
                .await
        };
        let role = self.0.settle(&caller, created).await?;
        Ok(Response::new(proto::CreateRoleResponse {
            role: Some(wire::wire_role(&role)),
        }))
    }

    async fn get_role(
        &self,
        request: Request<proto::GetRoleRequest>,
    ) -> Answer<proto::GetRoleResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let found = async {
            required("role_id", &request.role_id)?;
            self.0
                .registry
                .get_role(&caller.call(), &request.account_id, &request.role_id)
                .await
        };
        let role = self.0.settle(&caller, found).await?;
        Ok(Response::new(proto::GetRoleResponse {
            role: Some(wire::wire_role(&role)),
        }))
    }

    async fn list_roles(
        &self,
        request: Request<proto::ListRolesRequest>,
    ) -> Answer<proto::ListRolesResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let listed = async {
            let bound = proto::ListRolesRequest {
                page_size: 0,
                page_token: String::new(),
                ..request.clone()
            };
            let page = page::page("ListRoles", request.page_size, &request.page_token, &bound)?;
            self.0
                .registry
                .list_roles(&caller.call(), &request.account_id, page)
                .await
        };
        let paged = self.0.settle(&caller, listed).await?;
        Ok(Response::new(proto::ListRolesResponse {
            roles: paged.items.iter().map(wire::wire_role).collect(),
            next_page_token: paged.next,
        }))
    }

    async fn update_role(
        &self,
        request: Request<proto::UpdateRoleRequest>,
    ) -> Answer<proto::UpdateRoleResponse> {
        let caller = Caller::of(&request)?;
        let updated = async {
            let (named, patch) = wire::role_patch(request.get_ref())?;
            let call = caller.call();
            self.0
                .registry
                .update_role(&call, &named.account_id, &named.id, named.etag, patch)
                .await
        };
        let role = self.0.settle(&caller, updated).await?;
        Ok(Response::new(proto::UpdateRoleResponse {
            role: Some(wire::wire_role(&role)),
        }))
    }

    async fn delete_role(
        &self,
        request: Request<proto::DeleteRoleRequest>,
    ) -> Answer<proto::DeleteRoleResponse> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let deleted = async {
            required("role_id", &request.role_id)?;
            let call = caller.call();
            self.0
                .registry
                .delete_role(&call, &request.account_id, &request.role_id, request.etag)
                .await
        };
        self.0.settle(&caller, deleted).await?;
        Ok(Response::new(proto::DeleteRoleResponse {}))
    }
}
