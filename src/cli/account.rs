//! `keyward account …`: tenants, their policies and their account keys.

use clap::{Args, Subcommand};

use super::failure::{Failure, Outcome};
use super::output::{Listed, Record};
use super::policy::{PolicyArgs, policy_fields};
use super::retry::{RequestIdArgs, explain};
use super::session::{Page, PagingArgs, RemoteArgs, Session, with_session};
use super::shell::Shell;
use super::table::yes_no;
use super::times::show_time;
use super::values::{Mask, parse_id};
use crate::api::proto::create_account_request::Terms;
use crate::api::proto::{
    Account, CreateAccountKeyRequest, CreateAccountRequest, GetAccountRequest, ListAccountsRequest,
    UpdateAccountRequest,
};
use crate::domain::account::Policy;

/// Make tenants and say what holds in them.
#[derive(Args, Clone, Debug)]
pub(crate) struct AccountArgs {
    #[command(subcommand)]
    verb: AccountVerb,
    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Subcommand, Clone, Debug)]
enum AccountVerb {
    Create(CreateArgs),
    Get(GetArgs),
    List(ListArgs),
    Update(UpdateArgs),
    CreateKey(CreateKeyArgs),
}

/// Make an account, by a preset or by a policy of its own.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  keyward account create --id acme --display-name 'Acme Inc.' --preset integration-tokens
  keyward account create --id acme --max-tokens 20 --rekey-grace 4h --require-expiry")]
struct CreateArgs {
    /// Id to give it: 3 to 40 of a-z, 0-9 and - [default: made up].
    #[arg(long, value_parser = parse_id)]
    id: Option<String>,

    /// Name for people.
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,

    /// Ready-made policy [default: standard, where no policy flag is given].
    #[arg(long, value_parser = Policy::PRESETS, conflicts_with = "PolicyArgs")]
    preset: Option<String>,

    #[command(flatten)]
    request_id: RequestIdArgs,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// Show one account and its policy.
#[derive(Args, Clone, Debug)]
struct GetArgs {
    /// Id of the account.
    #[arg(value_name = "ACCOUNT_ID", value_parser = parse_id)]
    account_id: String,
}

/// List the accounts that the operator may see.
#[derive(Args, Clone, Debug)]
struct ListArgs {
    #[command(flatten)]
    paging: PagingArgs,
}

/// Change what is named, leave the rest.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  keyward account update acme --max-tokens none --rekey-grace 1h
  keyward account update acme --disable")]
struct UpdateArgs {
    /// Id of the account.
    #[arg(value_name = "ACCOUNT_ID", value_parser = parse_id)]
    account_id: String,

    /// New name for people.
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,

    /// Refuse all its tokens from now on; reversible.
    #[arg(long)]
    disable: bool,

    /// Let its tokens work again.
    #[arg(long, conflicts_with = "disable")]
    enable: bool,

    /// Only if this is still the account's etag.
    #[arg(long)]
    etag: Option<String>,

    #[command(flatten)]
    policy: PolicyArgs,
}

/// Make the account's key: public, permanent, made once.
#[derive(Args, Clone, Debug)]
struct CreateKeyArgs {
    /// Id of the account.
    #[arg(value_name = "ACCOUNT_ID", value_parser = parse_id)]
    account_id: String,
}

impl AccountArgs {
    pub(crate) fn run(&self, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
        with_session(&self.remote, shell, async |session| match &self.verb {
            AccountVerb::Create(args) => args.run(session).await,
            AccountVerb::Get(args) => args.run(session).await,
            AccountVerb::List(args) => args.run(session).await,
            AccountVerb::Update(args) => args.run(session).await,
            AccountVerb::CreateKey(args) => args.run(session).await,
        })
    }
}

impl CreateArgs {
    fn request(&self) -> CreateAccountRequest {
        let own = self.policy.policy(&mut Mask::default()).map(Terms::Policy);
        CreateAccountRequest {
            account_id: self.id.clone().unwrap_or_default(),
            display_name: self.display_name.clone().unwrap_or_default(),
            terms: self.preset.clone().map(Terms::Preset).or(own),
            request_id: self.request_id.settle(),
        }
    }

    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let request = self.request();
        let id = request.request_id.clone();
        let client = &session.client;
        let answer = client
            .call(request, async |r| {
                client.directory().create_account(r).await
            })
            .await
            .map_err(|failure| explain(failure, &id))?;
        session.show_some(answer.account)
    }
}

impl GetArgs {
    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let request = GetAccountRequest {
            account_id: self.account_id.clone(),
        };
        let answer = client
            .call(request, async |r| client.directory().get_account(r).await)
            .await?;
        session.show_some(answer.account)
    }
}

impl ListArgs {
    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = session.client.clone();
        session
            .list(&self.paging, async |page: Page| {
                let request = ListAccountsRequest {
                    page_size: page.size,
                    page_token: page.token,
                };
                let answer = client
                    .call(request, async |r| client.directory().list_accounts(r).await)
                    .await?;
                Ok((answer.accounts, answer.next_page_token))
            })
            .await
    }
}

impl UpdateArgs {
    fn request(&self) -> Result<UpdateAccountRequest, Failure> {
        let mut mask = Mask::default();
        let disabled = (self.disable || self.enable).then_some(self.disable);
        let account = Account {
            id: self.account_id.clone(),
            etag: self.etag.clone().unwrap_or_default(),
            display_name: mask
                .set("display_name", self.display_name.clone())
                .unwrap_or_default(),
            disabled: mask.set("disabled", disabled).unwrap_or_default(),
            policy: self.policy.policy(&mut mask),
            ..Account::default()
        };
        Ok(UpdateAccountRequest {
            account: Some(account),
            update_mask: Some(mask.finish()?),
        })
    }

    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let request = self.request()?;
        let answer = client
            .call(request, async |r| {
                client.directory().update_account(r).await
            })
            .await?;
        session.show_some(answer.account)
    }
}

impl CreateKeyArgs {
    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let request = CreateAccountKeyRequest {
            account_id: self.account_id.clone(),
        };
        let answer = client
            .call(request, async |r| {
                client.directory().create_account_key(r).await
            })
            .await?;
        session.show_some(answer.account)
    }
}

impl Record for Account {
    const NAME: &'static str = "keyward.v1.Account";

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("id", self.id.clone()),
            ("name", self.display_name.clone()),
            ("account key", self.account_key.clone()),
            ("disabled", yes_no(self.disabled)),
        ];
        fields.extend(self.policy.as_ref().map(policy_fields).unwrap_or_default());
        fields.push(("created", show_time(self.create_time.as_ref())));
        fields.push(("etag", self.etag.clone()));
        fields
    }
}

impl Listed for Account {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "DISABLED", "ACCOUNT KEY", "CREATED"];

    fn row(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.display_name.clone(),
            yes_no(self.disabled),
            self.account_key.clone(),
            show_time(self.create_time.as_ref()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::proto::{AccountPolicy, PrincipalRule};
    use crate::cli::testing::{parse, try_parse};
    use prost_types::Duration;

    const EVERY_RULE: &str = "--max-tokens 3 --daily-calls 2500 --max-connections-per-token 2 --rekey-grace 4h --principal-rule enforced --require-account-key \
                              --require-expiry --max-lifetime 90d --freeze-tokens --notify-before-expiry 7d,1d";

    fn every_rule() -> AccountPolicy {
        AccountPolicy {
            max_tokens: Some(3),
            daily_calls: Some(2_500),
            max_connections_per_token: Some(2),
            rekey_grace: Some(Duration {
                seconds: 14_400,
                nanos: 0,
            }),
            principal_rule: PrincipalRule::Enforced.into(),
            require_account_key: true,
            require_expiry: true,
            max_lifetime: Some(Duration {
                seconds: 7_776_000,
                nanos: 0,
            }),
            freeze_tokens: true,
            notify_before_expiry: [604_800, 86_400]
                .map(|seconds| Duration { seconds, nanos: 0 })
                .into(),
        }
    }

    #[test]
    fn an_account_is_made_by_a_preset_or_a_policy_or_neither() {
        let terms = |flags: &str| {
            let line = format!("--id acme --display-name Acme --request-id r1 {flags}");
            let request = parse::<CreateArgs>(&line).request();
            assert_eq!(request.account_id, "acme");
            assert_eq!(request.display_name, "Acme");
            assert_eq!(request.request_id, "r1");
            request.terms
        };
        assert_eq!(terms(""), None);
        assert_eq!(
            terms("--preset access-keys"),
            Some(Terms::Preset("access-keys".into()))
        );
        assert_eq!(terms(EVERY_RULE), Some(Terms::Policy(every_rule())));
        assert!(try_parse::<CreateArgs>("--preset standard --max-tokens 3").is_err());
        assert!(try_parse::<CreateArgs>("--preset another").is_err());
    }

    #[test]
    fn an_update_names_each_rule_that_it_changes() {
        let request = |flags: &str| {
            let line = format!("acme --etag e1 {flags}");
            let request = parse::<UpdateArgs>(&line).request().unwrap();
            let account = request.account.unwrap();
            assert_eq!((&*account.id, &*account.etag), ("acme", "e1"));
            (account, request.update_mask.unwrap().paths)
        };
        for (flags, path) in [
            ("--display-name x", "display_name"),
            ("--disable", "disabled"),
            ("--enable", "disabled"),
            ("--max-tokens none", "policy.max_tokens"),
            ("--daily-calls none", "policy.daily_calls"),
            (
                "--max-connections-per-token 2",
                "policy.max_connections_per_token",
            ),
            ("--notify-before-expiry none", "policy.notify_before_expiry"),
            ("--rekey-grace 0", "policy.rekey_grace"),
            ("--principal-rule none", "policy.principal_rule"),
            ("--require-account-key=false", "policy.require_account_key"),
            ("--require-expiry", "policy.require_expiry"),
            ("--max-lifetime none", "policy.max_lifetime"),
            ("--freeze-tokens=false", "policy.freeze_tokens"),
        ] {
            assert_eq!(request(flags).1, [path], "{flags}");
        }
        assert!(request("--disable").0.disabled);
        assert!(!request("--enable").0.disabled);
        assert_eq!(request(EVERY_RULE).0.policy, Some(every_rule()));
        assert!(parse::<UpdateArgs>("acme").request().is_err());
    }
}
