//! Tokens that are made for a run, and taken away after it.

use std::time::Duration;

use futures_util::future::join_all;
use zeroize::Zeroizing;

use super::Interrupts;
use crate::api::proto::create_account_request::Terms;
use crate::api::proto::create_token_request::Expiry;
use crate::api::proto::{
    CreateAccountRequest, CreateTokenRequest, DeactivateTokenRequest, DeleteTokenRequest,
};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::retry::RequestIdArgs;
use crate::cli::session::Session;
use crate::cli::times::to_wire_span;

/// Calls that change something, made side by side, so that they are committed together.
const AT_ONCE: usize = 64;
/// They outlive the run by this, should nobody take them away.
const SPARE: Duration = Duration::from_secs(60 * 60);

/// The tokens of a run.
pub(super) struct Issued {
    account: String,
    life: Duration,
    /// Id and text of each.
    tokens: Vec<(String, Zeroizing<String>)>,
}

impl Issued {
    pub(super) fn new(account: &str, run: Duration) -> Self {
        Self {
            account: account.into(),
            life: run + SPARE,
            tokens: Vec::new(),
        }
    }

    pub(super) fn texts(&self) -> Zeroizing<Vec<String>> {
        let texts = self.tokens.iter().map(|(_, text)| text.to_string());
        Zeroizing::new(texts.collect())
    }

    /// Makes so many, and the account where it is not there. What was made before a failure is kept in mind.
    pub(super) async fn issue(
        &mut self,
        client: &Client,
        count: u32,
        interrupts: &Interrupts,
    ) -> Result<(), Failure> {
        self.make_account(client).await?;
        let numbers: Vec<u32> = (1..=count).collect();
        for some in numbers.chunks(AT_ONCE) {
            if *interrupts.borrow() > 0 {
                return Err(Failure::local("interrupted before the run"));
            }
            let made = join_all(some.iter().map(|number| self.make_token(client, *number))).await;
            let mut failed = None;
            for made in made {
                match made {
                    Ok(token) => self.tokens.push(token),
                    Err(failure) => failed = Some(failure),
                }
            }
            if let Some(failure) = failed {
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Deletes them. What could not be deleted is told; a second interrupt leaves the rest.
    pub(super) async fn take_away(
        &mut self,
        session: &mut Session<'_, '_>,
        interrupts: &mut Interrupts,
    ) {
        let before = *interrupts.borrow();
        let mut left = 0;
        let mut why = None;
        for some in self.tokens.chunks(AT_ONCE) {
            if *interrupts.borrow() > before.max(1) {
                left += some.len();
                continue;
            }
            let deleted = join_all(some.iter().map(|(id, _)| delete(&session.client, id))).await;
            for failure in deleted.into_iter().filter_map(Result::err) {
                left += 1;
                why = Some(failure.message);
            }
        }
        self.tokens.clear();
        if left > 0 {
            session.shell.note(&format!(
                "note: {left} tokens are left in account {}, and expire within {} minutes{}",
                self.account,
                self.life.as_secs().div_ceil(60),
                why.map(|why| format!(": {why}")).unwrap_or_default()
            ));
        }
    }

    async fn make_account(&self, client: &Client) -> Result<(), Failure> {
        let request = CreateAccountRequest {
            account_id: self.account.clone(),
            display_name: "Tokens of keyward bench".into(),
            terms: Some(Terms::Preset("standard".into())),
            ..Default::default()
        };
        let made = client
            .call(request, async |r| {
                client.directory().create_account(r).await
            })
            .await;
        match made {
            Err(failure) if failure.code != "ALREADY_EXISTS" => Err(failure),
            _ => Ok(()),
        }
    }

    async fn make_token(
        &self,
        client: &Client,
        number: u32,
    ) -> Result<(String, Zeroizing<String>), Failure> {
        let request = CreateTokenRequest {
            account_id: self.account.clone(),
            name: format!("bench {number}"),
            expiry: Some(Expiry::Ttl(to_wire_span(self.life))),
            request_id: RequestIdArgs::default().settle(),
            ..Default::default()
        };
        let answer = client
            .call(request, async |r| {
                client.credentials().create_token(r).await
            })
            .await?;
        let id = answer.token.map(|token| token.id).unwrap_or_default();
        Ok((id, Zeroizing::new(answer.secret)))
    }
}

async fn delete(client: &Client, id: &str) -> Result<(), Failure> {
    let stop = DeactivateTokenRequest {
        token_id: id.into(),
        ..Default::default()
    };
    client
        .call(stop, async |r| {
            client.credentials().deactivate_token(r).await
        })
        .await?;
    let delete = DeleteTokenRequest {
        token_id: id.into(),
        ..Default::default()
    };
    client
        .call(delete, async |r| client.credentials().delete_token(r).await)
        .await?;
    Ok(())
}
