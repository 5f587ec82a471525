//! The hot path: presented credentials → token → secret → decision. It reads memory alone, and waits for nothing.
//!
//! A guesser learns nothing from the time that an answer takes: whatever is presented, one HMAC is made for each loaded key
//! and compared with as many digests, dummies included.

mod again;
mod compare;
mod identity;

use std::net::IpAddr;
use std::sync::Arc;

use crate::clock::{Clock, Reading};
use crate::directory::{Directory, Entry};
use crate::domain::budget::{Budget, Unmetered};
use crate::domain::decision::{self, DenyReason, Question, Step, Undecided, Unfound, Verdict};
use crate::domain::id::AccountId;
use crate::domain::operator::Scope;
use crate::domain::presented::{self, Claim, Presented};
use crate::domain::secret::{Digest, SecretState};
use crate::domain::text::{self, Environment};
use crate::domain::time::Timestamp;
use crate::keyring::{self, Keyring};
use crate::marks::{Mark, Marks, Misuse};
use crate::meter::usage::{Usage, Used};
use crate::store::backend::Revision;
use compare::{Candidate, Digests};
pub use identity::{Identity, Kept, Matched};

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

/// What is answered. The token is held still in the directory meanwhile: an answer is not held across an await, nor beside another
/// one.
#[derive(Debug)]
pub struct Answer<'d> {
    pub verdict: Verdict,
    /// In a dry run only.
    pub steps: Vec<Step>,
    /// The state that it was decided on.
    pub revision: Revision,
    /// When: what an answer says of ends and limits is said of this moment.
    pub now: Timestamp,
    whose: Whom<'d>,
}

#[derive(Debug)]
enum Whom<'d> {
    Nobody,
    Matched(Matched<'d>),
    Kept(&'d Kept),
}

impl<'d> Answer<'d> {
    /// An answer that takes back an earlier one.
    #[must_use]
    pub fn withdrawn(verdict: Verdict, kept: &'d Kept, revision: Revision, now: Timestamp) -> Self {
        Self {
            verdict,
            steps: Vec::new(),
            revision,
            now,
            whose: Whom::Kept(kept),
        }
    }

    /// Whose credentials they are; only once the secret has matched.
    #[must_use]
    pub fn identity(&self) -> Option<Identity<'_>> {
        match &self.whose {
            Whom::Nobody => None,
            Whom::Matched(matched) => Some(matched.identity()),
            Whom::Kept(kept) => Some(kept.identity()),
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
    pub fn validate(
        &self,
        ask: &Ask<'_>,
        budget: &mut impl Budget,
    ) -> Result<Answer<'_>, Undecided> {
        self.validate_at(self.clock.read(), ask, budget)
    }

    /// The same at a moment that the clocks have been read for.
    pub fn validate_at(
        &self,
        clocks: Reading,
        ask: &Ask<'_>,
        budget: &mut impl Budget,
    ) -> Result<Answer<'_>, Undecided> {
        let now = clocks.now();
        let revision = self.directory.revision();
        let found = self.find(ask, now);
        let subject = found.as_ref().map(|(matched, _)| matched.subject());
        let subject = subject.as_ref().map_err(|unfound| **unfound);
        let (verdict, steps) = if ask.dry_run {
            decision::explain(subject, &ask.question, now, budget)?
        } else {
            let verdict = decision::decide(subject, &ask.question, now, budget)?;
            (verdict, Vec::new())
        };
        if let (Ok((matched, digest)), false) = (&found, ask.dry_run) {
            self.leave_marks(matched, digest, &verdict, ask, now);
            self.usage.count(&Used {
                whose: matched.identity().whose(),
                found: Some(matched.found()),
                version: matched.secret().version,
                allowed: verdict.reason.is_none(),
                cost: ask.cost,
                consumer: ask.consumer,
                required: ask.question.required,
                now: clocks.settled(),
            });
        }
        Ok(Answer {
            verdict,
            whose: found.map_or(Whom::Nobody, |(matched, _)| Whom::Matched(matched)),
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
    ) -> Result<Matched<'_>, Verdict> {
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
        match (answer.verdict.reason, answer.whose) {
            (None, Whom::Matched(matched)) => Ok(matched),
            _ => Err(answer.verdict),
        }
    }

    /// The token whose secret was presented, and the secret's digest under the current key.
    fn find(&self, ask: &Ask<'_>, now: Timestamp) -> Result<(Matched<'_>, Digest), Unfound> {
        let claim = presented::read(ask.presented)?;
        let candidate = if text::is_ours(claim.text.as_str()) {
            self.own(&claim)?
        } else {
            self.imported(&claim, ask)
        };
        let digest = candidate.digests.current();
        let Some(secret) = candidate.matching(now) else {
            candidate.judge_in_vain(&ask.question, now);
            return Err(Unfound::Unknown);
        };
        let found = candidate.sought.found().ok_or(Unfound::Unknown)?;
        let account = found.tenant().id().as_str();
        let asked_for = ask.account.is_none_or(|named| named == account);
        if !asked_for || !ask.scope.reaches(account) {
            return Err(Unfound::Unknown);
        }
        let matched = Matched::new(found, secret).ok_or(Unfound::Unknown)?;
        Ok((matched, digest))
    }

    /// A text of ours: its id is in it, and an id presented beside it must be the same.
    fn own(&self, claim: &Claim<'_>) -> Result<Candidate<'_>, Unfound> {
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
        let sought = self.directory.seek(&id);
        Ok(Candidate {
            fits: named && sought.is_hit(),
            sought,
            digests,
            foreign: false,
        })
    }

    /// Any other text: looked up by its digest in the account that the request names or the caller is bound to.
    fn imported(&self, claim: &Claim<'_>, ask: &Ask<'_>) -> Candidate<'_> {
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
        let sought = match id {
            Some(id) => self.directory.seek(&id),
            None => self.directory.seek_nobody(digests.current().as_bytes()),
        };
        let named = |entry: &Entry| {
            let name = claim.id.as_ref();
            name.is_none_or(|name| entry.is_named(name.as_str()))
        };
        Candidate {
            fits: sought.is_hit() && sought.to_read().is_some_and(named),
            sought,
            digests,
            foreign: true,
        }
    }

    fn leave_marks(
        &self,
        matched: &Matched<'_>,
        digest: &Digest,
        verdict: &Verdict,
        ask: &Ask<'_>,
        now: Timestamp,
    ) {
        let (secret, credential) = (matched.secret(), matched.found().credential());
        let marked = (credential.id, secret.version);
        let leave = |mark| self.marks.leave(marked, mark, self.clock.steady());
        match verdict.reason {
            None if credential.secret_state(secret.life, now) == Some(SecretState::Pending) => {
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

#[cfg(test)]
mod tests;
