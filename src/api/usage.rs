//! UsageService: how often tokens are used, and by whom.

use std::sync::Arc;

use tonic::{Request, Response};

use super::convert::{page, required, usage as convert};
use super::gate::Caller;
use super::proto;
use super::proto::usage_service_server::UsageService;
use super::{Answer, Desk};
use crate::domain::account::Account;
use crate::domain::time::Day;
use crate::registry::Error;

#[derive(Debug)]
pub(super) struct Usage(pub(super) Arc<Desk>);

impl Usage {
    /// What is left of an account's day, as its validations tell it: what nobody leased and this node's unspent. Where this node
    /// holds no lease, the store knows.
    async fn remaining(&self, account: &Account) -> Result<u64, Error> {
        let Some(limit) = account.policy.daily_calls else {
            return Ok(0);
        };
        let now = self.0.validator.now();
        if let Some(figures) = self.0.meter.quotas.figures(&account.id, limit, now) {
            return Ok(figures.remaining);
        }
        let leased = self.0.registry.leased(&account.id, Day::of(now)).await?;
        Ok(limit.saturating_sub(leased))
    }
}

#[tonic::async_trait]
impl UsageService for Usage {
    async fn get_usage(
        &self,
        request: Request<proto::GetUsageRequest>,
    ) -> Answer<proto::GetUsageResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let got = async {
            let bound = proto::GetUsageRequest {
                page_size: 0,
                page_token: String::new(),
                ..request.clone()
            };
            let page = page::page("GetUsage", request.page_size, &request.page_token, &bound)?;
            let days = convert::days(request.days)?;
            let call = caller.call();
            let got = self
                .0
                .registry
                .get_usage(&call, &request.account_id, days, page);
            let usage = got.await?;
            let remaining = self.remaining(&usage.account).await?;
            Ok((usage, remaining))
        };
        let (usage, remaining) = self.0.settle(&caller, got).await?;
        Ok(Response::new(convert::wire(usage, remaining)))
    }

    async fn list_consumers(
        &self,
        request: Request<proto::ListConsumersRequest>,
    ) -> Answer<proto::ListConsumersResponse> {
        let caller = Caller::of(&request)?;
        let request = request.get_ref();
        let listed = async {
            required("token_id", &request.token_id)?;
            let bound = proto::ListConsumersRequest {
                token_id: request.token_id.clone(),
                ..Default::default()
            };
            let (size, token) = (request.page_size, &request.page_token);
            let page = page::page("ListConsumers", size, token, &bound)?;
            self.0
                .registry
                .list_consumers(&caller.call(), &request.token_id, page)
                .await
        };
        let paged = self.0.settle(&caller, listed).await?;
        let now = self.0.registry.clock.settled();
        let consumers = paged.items.into_iter();
        Ok(Response::new(proto::ListConsumersResponse {
            consumers: consumers
                .map(|named| convert::consumer(named, now))
                .collect(),
            next_page_token: paged.next,
        }))
    }
}
