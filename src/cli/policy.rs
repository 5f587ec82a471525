//! An account's policy as flags, and as it is shown.

use std::time::Duration;

use clap::Args;

use super::table::yes_no;
use super::times::{parse_span, show_wire_span, to_wire_span};
use super::values::{
    Limit, Mask, parse_calls_limit, parse_count_limit, parse_span_limit, parse_spans_limit,
};
use super::words::{choice, word_of};
use crate::api::proto::{AccountPolicy, PrincipalRule};

/// The rules of an account, each by itself.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Policy")]
pub(crate) struct PolicyArgs {
    /// Tokens that may exist, dead ones included, or none for no limit.
    #[arg(long, value_name = "COUNT", value_parser = parse_count_limit)]
    max_tokens: Option<Limit<u32>>,

    /// Calls of a day, shared by all tokens, or none for no limit.
    #[arg(long, value_name = "COUNT", value_parser = parse_calls_limit)]
    daily_calls: Option<Limit<u64>>,

    /// Connections that a token may hold at once, or none for no limit.
    #[arg(long, value_name = "COUNT", value_parser = parse_count_limit)]
    max_connections_per_token: Option<Limit<u32>>,

    /// How long an old secret works after a rekey, such as 4h, or 0.
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    rekey_grace: Option<Duration>,

    /// Whether a token needs a principal, and what that means.
    #[arg(long, value_name = "RULE", value_parser = choice::<PrincipalRule>())]
    principal_rule: Option<PrincipalRule>,

    /// A token is good only beside the account's key.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    require_account_key: Option<bool>,

    /// A token must have an expiry.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    require_expiry: Option<bool>,

    /// Longest life of a new token, such as 90d, or none for no limit.
    #[arg(long, value_name = "SPAN", value_parser = parse_span_limit)]
    max_lifetime: Option<Limit<Duration>>,

    /// A token's name, principal and expiry never change.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    freeze_tokens: Option<bool>,

    /// How long before its expiry a token is announced, such as 7d,1d, or none.
    #[arg(long, value_name = "SPANS", value_parser = parse_spans_limit)]
    notify_before_expiry: Option<Limit<Vec<Duration>>>,
}

impl PolicyArgs {
    /// The policy, and the path of each rule in the mask; `None` where no rule is given.
    pub(crate) fn policy(&self, mask: &mut Mask) -> Option<AccountPolicy> {
        let before = mask.len();
        let notices = |notices: Vec<Duration>| notices.into_iter().map(to_wire_span).collect();
        let policy = AccountPolicy {
            max_tokens: mask
                .set("policy.max_tokens", self.max_tokens)
                .and_then(Limit::at),
            daily_calls: mask
                .set("policy.daily_calls", self.daily_calls)
                .and_then(Limit::at),
            max_connections_per_token: mask
                .set(
                    "policy.max_connections_per_token",
                    self.max_connections_per_token,
                )
                .and_then(Limit::at),
            rekey_grace: mask
                .set("policy.rekey_grace", self.rekey_grace)
                .map(to_wire_span),
            principal_rule: mask
                .set("policy.principal_rule", self.principal_rule)
                .map_or(0, Into::into),
            require_account_key: mask
                .set("policy.require_account_key", self.require_account_key)
                .unwrap_or_default(),
            require_expiry: mask
                .set("policy.require_expiry", self.require_expiry)
                .unwrap_or_default(),
            max_lifetime: mask
                .set("policy.max_lifetime", self.max_lifetime)
                .and_then(Limit::at)
                .map(to_wire_span),
            freeze_tokens: mask
                .set("policy.freeze_tokens", self.freeze_tokens)
                .unwrap_or_default(),
            notify_before_expiry: mask
                .set(
                    "policy.notify_before_expiry",
                    self.notify_before_expiry.clone(),
                )
                .and_then(Limit::at)
                .map_or_else(Vec::new, notices),
        };
        (mask.len() > before).then_some(policy)
    }
}

/// A policy as a person reads it.
pub(crate) fn policy_fields(policy: &AccountPolicy) -> Vec<(&'static str, String)> {
    let max_tokens = policy.max_tokens.map(|count| count.to_string());
    let daily_calls = policy.daily_calls.map(|count| count.to_string());
    let connections = policy.max_connections_per_token;
    let connections = connections.map(|count| count.to_string());
    let notices = policy.notify_before_expiry.iter();
    let notices: Vec<String> = notices.map(|span| show_wire_span(Some(span))).collect();
    vec![
        ("max tokens", max_tokens.unwrap_or_default()),
        ("daily calls", daily_calls.unwrap_or_default()),
        ("connections per token", connections.unwrap_or_default()),
        ("rekey grace", show_wire_span(policy.rekey_grace.as_ref())),
        (
            "principal rule",
            word_of::<PrincipalRule>(policy.principal_rule),
        ),
        ("require account key", yes_no(policy.require_account_key)),
        ("require expiry", yes_no(policy.require_expiry)),
        ("max lifetime", show_wire_span(policy.max_lifetime.as_ref())),
        ("freeze tokens", yes_no(policy.freeze_tokens)),
        ("notices before expiry", notices.join(", ")),
    ]
}
