//! Accounts and their policies: what differs between the systems that Keyward serves.

use std::time::Duration;

use super::id::{AccountId, AccountKey};
use super::time::Timestamp;

/// A tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub id: AccountId,
    pub display_name: String,
    /// Created once, on demand; never changed, never deleted.
    pub key: Option<AccountKey>,
    pub disabled: bool,
    pub policy: Policy,
    pub create_time: Timestamp,
    /// Rises with each change.
    pub generation: u64,
}

/// The rules of an account. `None` is "no limit".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Tokens that may exist, dead ones included.
    pub max_tokens: Option<u32>,
    /// Calls of a day, shared by all tokens.
    pub daily_calls: Option<u64>,
    /// Concurrent connections of one token.
    pub max_connections_per_token: Option<u32>,
    /// How long the old secret works after a rekey that names no grace.
    pub rekey_grace: Duration,
    pub principal_rule: PrincipalRule,
    /// A token is good only beside the account's key.
    pub require_account_key: bool,
    pub require_expiry: bool,
    pub max_lifetime: Option<Duration>,
    /// Name, principal and expiry never change after creation.
    pub freeze_tokens: bool,
    /// How long before its end a token is announced as expiring, once for each: distinct, the longest first.
    pub notify_before_expiry: Vec<Duration>,
}

/// What a token's principal means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrincipalRule {
    /// Tokens may stand alone.
    None,
    /// An active API user is required; its roles bound the token, disabling it stops its tokens.
    Enforced,
    /// A proxy is required: activity is logged in its name; its roles and status are ignored.
    Attribution,
}

const FOUR_HOURS: Duration = Duration::from_secs(4 * 3_600);
const DAY: Duration = Duration::from_secs(86_400);

impl Policy {
    /// The names that [`Policy::preset`] knows.
    pub const PRESETS: [&'static str; 4] = [
        "integration-tokens",
        "access-keys",
        "application-keys",
        "standard",
    ];

    /// The policy of one of the systems that Keyward is modelled on.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "integration-tokens" => Some(Self {
                max_tokens: Some(100),
                rekey_grace: Duration::ZERO,
                principal_rule: PrincipalRule::Enforced,
                require_account_key: true,
                require_expiry: true,
                freeze_tokens: true,
                notify_before_expiry: vec![DAY.saturating_mul(7), DAY],
                ..Self::standard()
            }),
            "access-keys" => Some(Self {
                principal_rule: PrincipalRule::Attribution,
                ..Self::standard()
            }),
            "application-keys" => Some(Self {
                max_tokens: Some(3),
                daily_calls: Some(2_500),
                max_connections_per_token: Some(3),
                rekey_grace: Duration::ZERO,
                ..Self::standard()
            }),
            "standard" => Some(Self::standard()),
            _ => None,
        }
    }

    /// No limits, four hours of grace, tokens that stand alone.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            max_tokens: None,
            daily_calls: None,
            max_connections_per_token: None,
            rekey_grace: FOUR_HOURS,
            principal_rule: PrincipalRule::None,
            require_account_key: false,
            require_expiry: false,
            max_lifetime: None,
            freeze_tokens: false,
            notify_before_expiry: Vec::new(),
        }
    }
}

impl Account {
    /// Names this version of the configuration.
    #[must_use]
    pub fn etag(&self) -> String {
        super::etag(self.create_time, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_the_design_s_table() {
        type Row = (
            &'static str,
            Option<u32>,
            Option<u64>,
            Option<u32>,
            u64,
            PrincipalRule,
            bool,
            bool,
            bool,
        );
        let table: [Row; 4] = [
            (
                "integration-tokens",
                Some(100),
                None,
                None,
                0,
                PrincipalRule::Enforced,
                true,
                true,
                true,
            ),
            (
                "access-keys",
                None,
                None,
                None,
                4,
                PrincipalRule::Attribution,
                false,
                false,
                false,
            ),
            (
                "application-keys",
                Some(3),
                Some(2_500),
                Some(3),
                0,
                PrincipalRule::None,
                false,
                false,
                false,
            ),
            (
                "standard",
                None,
                None,
                None,
                4,
                PrincipalRule::None,
                false,
                false,
                false,
            ),
        ];
        for (name, tokens, calls, connections, hours, rule, key, expiry, frozen) in table {
            let policy = Policy::preset(name).unwrap();
            assert_eq!(policy.max_tokens, tokens, "{name}");
            assert_eq!(policy.daily_calls, calls, "{name}");
            assert_eq!(policy.max_connections_per_token, connections, "{name}");
            assert_eq!(
                policy.rekey_grace,
                Duration::from_secs(hours * 3_600),
                "{name}"
            );
            assert_eq!(policy.principal_rule, rule, "{name}");
            assert_eq!(
                (
                    policy.require_account_key,
                    policy.require_expiry,
                    policy.freeze_tokens
                ),
                (key, expiry, frozen)
            );
        }
        assert_eq!(Policy::preset("gold"), None);
    }

    #[test]
    fn integration_tokens_are_announced_a_week_and_a_day_before_they_expire() {
        for name in Policy::PRESETS {
            let notices = Policy::preset(name).unwrap().notify_before_expiry;
            let announced = name == "integration-tokens";
            assert_eq!(
                notices,
                if announced {
                    vec![DAY.saturating_mul(7), DAY]
                } else {
                    vec![]
                }
            );
        }
    }
}
