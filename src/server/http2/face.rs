//! What answers a connection's calls: the services within their layers, and what is asked before them.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tower::{Layer as _, Service};

use super::hot::{Hot, Validates};
use super::{call, incoming};
use crate::api::peer::Peer;
use crate::server::layers::Layers;

/// Answers one call.
pub(in crate::server) trait Answering:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Send + 'static
{
}

impl<S> Answering for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Send
        + 'static
{
}

/// Answers all calls.
pub(in crate::server) trait Services: Answering + Clone + Unpin {}

impl<S: Answering + Clone + Unpin> Services for S {}

/// An answer that is found without the services.
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Of one core, for each of its connections.
#[derive(Clone)]
pub(in crate::server) struct Face<S> {
    services: S,
    pub(super) layers: Layers,
    hot: Option<Arc<dyn Validates>>,
}

/// The face with the routes of a core.
pub(in crate::server) fn routed(
    routes: Routes,
    layers: Layers,
    hot: Option<Arc<dyn Validates>>,
) -> Face<impl Services> {
    Face::new(layers.layer(routes.prepare()), layers, hot)
}

impl<S> Face<S> {
    pub(super) fn new(services: S, layers: Layers, hot: Option<Arc<dyn Validates>>) -> Self {
        Self {
            services,
            layers,
            hot,
        }
    }

    /// What answers the validations of a peer's new connection.
    pub(super) fn hot(&self, peer: &Peer) -> Option<Box<dyn Hot>> {
        let hot = self.hot.clone()?;
        Some(hot.hot(peer))
    }
}

impl<S: Services> Face<S> {
    /// Hands a call to its service; some of its body may have been `taken`.
    pub(super) fn serve(
        &self,
        request: Request<RecvStream>,
        taken: Bytes,
        respond: SendResponse<Bytes>,
    ) {
        let request = request.map(|stream| incoming::body(taken, stream));
        tokio::spawn(call::answer(self.services.clone(), request, respond));
    }

    /// Sends an answer that is there, or comes, as if a service had given it: within all layers.
    pub(super) fn answer<B>(
        &self,
        request: Request<B>,
        answer: Answer,
        respond: SendResponse<Bytes>,
    ) {
        let mut answer = Some(answer);
        let once = move |_| answer.take().unwrap_or_else(|| Box::pin(pending()));
        let service = self.layers.layer(tower::service_fn(once));
        let request = request.map(|_| Body::empty());
        tokio::spawn(call::answer(service, request, respond));
    }
}
