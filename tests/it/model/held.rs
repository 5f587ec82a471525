//! The reference's connections: how many a token may hold, and what withdraws one.

use super::decision::{Decided, broken, decide};
use super::steps::{Key, Question};
use super::world::World;

/// A connection, as it was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// One more than that of the one before.
    pub(super) number: u32,
    pub(super) token: usize,
    version: u32,
    question: Question,
}

impl World {
    /// The smaller of what the token and the account say.
    pub(super) fn most_held(&self, t: usize) -> Option<u32> {
        let token = &self.tokens[t];
        let own = (token.connections > 0).then_some(token.connections);
        let bounds = [own, self.accounts[token.account].policy.connections];
        bounds.into_iter().flatten().min()
    }

    pub(super) fn held_by(&self, t: usize) -> u32 {
        let held = self.held.iter().filter(|held| held.token == t);
        u32::try_from(held.count()).expect("histories are short")
    }

    /// A connection is the first thing that is paid, and costs nothing where it is refused.
    pub(super) fn hold(&mut self, t: usize, version: u32, mut question: Question) -> Decided {
        let mut after = self.clone();
        let decided = decide(&mut after, t, version, question);
        let good = matches!(
            decided.reason,
            None | Some("RATE_LIMITED" | "QUOTA_EXCEEDED")
        );
        if good
            && self
                .most_held(t)
                .is_some_and(|most| self.held_by(t) >= most)
        {
            return Decided {
                good_until: decided.good_until,
                ..Decided::deny("TOO_MANY_CONNECTIONS")
            };
        }
        *self = after;
        if decided.reason.is_none() {
            // Nothing is presented later that is not there yet.
            if !self.accounts[self.tokens[t].account].has_key && question.key == Key::Right {
                question.key = Key::Absent;
            }
            self.holds += 1;
            self.held.push(Held {
                number: self.holds,
                token: t,
                version,
                question,
            });
        }
        decided
    }

    /// Those that the rules do not let in any more; limits cut nobody.
    pub(super) fn withdraw(&mut self) -> Vec<(u32, &'static str)> {
        let all = std::mem::take(&mut self.held);
        let mut cut = Vec::new();
        for held in all {
            // Whoever holds one uses its token until now.
            self.tokens[held.token].last_used = Some(self.now);
            match self.objection(held) {
                Some(reason) => cut.push((held.number, reason)),
                None => self.held.push(held),
            }
        }
        cut
    }

    fn objection(&self, held: Held) -> Option<&'static str> {
        let token = &self.tokens[held.token];
        let mut secrets = token.secrets.iter();
        let secret = secrets.find(|secret| secret.version == held.version);
        match secret.filter(|_| !token.deleted) {
            Some(secret) => broken(self, token, secret.place, held.question),
            None => Some("UNKNOWN"),
        }
    }
}
