//! `keyward token …`: the verbs of a token's life.

mod consumers;
mod create;
mod doctor;
mod list;
mod rekey;
mod show;
mod update;

use std::time::Duration;

use clap::{Args, Subcommand};

use self::consumers::ConsumersArgs;
use self::create::{CreateArgs, ImportArgs};
use self::doctor::DoctorArgs;
use self::list::ListArgs;
use self::rekey::RekeyArgs;
use self::update::UpdateArgs;
use super::failure::{Failure, Outcome};
use super::session::{RemoteArgs, Session, required, with_session};
use super::shell::Shell;
use super::times::{parse_span, to_wire_span};
use super::values::parse_id;
use crate::api::proto::{
    CancelRekeyRequest, CompleteRekeyRequest, DeactivateTokenRequest, DeleteTokenRequest,
    GetTokenRequest, ReactivateTokenRequest,
};

/// Issue tokens and run their lives.
#[derive(Args, Clone, Debug)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    verb: TokenVerb,
    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Subcommand, Clone, Debug)]
enum TokenVerb {
    Create(CreateArgs),
    Get(GetArgs),
    List(ListArgs),
    Consumers(ConsumersArgs),
    Doctor(DoctorArgs),
    Update(UpdateArgs),
    Deactivate(DeactivateArgs),
    Reactivate(ReactivateArgs),
    Delete(DeleteArgs),
    Import(ImportArgs),
    Rekey(RekeyArgs),
    CompleteRekey(CompleteRekeyArgs),
    CancelRekey(CancelRekeyArgs),
}

/// Show one token and its secrets' states, never a secret.
#[derive(Args, Clone, Debug)]
struct GetArgs {
    /// Id of the token.
    #[arg(value_name = "TOKEN_ID", value_parser = parse_id)]
    token_id: String,
}

/// Refuse a token from now on, until it is reactivated; says who used it within the last day.
#[derive(Args, Clone, Debug)]
struct DeactivateArgs {
    #[command(flatten)]
    token: ChosenToken,
    /// Say who would break, and change nothing.
    #[arg(long)]
    validate_only: bool,
    /// Reason, for the audit log.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

/// Let a deactivated token work again.
#[derive(Args, Clone, Debug)]
struct ReactivateArgs {
    #[command(flatten)]
    token: ChosenToken,
}

/// Delete an inactive or expired token, for good.
#[derive(Args, Clone, Debug)]
struct DeleteArgs {
    #[command(flatten)]
    token: ChosenToken,
    /// Say whether it could be done and who used it within the last day, and change nothing.
    #[arg(long)]
    validate_only: bool,
}

/// End the grace of old secrets now.
#[derive(Args, Clone, Debug)]
struct CompleteRekeyArgs {
    #[command(flatten)]
    token: ChosenToken,
    /// Only if no old secret was used for so long, such as 1h; else says who did.
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    if_old_idle_for: Option<Duration>,
}

/// Drop a pending secret and keep the old one.
#[derive(Args, Clone, Debug)]
struct CancelRekeyArgs {
    #[command(flatten)]
    token: ChosenToken,
}

/// The token to change, as its changer last saw it.
#[derive(Args, Clone, Debug)]
struct ChosenToken {
    /// Id of the token.
    #[arg(value_name = "TOKEN_ID", value_parser = parse_id)]
    id: String,
    /// Only if this is still the token's etag.
    #[arg(long)]
    etag: Option<String>,
}

impl TokenArgs {
    pub(crate) fn run(&self, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
        with_session(&self.remote, shell, async |session| {
            self.verb.run(session).await
        })
    }
}

impl TokenVerb {
    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        match self {
            Self::Create(args) => args.run(session).await,
            Self::Get(args) => args.run(session).await,
            Self::List(args) => args.run(session).await,
            Self::Consumers(args) => args.run(session).await,
            Self::Doctor(args) => args.run(session).await,
            Self::Update(args) => args.run(session).await,
            Self::Deactivate(args) => args.run(session).await,
            Self::Reactivate(args) => args.run(session).await,
            Self::Delete(args) => args.run(session).await,
            Self::Import(args) => args.run(session).await,
            Self::Rekey(args) => args.run(session).await,
            Self::CompleteRekey(args) => args.run(session).await,
            Self::CancelRekey(args) => args.run(session).await,
        }
    }
}

impl GetArgs {
    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let request = GetTokenRequest {
            token_id: self.token_id.clone(),
        };
        let answer = client
            .call(request, async |r| client.credentials().get_token(r).await)
            .await?;
        session.show_some(answer.token)
    }
}

impl DeactivateArgs {
    fn request(&self) -> DeactivateTokenRequest {
        let (token_id, etag) = self.token.parts();
        DeactivateTokenRequest {
            token_id,
            etag,
            validate_only: self.validate_only,
            why: self.why.clone().unwrap_or_default(),
        }
    }

    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let answer = client
            .call(self.request(), async |r| {
                client.credentials().deactivate_token(r).await
            })
            .await?;
        required(answer.token.as_ref())?;
        // For a script the token alone, as from every verb that changes it, unless the question was who would break.
        if session.format.is_json() && !self.validate_only {
            return session.show_some(answer.token);
        }
        session.show(&answer)
    }
}

impl ReactivateArgs {
    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let (token_id, etag) = self.token.parts();
        let request = ReactivateTokenRequest { token_id, etag };
        let answer = client
            .call(request, async |r| {
                client.credentials().reactivate_token(r).await
            })
            .await?;
        session.show_some(answer.token)
    }
}

impl DeleteArgs {
    fn request(&self) -> DeleteTokenRequest {
        let (token_id, etag) = self.token.parts();
        DeleteTokenRequest {
            token_id,
            etag,
            validate_only: self.validate_only,
        }
    }

    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let answer = client
            .call(self.request(), async |r| {
                client.credentials().delete_token(r).await
            })
            .await?;
        if !self.validate_only {
            return session.done(&format!("token {} is deleted", self.token.id));
        }
        if !session.format.is_json() {
            session.done(&format!("token {} can be deleted", self.token.id))?;
        }
        session.show(&answer)
    }
}

impl CompleteRekeyArgs {
    fn request(&self) -> CompleteRekeyRequest {
        let (token_id, etag) = self.token.parts();
        CompleteRekeyRequest {
            token_id,
            if_old_idle_for: self.if_old_idle_for.map(to_wire_span),
            etag,
        }
    }

    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let answer = client
            .call(self.request(), async |r| {
                client.credentials().complete_rekey(r).await
            })
            .await?;
        session.show_some(answer.token)
    }
}

impl CancelRekeyArgs {
    async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let client = &session.client;
        let (token_id, etag) = self.token.parts();
        let request = CancelRekeyRequest { token_id, etag };
        let answer = client
            .call(request, async |r| {
                client.credentials().cancel_rekey(r).await
            })
            .await?;
        session.show_some(answer.token)
    }
}

impl ChosenToken {
    fn parts(&self) -> (String, String) {
        (self.id.clone(), self.etag.clone().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::parse;

    #[test]
    fn a_deactivation_carries_its_reason() {
        let request =
            parse::<DeactivateArgs>("t1 --etag e1 --validate-only --why leaked").request();
        let expected = DeactivateTokenRequest {
            token_id: "t1".into(),
            etag: "e1".into(),
            validate_only: true,
            why: "leaked".into(),
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn a_grace_is_ended_whatever_is_in_use_unless_an_idle_time_is_given() {
        let idle = |line: &str| parse::<CompleteRekeyArgs>(line).request().if_old_idle_for;
        assert_eq!(idle("t1"), None);
        let hour = to_wire_span(Duration::from_secs(3_600));
        assert_eq!(idle("t1 --if-old-idle-for 1h"), Some(hour));
    }

    #[test]
    fn a_deletion_can_be_tried_first() {
        let request = parse::<DeleteArgs>("t1 --validate-only").request();
        assert!(request.validate_only);
        assert!(!parse::<DeleteArgs>("t1").request().validate_only);
    }
}
