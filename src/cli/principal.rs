//! `keyward principal …`: who acts in an account; API users are those that tokens may be issued for.

use clap::{Args, Subcommand};

use super::failure::{Failure, Outcome};
use super::output::{Listed, Record};
use super::retry::{RequestIdArgs, explain};
use super::session::{Page, PagingArgs, RemoteArgs, Session, with_session};
use super::shell::Shell;
use super::table::yes_no;
use super::times::show_time;
use super::values::{Mask, parse_id};
use super::words::{choice, word_of};
use crate::api::proto::{
    CreatePrincipalRequest, GetPrincipalRequest, ListPrincipalsRequest, Principal, PrincipalState,
    UpdatePrincipalRequest,
};

/// Look after those that act in an account.
#[derive(Args, Clone, Debug)]
pub(crate) struct PrincipalArgs {
    #[command(subcommand)]
    verb: PrincipalVerb,
    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Subcommand, Clone, Debug)]
enum PrincipalVerb {
    Create(CreateArgs),
    Get(GetArgs),
    List(ListArgs),
    Update(UpdateArgs),
}

/// Make a principal.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  keyward principal create --account acme --id sync --display-name 'Order sync' --state active --api-user --role readers")]
struct CreateArgs {
    /// Account it acts in [default: the operator's own].
    #[arg(long, value_name = "ID")]
    account: Option<String>,

    /// Id to give it [default: made up].
    #[arg(long, value_parser = parse_id)]
    id: Option<String>,

    /// Name for people.
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,

    /// Where to reach it.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,

    /// State to begin in [default: unverified].
    #[arg(long, value_parser = choice::<PrincipalState>())]
    state: Option<PrincipalState>,

    /// Make it an API user; it must be active, and can no longer log in interactively.
    #[arg(long)]
    api_user: bool,

    /// Id of a role to give it; may be repeated.
    #[arg(long = "role", value_name = "ROLE_ID")]
    roles: Vec<String>,

    #[command(flatten)]
    request_id: RequestIdArgs,
}

/// Show one principal.
#[derive(Args, Clone, Debug)]
struct GetArgs {
    #[command(flatten)]
    principal: ChosenPrincipal,
}

/// List an account's principals.
#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Account whose principals to list [default: the operator's own].
    #[arg(long, value_name = "ID")]
    account: Option<String>,

    /// Only API users.
    #[arg(long)]
    api_users_only: bool,

    #[command(flatten)]
    paging: PagingArgs,
}

/// Change what is named, leave the rest; live for all its tokens.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  keyward principal update sync --account acme --state disabled     its tokens stop at once
  keyward principal update sync --account acme --api-user=false
  keyward principal update sync --account acme --role readers       replaces all roles")]
struct UpdateArgs {
    #[command(flatten)]
    principal: ChosenPrincipal,

    /// New name for people.
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,

    /// New address; an empty one removes it.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,

    /// New state.
    #[arg(long, value_parser = choice::<PrincipalState>())]
    state: Option<PrincipalState>,

    /// Whether it is an API user.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    api_user: Option<bool>,

    /// Id of a role, in place of all it has; may be repeated.
    #[arg(long = "role", value_name = "ROLE_ID")]
    roles: Vec<String>,

    /// Take all roles away.
    #[arg(long, conflicts_with = "roles")]
    clear_roles: bool,

    /// Only if this is still the principal's etag.
    #[arg(long)]
    etag: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct ChosenPrincipal {
    /// Account it acts in [default: the operator's own].
    #[arg(long, value_name = "ID")]
    account: Option<String>,

    /// Id of the principal.
    #[arg(value_name = "PRINCIPAL_ID", value_parser = parse_id)]
    id: String,
}

impl PrincipalArgs {
    pub(crate) fn run(&self, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
        with_session(&self.remote, shell, async |session| match &self.verb {
            PrincipalVerb::Create(args) => args.run(session).await,
            PrincipalVerb::Get(args) => args.run(session).await,
            PrincipalVerb::List(args) => args.run(session).await,
            PrincipalVerb::Update(args) => args.run(session).await,
        })
    }
}

impl CreateArgs {
    fn request(&self) -> CreatePrincipalRequest {
        CreatePrincipalRequest {
            account_id: self.account.clone().unwrap_or_default(),
            principal_id: self.id.clone().unwrap_or_default(),
            display_name: self.display_name.clone().unwrap_or_default(),
            email: self.email.clone().unwrap_or_default(),
            state: self.state.map_or(0, Into::into),
            api_user: self.api_user,
            role_ids: self.roles.clone(),
            request_id: self.request_id.settle(),
        }
    }

    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let request = self.request();
        let id = request.request_id.clone();
        let client = &session.client;
        let answer = client
            .call(request, async |r| {
                client.directory().create_principal(r).await
            })
            .await
            .map_err(|failure| explain(failure, &id))?;
        session.show_some(answer.principal)
    }
}

impl GetArgs {
    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let (account_id, principal_id) = self.principal.parts();
        let request = GetPrincipalRequest {
            account_id,
            principal_id,
        };
        let answer = client
            .call(request, async |r| client.directory().get_principal(r).await)
            .await?;
        session.show_some(answer.principal)
    }
}

impl ListArgs {
    fn request(&self, page: Page) -> ListPrincipalsRequest {
        ListPrincipalsRequest {
            account_id: self.account.clone().unwrap_or_default(),
            page_size: page.size,
            page_token: page.token,
            api_users_only: self.api_users_only,
        }
    }

    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = session.client.clone();
        session
            .list(&self.paging, async |page| {
                let request = self.request(page);
                let answer = client
                    .call(request, async |r| {
                        client.directory().list_principals(r).await
                    })
                    .await?;
                Ok((answer.principals, answer.next_page_token))
            })
            .await
    }
}

impl UpdateArgs {
    fn request(&self) -> Result<UpdatePrincipalRequest, Failure> {
        let mut mask = Mask::default();
        let (account_id, id) = self.principal.parts();
        let principal = Principal {
            id,
            account_id,
            etag: self.etag.clone().unwrap_or_default(),
            display_name: mask
                .set("display_name", self.display_name.clone())
                .unwrap_or_default(),
            email: mask.set("email", self.email.clone()).unwrap_or_default(),
            state: mask.set("state", self.state).map_or(0, Into::into),
            api_user: mask.set("api_user", self.api_user).unwrap_or_default(),
            role_ids: mask.set_list("role_ids", &self.roles, self.clear_roles),
            ..Principal::default()
        };
        Ok(UpdatePrincipalRequest {
            principal: Some(principal),
            update_mask: Some(mask.finish()?),
        })
    }

    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let request = self.request()?;
        let answer = client
            .call(request, async |r| {
                client.directory().update_principal(r).await
            })
            .await?;
        session.show_some(answer.principal)
    }
}

impl ChosenPrincipal {
    fn parts(&self) -> (String, String) {
        (self.account.clone().unwrap_or_default(), self.id.clone())
    }
}

impl Record for Principal {
    const NAME: &'static str = "keyward.v1.Principal";

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("id", self.id.clone()),
            ("account", self.account_id.clone()),
            ("name", self.display_name.clone()),
            ("email", self.email.clone()),
            ("state", word_of::<PrincipalState>(self.state)),
            ("api user", yes_no(self.api_user)),
            ("roles", self.role_ids.join(" ")),
            (
                "interactive login disabled",
                yes_no(self.interactive_login_disabled),
            ),
            ("sso bypassed", yes_no(self.sso_bypassed)),
            (
                "password expiry disabled",
                yes_no(self.password_expiry_disabled),
            ),
            ("created", show_time(self.create_time.as_ref())),
            ("etag", self.etag.clone()),
        ]
    }
}

impl Listed for Principal {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "STATE", "API USER", "ROLES", "EMAIL"];

    fn row(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.display_name.clone(),
            word_of::<PrincipalState>(self.state),
            yes_no(self.api_user),
            self.role_ids.join(" "),
            self.email.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::parse;

    #[test]
    fn every_field_of_a_new_principal_has_a_flag() {
        let line = "--account acme --id sync --display-name Sync --email a@b --state active --api-user \
                    --role r1 --role r2 --request-id q1";
        assert_eq!(
            parse::<CreateArgs>(line).request(),
            CreatePrincipalRequest {
                account_id: "acme".into(),
                principal_id: "sync".into(),
                display_name: "Sync".into(),
                email: "a@b".into(),
                state: PrincipalState::Active.into(),
                api_user: true,
                role_ids: vec!["r1".into(), "r2".into()],
                request_id: "q1".into(),
            }
        );
    }

    #[test]
    fn every_filter_has_a_flag() {
        let page = Page {
            size: 7,
            token: "next".into(),
        };
        assert_eq!(
            parse::<ListArgs>("--account acme --api-users-only").request(page),
            ListPrincipalsRequest {
                account_id: "acme".into(),
                page_size: 7,
                page_token: "next".into(),
                api_users_only: true,
            }
        );
    }

    #[test]
    fn an_update_names_what_it_changes() {
        for (flags, path) in [
            ("--display-name x", "display_name"),
            ("--email=", "email"),
            ("--state disabled", "state"),
            ("--api-user", "api_user"),
            ("--api-user=false", "api_user"),
            ("--role r1", "role_ids"),
            ("--clear-roles", "role_ids"),
        ] {
            let line = format!("sync --account acme --etag e1 {flags}");
            let request = parse::<UpdateArgs>(&line).request().unwrap();
            assert_eq!(request.update_mask.unwrap().paths, [path], "{flags}");
            let principal = request.principal.unwrap();
            let named = (&*principal.account_id, &*principal.id, &*principal.etag);
            assert_eq!(named, ("acme", "sync", "e1"));
            assert_eq!(principal.api_user, flags == "--api-user");
        }
        assert!(parse::<UpdateArgs>("sync").request().is_err());
    }
}
