//! Accounts, principals and roles.

use std::time::Duration;

use prost::Message as _;

use super::{Record, millis, parse, stored};
use crate::domain::account::{Account, Policy, PrincipalRule};
use crate::domain::grant::{Grant, Grants};
use crate::domain::id::{AccountId, AccountKey, PrincipalId, RoleId};
use crate::domain::principal::{Principal, PrincipalState};
use crate::domain::role::Role;
use crate::domain::time::Timestamp;

impl Record for Account {
    fn encode(&self) -> Vec<u8> {
        stored::Account {
            id: self.id.to_string(),
            display_name: self.display_name.clone(),
            account_key: self
                .key
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            disabled: self.disabled,
            policy: Some(stored_policy(&self.policy)),
            create_time_ms: self.create_time.as_millis(),
            generation: self.generation,
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::Account = parse(payload)?;
        let key = (!stored.account_key.is_empty()).then_some(&*stored.account_key);
        Ok(Self {
            id: AccountId::parse(&stored.id)?,
            display_name: stored.display_name,
            key: key.map(AccountKey::parse).transpose()?,
            disabled: stored.disabled,
            policy: policy(stored.policy.ok_or("an account has no policy")?)?,
            create_time: Timestamp::from_millis(stored.create_time_ms),
            generation: stored.generation,
        })
    }
}

impl Record for Principal {
    fn encode(&self) -> Vec<u8> {
        let state = match self.state {
            PrincipalState::Unverified => stored::PrincipalState::Unverified,
            PrincipalState::Active => stored::PrincipalState::Active,
            PrincipalState::Disabled => stored::PrincipalState::Disabled,
        };
        stored::Principal {
            id: self.id.to_string(),
            account_id: self.account.to_string(),
            display_name: self.display_name.clone(),
            email: self.email.clone(),
            state: state.into(),
            api_user: self.api_user,
            role_ids: self.roles.iter().map(ToString::to_string).collect(),
            create_time_ms: self.create_time.as_millis(),
            generation: self.generation,
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::Principal = parse(payload)?;
        let state = match stored.state() {
            stored::PrincipalState::Unverified => PrincipalState::Unverified,
            stored::PrincipalState::Active => PrincipalState::Active,
            stored::PrincipalState::Disabled => PrincipalState::Disabled,
            stored::PrincipalState::Unspecified => return Err("a principal has no state".into()),
        };
        Ok(Self {
            id: PrincipalId::parse(&stored.id)?,
            account: AccountId::parse(&stored.account_id)?,
            display_name: stored.display_name,
            email: stored.email,
            state,
            api_user: stored.api_user,
            roles: stored
                .role_ids
                .iter()
                .map(|id| RoleId::parse(id))
                .collect::<Result<_, _>>()?,
            create_time: Timestamp::from_millis(stored.create_time_ms),
            generation: stored.generation,
        })
    }
}

impl Record for Role {
    fn encode(&self) -> Vec<u8> {
        stored::Role {
            id: self.id.to_string(),
            account_id: self.account.to_string(),
            display_name: self.display_name.clone(),
            grants: self.grants.iter().map(ToString::to_string).collect(),
            create_time_ms: self.create_time.as_millis(),
            generation: self.generation,
        }
        .encode_to_vec()
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let stored: stored::Role = parse(payload)?;
        Ok(Self {
            id: RoleId::parse(&stored.id)?,
            account: AccountId::parse(&stored.account_id)?,
            display_name: stored.display_name,
            grants: grants(&stored.grants)?,
            create_time: Timestamp::from_millis(stored.create_time_ms),
            generation: stored.generation,
        })
    }
}

/// Grants as they were written; their order is kept.
pub(super) fn grants(texts: &[String]) -> Result<Grants, String> {
    let grants: Vec<Grant> = texts
        .iter()
        .map(|text| Grant::parse(text))
        .collect::<Result<_, _>>()?;
    Ok(Grants::new(grants))
}

fn stored_policy(policy: &Policy) -> stored::AccountPolicy {
    let rule = match policy.principal_rule {
        PrincipalRule::None => stored::PrincipalRule::None,
        PrincipalRule::Enforced => stored::PrincipalRule::Enforced,
        PrincipalRule::Attribution => stored::PrincipalRule::Attribution,
    };
    stored::AccountPolicy {
        max_tokens: policy.max_tokens,
        daily_calls: policy.daily_calls,
        max_connections_per_token: policy.max_connections_per_token,
        rekey_grace_ms: millis(policy.rekey_grace),
        principal_rule: rule.into(),
        require_account_key: policy.require_account_key,
        require_expiry: policy.require_expiry,
        max_lifetime_ms: policy.max_lifetime.map(millis),
        freeze_tokens: policy.freeze_tokens,
        notify_before_expiry_ms: policy
            .notify_before_expiry
            .iter()
            .copied()
            .map(millis)
            .collect(),
    }
}

fn policy(stored: stored::AccountPolicy) -> Result<Policy, String> {
    let principal_rule = match stored.principal_rule() {
        stored::PrincipalRule::None => PrincipalRule::None,
        stored::PrincipalRule::Enforced => PrincipalRule::Enforced,
        stored::PrincipalRule::Attribution => PrincipalRule::Attribution,
        stored::PrincipalRule::Unspecified => return Err("a policy has no principal rule".into()),
    };
    Ok(Policy {
        max_tokens: stored.max_tokens,
        daily_calls: stored.daily_calls,
        max_connections_per_token: stored.max_connections_per_token,
        rekey_grace: Duration::from_millis(stored.rekey_grace_ms),
        principal_rule,
        require_account_key: stored.require_account_key,
        require_expiry: stored.require_expiry,
        max_lifetime: stored.max_lifetime_ms.map(Duration::from_millis),
        freeze_tokens: stored.freeze_tokens,
        notify_before_expiry: stored
            .notify_before_expiry_ms
            .into_iter()
            .map(Duration::from_millis)
            .collect(),
    })
}
