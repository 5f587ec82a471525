//! What `tonic-build` writes for a service of three methods whose handlers do nothing: one question, many in one message, and a
//! stream of them.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt as _};
use keyward::api::proto::{
    Access, BatchItem, BatchValidateCredentialsRequest, BatchValidateCredentialsResponse, Decision,
    StreamValidateCredentialsRequest, StreamValidateCredentialsResponse,
    ValidateCredentialsRequest, ValidateCredentialsResponse, batch_item,
    stream_validate_credentials_response,
};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

pub(crate) const UNARY: &str = "/bench.Noop/Validate";
pub(crate) const BATCH: &str = "/bench.Noop/Batch";
pub(crate) const STREAM: &str = "/bench.Noop/Stream";

#[derive(Clone)]
pub(crate) struct Noop;

impl NamedService for Noop {
    const NAME: &'static str = "bench.Noop";
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Service<http::Request<Body>> for Noop {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            Ok(match request.uri().path() {
                UNARY => Grpc::new(ProstCodec::default()).unary(One, request).await,
                BATCH => Grpc::new(ProstCodec::default()).unary(Batch, request).await,
                _ => {
                    Grpc::new(ProstCodec::default())
                        .streaming(Many, request)
                        .await
                }
            })
        })
    }
}

/// What every question is answered.
pub(crate) fn answer() -> ValidateCredentialsResponse {
    ValidateCredentialsResponse {
        decision: Decision::Allow.into(),
        detail: "the credentials are good".into(),
        token_id: "0123456789ABCDEFGHIJKL".into(),
        token_name: "credential 123456".into(),
        account_id: "bench".into(),
        principal_id: "api".into(),
        principal_name: "an API user".into(),
        access: Access::Full.into(),
        revision: 123_456_789,
        ..Default::default()
    }
}

struct One;
struct Batch;
struct Many;

impl UnaryService<ValidateCredentialsRequest> for One {
    type Response = ValidateCredentialsResponse;
    type Future = Boxed<Result<Response<Self::Response>, Status>>;

    fn call(&mut self, _: Request<ValidateCredentialsRequest>) -> Self::Future {
        Box::pin(async { Ok(Response::new(answer())) })
    }
}

impl UnaryService<BatchValidateCredentialsRequest> for Batch {
    type Response = BatchValidateCredentialsResponse;
    type Future = Boxed<Result<Response<Self::Response>, Status>>;

    fn call(&mut self, request: Request<BatchValidateCredentialsRequest>) -> Self::Future {
        Box::pin(async move {
            let item = |_| BatchItem {
                answer: Some(batch_item::Answer::Response(answer())),
            };
            let items = request
                .into_inner()
                .requests
                .into_iter()
                .map(item)
                .collect();
            Ok(Response::new(BatchValidateCredentialsResponse { items }))
        })
    }
}

impl StreamingService<StreamValidateCredentialsRequest> for Many {
    type Response = StreamValidateCredentialsResponse;
    type ResponseStream =
        Pin<Box<dyn Stream<Item = Result<StreamValidateCredentialsResponse, Status>> + Send>>;
    type Future = Boxed<Result<Response<Self::ResponseStream>, Status>>;

    fn call(
        &mut self,
        request: Request<Streaming<StreamValidateCredentialsRequest>>,
    ) -> Self::Future {
        Box::pin(async move {
            let answers = request.into_inner().map(|question| {
                let decided = stream_validate_credentials_response::Answer::Response(answer());
                Ok(StreamValidateCredentialsResponse {
                    correlation_id: question?.correlation_id,
                    answer: Some(decided),
                })
            });
            Ok(Response::new(Box::pin(answers) as Self::ResponseStream))
        })
    }
}
