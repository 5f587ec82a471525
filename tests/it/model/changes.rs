//! Each change as a call of the real client.

use keyward::api::proto::{self, Principal as WirePrincipal};
use sha2::{Digest as _, Sha256};
use tonic::Status;

use super::real::{Known, make_account};
use super::steps::{Make, PrincipalChange, Step, TokenChange};
use super::wire::{
    account_id, at, foreign, labels, mask, networks, policy, principal_id, rate, role_id, span,
    standing, texts,
};
use super::world::{Account, Outcome, World};
use crate::harness::Client;

/// What a request says besides what is to be done.
#[derive(Default)]
struct Said {
    request_id: String,
    etag: String,
}

impl Known {
    pub(super) async fn change(
        &mut self,
        operator: &Client,
        step: &Step,
        world: &World,
    ) -> Result<(), Status> {
        let mut said = Said::default();
        match step {
            Step::Once(id, step) => {
                said.request_id = format!("request-{id}");
                self.say(operator, step, said, world).await
            }
            Step::IfMatch(current, step) => {
                let token = step.token().expect("it is about one");
                let made_with = self.etags[token].clone();
                said.etag = match self.get(operator, token).await {
                    Ok(shown) if *current => shown.etag,
                    _ => made_with,
                };
                self.say(operator, step, said, world).await
            }
            _ => self.say(operator, step, said, world).await,
        }
    }

    async fn say(
        &mut self,
        operator: &Client,
        step: &Step,
        said: Said,
        world: &World,
    ) -> Result<(), Status> {
        match step {
            Step::MakeToken(..) | Step::Import(..) | Step::Rekey { .. } => {
                self.issue(operator, step, said, world).await
            }
            Step::SetToken(token, change) => {
                self.set_token(operator, *token, change, said.etag, world.now)
                    .await
            }
            Step::CompleteRekey(token)
            | Step::CancelRekey(token)
            | Step::Deactivate(token)
            | Step::Reactivate(token)
            | Step::Delete(token) => {
                let token_id = self.ids[*token].clone();
                life(operator, step, token_id, said.etag).await
            }
            Step::MakeAccount(a, preset, calls) => {
                let account = Account::new(preset, *calls);
                make_account(operator, *a, &account).await
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

    async fn issue(
        &mut self,
        operator: &Client,
        step: &Step,
        said: Said,
        world: &World,
    ) -> Result<(), Status> {
        let mut credentials = operator.credentials.clone();
        let (token, text) = match step {
            Step::MakeToken(a, make) => {
                let request = new_token(*a, make, said.request_id);
                let made = credentials.create_token(request).await?.into_inner();
                (made.token, made.secret)
            }
            Step::Import(a, make, n) => {
                let request = proto::ImportTokenRequest {
                    token: Some(new_token(*a, make, said.request_id)),
                    sha256: Sha256::digest(foreign(*n)).to_vec(),
                    ..Default::default()
                };
                let made = credentials.import_token(request).await?.into_inner();
                (made.token, foreign(*n))
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
                    request_id: said.request_id,
                    etag: said.etag,
                };
                let made = credentials.rekey(request).await?.into_inner();
                (made.token, made.secret)
            }
            other => unreachable!("{other:?}"),
        };
        self.keep(token.unwrap_or_default(), text, world);
        Ok(())
    }

    /// Takes a new secret down, or finds that it is the one that was shown before.
    fn keep(&mut self, token: proto::Token, text: String, world: &World) {
        if let Outcome::Again(t, version) = world.outcome {
            assert_eq!(token.id, self.ids[t]);
            assert_eq!(text, self.texts[&(t, version)]);
            return;
        }
        let versions = token.secrets.iter().map(|secret| secret.version);
        let newest = versions.max().unwrap_or_default();
        if newest == 1 {
            self.ids.push(token.id.clone());
            self.etags.push(token.etag);
        }
        let mut ids = self.ids.iter();
        let place = ids.position(|id| *id == token.id).expect("it was made");
        self.texts.insert((place, newest), text);
    }

    async fn set_token(
        &self,
        operator: &Client,
        token: usize,
        change: &TokenChange,
        etag: String,
        now: i64,
    ) -> Result<(), Status> {
        let mut to = proto::Token {
            id: self.ids[token].clone(),
            etag,
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

fn new_token(a: usize, make: &Make, request_id: String) -> proto::CreateTokenRequest {
    let ttl = make.ttl.map(span);
    proto::CreateTokenRequest {
        account_id: account_id(a),
        name: "token".into(),
        principal_id: make.principal.map(principal_id).unwrap_or_default(),
        access: i32::from(make.read_only) + 1,
        grants: texts(make.grants),
        allowed_networks: networks(make.networks),
        rate_limit: make.rate.map(rate),
        max_connections: make.connections,
        labels: labels(make.labelled),
        expiry: ttl.map(proto::create_token_request::Expiry::Ttl),
        request_id,
        ..Default::default()
    }
}

async fn life(
    operator: &Client,
    step: &Step,
    token_id: String,
    etag: String,
) -> Result<(), Status> {
    let mut credentials = operator.credentials.clone();
    match step {
        Step::CompleteRekey(_) => {
            let request = proto::CompleteRekeyRequest {
                token_id,
                etag,
                ..Default::default()
            };
            credentials.complete_rekey(request).await.map(drop)
        }
        Step::CancelRekey(_) => {
            let request = proto::CancelRekeyRequest { token_id, etag };
            credentials.cancel_rekey(request).await.map(drop)
        }
        Step::Deactivate(_) => {
            let request = proto::DeactivateTokenRequest {
                token_id,
                etag,
                ..Default::default()
            };
            credentials.deactivate_token(request).await.map(drop)
        }
        Step::Reactivate(_) => {
            let request = proto::ReactivateTokenRequest { token_id, etag };
            credentials.reactivate_token(request).await.map(drop)
        }
        _ => {
            let request = proto::DeleteTokenRequest {
                token_id,
                etag,
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
