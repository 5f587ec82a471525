//! The reference's policies: the presets, and what binds a token when it is made.

use super::steps::{DAY, Rule};

#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) max_tokens: Option<u32>,
    pub(super) daily_calls: Option<u64>,
    pub(super) connections: Option<u32>,
    pub(super) rekey_grace: i64,
    pub(super) rule: Rule,
    pub(super) require_key: bool,
    pub(super) require_expiry: bool,
    pub(super) max_lifetime: Option<i64>,
    pub(super) freeze: bool,
}

impl Policy {
    /// The design's table of presets; `own` is one with few calls.
    pub(super) fn of(preset: &str, own_calls: u64) -> Self {
        let hours = |hours: i64| hours * DAY / 24;
        let standard = Self {
            max_tokens: None,
            daily_calls: None,
            connections: None,
            rekey_grace: hours(4),
            rule: Rule::Unbound,
            require_key: false,
            require_expiry: false,
            max_lifetime: None,
            freeze: false,
        };
        match preset {
            "integration-tokens" => Self {
                max_tokens: Some(100),
                rekey_grace: 0,
                rule: Rule::Enforced,
                require_key: true,
                require_expiry: true,
                freeze: true,
                ..standard
            },
            "access-keys" => Self {
                rule: Rule::Attribution,
                ..standard
            },
            "application-keys" => Self {
                max_tokens: Some(3),
                daily_calls: Some(2_500),
                connections: Some(3),
                rekey_grace: 0,
                ..standard
            },
            "own" => Self {
                daily_calls: Some(own_calls),
                ..standard
            },
            _ => standard,
        }
    }

    /// What is wrong with a token's living so long from now on.
    pub(super) fn objection(&self, ttl: Option<i64>) -> Option<&'static str> {
        let bounded = self.require_expiry || self.max_lifetime.is_some();
        let too_long = match (ttl, self.max_lifetime) {
            (None, _) => bounded,
            (Some(ttl), most) => most.is_some_and(|most| ttl > most),
        };
        too_long.then_some("INVALID_FIELD")
    }
}
