//! Accounts: made, changed and given their key.

use std::time::Duration;

use super::page::{Page, Paged};
use super::replay::Once;
use super::{Call, Error, Kind, Registry, account, check_enabled, check_etag, notices, refused};
use crate::domain::account::{Account, Policy, PrincipalRule};
use crate::domain::event::EventKind;
use crate::domain::id::AccountId;
use crate::domain::operator::Scope;
use crate::domain::refusal::Refusal;
use crate::random;
use crate::store::backend::Direction;
use crate::store::record::Tally;
use crate::store::{View, Wanted, key};

/// What CreateAccount takes.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Made up when `None`.
    pub id: Option<AccountId>,
    pub display_name: String,
    pub policy: Policy,
}

/// What UpdateAccount changes. A mask may name single values of the policy.
#[derive(Clone, Debug, Default)]
pub struct AccountPatch {
    pub display_name: Option<String>,
    pub disabled: Option<bool>,
    /// Each sets one value of the policy.
    pub policy: Vec<PolicyChange>,
}

/// One value of a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PolicyChange {
    MaxTokens(Option<u32>),
    DailyCalls(Option<u64>),
    MaxConnectionsPerToken(Option<u32>),
    RekeyGrace(Duration),
    PrincipalRule(PrincipalRule),
    RequireAccountKey(bool),
    RequireExpiry(bool),
    MaxLifetime(Option<Duration>),
    FreezeTokens(bool),
    NotifyBeforeExpiry(Vec<Duration>),
}

impl Registry {
    pub async fn create_account(
        &self,
        call: &Call,
        new: NewAccount,
        once: Option<Once>,
    ) -> Result<Account, Error> {
        call.system_wide("create accounts")?;
        let call = call.clone();
        // A made-up id is no part of the request: its retries are kept under the system account.
        let replay_account = new.id.clone().unwrap_or_else(AccountId::system);
        let id = new.id.unwrap_or_else(|| {
            AccountId::parse(&random::local_id(&*self.random))
                .expect("16 characters of a-z and 0-9 are an id")
        });
        self.commit_once(replay_account, once, move |view| {
            let name = key::account(id.as_str());
            if view.get::<Account>(&name)?.is_some() {
                return Err(Error::AlreadyExists(Kind::Account, id.to_string()));
            }
            let account = Account {
                id: id.clone(),
                display_name: new.display_name.clone(),
                key: None,
                disabled: false,
                policy: new.policy.clone(),
                create_time: view.now(),
                generation: 1,
            };
            view.put(name, &account)?;
            view.log(call.event(EventKind::AccountCreated, &id, id.as_str()));
            Ok(account)
        })
        .await
    }

    pub async fn get_account(&self, call: &Call, named: &str) -> Result<Account, Error> {
        let id = call.account(named)?;
        let found = self.store.get(key::account(id.as_str())).await?;
        found.ok_or_else(|| Error::NotFound(Kind::Account, named.to_owned()))
    }

    /// By id; an operator of one account sees that one.
    pub async fn list_accounts(&self, call: &Call, page: Page) -> Result<Paged<Account>, Error> {
        let scope = &call.operator.scope;
        let after = page.after(&self.keyring, scope)?;
        if let Scope::Only(own) = scope {
            let items = self
                .store
                .get(key::account(own.as_str()))
                .await?
                .into_iter()
                .collect();
            return Ok(Paged {
                items,
                next: String::new(),
            });
        }
        let wanted = Wanted {
            prefix: key::ACCOUNTS.into(),
            after,
            direction: Direction::Forward,
            limit: page.size,
        };
        let rows = self.store.scan(wanted).await?;
        Ok(self.paged(&page, scope, rows))
    }

    pub async fn update_account(
        &self,
        call: &Call,
        named: &str,
        etag: String,
        patch: AccountPatch,
    ) -> Result<Account, Error> {
        let id = call.account(named)?;
        if patch.disabled.is_some() || !patch.policy.is_empty() {
            call.system_wide("change an account's policy, or disable or enable it")?;
        }
        let call = call.clone();
        self.commit(move |view| {
            let mut account = account(view, &id)?;
            check_etag(&etag, &account.etag(), "account", id.as_str())?;
            check_patch(view, &account, &patch)?;
            let before = account.clone();
            apply(&mut account, &patch);
            if account == before {
                return Ok(account);
            }
            account.generation += 1;
            view.put(key::account(id.as_str()), &account)?;
            if account.policy.notify_before_expiry != before.policy.notify_before_expiry {
                notices::renotice(view, &id)?;
            }
            let mut event = call.event(EventKind::AccountUpdated, &id, id.as_str());
            if account.disabled != before.disabled {
                event
                    .details
                    .insert("disabled".into(), account.disabled.to_string());
            }
            view.log(event);
            Ok(account)
        })
        .await
    }

    /// Once; the key is permanent.
    pub async fn create_account_key(&self, call: &Call, named: &str) -> Result<Account, Error> {
        let id = call.account(named)?;
        let account_key = random::account_key(&*self.random);
        let call = call.clone();
        self.commit(move |view| {
            let mut account = account(view, &id)?;
            check_enabled(&account)?;
            if account.key.is_some() {
                return Err(refused(Refusal::AccountKeyExists, "account", id.as_str()));
            }
            account.key = Some(account_key.clone());
            account.generation += 1;
            view.put(key::account(id.as_str()), &account)?;
            view.log(call.event(EventKind::AccountKeyCreated, &id, id.as_str()));
            Ok(account)
        })
        .await
    }
}

/// The built-in account keeps what operators rely on, and the rule for principals is fixed once there are tokens.
fn check_patch(view: &mut View<'_>, account: &Account, patch: &AccountPatch) -> Result<(), Error> {
    let id = account.id.as_str();
    let system = account.id.is_system();
    if system && patch.disabled == Some(true) {
        return Err(refused(Refusal::SystemAccount, "account", id));
    }
    for change in &patch.policy {
        match change {
            PolicyChange::PrincipalRule(rule) if *rule != account.policy.principal_rule => {
                let tokens = view
                    .get::<Tally>(&key::tally(&account.id))?
                    .unwrap_or_default();
                if system || tokens.0 > 0 {
                    return Err(refused(Refusal::PolicyFixed, "account", id));
                }
            }
            PolicyChange::RequireAccountKey(true) if system => {
                return Err(refused(Refusal::SystemAccount, "account", id));
            }
            _ => {}
        }
    }
    Ok(())
}

fn apply(account: &mut Account, patch: &AccountPatch) {
    if let Some(name) = &patch.display_name {
        account.display_name.clone_from(name);
    }
    if let Some(disabled) = patch.disabled {
        account.disabled = disabled;
    }
    let policy = &mut account.policy;
    for change in &patch.policy {
        match change {
            PolicyChange::MaxTokens(most) => policy.max_tokens = *most,
            PolicyChange::DailyCalls(most) => policy.daily_calls = *most,
            PolicyChange::MaxConnectionsPerToken(most) => policy.max_connections_per_token = *most,
            PolicyChange::RekeyGrace(grace) => policy.rekey_grace = *grace,
            PolicyChange::PrincipalRule(rule) => policy.principal_rule = *rule,
            PolicyChange::RequireAccountKey(required) => policy.require_account_key = *required,
            PolicyChange::RequireExpiry(required) => policy.require_expiry = *required,
            PolicyChange::MaxLifetime(most) => policy.max_lifetime = *most,
            PolicyChange::FreezeTokens(frozen) => policy.freeze_tokens = *frozen,
            PolicyChange::NotifyBeforeExpiry(notices) => {
                policy.notify_before_expiry.clone_from(notices);
            }
        }
    }
}
