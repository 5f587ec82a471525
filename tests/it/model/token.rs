//! The reference's tokens: the life of their secrets.

use std::collections::BTreeMap;

use super::steps::{DAY, Granted, Make, Rate, Step, TokenChange};
use super::world::World;

/// Digests that a token keeps, and how many of them may be retiring.
const DIGESTS: usize = 8;
pub(super) const RETIRING: usize = 3;
pub(super) const SUPERSEDED_KEPT: i64 = 90 * DAY;
pub(super) const PENDING_KEPT: i64 = 7 * DAY;

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) account: usize,
    /// The text that it was imported with.
    pub(super) imported: Option<u8>,
    pub(super) principal: Option<u8>,
    pub(super) expires: Option<i64>,
    pub(super) inactive: bool,
    pub(super) deleted: bool,
    /// How often it was deactivated.
    pub(super) stops: u32,
    pub(super) read_only: bool,
    pub(super) grants: Granted,
    pub(super) networks: bool,
    pub(super) name: &'static str,
    pub(super) labelled: bool,
    pub(super) made: i64,
    pub(super) rate: Option<Rate>,
    pub(super) connections: u32,
    /// When its burst is whole again.
    pub(super) rate_used_until: i64,
    /// Calls let in, by UTC day, and when the last one was.
    pub(super) calls: BTreeMap<i64, u64>,
    pub(super) last_used: Option<i64>,
    /// Secrets that were ever issued.
    pub(super) versions: u32,
    /// Those that are still known, the oldest first.
    pub(super) secrets: Vec<Secret>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Secret {
    pub(super) version: u32,
    pub(super) place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Pending {
        since: i64,
        grace: i64,
    },
    Current,
    /// Good until its end, and superseded from then on.
    Old {
        end: i64,
    },
}

impl Token {
    pub(super) fn expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|end| now >= end)
    }

    /// When an old secret stops, which is never after its token.
    pub(super) fn end_of(&self, end: i64) -> i64 {
        end.min(self.expires.unwrap_or(i64::MAX))
    }

    pub(super) fn retiring(&self, now: i64) -> usize {
        let ends = self.secrets.iter().filter_map(|secret| match secret.place {
            Place::Old { end } => Some(self.end_of(end)),
            _ => None,
        });
        ends.filter(|&end| now < end).count()
    }

    pub(super) fn has_pending(&self) -> bool {
        let pending = |secret: &Secret| matches!(secret.place, Place::Pending { .. });
        self.secrets.iter().any(pending)
    }

    pub(super) fn drop_pending(&mut self) {
        self.secrets
            .retain(|secret| !matches!(secret.place, Place::Pending { .. }));
    }

    /// Every older secret ends after the grace at the latest, and the version is the current one.
    pub(super) fn take_over(&mut self, version: u32, grace: i64, now: i64) {
        let bound = self.end_of(now + grace);
        for secret in &mut self.secrets {
            secret.place = match secret.place {
                _ if secret.version == version => Place::Current,
                Place::Old { end } => Place::Old {
                    end: end.min(bound),
                },
                _ => Place::Old { end: bound },
            };
        }
    }

    /// What is not known any more.
    pub(super) fn forget(&mut self, now: i64) {
        self.secrets.retain(|secret| match secret.place {
            Place::Pending { since, .. } => now < since + PENDING_KEPT,
            Place::Current => true,
            Place::Old { end } => now < end + SUPERSEDED_KEPT,
        });
    }

    pub(super) fn issue(&mut self, grace: i64, on_first_use: bool, now: i64) {
        self.drop_pending();
        self.versions += 1;
        let version = self.versions;
        let place = Place::Pending { since: now, grace };
        self.secrets.push(Secret { version, place });
        if !on_first_use {
            self.take_over(version, grace, now);
        }
        while self.secrets.len() > DIGESTS {
            self.secrets.remove(0);
        }
    }
}

impl World {
    pub(super) fn make_token(
        &mut self,
        a: usize,
        make: &Make,
        imported: Option<u8>,
    ) -> Vec<&'static str> {
        let account = &self.accounts[a];
        let mut wrong = account.objections(make.principal);
        let full = |limit: u32| self.tokens_of(a) >= limit as usize;
        wrong.extend(account.disabled.then_some("ACCOUNT_DISABLED"));
        wrong.extend(
            account
                .policy
                .max_tokens
                .is_some_and(full)
                .then_some("TOKEN_LIMIT"),
        );
        wrong.extend(account.policy.objection(make.ttl));
        let taken = imported.is_some() && self.holder(a, imported).is_some();
        wrong.extend(taken.then_some("ALREADY_EXISTS"));
        if wrong.is_empty() {
            self.tokens.push(Token {
                account: a,
                imported,
                principal: make.principal,
                expires: make.ttl.map(|ttl| self.now + ttl),
                inactive: false,
                deleted: false,
                stops: 0,
                read_only: make.read_only,
                grants: make.grants,
                networks: make.networks,
                name: "token",
                labelled: make.labelled,
                made: self.now,
                rate: make.rate,
                connections: make.connections,
                rate_used_until: 0,
                calls: BTreeMap::new(),
                last_used: None,
                versions: 1,
                secrets: vec![Secret {
                    version: 1,
                    place: Place::Current,
                }],
            });
        }
        wrong
    }

    /// The token of an account that has an imported text.
    fn holder(&self, a: usize, imported: Option<u8>) -> Option<usize> {
        let there = |token: &Token| token.account == a && !token.deleted;
        let mut tokens = self.tokens.iter();
        tokens.position(|token| there(token) && token.imported == imported)
    }

    /// The token that is found by a secret of this one: an imported text may have come to another one.
    pub(super) fn bearer(&self, t: usize, version: u32) -> usize {
        let token = &self.tokens[t];
        let foreign = version == 1 && token.imported.is_some();
        let holder = foreign.then(|| self.holder(token.account, token.imported));
        holder.flatten().unwrap_or(t)
    }

    pub(super) fn set_token(&mut self, t: usize, change: &TokenChange) -> Vec<&'static str> {
        let now = self.now;
        let token = &mut self.tokens[t];
        let account = &self.accounts[token.account];
        if token.deleted {
            return vec!["NOT_FOUND"];
        }
        let frozen = account.policy.freeze.then_some("TOKEN_FROZEN");
        let mut wrong = Vec::new();
        match change {
            TokenChange::Name => {
                wrong.extend(frozen);
                if wrong.is_empty() {
                    token.name = "another name";
                }
            }
            TokenChange::Principal(principal) => {
                wrong.extend(frozen);
                // What stays as it is is not asked about again.
                if *principal != token.principal {
                    wrong.extend(account.objections(*principal));
                }
                if wrong.is_empty() {
                    token.principal = *principal;
                }
            }
            TokenChange::Expire(ttl) => {
                wrong.extend(frozen);
                wrong.extend(token.expired(now).then_some("TOKEN_EXPIRED"));
                let end = ttl.map(|ttl| now + ttl);
                if end != token.expires {
                    wrong.extend(account.policy.objection(*ttl));
                }
                if wrong.is_empty() {
                    token.expires = end;
                }
            }
            TokenChange::ReadOnly(read_only) => token.read_only = *read_only,
            TokenChange::Grants(grants) => token.grants = grants,
            TokenChange::Networks(networks) => token.networks = *networks,
            TokenChange::Connections(most) => token.connections = *most,
        }
        wrong
    }

    pub(super) fn rekey(
        &mut self,
        t: usize,
        grace: Option<i64>,
        on_first_use: bool,
    ) -> Vec<&'static str> {
        let now = self.now;
        let token = &mut self.tokens[t];
        let account = &self.accounts[token.account];
        if token.deleted {
            return vec!["NOT_FOUND"];
        }
        let grace = grace.unwrap_or(account.policy.rekey_grace);
        let many = grace > 0 && token.retiring(now) >= RETIRING;
        let mut wrong = Vec::new();
        wrong.extend(account.disabled.then_some("ACCOUNT_DISABLED"));
        wrong.extend(token.expired(now).then_some("TOKEN_EXPIRED"));
        wrong.extend(many.then_some("TOO_MANY_RETIRING_SECRETS"));
        if wrong.is_empty() {
            token.issue(grace, on_first_use, now);
        }
        wrong
    }

    pub(super) fn life(&mut self, t: usize, step: &Step) -> Vec<&'static str> {
        let now = self.now;
        let token = &mut self.tokens[t];
        let (retiring, pending, expired) = (
            token.retiring(now) > 0,
            token.has_pending(),
            token.expired(now),
        );
        let wrong = match step {
            _ if token.deleted => Some("NOT_FOUND"),
            Step::CompleteRekey(_) if !retiring && pending => Some("REKEY_PENDING"),
            Step::CompleteRekey(_) if !retiring => Some("NO_RETIRING_SECRET"),
            Step::CancelRekey(_) if !pending => Some("NO_PENDING_SECRET"),
            Step::Reactivate(_) if expired => Some("TOKEN_EXPIRED"),
            Step::Delete(_) if !expired && !token.inactive => Some("TOKEN_ACTIVE"),
            _ => None,
        };
        if wrong.is_none() {
            match step {
                Step::CompleteRekey(_) => token.secrets.iter_mut().for_each(|secret| {
                    if let Place::Old { end } = &mut secret.place {
                        *end = (*end).min(now);
                    }
                }),
                Step::CancelRekey(_) => token.drop_pending(),
                Step::Deactivate(_) => {
                    token.stops += u32::from(!token.inactive);
                    token.inactive = true;
                }
                Step::Reactivate(_) => token.inactive = false,
                _ => token.deleted = true,
            }
        }
        wrong.into_iter().collect()
    }
}

impl Rate {
    /// The time in which so many calls come back.
    pub(super) fn span(self, calls: u32) -> i64 {
        self.per / i64::from(self.calls) * i64::from(calls)
    }
}
