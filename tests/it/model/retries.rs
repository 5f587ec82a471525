//! The reference's answers to requests that carry an id or an etag.

use std::mem::discriminant;

use super::steps::{MINUTE, Step};
use super::world::{Outcome, World};

/// How long an answer is kept.
const KEPT: i64 = 10 * MINUTE;

/// A request that was done, and what it made.
#[derive(Clone, Debug)]
pub(super) struct Request {
    id: u8,
    pub(super) step: Step,
    at: i64,
    token: usize,
    version: u32,
    /// How often the token had been deactivated.
    stops: u32,
}

impl World {
    /// Does it, or gives the answer that it was given within ten minutes, while that secret is still the token's newest.
    pub(super) fn once(&mut self, id: u8, step: &Step) -> Outcome {
        let known = self.requests.iter().rev();
        let mut known = known.filter(|known| known.id == id && self.now < known.at + KEPT);
        if let Some(known) = known.find(|known| self.is_same_call(known, step)) {
            return self.again(known, step);
        }
        let outcome = self.change(step).into();
        if matches!(outcome, Outcome::Done) {
            let token = step.token().unwrap_or(self.tokens.len() - 1);
            self.requests.push(Request {
                id,
                step: step.clone(),
                at: self.now,
                token,
                version: self.tokens[token].versions,
                stops: self.tokens[token].stops,
            });
        }
        outcome
    }

    /// An id counts by method and account; of a token that is gone, by the token.
    fn is_same_call(&self, known: &Request, step: &Step) -> bool {
        let account = self.tokens[known.token].account;
        let here = match step {
            Step::MakeToken(a, _) | Step::Import(a, ..) => *a == account,
            Step::Rekey { token, .. } if self.tokens[*token].deleted => *token == known.token,
            Step::Rekey { token, .. } => self.tokens[*token].account == account,
            other => unreachable!("{other:?}"),
        };
        here && discriminant(&known.step) == discriminant(step)
    }

    fn again(&self, known: &Request, step: &Step) -> Outcome {
        let token = &self.tokens[known.token];
        let mut secrets = token.secrets.iter();
        let newest = token.versions == known.version
            && secrets.any(|secret| secret.version == known.version);
        if known.step != *step {
            Outcome::Refused(vec!["REQUEST_ID_REUSED"])
        } else if token.deleted || !newest || token.stops != known.stops {
            Outcome::Refused(vec!["REPLAY_GONE"])
        } else {
            Outcome::Again(known.token, known.version)
        }
    }

    pub(super) fn if_match(&mut self, current: bool, step: &Step) -> Vec<&'static str> {
        let deleted = step.token().is_some_and(|t| self.tokens[t].deleted);
        if current || deleted {
            self.change(step)
        } else {
            vec!["ETAG_MISMATCH"]
        }
    }
}
