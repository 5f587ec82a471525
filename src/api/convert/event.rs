//! The audit log's lines.

use super::{Fields, time, wire_time};
use crate::api::proto;
use crate::registry::Error;
use crate::registry::events::EventFilter;
use crate::registry::verify::Verified;
use crate::store::record::LoggedEvent;

pub(in crate::api) fn wire(event: LoggedEvent) -> proto::Event {
    proto::Event {
        sequence: event.sequence,
        time: Some(wire_time(event.time)),
        r#type: event.kind,
        account_id: event.account.to_string(),
        subject_id: event.subject,
        actor: event.actor,
        actor_address: event.address,
        call_id: event.call_id,
        details: event.details,
        chain: event.chain.to_vec(),
        chain_id: event.chain_id,
        chain_index: event.chain_index,
    }
}

/// Which events ListEvents asks for.
pub(in crate::api) fn filter(request: &proto::ListEventsRequest) -> Result<EventFilter, Error> {
    let mut fields = Fields::default();
    check_types(&mut fields, &request.types);
    let after = request
        .after
        .as_ref()
        .and_then(|after| fields.check("after", time(after)));
    let before = request
        .before
        .as_ref()
        .and_then(|before| fields.check("before", time(before)));
    fields.finish()?;
    Ok(EventFilter {
        account: request.account_id.clone(),
        subject: request.subject_id.clone(),
        actor: request.actor.clone(),
        kinds: request.types.clone(),
        after,
        before,
    })
}

/// Which events WatchEvents asks for.
pub(in crate::api) fn watched(request: &proto::WatchEventsRequest) -> Result<EventFilter, Error> {
    let mut fields = Fields::default();
    check_types(&mut fields, &request.types);
    fields.finish()?;
    Ok(EventFilter {
        account: request.account_id.clone(),
        kinds: request.types.clone(),
        ..EventFilter::default()
    })
}

fn check_types(fields: &mut Fields, types: &[i32]) {
    for kind in types {
        if !matches!(proto::EventType::try_from(*kind), Ok(known) if known != proto::EventType::Unspecified)
        {
            fields.wrong("types", format!("has {kind}, which is no event type"));
        }
    }
}

pub(in crate::api) fn verified(verified: Verified) -> proto::VerifyEventsResponse {
    let (first_bad_sequence, detail) = verified.broken.unwrap_or_default();
    proto::VerifyEventsResponse {
        checked: verified.checked,
        intact: detail.is_empty(),
        first_bad_sequence,
        detail: if detail.is_empty() {
            "every line is the one that was written".into()
        } else {
            detail
        },
    }
}
