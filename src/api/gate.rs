//! Who may call: every call is authenticated by the validator itself, and held against the table of methods, before it reaches
//! its service. A service cannot forget it: it gets its caller from here or not at all.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use super::Desk;
use super::call_id::CallId;
use super::methods::Method;
use super::peer::Peer;
use super::status;
use crate::domain::decision::DenyReason;
use crate::domain::event::Origin;
use crate::domain::grant::Permission;
use crate::domain::operator::{self, Operator, Scope};
use crate::domain::presented::Presented;
use crate::domain::token::Token;
use crate::registry::Call;
use crate::registry::replay::Once;
use crate::validator::Identity;

/// An admitted caller, in the request's extensions.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) token: Arc<Token>,
    /// Which of the token's secrets was presented.
    pub(super) secret_version: u32,
    pub(super) scope: Scope,
    pub(super) method: &'static Method,
    /// The peer's.
    pub(super) address: Option<IpAddr>,
    call_id: CallId,
}

impl Caller {
    /// Whoever was authenticated, about to call a method.
    pub(super) fn new(
        identity: &Identity,
        method: &'static Method,
        address: Option<IpAddr>,
        call_id: CallId,
    ) -> Self {
        Self {
            token: Arc::clone(&identity.token),
            secret_version: identity.secret_version(),
            scope: Scope::of(&identity.token),
            method,
            address,
            call_id,
        }
    }

    /// The same, calling another method.
    pub(super) fn calling(self, method: &'static Method, call_id: CallId) -> Self {
        Self {
            method,
            call_id,
            ..self
        }
    }

    /// The caller that the gate admitted.
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Result<Self, Status> {
        request
            .extensions()
            .get()
            .cloned()
            .ok_or_else(|| Status::internal("the call came past its gate"))
    }

    /// What the audit log says of this call.
    pub(super) fn origin(&self) -> Origin {
        Origin {
            actor: self.token.id.to_string(),
            address: self
                .address
                .map(|address| address.to_string())
                .unwrap_or_default(),
            call_id: self.call_id.to_string(),
        }
    }

    /// The request as one that is to be done once, where it has a request id; `payload` is the whole of it.
    pub(super) fn once(&self, request_id: Option<String>, payload: Vec<u8>) -> Option<Once> {
        request_id.map(|request_id| Once {
            operator: self.token.id,
            method: self.method.name(),
            request_id,
            payload,
        })
    }

    /// The call as the registry takes it.
    pub(super) fn call(&self) -> Call {
        Call {
            operator: Operator::of(&self.token),
            origin: self.origin(),
        }
    }
}

/// A service behind its gate.
#[derive(Clone, Debug)]
pub(super) struct Gate<S> {
    desk: Arc<Desk>,
    inner: S,
}

impl<S> Gate<S> {
    pub(super) fn new(desk: &Arc<Desk>, inner: S) -> Self {
        Self {
            desk: Arc::clone(desk),
            inner,
        }
    }

    /// The caller, if it may make this call.
    fn admit(&self, request: &Request<Body>) -> Result<Caller, Status> {
        let method = Method::of(request.uri().path()).ok_or_else(status::unknown_method)?;
        let extensions = request.extensions();
        let address = extensions.get::<Peer>().map(Peer::ip);
        let header = request.headers().get(http::header::AUTHORIZATION);
        let identity = self.desk.authenticate(header, address)?;
        let call_id = extensions
            .get::<CallId>()
            .copied()
            .unwrap_or_else(CallId::made);
        let caller = Caller::new(&identity, method, address, call_id);
        self.desk.admit(&caller)?;
        Ok(caller)
    }
}

impl Desk {
    /// Whoever presents this header, from this address.
    pub(super) fn authenticate(
        &self,
        header: Option<&HeaderValue>,
        address: Option<IpAddr>,
    ) -> Result<Identity, Status> {
        let presented = header.map(|value| value.to_str()).transpose();
        let presented = presented.map_err(|_| status::unauthenticated(DenyReason::Malformed))?;
        let presented = presented.map(Presented::Header);
        let identity = self.validator.authenticate(presented, address);
        identity.map_err(|verdict| {
            status::unauthenticated(verdict.reason.unwrap_or(DenyReason::Unknown))
        })
    }

    /// Whether the caller has the grant of the method that it calls; the audit log hears of one that has not.
    pub(super) fn admit(self: &Arc<Self>, caller: &Caller) -> Result<(), Status> {
        let admitted = caller.method.admits(&caller.token);
        admitted.inspect_err(|_| self.deny(caller))
    }
}

impl Method {
    /// Whether an operator's token has the grant that the method needs.
    pub(super) fn admits(&self, token: &Token) -> Result<(), Status> {
        let needed = Permission {
            resource: self.resource,
            action: Some(self.action),
        };
        if operator::may(&token.grants, token.access, &needed) {
            return Ok(());
        }
        let grant = format!("{}:{}", self.resource, self.action);
        Err(status::grant_missing(&grant))
    }
}

impl<S: NamedService> NamedService for Gate<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.admit(&request) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Box::pin(self.inner.call(request))
            }
            Err(status) => Box::pin(std::future::ready(Ok(status.into_http()))),
        }
    }
}
