//! What may happen in a history.

use std::collections::BTreeSet;

use keyward::api::proto::TokenState;

use super::token::Token;
use super::world::World;

pub(super) const MS: i64 = 1;
pub(super) const SECOND: i64 = 1_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 3_600_000;
pub(super) const DAY: i64 = 24 * HOUR;
/// One thing that is done. Accounts, principals, roles and tokens go by their place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The next one, or one that is there already.
    MakeAccount(usize, &'static str, u64),
    AccountKey(usize),
    Disable(usize, bool),
    Policy(usize, PolicyChange),
    MakeRole(usize, u8, Granted),
    SetRole(usize, u8, Granted),
    DeleteRole(usize, u8),
    MakePrincipal(usize, u8, Principal),
    SetPrincipal(usize, u8, PrincipalChange),
    MakeToken(usize, Make),
    /// One of a few texts that were issued elsewhere.
    Import(usize, Make, u8),
    SetToken(usize, TokenChange),
    Rekey {
        token: usize,
        grace: Option<i64>,
        on_first_use: bool,
    },
    CompleteRekey(usize),
    CancelRekey(usize),
    Deactivate(usize),
    Reactivate(usize),
    Delete(usize),
    Validate(usize, u32, Question),
    /// The same, and a connection of the token with it.
    Hold(usize, u32, Question),
    /// The holder of one of the connections lets go of it.
    Release(usize),
    /// What makes a secret, with a request id.
    Once(u8, Box<Step>),
    /// What changes a token, with its etag (true), or with the one that it was made with.
    IfMatch(bool, Box<Step>),
    /// Several validations in one call (false), or over one stream.
    Many(bool, Vec<(usize, u32, Question)>),
    /// The tokens of an account.
    List(usize, Filter),
    /// The day of an account.
    Usage(usize),
    /// The clock goes forward to there.
    Time(i64),
    Restart,
    /// As `kill -9` leaves it.
    Crash,
}

impl Step {
    /// Whether the design says what it comes to.
    pub(super) fn fits(&self, world: &World) -> bool {
        let token = |token: usize| token < world.tokens.len();
        let account = |a: usize| a < world.accounts.len();
        match *self {
            Self::Time(to) => to > world.now,
            // Of calls that were let in while there was no limit.
            Self::Policy(a, PolicyChange::DailyCalls(_)) => {
                account(a) && world.accounts[a].policy.daily_calls.is_some()
            }
            // A digest that is forgotten is in the way until its token's row is written again.
            Self::Import(a, _, n) => {
                let forgotten = |token: &Token| {
                    token.imported == Some(n) && !token.secrets.iter().any(|one| one.version == 1)
                };
                let mut tokens = world.tokens.iter();
                account(a) && !tokens.any(|token| !token.deleted && forgotten(token))
            }
            Self::Many(_, ref questions) => {
                let asked = questions.iter();
                asked
                    .clone()
                    .all(|&(t, version, asked)| Self::Validate(t, version, asked).fits(world))
                    && world.may_be_asked_at_once(questions)
            }
            Self::MakeAccount(a, ..) => a <= world.accounts.len(),
            Self::AccountKey(a)
            | Self::List(a, _)
            | Self::Usage(a)
            | Self::Disable(a, _)
            | Self::Policy(a, _)
            | Self::MakeRole(a, ..)
            | Self::SetRole(a, ..)
            | Self::DeleteRole(a, _)
            | Self::MakePrincipal(a, ..)
            | Self::SetPrincipal(a, ..)
            | Self::MakeToken(a, _) => account(a),
            Self::Once(_, ref step) => step.fits(world),
            Self::IfMatch(current, ref step) => {
                let mut about = step.token().into_iter();
                step.fits(world) && about.all(|t| current || world.tokens[t].versions > 1)
            }
            Self::Validate(place, version, _) => {
                token(place) && version <= world.tokens[place].versions
            }
            // Nobody tries whether it could be held.
            Self::Hold(place, version, question) => {
                !question.dry_run && token(place) && version <= world.tokens[place].versions
            }
            // Without a limit nobody tells how many are held.
            Self::Release(place) => world
                .held
                .get(place)
                .is_some_and(|held| world.most_held(held.token).is_some()),
            Self::SetToken(place, _)
            | Self::CompleteRekey(place)
            | Self::CancelRekey(place)
            | Self::Deactivate(place)
            | Self::Reactivate(place)
            | Self::Delete(place)
            | Self::Rekey { token: place, .. } => token(place),
            Self::Restart | Self::Crash => true,
        }
    }

    /// The token that it changes.
    pub(super) fn token(&self) -> Option<usize> {
        match self {
            Self::SetToken(token, _)
            | Self::Rekey { token, .. }
            | Self::CompleteRekey(token)
            | Self::CancelRekey(token)
            | Self::Deactivate(token)
            | Self::Reactivate(token)
            | Self::Delete(token) => Some(*token),
            Self::Once(_, step) | Self::IfMatch(_, step) => step.token(),
            _ => None,
        }
    }
}

pub(super) type Granted = &'static [&'static str];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PolicyChange {
    MaxTokens(Option<u32>),
    DailyCalls(u64),
    Connections(Option<u32>),
    RekeyGrace(i64),
    RequireKey(bool),
    RequireExpiry(bool),
    MaxLifetime(Option<i64>),
    Freeze(bool),
    Rule(Rule),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    Unbound,
    Enforced,
    Attribution,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    Unverified,
    Active,
    Disabled,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Principal {
    pub(super) standing: Standing,
    pub(super) api_user: bool,
    pub(super) roles: BTreeSet<u8>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum PrincipalChange {
    Standing(Standing),
    ApiUser(bool),
    Roles(BTreeSet<u8>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Make {
    pub(super) principal: Option<u8>,
    /// How long it lives.
    pub(super) ttl: Option<i64>,
    pub(super) read_only: bool,
    pub(super) grants: Granted,
    pub(super) networks: bool,
    pub(super) labelled: bool,
    pub(super) rate: Option<Rate>,
    /// 0: as many as the account lets it.
    pub(super) connections: u32,
}

/// So many calls in a span, so many at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rate {
    pub(super) calls: u32,
    pub(super) per: i64,
    pub(super) burst: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TokenChange {
    Name,
    Principal(Option<u8>),
    /// To end so much after now, or never.
    Expire(Option<i64>),
    ReadOnly(bool),
    Grants(Granted),
    Networks(bool),
    Connections(u32),
}

/// Which tokens are listed: those that pass all that is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Filter {
    pub(super) state: Option<TokenState>,
    pub(super) principal: Option<u8>,
    pub(super) prefix: &'static str,
    pub(super) expire_before: Option<i64>,
    pub(super) unused_since: Option<i64>,
    pub(super) labelled: bool,
    /// Tokens on a page.
    pub(super) page: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Question {
    pub(super) key: Key,
    pub(super) required: Option<(&'static str, &'static str)>,
    pub(super) address: Address,
    pub(super) cost: u32,
    pub(super) dry_run: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Absent,
    /// The account's own, where it has one.
    Right,
    Wrong,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Address {
    Absent,
    Inside,
    Outside,
}
