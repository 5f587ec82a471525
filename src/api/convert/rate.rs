//! What bounds the use of one token: its rate limit and its connections.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Fields, connections, span, wire_span};
use crate::api::proto;
use crate::domain::field::Rule;
use crate::domain::limits;
use crate::domain::rate::RateLimit;

pub(super) fn wire(limit: RateLimit) -> proto::RateLimit {
    proto::RateLimit {
        calls: limit.calls.get(),
        per: Some(wire_span(limit.per)),
        burst: limit.burst.get(),
    }
}

/// None where it is unset; what is wrong in it is named value by value.
pub(super) fn limit(
    fields: &mut Fields,
    field: &str,
    wire: Option<&proto::RateLimit>,
) -> Option<RateLimit> {
    let wire = wire?;
    let per = wire.per.as_ref().map_or(Ok(Duration::ZERO), span);
    let per = fields.check(&format!("{field}.per"), per);
    let limit = RateLimit::new(
        wire.calls,
        per.unwrap_or(*limits::RATE_PER.start()),
        wire.burst,
    );
    let name = |(value, rule): (&str, Rule)| fields.wrong(&format!("{field}.{value}"), rule);
    limit.map_err(|wrong| wrong.into_iter().for_each(name)).ok()
}

pub(super) fn max_connections(fields: &mut Fields, field: &str, most: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(fields.take(field, connections(most)))
}
