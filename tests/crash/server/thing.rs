//! What is made once and stays: accounts, principals and roles.

use keyward::api::proto::{self, EventType};
use tonic::Status;

use super::SHARED;
use super::client::{Client, absent_or};

#[derive(Clone, Debug)]
pub(super) enum Thing {
    Account(String),
    Principal(String),
    Role(String),
}

impl Thing {
    /// What it is called, and what the audit log says of its making.
    pub(super) fn id_and_event(self) -> (String, EventType) {
        match self {
            Self::Account(id) => (id, EventType::AccountCreated),
            Self::Principal(id) => (id, EventType::PrincipalCreated),
            Self::Role(id) => (id, EventType::RoleCreated),
        }
    }

    pub(super) async fn make(&self, client: &mut Client) -> Result<(), Status> {
        let directory = &mut client.directory;
        match self.clone() {
            Self::Account(account_id) => {
                let request = proto::CreateAccountRequest {
                    account_id,
                    ..Default::default()
                };
                directory.create_account(request).await?;
            }
            Self::Principal(principal_id) => {
                let account_id = SHARED.to_owned();
                let request = proto::CreatePrincipalRequest {
                    account_id,
                    principal_id,
                    ..Default::default()
                };
                directory.create_principal(request).await?;
            }
            Self::Role(role_id) => {
                let account_id = SHARED.to_owned();
                let grants = vec!["tables/*:read".to_owned()];
                let request = proto::CreateRoleRequest {
                    account_id,
                    role_id,
                    grants,
                    ..Default::default()
                };
                directory.create_role(request).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn is_there(&self, client: &mut Client) -> Result<bool, Status> {
        let directory = &mut client.directory;
        let account_id = SHARED.to_owned();
        match self.clone() {
            Self::Account(account_id) => {
                let request = proto::GetAccountRequest { account_id };
                absent_or(directory.get_account(request).await).map(|found| found.is_some())
            }
            Self::Principal(principal_id) => {
                let request = proto::GetPrincipalRequest {
                    account_id,
                    principal_id,
                };
                absent_or(directory.get_principal(request).await).map(|found| found.is_some())
            }
            Self::Role(role_id) => {
                let request = proto::GetRoleRequest {
                    account_id,
                    role_id,
                };
                absent_or(directory.get_role(request).await).map(|found| found.is_some())
            }
        }
    }
}
