//! Each change as a call of the real client.

use keyward::api::proto::{self, Principal as WirePrincipal};
use tonic::Status;

use super::real::Known;
use super::steps::{PrincipalChange, Step, TokenChange};
use super::wire::{
    account_id, at, mask, networks, policy, principal_id, rate, role_id, span, standing, texts,
};
use crate::harness::Client;

impl Known {
    pub(super) async fn change(
        &mut self,
        operator: &Client,
        step: &Step,
        now: i64,
    ) -> Result<(), Status> {
        match step {
            Step::MakeToken(..) | Step::Rekey { .. } => self.issue(operator, step).await,
            Step::SetToken(token, change) => self.set_token(operator, *token, change, now).await,
            Step::CompleteRekey(token)
            | Step::CancelRekey(token)
            | Step::Deactivate(token)
            | Step::Reactivate(token)
            | Step::Delete(token) => {
                let token_id = self.ids[*token].clone();
                life(operator, step, token_id).await
            }
            Step::AccountKey(a) => {
                let request = proto::CreateAccountKeyRequest {
                    account_id: account_id(*a),
                };
                let made = operator
                    .directory
                    .clone()
                    .create_account_key(request)
                    .await?;
                let account = made.into_inner().account.unwrap_or_default();
                self.keys.insert(*a, account.account_key);
                Ok(())
            }
            _ => directory(operator, step).await,
        }
    }

    async fn issue(&mut self, operator: &Client, step: &Step) -> Result<(), Status> {
        let mut credentials = operator.credentials.clone();
        match step {
            Step::MakeToken(a, make) => {
                let request = proto::CreateTokenRequest {
                    account_id: account_id(*a),
                    name: "token".into(),
                    principal_id: make.principal.map(principal_id).unwrap_or_default(),
                    access: i32::from(make.read_only) + 1,
                    grants: texts(make.grants),
                    allowed_networks: networks(make.networks),
                    rate_limit: make.rate.map(rate),
                    max_connections: make.connections,
                    expiry: make
                        .ttl
                        .map(|ttl| proto::create_token_request::Expiry::Ttl(span(ttl))),
                    ..Default::default()
                };
                let made = credentials.create_token(request).await?.into_inner();
                self.texts.insert((self.ids.len(), 1), made.secret);
                self.ids.push(made.token.unwrap_or_default().id);
            }
            Step::Rekey {
                token,
                grace,
                on_first_use,
            } => {
                let request = proto::RekeyRequest {
                    token_id: self.ids[*token].clone(),
                    grace: grace.map(span),
                    activation: i32::from(*on_first_use) + 1,
                    ..Default::default()
                };
                let made = credentials.rekey(request).await?.into_inner();
                let versions = made.token.unwrap_or_default().secrets;
                let newest = versions.iter().map(|secret| secret.version).max();
                self.texts
                    .insert((*token, newest.unwrap_or_default()), made.secret);
            }
            other => unreachable!("{other:?}"),
        }
        Ok(())
    }

    async fn set_token(
        &self,
        operator: &Client,
        token: usize,
        change: &TokenChange,
        now: i64,
    ) -> Result<(), Status> {
        let mut to = proto::Token {
            id: self.ids[token].clone(),
            ..Default::default()
        };
        let path = match change {
            TokenChange::Name => {
                to.name = "another name".into();
                "name"
            }
            TokenChange::Principal(principal) => {
                to.principal_id = principal.map(principal_id).unwrap_or_default();
                "principal_id"
            }
            TokenChange::Expire(ttl) => {
                to.expire_time = ttl.map(|ttl| at(now + ttl));
                "expire_time"
            }
            TokenChange::ReadOnly(read_only) => {
                to.access = i32::from(*read_only) + 1;
                "access"
            }
            TokenChange::Grants(grants) => {
                to.grants = texts(grants);
                "grants"
            }
            TokenChange::Connections(most) => {
                to.max_connections = *most;
                "max_connections"
            }
            TokenChange::Networks(some) => {
                to.allowed_networks = networks(*some);
                "allowed_networks"
            }
        };
        let request = proto::UpdateTokenRequest {
            token: Some(to),
            update_mask: Some(mask(path)),
        };
        operator
            .credentials
            .clone()
            .update_token(request)
            .await
            .map(drop)
    }
}

async fn life(operator: &Client, step: &Step, token_id: String) -> Result<(), Status> {
    let mut credentials = operator.credentials.clone();
    match step {
        Step::CompleteRekey(_) => {
            let request = proto::CompleteRekeyRequest {
                token_id,
                ..Default::default()
            };
            credentials.complete_rekey(request).await.map(drop)
        }
        Step::CancelRekey(_) => {
            let request = proto::CancelRekeyRequest {
                token_id,
                ..Default::default()
            };
            credentials.cancel_rekey(request).await.map(drop)
        }
        Step::Deactivate(_) => {
            let request = proto::DeactivateTokenRequest {
                token_id,
                ..Default::default()
            };
            credentials.deactivate_token(request).await.map(drop)
        }
        Step::Reactivate(_) => {
            let request = proto::ReactivateTokenRequest {
                token_id,
                ..Default::default()
            };
            credentials.reactivate_token(request).await.map(drop)
        }
        _ => {
            let request = proto::DeleteTokenRequest {
                token_id,
                ..Default::default()
            };
            credentials.delete_token(request).await.map(drop)
        }
    }
}

pub(super) async fn directory(operator: &Client, step: &Step) -> Result<(), Status> {
    let mut directory = operator.directory.clone();
    match step {
        Step::Disable(a, disabled) => {
            let account = proto::Account {
                id: account_id(*a),
                disabled: *disabled,
                ..Default::default()
            };
            let request = proto::UpdateAccountRequest {
                account: Some(account),
                update_mask: Some(mask("disabled")),
            };
            directory.update_account(request).await.map(drop)
        }
        Step::Policy(a, change) => {
            let (path, policy) = policy(*change);
            let account = proto::Account {
                id: account_id(*a),
                policy: Some(policy),
                ..Default::default()
            };
            let request = proto::UpdateAccountRequest {
                account: Some(account),
                update_mask: Some(mask(&format!("policy.{path}"))),
            };
            directory.update_account(request).await.map(drop)
        }
        Step::MakeRole(a, n, grants) => {
            let request = proto::CreateRoleRequest {
                account_id: account_id(*a),
                role_id: role_id(n),
                grants: texts(grants),
                ..Default::default()
            };
            directory.create_role(request).await.map(drop)
        }
        Step::SetRole(a, n, grants) => {
            let role = proto::Role {
                account_id: account_id(*a),
                id: role_id(n),
                grants: texts(grants),
                ..Default::default()
            };
            let request = proto::UpdateRoleRequest {
                role: Some(role),
                update_mask: Some(mask("grants")),
            };
            directory.update_role(request).await.map(drop)
        }
        Step::DeleteRole(a, n) => {
            let request = proto::DeleteRoleRequest {
                account_id: account_id(*a),
                role_id: role_id(n),
                ..Default::default()
            };
            directory.delete_role(request).await.map(drop)
        }
        Step::MakePrincipal(a, n, principal) => {
            let request = proto::CreatePrincipalRequest {
                account_id: account_id(*a),
                principal_id: principal_id(*n),
                state: standing(principal.standing).into(),
                api_user: principal.api_user,
                role_ids: principal.roles.iter().map(role_id).collect(),
                ..Default::default()
            };
            directory.create_principal(request).await.map(drop)
        }
        Step::SetPrincipal(a, n, change) => {
            let mut to = WirePrincipal {
                account_id: account_id(*a),
                id: principal_id(*n),
                ..Default::default()
            };
            let path = match change {
                PrincipalChange::Standing(state) => {
                    to.state = standing(*state).into();
                    "state"
                }
                PrincipalChange::ApiUser(is) => {
                    to.api_user = *is;
                    "api_user"
                }
                PrincipalChange::Roles(roles) => {
                    to.role_ids = roles.iter().map(role_id).collect();
                    "role_ids"
                }
            };
            let request = proto::UpdatePrincipalRequest {
                principal: Some(to),
                update_mask: Some(mask(path)),
            };
            directory.update_principal(request).await.map(drop)
        }
        other => unreachable!("{other:?}"),
    }
}
