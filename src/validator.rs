//! The hot path: presented credentials → token → secret → decision. It reads memory alone, and waits for nothing.
//!
//! A guesser learns nothing from the time that an answer takes: whatever is presented, one HMAC is made for each loaded key
//! and compared with as many digests, dummies included.

mod again;
mod compare;

use std::net::IpAddr;
use std::sync::Arc;

use crate::clock::{Clock, Reading};
use crate::directory::{Directory, Member};
use crate::domain::account::Account;
use crate::domain::budget::{Budget, Unmetered};
use crate::domain::decision::{
    self, DenyReason, Question, Step, Subject, Undecided, Unfound, Verdict,
};
use crate::domain::grant::Grants;
use crate::domain::id::AccountId;
use crate::domain::limits;
use crate::domain::operator::Scope;
use crate::domain::presented::{self, Claim, Presented};
use crate::domain::secret::{Digest, Secret, SecretState};
use crate::domain::text::{self, Environment};
use crate::domain::time::Timestamp;
use crate::domain::token::Token;
use crate::keyring::{self, Keyring};
use crate::marks::{Mark, Marks, Misuse};
use crate::meter::usage::{Usage, Used};
use crate::store::backend::Revision;
use compare::{Candidate, Digests};

/// Decides on presented credentials.
#[derive(Debug)]
pub struct Validator {
    directory: Arc<Directory>,
    keyring: Arc<Keyring>,
    environment: Environment,
    clock: Arc<dyn Clock>,
    marks: Arc<Marks>,
    usage: Arc<Usage>,
}

/// What is asked.
#[derive(Debug)]
pub struct Ask<'a> {
    pub presented: Option<Presented<'a>>,
    /// Whom the caller may ask about.
    pub scope: &'a Scope,
    /// Only tokens of this account are good; finds imported texts.
    pub account: Option<&'a str>,
    pub question: Question<'a>,
    /// On whose behalf the caller asks, where it says so.
    pub consumer: Option<&'a str>,
    /// Calls that the request counts for.
    pub cost: u64,
    /// Tell every step, count nothing, and leave no mark.
    pub dry_run: bool,
}

/// What is answered.
#[derive(Debug)]
pub struct Answer {
    pub verdict: Verdict,
    /// Whose credentials they are; only once the secret has matched.
    pub identity: Option<Identity>,
    /// In a dry run only.
    pub steps: Vec<Step>,
    /// The state that it was decided on.
    pub revision: Revision,
    /// When: what an answer says of ends and limits is said of this moment.
    pub now: Timestamp,
}

/// A token whose secret was presented.
#[derive(Clone, Debug)]
pub struct Identity {
    pub token: Arc<Token>,
    pub account: Arc<Account>,
    pub member: Option<Arc<Member>>,
    /// Which of the token's secrets it was.
    slot: usize,
}

impl Identity {
    /// The end of the secret presented, where it is retiring.
    #[must_use]
    pub fn secret_good_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.token.secret_state(self.secret(), now) {
            Some(SecretState::Retiring { good_until }) => Some(good_until),
            _ => None,
        }
    }

    /// When it ends by the passing of time alone, where it does.
    #[must_use]
    pub fn good_until(&self, now: Timestamp) -> Option<Timestamp> {
        let secret = match self.token.secret_state(self.secret(), now) {
            Some(SecretState::Retiring { good_until }) => Some(good_until),
            Some(SecretState::Pending) => {
                Some(self.secret().create_time.after(limits::PENDING_KEPT))
            }
            Some(SecretState::Current | SecretState::Superseded) | None => None,
        };
        [secret, self.token.expire_time].into_iter().flatten().min()
    }

    /// Which of its token's secrets was presented.
    #[must_use]
    pub fn secret_version(&self) -> u32 {
        self.secret().version
    }

    /// What the token may do, within its principal's roles.
    #[must_use]
    pub fn effective_grants(&self) -> Grants {
        decision::effective_grants(&self.subject())
    }

    fn secret(&self) -> &Secret {
        &self.token.secrets[self.slot]
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            token: &self.token,
            secret: self.secret(),
            account: &self.account,
            standing: self.member.as_deref().map(Member::standing),
        }
    }
}

impl Validator {
    #[must_use]
    pub fn new(
        directory: Arc<Directory>,
        keyring: Arc<Keyring>,
        environment: Environment,
        clock: Arc<dyn Clock>,
        marks: Arc<Marks>,
        usage: Arc<Usage>,
    ) -> Self {
        Self {
            directory,
            keyring,
            environment,
            clock,
            marks,
            usage,
        }
    }

    /// The directory that decisions are made on.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The time that this validator decides by.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clocks that this validator decides by, as they stand.
    #[must_use]
    pub fn clocks(&self) -> Reading {
        self.clock.read()
    }

    /// Decides, and pays from the budget. What is undecided has left no trace but in the budget.
    pub fn validate(&self, ask: &Ask<'_>, budget: &mut impl Budget) -> Result<Answer, Undecided> {
        self.validate_at(self.clock.read(), ask, budget)
    }

    /// The same at a moment that the clocks have been read for.
    pub fn validate_at(
        &self,
        clocks: Reading,
        ask: &Ask<'_>,
        budget: &mut impl Budget,
    ) -> Result<Answer, Undecided> {
        let now = clocks.now();
        let revision = self.directory.revision();
        let found = self.find(ask, now);
        let subject = found.as_ref().map(|(identity, _)| identity.subject());
        let subject = subject.as_ref().map_err(|unfound| **unfound);
        let (verdict, steps) = if ask.dry_run {
            decision::explain(subject, &ask.question, now, budget)?
        } else {
            let verdict = decision::decide(subject, &ask.question, now, budget)?;
            (verdict, Vec::new())
        };
        if let (Ok((identity, digest)), false) = (&found, ask.dry_run) {
            self.leave_marks(identity, digest, &verdict, ask, now);
            self.usage.count(&Used {
                token: &identity.token,
                version: identity.secret_version(),
                allowed: verdict.reason.is_none(),
                cost: ask.cost,
                consumer: ask.consumer,
                required: ask.question.required,
                now: clocks.settled(),
            });
        }
        Ok(Answer {
            verdict,
            identity: found.ok().map(|(identity, _)| identity),
            steps,
            revision,
            now,
        })
    }

    /// The operator that presents a token of the system account, or the verdict on whoever does not. It leaves marks and
    /// is counted as any validation.
    pub fn authenticate(
        &self,
        presented: Option<Presented<'_>>,
        address: Option<IpAddr>,
    ) -> Result<Identity, Verdict> {
        let ask = Ask {
            presented,
            scope: &Scope::Every,
            account: Some(AccountId::SYSTEM),
            question: Question {
                client_address: address,
                ..Question::default()
            },
            consumer: None,
            cost: 1,
            dry_run: false,
        };
        let answer = self
            .validate(&ask, &mut Unmetered)
            .expect("where nothing is metered nothing is unknown");
        match (answer.verdict.reason, answer.identity) {
            (None, Some(identity)) => Ok(identity),
            _ => Err(answer.verdict),
        }
    }

    /// Whether the same credentials, presented again, leave no mark for as long as nothing changes: their secret is current or
    /// retiring, and under the current key.
    #[must_use]
    pub fn leaves_no_mark(&self, identity: &Identity, now: Timestamp) -> bool {
        let secret = identity.secret();
        let state = identity.token.secret_state(secret, now);
        let plain = matches!(
            state,
            Some(SecretState::Current | SecretState::Retiring { .. })
        );
        plain && secret.key == self.keyring.current().id()
    }

    /// The token whose secret was presented, and the secret's digest under the current key.
    fn find(&self, ask: &Ask<'_>, now: Timestamp) -> Result<(Identity, Digest), Unfound> {
        let claim = presented::read(ask.presented)?;
        let candidate = if text::is_ours(claim.text.as_str()) {
            self.own(&claim)?
        } else {
            self.imported(&claim, ask)
        };
        let slot = candidate.matching_slot(now);
        let digest = candidate.digests.current();
        let (Some(token), Some(slot)) = (candidate.token, slot) else {
            return Err(Unfound::Unknown);
        };
        let asked_for = ask
            .account
            .is_none_or(|account| account == token.account.as_str());
        let account = self
            .directory
            .account(&token.account)
            .ok_or(Unfound::Unknown)?;
        if !asked_for || !ask.scope.reaches(token.account.as_str()) {
            return Err(Unfound::Unknown);
        }
        let member = token
            .principal
            .as_ref()
            .and_then(|id| self.directory.member(&token.account, id));
        Ok((
            Identity {
                token,
                account,
                member,
                slot,
            },
            digest,
        ))
    }

    /// A text of ours: its id is in it, and an id presented beside it must be the same.
    fn own(&self, claim: &Claim<'_>) -> Result<Candidate, Unfound> {
        let text = claim.text.as_str();
        let id = text::token_id_of(text, &self.environment).map_err(|error| match error {
            text::TextError::Malformed => Unfound::Malformed,
            text::TextError::WrongEnvironment => Unfound::WrongEnvironment,
        })?;
        let digests = Digests::under_each(&self.keyring, |key| key.secret_digest(id, text));
        let named = claim
            .id
            .as_ref()
            .is_none_or(|named| named.as_str() == id.as_str());
        Ok(Candidate {
            token: self.directory.token(id).filter(|_| named),
            digests,
            foreign: false,
        })
    }

    /// Any other text: looked up by its digest in the account that the request names or the caller is bound to.
    fn imported(&self, claim: &Claim<'_>, ask: &Ask<'_>) -> Candidate {
        let bound = match ask.scope {
            Scope::Only(own) => Some(own.as_str()),
            Scope::Every => None,
        };
        // Nothing is ever imported into the system account: the same work, and nothing found.
        let account = ask.account.or(bound).unwrap_or(AccountId::SYSTEM);
        let sha256 = keyring::sha256(claim.text.as_str());
        let digests = Digests::under_each(&self.keyring, |key| key.import_digest(account, &sha256));
        let id = digests
            .iter()
            .find_map(|(_, digest)| self.directory.imported(digest.as_bytes()));
        let token = id.and_then(|id| self.directory.token(id));
        let token = token.filter(|token| {
            claim
                .id
                .as_ref()
                .is_none_or(|named| is_named(token, named.as_str()))
        });
        Candidate {
            token,
            digests,
            foreign: true,
        }
    }

    fn leave_marks(
        &self,
        identity: &Identity,
        digest: &Digest,
        verdict: &Verdict,
        ask: &Ask<'_>,
        now: Timestamp,
    ) {
        let secret = identity.secret();
        let marked = (identity.token.id, secret.version);
        let leave = |mark| self.marks.leave(marked, mark, self.clock.steady());
        match verdict.reason {
            None if identity.token.secret_state(secret, now) == Some(SecretState::Pending) => {
                leave(Mark::FirstUse)
            }
            Some(DenyReason::Superseded) => {
                let address = ask.question.client_address;
                let address = address.map(|address| address.to_string());
                let consumer = ask.consumer.unwrap_or_default().to_owned();
                let misuse = Misuse::one(address.unwrap_or_default(), consumer);
                leave(Mark::SupersededUsed(misuse));
            }
            _ => {}
        }
        let current = self.keyring.current().id();
        if verdict.reason.is_none() && secret.key != current {
            leave(Mark::Rehash {
                key: current,
                digest: *digest,
            });
        }
    }
}

/// In Basic an imported text goes with its own user name, or with its token's id.
fn is_named(token: &Token, name: &str) -> bool {
    token.foreign_id.as_deref() == Some(name) || token.id.as_str() == name
}

#[cfg(test)]
mod tests;
