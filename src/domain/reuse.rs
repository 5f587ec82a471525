//! How long an answer may be given again by a caller that keeps answers and hears what to drop.

use std::time::Duration;

use super::account::Account;
use super::credential::Credential;
use super::time::Timestamp;

/// How far an answer may reach past what its caller last heard.
pub const LONGEST: Duration = Duration::from_secs(1);

/// An answer about credentials that matched, and what bounds its use.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    pub allowed: bool,
    pub dry_run: bool,
    pub credential: Credential<'a>,
    pub account: &'a Account,
    /// When what was presented ends by the passing of time alone, where it does: a retiring secret, and one not used for the first
    /// time yet.
    pub good_until: Option<Timestamp>,
    pub now: Timestamp,
    /// How long ago the caller's stream of invalidations last said something; `None` without one.
    pub heard: Option<Duration>,
}

/// How long it may be given again; `None` for never. A denial is decided anew each time, and so is what is counted by the call.
#[must_use]
pub fn cache_for(answer: &Answered<'_>) -> Option<Duration> {
    let counted =
        answer.account.policy.daily_calls.is_some() || answer.credential.rate_limit.is_some();
    if !answer.allowed || answer.dry_run || counted {
        return None;
    }
    let ends = [answer.credential.expire_time, answer.good_until];
    let left = ends.into_iter().flatten().map(|end| end.since(answer.now));
    let span = left.fold(LONGEST.checked_sub(answer.heard?)?, Duration::min);
    (!span.is_zero()).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::Policy;
    use crate::domain::id::{AccountId, TokenId};
    use crate::domain::secret::{Digest, KeyId, Place, Secret};
    use crate::domain::token::Token;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn token(expire_time: Option<Timestamp>) -> Token {
        let first = Secret {
            version: 1,
            place: Place::Current,
            digest: Digest::new([0; 32]),
            key: KeyId(1),
            foreign: false,
            hint: String::new(),
            create_time: NOW,
        };
        let id = TokenId::parse("0123456789ABCDEFGHIJKL").unwrap();
        let account = AccountId::parse("acme").unwrap();
        Token {
            expire_time,
            ..Token::new(id, account, "n".into(), "op".into(), first)
        }
    }

    fn account(daily_calls: Option<u64>) -> Account {
        Account {
            id: AccountId::parse("acme").unwrap(),
            display_name: String::new(),
            key: None,
            disabled: false,
            policy: Policy {
                daily_calls,
                ..Policy::standard()
            },
            create_time: NOW,
            generation: 1,
        }
    }

    #[test]
    fn an_answer_reaches_a_second_past_what_was_heard_and_never_past_an_end() {
        let at = |after: u64| Some(NOW.after(millis(after)));
        // Heard, the token's end, the secret's end, daily calls; how long.
        let table = [
            (Some(0), None, None, None, Some(1_000)),
            (Some(1), None, None, None, Some(999)),
            (Some(999), None, None, None, Some(1)),
            (Some(1_000), None, None, None, None),
            (Some(5_000), None, None, None, None),
            (None, None, None, None, None),
            (Some(0), at(5_000), None, None, Some(1_000)),
            (Some(0), at(300), None, None, Some(300)),
            (Some(0), at(300), at(200), None, Some(200)),
            (Some(0), None, at(200), None, Some(200)),
            (Some(900), at(300), at(200), None, Some(100)),
            (Some(0), at(0), None, None, None),
            (Some(0), None, None, Some(2_500), None),
        ];
        for (heard, expires, secret_ends, daily, expected) in table {
            let (token, account) = (token(expires), account(daily));
            let answer = |allowed, dry_run| Answered {
                allowed,
                dry_run,
                credential: token.credential(),
                account: &account,
                good_until: secret_ends,
                now: NOW,
                heard: heard.map(millis),
            };
            assert_eq!(
                cache_for(&answer(true, false)),
                expected.map(millis),
                "{heard:?} {expires:?} {secret_ends:?} {daily:?}"
            );
            assert_eq!(cache_for(&answer(false, false)), None, "a denial");
            assert_eq!(cache_for(&answer(true, true)), None, "a dry run");
        }
    }
}
