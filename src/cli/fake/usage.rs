//! The fake's usage: `t1` was used once in 1970, with one of its two grants, by one consumer.

use tonic::{Request, Response};

use super::{Answer, Fake, admit};
use crate::api::proto::usage_service_server::UsageService;
use crate::api::proto::*;

pub(super) fn consumer() -> Consumer {
    Consumer {
        name: "billing".into(),
        calls_today: 7,
        uses_retired_secret: true,
        ..Consumer::default()
    }
}

#[tonic::async_trait]
impl UsageService for Fake {
    async fn get_usage(&self, request: Request<GetUsageRequest>) -> Answer<GetUsageResponse> {
        let request = admit(request)?;
        let first = request.page_token.is_empty();
        let token = TokenUsage {
            token_id: if first { "t1" } else { "t2" }.into(),
            name: "Order sync".into(),
            calls_today: 7,
            last_used_time: first.then(prost_types::Timestamp::default),
            unexercised_grants: vec!["dispatch".into()],
            ..TokenUsage::default()
        };
        let today = DayUsage {
            date: "2027-01-15".into(),
            allowed: 14,
            denied: 1,
        };
        Ok(Response::new(GetUsageResponse {
            account_id: request.account_id,
            calls_today: 14,
            limit: Some(2_500),
            remaining: 2_486,
            tokens: vec![token],
            days: vec![today; request.days as usize],
            next_page_token: if first { "next".into() } else { String::new() },
            ..GetUsageResponse::default()
        }))
    }

    async fn list_consumers(
        &self,
        request: Request<ListConsumersRequest>,
    ) -> Answer<ListConsumersResponse> {
        admit(request)?;
        Ok(Response::new(ListConsumersResponse {
            consumers: vec![consumer()],
            next_page_token: String::new(),
        }))
    }
}
