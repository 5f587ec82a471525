//! One line for each call: what was called, by whom, how it ended, how long it took. Never a header or a body.
//!
//! At level info, but for the calls that come by the thousand: a validation or a health check that went well is told at
//! level debug. A stream's line is written when it begins.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::uri::PathAndQuery;
use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Level, debug, enabled, info};

use super::call_id;
use super::code_name;
use crate::api::call_id::CallId;
use crate::api::peer::Peer;
use crate::domain::text;

/// Told at level debug where they went well.
const QUIET: [&str; 3] = [
    "/keyward.v1.CredentialService/ValidateCredentials",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];

/// No method of ours has a longer path; what an unknown caller makes up is cut here.
const LONGEST_PATH: usize = 128;

#[derive(Debug, Clone, Copy)]
pub(crate) struct AccessLogLayer;

impl<S> Layer<S> for AccessLogLayer {
    type Service = AccessLog<S>;

    fn layer(&self, inner: S) -> AccessLog<S> {
        AccessLog { inner }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct AccessLog<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for AccessLog<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Future: Unpin>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Logged<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let peer = request.extensions().get().map(|peer: &Peer| peer.address);
        let line = Line::of(&request, peer, call_id::of(&request));
        Logged {
            inner: self.inner.call(request),
            line: Some(line),
        }
    }
}

/// A call whose line is yet to be written. A caller that goes away before the answer leaves a line, too.
#[derive(Debug)]
pub(crate) struct Logged<F> {
    inner: F,
    line: Option<Line>,
}

impl<F, E> Future for Logged<F>
where
    F: Future<Output = Result<Response<Body>, E>> + Unpin,
{
    type Output = Result<Response<Body>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.inner).poll(cx));
        if let Some(line) = self.line.take() {
            line.write(outcome.as_ref().map_or(Code::Internal, code));
        }
        Poll::Ready(outcome)
    }
}

impl<F> Drop for Logged<F> {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            line.write(Code::Cancelled);
        }
    }
}

/// What is told of a call once it has ended.
#[derive(Debug)]
pub(in crate::server) struct Line {
    began: Instant,
    path: Option<PathAndQuery>,
    peer: Option<SocketAddr>,
    id: CallId,
}

impl Line {
    /// The line of a call that is answered without these layers; none where nothing is told of one that goes well.
    pub(in crate::server) fn wanted<B>(
        request: &Request<B>,
        peer: SocketAddr,
        id: CallId,
    ) -> Option<Self> {
        let wanted = if QUIET.contains(&request.uri().path()) {
            enabled!(Level::DEBUG)
        } else {
            enabled!(Level::INFO)
        };
        wanted.then(|| Self::of(request, Some(peer), id))
    }

    fn of<B>(request: &Request<B>, peer: Option<SocketAddr>, id: CallId) -> Self {
        Self {
            began: Instant::now(),
            path: request.uri().path_and_query().cloned(),
            peer,
            id,
        }
    }

    pub(in crate::server) fn write(&self, code: Code) {
        if code == Code::Ok && QUIET.contains(&self.path()) {
            debug!(
                method = self.path(),
                code = code_name(code),
                duration_us = self.micros(),
                peer = self.peer.map(tracing::field::display),
                call_id = %self.id,
                "call"
            );
        } else {
            info!(
                method = self.path(),
                code = code_name(code),
                duration_us = self.micros(),
                peer = self.peer.map(tracing::field::display),
                call_id = %self.id,
                "call"
            );
        }
    }

    /// Without what looks like a token's text: somebody may have put one into the wrong place.
    fn path(&self) -> &str {
        let path = self.path.as_ref().map_or("", PathAndQuery::path);
        let end = path.find(text::PREFIX).unwrap_or(path.len());
        &path[..path.floor_char_boundary(end.min(LONGEST_PATH))]
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A failed answer carries its status beside the headers; one without is good so far.
fn code(response: &Response<Body>) -> Code {
    response.extensions().get().map_or(Code::Ok, Status::code)
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::io;
    use std::sync::{Arc, Mutex};

    use tower::ServiceExt as _;
    use tracing_subscriber::fmt::MakeWriter;

    use super::super::call_id::CallIdLayer;
    use super::super::errors::ErrorsLayer;
    use super::super::testing::{call, handler, ok};
    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Memory {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// What is logged at `level` of a call to `path` that the handler ends with `code`, or never where that is none.
    async fn logged(level: Level, path: &str, code: Option<Code>) -> String {
        let memory = Memory::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(memory.clone())
            .with_ansi(false)
            .with_max_level(level)
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let service =
            (CallIdLayer, AccessLogLayer, ErrorsLayer).layer(handler(move |_| async move {
                match code {
                    Some(Code::Ok) => ok(),
                    Some(code) => Status::new(code, "the reason").into_http(),
                    None => pending().await,
                }
            }));
        let mut request = call(path);
        request
            .headers_mut()
            .insert("authorization", "Bearer kw_secret".parse().unwrap());
        request
            .headers_mut()
            .insert("x-request-id", "call-7".parse().unwrap());
        let mut answer = Box::pin(service.oneshot(request));
        let _ = std::future::poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await;
        drop(answer);
        drop(guard);
        String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
    }

    #[tokio::test]
    async fn a_call_is_told_in_one_line_with_its_id_and_without_its_headers() {
        let line = logged(
            Level::INFO,
            "/keyward.v1.CredentialService/CreateToken?q=1",
            Some(Code::NotFound),
        )
        .await;
        for part in [
            "method=\"/keyward.v1.CredentialService/CreateToken\"",
            "NOT_FOUND",
            "call_id=call-7",
            "duration_us=",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert_eq!(line.lines().count(), 1);
        assert!(
            !line.contains("kw_secret") && !line.contains("q=1"),
            "{line}"
        );
    }

    #[tokio::test]
    async fn validations_and_health_checks_are_quiet_unless_they_fail() {
        for path in QUIET {
            assert_eq!(logged(Level::INFO, path, Some(Code::Ok)).await, "");
            assert!(
                logged(Level::DEBUG, path, Some(Code::Ok))
                    .await
                    .contains("code=\"OK\"")
            );
            assert!(
                logged(Level::INFO, path, Some(Code::Unavailable))
                    .await
                    .contains("UNAVAILABLE")
            );
        }
    }

    #[tokio::test]
    async fn a_tokens_text_in_a_path_is_not_told() {
        let line = logged(Level::INFO, "/a.B/kw_dev_secret", Some(Code::Unimplemented)).await;
        assert!(
            line.contains("method=\"/a.B/\"") && !line.contains("secret"),
            "{line}"
        );
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_leaves_a_line_and_a_made_up_path_a_short_one() {
        assert!(
            logged(Level::INFO, "/a/B", None)
                .await
                .contains("CANCELLED")
        );
        let path = format!("/{}", "x".repeat(5000));
        assert!(
            logged(Level::INFO, &path, Some(Code::Unimplemented))
                .await
                .len()
                < 400
        );
    }
}
