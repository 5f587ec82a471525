//! `keyward role …`: named sets of grants.

use clap::{Args, Subcommand};

use super::failure::{Failure, Outcome};
use super::output::{Listed, Record};
use super::retry::{RequestIdArgs, explain};
use super::session::{Page, PagingArgs, RemoteArgs, Session, with_session};
use super::shell::Shell;
use super::values::{Mask, parse_id};
use crate::api::proto::{
    CreateRoleRequest, DeleteRoleRequest, GetRoleRequest, ListRolesRequest, Role, UpdateRoleRequest,
};

/// Name sets of grants that principals are given.
#[derive(Args, Clone, Debug)]
pub(crate) struct RoleArgs {
    #[command(subcommand)]
    verb: RoleVerb,
    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Subcommand, Clone, Debug)]
enum RoleVerb {
    Create(CreateArgs),
    Get(GetArgs),
    List(ListArgs),
    Update(UpdateArgs),
    Delete(DeleteArgs),
}

/// Make a role.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  keyward role create --account acme --id readers --display-name Readers --grant 'tables/*:read'")]
struct CreateArgs {
    /// Account it belongs to [default: the operator's own].
    #[arg(long, value_name = "ID")]
    account: Option<String>,

    /// Id to give it [default: made up].
    #[arg(long, value_parser = parse_id)]
    id: Option<String>,

    /// Name for people.
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,

    /// Grant such as tables/orders:read or dispatch; may be repeated.
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<String>,

    #[command(flatten)]
    request_id: RequestIdArgs,
}

/// Show one role.
#[derive(Args, Clone, Debug)]
struct GetArgs {
    #[command(flatten)]
    role: ChosenRole,
}

/// List an account's roles.
#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Account whose roles to list [default: the operator's own].
    #[arg(long, value_name = "ID")]
    account: Option<String>,

    #[command(flatten)]
    paging: PagingArgs,
}

/// Change what is named, leave the rest; live for all who have the role.
#[derive(Args, Clone, Debug)]
struct UpdateArgs {
    #[command(flatten)]
    role: ChosenRole,

    /// New name for people.
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,

    /// Grant, in place of all it has; may be repeated.
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<String>,

    /// Remove all grants.
    #[arg(long, conflicts_with = "grants")]
    clear_grants: bool,

    /// Only if this is still the role's etag.
    #[arg(long)]
    etag: Option<String>,
}

/// Delete a role that nobody has.
#[derive(Args, Clone, Debug)]
struct DeleteArgs {
    #[command(flatten)]
    role: ChosenRole,

    /// Only if this is still the role's etag.
    #[arg(long)]
    etag: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct ChosenRole {
    /// Account it belongs to [default: the operator's own].
    #[arg(long, value_name = "ID")]
    account: Option<String>,

    /// Id of the role.
    #[arg(value_name = "ROLE_ID", value_parser = parse_id)]
    id: String,
}

impl RoleArgs {
    pub(crate) fn run(&self, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
        with_session(&self.remote, shell, async |session| match &self.verb {
            RoleVerb::Create(args) => args.run(session).await,
            RoleVerb::Get(args) => args.run(session).await,
            RoleVerb::List(args) => args.run(session).await,
            RoleVerb::Update(args) => args.run(session).await,
            RoleVerb::Delete(args) => args.run(session).await,
        })
    }
}

impl CreateArgs {
    fn request(&self) -> CreateRoleRequest {
        CreateRoleRequest {
            account_id: self.account.clone().unwrap_or_default(),
            role_id: self.id.clone().unwrap_or_default(),
            display_name: self.display_name.clone().unwrap_or_default(),
            grants: self.grants.clone(),
            request_id: self.request_id.settle(),
        }
    }

    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let request = self.request();
        let id = request.request_id.clone();
        let client = &session.client;
        let answer = client
            .call(request, async |r| client.directory().create_role(r).await)
            .await
            .map_err(|failure| explain(failure, &id))?;
        session.show_some(answer.role)
    }
}

impl GetArgs {
    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let (account_id, role_id) = self.role.parts();
        let request = GetRoleRequest {
            account_id,
            role_id,
        };
        let answer = client
            .call(request, async |r| client.directory().get_role(r).await)
            .await?;
        session.show_some(answer.role)
    }
}

impl ListArgs {
    fn request(&self, page: Page) -> ListRolesRequest {
        ListRolesRequest {
            account_id: self.account.clone().unwrap_or_default(),
            page_size: page.size,
            page_token: page.token,
        }
    }

    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = session.client.clone();
        session
            .list(&self.paging, async |page| {
                let request = self.request(page);
                let answer = client
                    .call(request, async |r| client.directory().list_roles(r).await)
                    .await?;
                Ok((answer.roles, answer.next_page_token))
            })
            .await
    }
}

impl UpdateArgs {
    fn request(&self) -> Result<UpdateRoleRequest, Failure> {
        let mut mask = Mask::default();
        let (account_id, id) = self.role.parts();
        let role = Role {
            id,
            account_id,
            display_name: mask
                .set("display_name", self.display_name.clone())
                .unwrap_or_default(),
            grants: mask.set_list("grants", &self.grants, self.clear_grants),
            etag: self.etag.clone().unwrap_or_default(),
        };
        Ok(UpdateRoleRequest {
            role: Some(role),
            update_mask: Some(mask.finish()?),
        })
    }

    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let request = self.request()?;
        let answer = client
            .call(request, async |r| client.directory().update_role(r).await)
            .await?;
        session.show_some(answer.role)
    }
}

impl DeleteArgs {
    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let (account_id, role_id) = self.role.parts();
        let etag = self.etag.clone().unwrap_or_default();
        let request = DeleteRoleRequest {
            account_id,
            role_id,
            etag,
        };
        client
            .call(request, async |r| client.directory().delete_role(r).await)
            .await?;
        session.done(&format!("role {} is deleted", self.role.id))
    }
}

impl ChosenRole {
    fn parts(&self) -> (String, String) {
        (self.account.clone().unwrap_or_default(), self.id.clone())
    }
}

impl Record for Role {
    const NAME: &'static str = "keyward.v1.Role";

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("id", self.id.clone()),
            ("account", self.account_id.clone()),
            ("name", self.display_name.clone()),
            ("grants", self.grants.join(" ")),
            ("etag", self.etag.clone()),
        ]
    }
}

impl Listed for Role {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "GRANTS"];

    fn row(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.display_name.clone(),
            self.grants.join(" "),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::parse;

    #[test]
    fn every_field_of_a_new_role_has_a_flag() {
        let line = "--account acme --id readers --display-name Readers --grant tables/*:read --request-id r1";
        assert_eq!(
            parse::<CreateArgs>(line).request(),
            CreateRoleRequest {
                account_id: "acme".into(),
                role_id: "readers".into(),
                display_name: "Readers".into(),
                grants: vec!["tables/*:read".into()],
                request_id: "r1".into(),
            }
        );
    }

    #[test]
    fn an_update_names_what_it_changes() {
        for (flags, paths) in [
            ("--display-name x", vec!["display_name"]),
            ("--grant dispatch", vec!["grants"]),
            (
                "--clear-grants --display-name x",
                vec!["display_name", "grants"],
            ),
        ] {
            let line = format!("readers --account acme --etag e1 {flags}");
            let request = parse::<UpdateArgs>(&line).request().unwrap();
            assert_eq!(request.update_mask.unwrap().paths, paths, "{flags}");
            let role = request.role.unwrap();
            assert_eq!(
                (&*role.account_id, &*role.id, &*role.etag),
                ("acme", "readers", "e1")
            );
        }
        assert!(parse::<UpdateArgs>("readers").request().is_err());
    }
}
