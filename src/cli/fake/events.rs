//! The fake's audit log: a thousand lines, newest first, the chain broken wherever one asks.

use tonic::{Request, Response};

use super::{Answer, Fake, admit};
use crate::api::proto::event_service_server::EventService;
use crate::api::proto::*;

#[tonic::async_trait]
impl EventService for Fake {
    async fn list_events(&self, request: Request<ListEventsRequest>) -> Answer<ListEventsResponse> {
        let request = admit(request)?;
        let newest: u64 = request.page_token.parse().unwrap_or(1000);
        let size = u64::try_from(request.page_size).unwrap();
        let events = (newest.saturating_sub(size)..newest)
            .rev()
            .map(|sequence| Event {
                sequence,
                r#type: EventType::TokenCreated.into(),
                actor: "op".into(),
                ..Event::default()
            });
        let next = newest.saturating_sub(size);
        let next_page_token = if next > 0 {
            next.to_string()
        } else {
            String::new()
        };
        Ok(Response::new(ListEventsResponse {
            events: events.collect(),
            next_page_token,
        }))
    }

    async fn verify_events(
        &self,
        request: Request<VerifyEventsRequest>,
    ) -> Answer<VerifyEventsResponse> {
        let request = admit(request)?;
        Ok(Response::new(VerifyEventsResponse {
            checked: 10,
            intact: request.from_sequence == 0,
            first_bad_sequence: request.from_sequence,
            detail: "told".into(),
        }))
    }
}
