//! Principals: made and changed. They are disabled, never deleted.

use super::page::{Page, Paged};
use super::replay::Once;
use super::{Call, Error, Kind, Registry, account, check_etag, enabled_account, refused};
use crate::domain::event::EventKind;
use crate::domain::id::{AccountId, PrincipalId, RoleId};
use crate::domain::principal::{Principal, PrincipalState};
use crate::domain::role::Role;
use crate::random;
use crate::store::backend::Direction;
use crate::store::record::Tally;
use crate::store::{View, Wanted, key};

/// What CreatePrincipal takes.
#[derive(Clone, Debug)]
pub struct NewPrincipal {
    /// Made up when `None`.
    pub id: Option<PrincipalId>,
    pub display_name: String,
    pub email: String,
    pub state: PrincipalState,
    pub api_user: bool,
    pub roles: Vec<RoleId>,
}

/// What UpdatePrincipal changes.
#[derive(Clone, Debug, Default)]
pub struct PrincipalPatch {
    pub display_name: Option<String>,
    pub email: Option<String>,
    pub state: Option<PrincipalState>,
    pub api_user: Option<bool>,
    pub roles: Option<Vec<RoleId>>,
}

/// Rows that one page of a filtered list looks at, at the most; the page may then be short.
const LOOKED_AT: usize = 2_000;

impl Registry {
    pub async fn create_principal(
        &self,
        call: &Call,
        named: &str,
        new: NewPrincipal,
        once: Option<Once>,
    ) -> Result<Principal, Error> {
        let account = call.account(named)?;
        let call = call.clone();
        let id = new.id.unwrap_or_else(|| {
            PrincipalId::parse(&random::local_id(&*self.random))
                .expect("16 characters of a-z and 0-9 are an id")
        });
        self.commit_once(account.clone(), once, move |view| {
            enabled_account(view, &account)?;
            let name = key::principal(&account, &id);
            if view.get::<Principal>(&name)?.is_some() {
                return Err(Error::AlreadyExists(Kind::Principal, id.to_string()));
            }
            let mut principal = Principal {
                id: id.clone(),
                account: account.clone(),
                display_name: new.display_name.clone(),
                email: new.email.clone(),
                state: new.state,
                api_user: false,
                roles: new.roles.clone(),
                create_time: view.now(),
                generation: 1,
            };
            principal
                .set_api_user(new.api_user)
                .map_err(|refusal| refused(refusal, "principal", id.as_str()))?;
            count_roles(view, &account, &[], &principal.roles)?;
            view.put(name, &principal)?;
            view.log(call.event(EventKind::PrincipalCreated, &account, id.as_str()));
            Ok(principal)
        })
        .await
    }

    pub async fn get_principal(
        &self,
        call: &Call,
        named: &str,
        id: &str,
    ) -> Result<Principal, Error> {
        let account = call.account(named)?;
        let missing = || Error::NotFound(Kind::Principal, id.to_owned());
        let principal = PrincipalId::parse(id).map_err(|_| missing())?;
        self.store
            .get(key::principal(&account, &principal))
            .await?
            .ok_or_else(missing)
    }

    /// By id.
    pub async fn list_principals(
        &self,
        call: &Call,
        named: &str,
        api_users_only: bool,
        page: Page,
    ) -> Result<Paged<Principal>, Error> {
        let account = call.account(named)?;
        self.get_account(call, account.as_str()).await?;
        let after = page.after(&self.keyring, &call.operator.scope)?;
        let limit = if api_users_only { LOOKED_AT } else { page.size };
        let wanted = Wanted {
            prefix: key::principals(&account),
            after,
            direction: Direction::Forward,
            limit,
        };
        let rows = self.store.scan(wanted).await?;
        let keep = |principal: &Principal| principal.api_user || !api_users_only;
        Ok(self.filtered(&page, &call.operator.scope, rows, limit, keep))
    }

    pub async fn update_principal(
        &self,
        call: &Call,
        named: &str,
        id: &str,
        etag: String,
        patch: PrincipalPatch,
    ) -> Result<Principal, Error> {
        let account_id = call.account(named)?;
        let missing = Error::NotFound(Kind::Principal, id.to_owned());
        let id = PrincipalId::parse(id).map_err(|_| missing.clone())?;
        let call = call.clone();
        self.commit(move |view| {
            account(view, &account_id)?;
            let name = key::principal(&account_id, &id);
            let mut principal: Principal = view.get(&name)?.ok_or_else(|| missing.clone())?;
            check_etag(&etag, &principal.etag(), "principal", id.as_str())?;
            let before = principal.clone();
            apply(&mut principal, &patch)
                .map_err(|refusal| refused(refusal, "principal", id.as_str()))?;
            if principal == before {
                return Ok(principal);
            }
            count_roles(view, &account_id, &before.roles, &principal.roles)?;
            principal.generation += 1;
            view.put(name, &principal)?;
            let mut event = call.event(EventKind::PrincipalUpdated, &account_id, id.as_str());
            if principal.state != before.state {
                event.details.insert(
                    "state".into(),
                    format!("{:?}", principal.state).to_uppercase(),
                );
            }
            view.log(event);
            Ok(principal)
        })
        .await
    }
}

fn apply(
    principal: &mut Principal,
    patch: &PrincipalPatch,
) -> Result<(), crate::domain::refusal::Refusal> {
    if let Some(name) = &patch.display_name {
        principal.display_name.clone_from(name);
    }
    if let Some(email) = &patch.email {
        principal.email.clone_from(email);
    }
    if let Some(state) = patch.state {
        principal.state = state;
    }
    if let Some(roles) = &patch.roles {
        principal.roles.clone_from(roles);
    }
    patch
        .api_user
        .map_or(Ok(()), |api_user| principal.set_api_user(api_user))
}

/// Counts each role's principals anew. A role that is not there is not found.
fn count_roles(
    view: &mut View<'_>,
    account: &AccountId,
    before: &[RoleId],
    after: &[RoleId],
) -> Result<(), Error> {
    for role in after.iter().filter(|role| !before.contains(role)) {
        if view.get::<Role>(&key::role(account, role))?.is_none() {
            return Err(Error::NotFound(Kind::Role, role.to_string()));
        }
        let name = key::role_tally(account, role);
        let Tally(count) = view.get(&name)?.unwrap_or_default();
        view.put(name, &Tally(count + 1))?;
    }
    for role in before.iter().filter(|role| !after.contains(role)) {
        let name = key::role_tally(account, role);
        let Tally(count) = view.get(&name)?.unwrap_or_default();
        view.put(name, &Tally(count.saturating_sub(1)))?;
    }
    Ok(())
}
