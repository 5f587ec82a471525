//! The reference's answers to what is asked about several tokens at once.

use keyward::api::proto::TokenState;

use super::decision::Decided;
use super::steps::{DAY, Filter, Question};
use super::token::Token;
use super::world::World;

impl World {
    /// In the order in which they were made.
    pub(super) fn listed(&self, a: usize, filter: Filter) -> Vec<usize> {
        let tokens = self.tokens.iter().enumerate();
        let wanted = tokens.filter(|(_, token)| {
            token.account == a
                && !token.deleted
                && filter
                    .state
                    .is_none_or(|state| state == token.state(self.now))
                && (filter.principal.is_none() || filter.principal == token.principal)
                && token.name.starts_with(filter.prefix)
                && filter
                    .expire_before
                    .is_none_or(|before| token.expires.is_some_and(|end| end < before))
                && filter.unused_since.is_none_or(|since| {
                    token.made < since && token.last_used.is_none_or(|used| used < since)
                })
                && (!filter.labelled || token.labelled)
        });
        wanted.map(|(place, _)| place).collect()
    }

    /// Calls of an account's day, by cost; those of deleted tokens stay in.
    pub(super) fn calls_of(&self, a: usize) -> u64 {
        let tokens = self.tokens.iter().filter(|token| token.account == a);
        let today = |token: &Token| token.calls.get(&(self.now / DAY)).copied();
        tokens.filter_map(today).sum()
    }

    /// Whether the order in which they are decided is told by nothing: no secret takes over, and every account has the calls.
    pub(super) fn may_be_asked_at_once(&self, questions: &[(usize, u32, Question)]) -> bool {
        let tokens = || questions.iter().map(|asked| &self.tokens[asked.0]);
        let cost: u32 = questions.iter().map(|asked| asked.2.cost.max(1)).sum();
        let limited = tokens().filter_map(|token| self.accounts[token.account].remaining(self.now));
        let enough = limited.fold(true, |enough, left| {
            enough && !self.crashed && left >= u64::from(cost)
        });
        enough && !tokens().any(Token::has_pending)
    }

    /// A denial is counted where the secret has matched.
    pub(super) fn count_denied(&mut self, t: usize, question: Question, decided: &Decided) {
        if !question.dry_run && decided.reason.is_some_and(|reason| reason != "UNKNOWN") {
            let account = &mut self.accounts[self.tokens[t].account];
            *account.denied.entry(self.now / DAY).or_default() += 1;
        }
    }
}

impl Token {
    pub(super) fn state(&self, now: i64) -> TokenState {
        match (self.expired(now), self.inactive) {
            (true, _) => TokenState::Expired,
            (false, true) => TokenState::Inactive,
            (false, false) => TokenState::Active,
        }
    }
}
