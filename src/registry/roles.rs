//! Roles: made, changed, and deleted when nobody has them.

use super::page::{Page, Paged};
use super::replay::Once;
use super::{Call, Error, Kind, Registry, account, check_etag, enabled_account, refused};
use crate::domain::event::EventKind;
use crate::domain::grant::Grants;
use crate::domain::id::RoleId;
use crate::domain::refusal::Refusal;
use crate::domain::role::Role;
use crate::random;
use crate::store::backend::Direction;
use crate::store::record::Tally;
use crate::store::{Wanted, key};

/// What CreateRole takes.
#[derive(Clone, Debug)]
pub struct NewRole {
    /// Made up when `None`.
    pub id: Option<RoleId>,
    pub display_name: String,
    pub grants: Grants,
}

/// What UpdateRole changes.
#[derive(Clone, Debug, Default)]
pub struct RolePatch {
    pub display_name: Option<String>,
    pub grants: Option<Grants>,
}

impl Registry {
    pub async fn create_role(
        &self,
        call: &Call,
        named: &str,
        new: NewRole,
        once: Option<Once>,
    ) -> Result<Role, Error> {
        let account = call.account(named)?;
        let call = call.clone();
        let id = new.id.unwrap_or_else(|| {
            RoleId::parse(&random::local_id(&*self.random))
                .expect("16 characters of a-z and 0-9 are an id")
        });
        self.commit_once(account.clone(), once, move |view| {
            enabled_account(view, &account)?;
            let name = key::role(&account, &id);
            if view.get::<Role>(&name)?.is_some() {
                return Err(Error::AlreadyExists(Kind::Role, id.to_string()));
            }
            let role = Role {
                id: id.clone(),
                account: account.clone(),
                display_name: new.display_name.clone(),
                grants: new.grants.clone(),
                create_time: view.now(),
                generation: 1,
            };
            view.put(name, &role)?;
            view.log(call.event(EventKind::RoleCreated, &account, id.as_str()));
            Ok(role)
        })
        .await
    }

    pub async fn get_role(&self, call: &Call, named: &str, id: &str) -> Result<Role, Error> {
        let account = call.account(named)?;
        let missing = || Error::NotFound(Kind::Role, id.to_owned());
        let role = RoleId::parse(id).map_err(|_| missing())?;
        self.store
            .get(key::role(&account, &role))
            .await?
            .ok_or_else(missing)
    }

    /// By id.
    pub async fn list_roles(
        &self,
        call: &Call,
        named: &str,
        page: Page,
    ) -> Result<Paged<Role>, Error> {
        let account = call.account(named)?;
        self.get_account(call, account.as_str()).await?;
        let scope = &call.operator.scope;
        let after = page.after(&self.keyring, scope)?;
        let wanted = Wanted {
            prefix: key::roles(&account),
            after,
            direction: Direction::Forward,
            limit: page.size,
        };
        let rows = self.store.scan(wanted).await?;
        Ok(self.paged(&page, scope, rows))
    }

    pub async fn update_role(
        &self,
        call: &Call,
        named: &str,
        id: &str,
        etag: String,
        patch: RolePatch,
    ) -> Result<Role, Error> {
        let account_id = call.account(named)?;
        let missing = Error::NotFound(Kind::Role, id.to_owned());
        let id = RoleId::parse(id).map_err(|_| missing.clone())?;
        let call = call.clone();
        self.commit(move |view| {
            account(view, &account_id)?;
            let name = key::role(&account_id, &id);
            let mut role: Role = view.get(&name)?.ok_or_else(|| missing.clone())?;
            check_etag(&etag, &role.etag(), "role", id.as_str())?;
            let before = role.clone();
            if let Some(display_name) = &patch.display_name {
                role.display_name.clone_from(display_name);
            }
            if let Some(grants) = &patch.grants {
                role.grants = grants.clone();
            }
            if role == before {
                return Ok(role);
            }
            role.generation += 1;
            view.put(name, &role)?;
            view.log(call.event(EventKind::RoleUpdated, &account_id, id.as_str()));
            Ok(role)
        })
        .await
    }

    pub async fn delete_role(
        &self,
        call: &Call,
        named: &str,
        id: &str,
        etag: String,
    ) -> Result<(), Error> {
        let account_id = call.account(named)?;
        let missing = Error::NotFound(Kind::Role, id.to_owned());
        let id = RoleId::parse(id).map_err(|_| missing.clone())?;
        let call = call.clone();
        self.commit(move |view| {
            account(view, &account_id)?;
            let name = key::role(&account_id, &id);
            let role: Role = view.get(&name)?.ok_or_else(|| missing.clone())?;
            check_etag(&etag, &role.etag(), "role", id.as_str())?;
            let tally = key::role_tally(&account_id, &id);
            if view.get::<Tally>(&tally)?.unwrap_or_default().0 > 0 {
                return Err(refused(Refusal::RoleInUse, "role", id.as_str()));
            }
            view.delete(name)?;
            view.delete(tally)?;
            view.log(call.event(EventKind::RoleDeleted, &account_id, id.as_str()));
            Ok(())
        })
        .await
    }
}
