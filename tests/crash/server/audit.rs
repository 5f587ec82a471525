//! The audit log: whole, with one line for each change and none besides.

use std::collections::BTreeMap;

use keyward::api::proto::{EventType, VerifyEventsRequest};

use super::client::Client;
use super::worker::Events;

/// Compares the log with what there must be, by the id of what it is about. Uses of superseded secrets are not counted: they
/// are told once in a while.
pub(super) async fn compare(
    client: &mut Client,
    expected: BTreeMap<String, Events>,
) -> Result<(), String> {
    let status = |status: tonic::Status| format!("the audit log: {status}");
    let events = client.all_events().await.map_err(status)?;
    let verified = client.events.verify_events(VerifyEventsRequest::default());
    let verified = verified.await.map_err(status)?.into_inner();
    // Uses of superseded secrets are told while this runs.
    if !verified.intact || verified.checked < events.len() as u64 {
        return Err(format!(
            "{} events are listed, and {verified:?}",
            events.len()
        ));
    }
    let mut found: BTreeMap<String, Events> = BTreeMap::new();
    for event in events {
        if event.r#type() != EventType::SupersededSecretUsed {
            let kind = event.r#type();
            *found
                .entry(event.subject_id)
                .or_default()
                .entry(kind)
                .or_default() += 1;
        }
    }
    if found == expected {
        return Ok(());
    }
    let differs = |(id, events): (&String, &Events), others: &BTreeMap<String, Events>| {
        (others.get(id) != Some(events)).then(|| format!("{id}: {events:?}"))
    };
    let there: Vec<String> = found
        .iter()
        .filter_map(|row| differs(row, &expected))
        .collect();
    let missing: Vec<String> = expected
        .iter()
        .filter_map(|row| differs(row, &found))
        .collect();
    Err(format!(
        "the audit log has {there:?}, and must have {missing:?}"
    ))
}
