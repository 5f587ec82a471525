//! Usage and consumers, as callers see them.

use super::wire_time;
use crate::api::proto;
use crate::domain::limits;
use crate::domain::time::{Day, Timestamp};
use crate::domain::usage::Counts;
use crate::registry::Error;
use crate::registry::usage::{AccountUsagePage, NamedConsumer, UsedToken};

/// The days that GetUsage asks for.
pub(in crate::api) fn days(asked: u32) -> Result<i32, Error> {
    let days = i32::try_from(asked).ok();
    days.filter(|days| *days <= limits::USAGE_DAYS)
        .ok_or_else(|| Error::invalid("days", format!("must be at most {}", limits::USAGE_DAYS)))
}

/// An account's usage, and what is left of its limit.
pub(in crate::api) fn wire(page: AccountUsagePage, remaining: u64) -> proto::GetUsageResponse {
    proto::GetUsageResponse {
        account_id: page.account.id.to_string(),
        calls_today: page.calls_today,
        limit: page.account.policy.daily_calls,
        remaining,
        reset_time: Some(wire_time(page.reset_time)),
        tokens: page.tokens.items.iter().map(token).collect(),
        days: page.days.into_iter().map(day).collect(),
        next_page_token: page.tokens.next,
    }
}

fn token(used: &UsedToken) -> proto::TokenUsage {
    let token = &used.token;
    let unexercised = if token.account.is_system() {
        Vec::new()
    } else {
        used.usage.unexercised(&token.grants).collect()
    };
    proto::TokenUsage {
        token_id: token.id.to_string(),
        name: token.name.clone(),
        calls_today: used.usage.today.counts.allowed,
        last_used_time: used.usage.last_used.map(wire_time),
        days: used.days.iter().copied().map(day).collect(),
        unexercised_grants: unexercised,
    }
}

fn day((day, counts): (Day, Counts)) -> proto::DayUsage {
    proto::DayUsage {
        date: day.to_string(),
        allowed: counts.allowed,
        denied: counts.denied,
    }
}

pub(in crate::api) fn consumer(named: NamedConsumer, now: Timestamp) -> proto::Consumer {
    proto::Consumer {
        name: named.name,
        first_seen: Some(wire_time(named.consumer.first_seen)),
        last_seen: Some(wire_time(named.consumer.last_seen)),
        calls_today: named.consumer.calls_on(Day::of(now)),
        uses_retired_secret: named.uses_old_secret,
    }
}
