//! Credentials that were presented before, decided on once more: for streams that outlast one answer.

use std::borrow::Cow;

use super::identity::Matching;
use super::{Kept, Matched, Validator};
use crate::domain::decision::{self, DenyReason, Question, Verdict};
use crate::domain::id::TokenId;
use crate::domain::limits;
use crate::domain::secret::SecretState;
use crate::domain::time::Timestamp;
use crate::meter::usage::Used;

impl Validator {
    /// The same rules for a secret that has matched before, by its token and version; its text is not needed again. It counts
    /// nothing and leaves no mark.
    pub fn again(
        &self,
        token: TokenId,
        version: u32,
        question: &Question<'_>,
    ) -> Result<Matched<'_>, Verdict> {
        let now = self.clock.now();
        let matched = self.known(token, version, now).ok_or_else(gone)?;
        let verdict = decision::judge(&matched.subject(), question, now);
        match verdict.reason {
            None => Ok(matched),
            Some(_) => Err(verdict),
        }
    }

    /// Whether the same credentials, presented again, leave no mark for as long as nothing changes: their secret is current or
    /// retiring, and under the current key.
    #[must_use]
    pub fn leaves_no_mark(&self, matched: &Matched<'_>, now: Timestamp) -> bool {
        let (secret, credential) = (matched.secret(), matched.found().credential());
        let state = credential.secret_state(secret.life, now);
        let plain = matches!(
            state,
            Some(SecretState::Current | SecretState::Retiring { .. })
        );
        plain && secret.key == self.keyring.current().id()
    }

    /// Counts calls of one that was authenticated before, and need not be again.
    pub fn count_calls(&self, kept: &Kept, calls: u64, now: Timestamp) {
        let found = self.directory.find(&kept.id());
        let identity = kept.identity();
        self.usage.count(&Used {
            whose: identity.whose(),
            found: found.as_ref(),
            version: identity.secret_version,
            allowed: true,
            cost: calls,
            consumer: None,
            required: None,
            now,
        });
    }

    fn known(&self, token: TokenId, version: u32, now: Timestamp) -> Option<Matched<'_>> {
        let found = self.directory.find(&token)?;
        let mut secrets = (0..limits::SECRETS_OF_TOKEN).filter_map(|slot| found.secret(slot));
        let secret = secrets.find(|secret| secret.version == version)?;
        secret.life.state(now)?;
        let matching = Matching {
            version,
            key: secret.key,
            life: secret.life,
        };
        Matched::new(found, matching)
    }
}

/// The token or its secret is not there any more.
fn gone() -> Verdict {
    let detail = "the token, or the secret presented, is gone";
    Verdict::deny(DenyReason::Unknown, Cow::Borrowed(detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock as _;
    use crate::domain::token::Activation::AtOnce;
    use crate::registry::tests::world::{HOUR, MILLI, World};

    #[tokio::test]
    async fn what_was_presented_stays_good_as_long_as_its_text_would() {
        let world = World::with_accounts(["acme"]).await;
        let again = |id, version| {
            let identity = world.validator.again(id, version, &Question::default());
            identity.map(drop).map_err(|verdict| verdict.reason)
        };
        let issued = world.token("acme").await;
        let id = issued.token.id;
        assert_eq!(again(id, 1), Ok(()));
        assert_eq!(again(id, 2), Err(Some(DenyReason::Unknown)));
        world.rekey(id, HOUR, AtOnce).await.unwrap();
        world.clock.advance(HOUR - MILLI);
        assert_eq!((again(id, 1), again(id, 2)), (Ok(()), Ok(())));
        world.clock.advance(MILLI);
        let superseded = Err(Some(DenyReason::Superseded));
        assert_eq!((again(id, 1), again(id, 2)), (superseded, Ok(())));
        world.disable("acme", true).await;
        assert_eq!(again(id, 2), Err(Some(DenyReason::AccountDisabled)));
        world.disable("acme", false).await;
        world.deactivate(id).await;
        assert_eq!(again(id, 2), Err(Some(DenyReason::Inactive)));
        world.delete(id).await.unwrap();
        assert_eq!(again(id, 2), Err(Some(DenyReason::Unknown)));
        let later = world.clock.steady() + HOUR;
        assert!(world.marks.take_waiting(later).is_empty());
    }
}
