//! A token of the load: the calls that make and change it, and its comparison with what is there.

use std::collections::BTreeMap;
use std::time::Duration;

use keyward::api::proto::{self, DenyReason};
use sha2::{Digest as _, Sha256};
use tonic::Status;

use super::client::Client;
use super::rules::{Change, GRACE, Shown, State, decision};
use super::{SHARED, told};

/// A first use must be committed within a second; this is for a slow machine.
const FIRST_USE_POLLS: u32 = 1_000;
const POLL: Duration = Duration::from_millis(10);

pub(super) struct Token {
    pub(super) id: String,
    pub(super) name: String,
    /// `None`: it was deleted.
    pub(super) state: Option<State>,
    /// The texts that were shown, or imported, by version.
    pub(super) secrets: BTreeMap<u32, String>,
    /// The request that made it, and can be repeated.
    pub(super) making: Option<Making>,
}

#[derive(Clone, Debug)]
pub(super) struct Making {
    pub(super) name: String,
    pub(super) request_id: String,
    /// An import, of this text.
    pub(super) foreign: Option<String>,
    /// Sent by two at once.
    pub(super) twice: bool,
}

/// What a step was answered with.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) token: Option<proto::Token>,
    pub(super) secret: Option<String>,
}

impl Making {
    pub(super) async fn make(&self, client: &mut Client) -> Result<Answer, Status> {
        let request = proto::CreateTokenRequest {
            account_id: SHARED.to_owned(),
            name: self.name.clone(),
            request_id: self.request_id.clone(),
            ..Default::default()
        };
        let Some(foreign) = &self.foreign else {
            let answer = client.credentials.create_token(request).await?;
            let answer = answer.into_inner();
            return Ok(Answer {
                token: answer.token,
                secret: Some(answer.secret),
            });
        };
        let request = proto::ImportTokenRequest {
            token: Some(request),
            sha256: Sha256::digest(foreign).to_vec(),
            ..Default::default()
        };
        let answer = client.credentials.import_token(request).await?.into_inner();
        Ok(Answer {
            token: answer.token,
            secret: None,
        })
    }
}

impl Token {
    /// Compares it with what is there, and every secret it ever had with how it is answered; `repeat`: makes it again, too.
    pub(super) async fn compare(&self, client: &mut Client, repeat: bool) -> Result<(), String> {
        let Token {
            id,
            name,
            state,
            secrets,
            making,
        } = self;
        let there = client.token(id).await.map_err(told(name))?;
        let (expected, shown) = (
            state.as_ref().map(State::shown),
            there.as_ref().map(Shown::of),
        );
        if expected != shown {
            return Err(format!(
                "token {name} {id} is {shown:?}, and was {expected:?}"
            ));
        }
        let named = client.tokens(SHARED, name).await.map_err(told(name))?;
        if named.len() != usize::from(state.is_some()) {
            return Err(format!("there are {} tokens {name}", named.len()));
        }
        let pending = state.as_ref().and_then(State::pending);
        for (version, text) in secrets {
            // Its use would be a change.
            if Some(*version) == pending {
                continue;
            }
            let expected = decision(state.as_ref(), *version);
            let decision = client.validate(SHARED, text).await.map_err(told(name))?;
            if decision != expected {
                return Err(format!(
                    "secret {version} of {name} is answered {decision:?}, and must be {expected:?}: {state:?}"
                ));
            }
        }
        // The first answer is given again for as long as it is still true.
        let untouched = state
            .as_ref()
            .is_some_and(|state| state.newest() == 1 && !state.ever_inactive);
        if let (Some(making), true) = (making, untouched)
            && repeat
        {
            let again = making.make(client).await.map_err(told(name))?;
            if again.token.map(|token| token.id).as_ref() != Some(id)
                || again.secret.as_ref() != secrets.get(&1).filter(|_| making.foreign.is_none())
            {
                return Err(format!("making {name} again was answered differently"));
            }
        }
        Ok(())
    }

    pub(super) async fn change(
        &self,
        client: &mut Client,
        change: &Change,
    ) -> Result<Answer, Status> {
        let token_id = self.id.clone();
        let credentials = &mut client.credentials;
        let token = match change {
            Change::Rekey {
                at_once,
                graceful,
                request_id,
            } => {
                let grace = if *graceful { GRACE } else { Duration::ZERO };
                let activation = match at_once {
                    true => proto::Activation::AtOnce,
                    false => proto::Activation::OnFirstUse,
                };
                let request = proto::RekeyRequest {
                    token_id,
                    grace: Some(grace.try_into().expect("a grace is short")),
                    activation: activation.into(),
                    request_id: request_id.clone(),
                    ..Default::default()
                };
                let answer = credentials.rekey(request).await?.into_inner();
                return Ok(Answer {
                    token: answer.token,
                    secret: Some(answer.secret),
                });
            }
            Change::Use => return self.first_use(client).await,
            Change::Complete => {
                let request = proto::CompleteRekeyRequest {
                    token_id,
                    ..Default::default()
                };
                credentials
                    .complete_rekey(request)
                    .await?
                    .into_inner()
                    .token
            }
            Change::Cancel => {
                let request = proto::CancelRekeyRequest {
                    token_id,
                    ..Default::default()
                };
                credentials.cancel_rekey(request).await?.into_inner().token
            }
            Change::Describe(text) => {
                let token = proto::Token {
                    id: token_id,
                    description: text.clone(),
                    ..Default::default()
                };
                let request = proto::UpdateTokenRequest {
                    token: Some(token),
                    update_mask: Some(prost_types::FieldMask {
                        paths: vec!["description".into()],
                    }),
                };
                credentials.update_token(request).await?.into_inner().token
            }
            Change::Deactivate => {
                let request = proto::DeactivateTokenRequest {
                    token_id,
                    ..Default::default()
                };
                credentials
                    .deactivate_token(request)
                    .await?
                    .into_inner()
                    .token
            }
            Change::Reactivate => {
                let request = proto::ReactivateTokenRequest {
                    token_id,
                    ..Default::default()
                };
                credentials
                    .reactivate_token(request)
                    .await?
                    .into_inner()
                    .token
            }
            Change::Delete => {
                let request = proto::DeleteTokenRequest {
                    token_id,
                    ..Default::default()
                };
                credentials.delete_token(request).await?;
                None
            }
        };
        Ok(Answer {
            token,
            secret: None,
        })
    }

    /// Presents the pending secret, and waits until that was committed.
    async fn first_use(&self, client: &mut Client) -> Result<Answer, Status> {
        let state = self.state.as_ref().expect("only what is there is used");
        let version = state
            .pending()
            .expect("only what is pending is used for the first time");
        let decision = client.validate(SHARED, &self.secrets[&version]).await?;
        if decision != DenyReason::Unspecified {
            return Err(Status::internal(format!(
                "its first use was denied: {decision:?}"
            )));
        }
        for _ in 0..FIRST_USE_POLLS {
            let token = client.token(&self.id).await?;
            let pending = |token: &proto::Token| Shown::of(token) == state.shown();
            if !token.as_ref().is_some_and(pending) {
                return Ok(Answer {
                    token,
                    secret: None,
                });
            }
            tokio::time::sleep(POLL).await;
        }
        Err(Status::internal("its first use was not committed"))
    }
}
