//! Credentials that were presented before, decided on once more: for streams that outlast one answer.

use std::borrow::Cow;

use super::{Identity, Validator};
use crate::domain::decision::{self, DenyReason, Question, Verdict};
use crate::domain::id::TokenId;

impl Validator {
    /// The same rules for a secret that has matched before, by its token and version; its text is not needed again. It counts
    /// nothing and leaves no mark.
    pub fn again(
        &self,
        token: TokenId,
        version: u32,
        question: &Question<'_>,
    ) -> Result<Identity, Verdict> {
        let now = self.clock.now();
        let identity = self.known(token, version).ok_or_else(gone)?;
        let verdict = decision::judge(&identity.subject(), question, now);
        match verdict.reason {
            None => Ok(identity),
            Some(_) => Err(verdict),
        }
    }

    fn known(&self, token: TokenId, version: u32) -> Option<Identity> {
        let token = self.directory.token(token)?;
        let slot = token
            .secrets
            .iter()
            .position(|secret| secret.version == version)?;
        token.secrets[slot].state(self.clock.now())?;
        let account = self.directory.account(&token.account)?;
        let member = token
            .principal
            .as_ref()
            .and_then(|id| self.directory.member(&token.account, id));
        Some(Identity {
            token,
            account,
            member,
            slot,
        })
    }
}

/// The token or its secret is not there any more.
fn gone() -> Verdict {
    let detail = "the token, or the secret presented, is gone";
    Verdict::deny(DenyReason::Unknown, Cow::Borrowed(detail))
}
