//! The fake's audit log: a thousand lines, newest first, the chain broken wherever one asks. A watch hears two lines, then that the
//! server closes; it goes on with one more, and then lines are swept.

use tonic::{Request, Response, Status};

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

    type WatchEventsStream =
        tokio_stream::Iter<std::vec::IntoIter<Result<WatchEventsResponse, Status>>>;

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Answer<Self::WatchEventsStream> {
        let request = admit(request)?;
        let told = |sequence, event| Ok(WatchEventsResponse { event, sequence });
        let event = |sequence, actor: &str| {
            let event = Event {
                sequence,
                r#type: EventType::TokenCreated.into(),
                actor: actor.into(),
                ..Event::default()
            };
            told(sequence, Some(event))
        };
        let messages = match request.after_sequence {
            0 => vec![
                event(1, "op"),
                event(2, "other"),
                told(5, None),
                Err(Status::unavailable("the server is shutting down")),
            ],
            5 => vec![event(6, "op"), Err(Status::out_of_range("swept"))],
            _ => vec![Err(Status::out_of_range("not there"))],
        };
        Ok(Response::new(tokio_stream::iter(messages)))
    }
}
