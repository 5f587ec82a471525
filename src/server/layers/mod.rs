//! What surrounds every call, whatever it asks. One concern a file, from the outside in.

mod access_log;
mod call_id;
mod deadline;
mod errors;
mod overload;
mod panic;

use access_log::AccessLogLayer;
use call_id::CallIdLayer;
use deadline::DeadlineLayer;
use errors::ErrorsLayer;
use overload::OverloadLayer;
use panic::PanicLayer;
use tower::Layer;

pub(super) use access_log::Line;
pub(super) use deadline::Began;
pub(super) use panic::failed;

use crate::api::{ERROR_DOMAIN, code_name};
use crate::config::ServerSettings;

type All = (
    CallIdLayer,
    AccessLogLayer,
    ErrorsLayer,
    PanicLayer,
    OverloadLayer,
    DeadlineLayer,
);

/// All layers of one core, outermost first.
#[derive(Clone, Debug)]
pub(super) struct Layers(All);

impl Layers {
    pub(super) fn new(settings: &ServerSettings) -> Self {
        Self((
            CallIdLayer,
            AccessLogLayer,
            ErrorsLayer,
            PanicLayer,
            OverloadLayer::new(settings.max_calls_per_core),
            DeadlineLayer::new(settings.max_deadline),
        ))
    }

    /// Whether one more call would be refused.
    pub(super) fn are_full(&self) -> bool {
        let (.., overload, _) = &self.0;
        overload.is_full()
    }
}

impl<S> Layer<S> for Layers
where
    All: Layer<S>,
{
    type Service = <All as Layer<S>>::Service;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}

#[cfg(test)]
mod testing {
    //! A service in place of the routes: does what the test says, and remembers nothing.

    use std::convert::Infallible;
    use std::future::Future;
    use std::pin::Pin;

    use http::{Request, Response};
    use tonic::body::Body;
    use tower::Service;

    pub(super) type Answer =
        Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    /// A handler from an async function of the request.
    pub(super) fn handler<F, A>(
        handle: F,
    ) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
    + Clone
    where
        F: Fn(Request<Body>) -> A + Clone,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        tower::service_fn(move |request| -> Answer {
            let answer = handle(request);
            Box::pin(async move { Ok(answer.await) })
        })
    }

    pub(super) fn call(path: &str) -> Request<Body> {
        Request::builder().uri(path).body(Body::empty()).unwrap()
    }

    pub(super) fn ok() -> Response<Body> {
        Response::new(Body::empty())
    }

    pub(super) fn code(response: &Response<Body>) -> tonic::Code {
        tonic::Status::from_header_map(response.headers())
            .map_or(tonic::Code::Ok, |status| status.code())
    }
}
