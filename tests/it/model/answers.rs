//! What is asked about several tokens at once, of the real client.

use keyward::api::proto::{
    self, BatchValidateCredentialsRequest, GetUsageRequest, ListTokensRequest,
    StreamValidateCredentialsRequest, batch_item, stream_validate_credentials_response,
};

use super::calls::{answered, request, validated};
use super::decision::Decided;
use super::real::Known;
use super::steps::{DAY, Filter, Question};
use super::wire::{account_id, at, labels, principal_id};
use super::world::World;
use crate::harness::Client;

type Asked = (usize, u32, Question);

impl Known {
    /// Compares a list, page by page.
    pub(super) async fn list(&self, operator: &Client, a: usize, filter: Filter, world: &World) {
        if filter.unused_since.is_some() && world.crashed {
            return;
        }
        let mut request = ListTokensRequest {
            account_id: account_id(a),
            page_size: filter.page,
            states: filter.state.into_iter().map(i32::from).collect(),
            principal_id: filter.principal.map(principal_id).unwrap_or_default(),
            name_prefix: filter.prefix.into(),
            expire_before: filter.expire_before.map(at),
            unused_since: filter.unused_since.map(at),
            labels: labels(filter.labelled),
            ..Default::default()
        };
        let mut listed = Vec::new();
        loop {
            let mut credentials = operator.credentials.clone();
            let page = credentials.list_tokens(request.clone()).await;
            let page = page.expect("it may be listed").into_inner();
            assert!(page.tokens.len() <= usize::try_from(filter.page).expect("pages have tokens"));
            listed.extend(page.tokens.into_iter().map(|token| token.id));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        let places = world.listed(a, filter).into_iter();
        let mut expected: Vec<String> = places.map(|t| self.ids[t].clone()).collect();
        expected.sort_unstable();
        assert_eq!(listed, expected);
    }

    /// Compares an account's day; a crash may have taken a second of it.
    pub(super) async fn usage(&self, operator: &Client, a: usize, world: &World) {
        let request = GetUsageRequest {
            account_id: account_id(a),
            days: 1,
            page_size: 1_000,
            ..Default::default()
        };
        let told = operator.usage.clone().get_usage(request).await;
        let told = told.expect("it may be told").into_inner();
        let account = &world.accounts[a];
        assert_eq!(told.limit, account.policy.daily_calls);
        assert_eq!(told.reset_time, Some(at((world.now / DAY + 1) * DAY)));
        assert_eq!(told.tokens.len(), world.tokens_of(a));
        if world.crashed {
            return;
        }
        let calls = world.calls_of(a);
        assert_eq!(told.calls_today, calls);
        assert_eq!(
            told.remaining,
            account.remaining(world.now).unwrap_or_default()
        );
        let today = told.days.last().cloned().unwrap_or_default();
        let denied = account.denied.get(&(world.now / DAY)).copied();
        assert_eq!(
            (today.allowed, today.denied),
            (calls, denied.unwrap_or_default())
        );
        for shown in told.tokens {
            let place = self.ids.iter().position(|id| *id == shown.token_id);
            let token = &world.tokens[place.expect("it was made")];
            let today = token.calls.get(&(world.now / DAY)).copied();
            assert_eq!(shown.name, token.name);
            assert_eq!(shown.calls_today, today.unwrap_or_default());
            assert_eq!(shown.last_used_time, token.last_used.map(at));
        }
    }

    /// Asks all at once, and compares each answer as if it had been asked for alone.
    pub(super) async fn many(
        &mut self,
        operator: &Client,
        stream: bool,
        asked: &[Asked],
        decided: &[Decided],
        world: &World,
    ) {
        let bearer =
            |&(t, version, question): &Asked| (world.bearer(t, version), version, question);
        let asked: Vec<Asked> = asked.iter().map(bearer).collect();
        let request =
            |&(t, version, question): &Asked| request(self, (t, version), question, world);
        let requests = asked.iter().map(request).collect();
        let answers = if stream {
            over_a_stream(operator, requests).await
        } else {
            in_a_batch(operator, requests).await
        };
        assert_eq!(answers.len(), asked.len());
        for ((answer, (t, version, question)), decided) in
            answers.into_iter().zip(asked).zip(decided)
        {
            match answer {
                Some(mut answer) => {
                    // What is left is told as it was in the midst of them.
                    answer.quota = None;
                    answered(self, &answer, 1, t, question, *decided, world);
                }
                None => {
                    validated(self, operator, (t, version), question, *decided, world).await;
                    self.apart |= world.tokens[t].rate.is_some();
                }
            }
            if self.apart {
                return;
            }
        }
    }
}

/// `None` where the store was too slow.
type Maybe = Option<proto::ValidateCredentialsResponse>;

async fn in_a_batch(
    operator: &Client,
    requests: Vec<proto::ValidateCredentialsRequest>,
) -> Vec<Maybe> {
    let mut credentials = operator.credentials.clone();
    let request = BatchValidateCredentialsRequest { requests };
    let answers = credentials.batch_validate_credentials(request).await;
    let items = answers.expect("none is in the way of others").into_inner();
    let answers = items.items.into_iter().map(|item| match item.answer {
        Some(batch_item::Answer::Response(answer)) => Some(answer),
        _ => None,
    });
    answers.collect()
}

/// One after the other, so that their order is theirs.
async fn over_a_stream(
    operator: &Client,
    requests: Vec<proto::ValidateCredentialsRequest>,
) -> Vec<Maybe> {
    let (questions, stream) = tokio::sync::mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let mut credentials = operator.credentials.clone();
    let replies = credentials.stream_validate_credentials(stream).await;
    let mut replies = replies.expect("it is open").into_inner();
    let mut answers = Vec::new();
    for (correlation_id, request) in (7_u64..).zip(requests) {
        let question = StreamValidateCredentialsRequest {
            correlation_id,
            request: Some(request),
        };
        questions.send(question).await.expect("it is open");
        let reply = replies.message().await.expect("no error");
        let reply = reply.expect("it is answered");
        assert_eq!(reply.correlation_id, correlation_id);
        answers.push(match reply.answer {
            Some(stream_validate_credentials_response::Answer::Response(answer)) => Some(answer),
            _ => None,
        });
    }
    answers
}
