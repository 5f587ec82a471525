//! EventService: the audit log, listed, verified and watched.

use std::sync::Arc;

use tonic::{Request, Response};

use super::convert::{event as convert, page};
use super::gate::Caller;
use super::proto;
use super::proto::event_service_server::EventService;
use super::stream::{EventWatch, Pull};
use super::{Answer, Desk};
use crate::registry::Error;

#[derive(Debug)]
pub(super) struct Events(pub(super) Arc<Desk>);

#[tonic::async_trait]
impl EventService for Events {
    async fn list_events(
        &self,
        request: Request<proto::ListEventsRequest>,
    ) -> Answer<proto::ListEventsResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let listed = async {
            let bound = proto::ListEventsRequest {
                page_size: 0,
                page_token: String::new(),
                ..request.clone()
            };
            let page = page::page("ListEvents", request.page_size, &request.page_token, &bound)?;
            let filter = convert::filter(request)?;
            self.0
                .registry
                .list_events(&caller.call(), filter, page)
                .await
        };
        let paged = self.0.settle(&caller, listed).await?;
        Ok(Response::new(proto::ListEventsResponse {
            events: paged.items.into_iter().map(convert::wire).collect(),
            next_page_token: paged.next,
        }))
    }

    async fn verify_events(
        &self,
        request: Request<proto::VerifyEventsRequest>,
    ) -> Answer<proto::VerifyEventsResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let given = |sequence: u64| (sequence > 0).then_some(sequence);
        let verified = async {
            let (from, to) = (given(request.from_sequence), given(request.to_sequence));
            if from.zip(to).is_some_and(|(from, to)| from > to) {
                return Err(Error::invalid(
                    "to_sequence",
                    "must not be less than from_sequence",
                ));
            }
            self.0
                .registry
                .verify_events(&caller.call(), from, to)
                .await
        };
        let verified = self.0.settle(&caller, verified).await?;
        Ok(Response::new(convert::verified(verified)))
    }

    type WatchEventsStream = Pull<EventWatch>;

    async fn watch_events(
        &self,
        request: Request<proto::WatchEventsRequest>,
    ) -> Answer<Self::WatchEventsStream> {
        let caller = Caller::of(&request)?;
        let watch = EventWatch::open(&self.0, caller, request.get_ref()).await?;
        Ok(Response::new(Pull::new(watch)))
    }
}
