//! grpc.health.v1: who may be sent work, told by name.
//!
//! Written here and not taken from tonic-health, whose Watch ends with NOT_FOUND where the protocol wants
//! SERVICE_UNKNOWN and a stream that stays open, and whose open streams would keep the process from ending.
//!
//! | name                                             | loading | ready   | cannot write | clock leapt | draining |
//! |--------------------------------------------------|---------|---------|--------------|-------------|----------|
//! | `liveness`                                       | SERVING | SERVING | SERVING      | SERVING     | SERVING  |
//! | ``, `readiness`, `keyward.v1.*Service`           | NOT     | SERVING | SERVING      | SERVING     | NOT      |
//! | `keyward.v1.writes`                              | NOT     | SERVING | NOT          | SERVING     | NOT      |
//! | `keyward.v1.clock`                               | NOT     | SERVING | SERVING      | NOT         | NOT      |
//!
//! A store that cannot write takes no service away: tokens are validated, and everything can be read, from memory. Only
//! changes answer UNAVAILABLE, and `keyward.v1.writes` is where to watch for that. Nor does a wall clock that has leapt: decisions
//! follow it, and `keyward.v1.clock` says that somebody should look at it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::watch;
use tokio_stream::Stream;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::MAX_REQUEST;

/// Says what is true of this process; every clone speaks for the same one.
#[derive(Debug, Clone)]
pub struct Health(Arc<watch::Sender<State>>);

/// All that health depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    ready: bool,
    read_only: bool,
    leapt: bool,
    draining: bool,
    closed: bool,
}

/// What a name stands for. Every name is known from the start, so that none is UNKNOWN only because it is early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Liveness,
    Serving,
    Writes,
    Clock,
}

impl Health {
    /// Alive, not ready.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }

    /// Whether the directory is loaded and calls can be answered.
    pub fn set_ready(&self, ready: bool) {
        self.0.send_modify(|state| state.ready = ready);
    }

    /// Whether the store takes changes. True until said otherwise.
    pub fn set_writable(&self, writable: bool) {
        self.0.send_modify(|state| state.read_only = !writable);
    }

    /// Whether the wall clock has leapt ahead of the time that has passed. False until said otherwise.
    pub fn set_leapt(&self, leapt: bool) {
        self.0
            .send_if_modified(|state| std::mem::replace(&mut state.leapt, leapt) != leapt);
    }

    /// The end is near: send no more work. Cannot be taken back.
    pub fn drain(&self) {
        self.0.send_modify(|state| state.draining = true);
    }

    /// Ends every open Watch, after what it had to say. Cannot be taken back.
    pub(super) fn close(&self) {
        self.0.send_modify(|state| state.closed = true);
    }

    /// Waits until the server closes.
    pub(super) async fn closed(&self) {
        let _ = self.0.subscribe().wait_for(|state| state.closed).await;
    }

    /// The gRPC service that answers from this.
    pub(super) fn service(&self) -> HealthServer<Self> {
        HealthServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST)
    }

    #[cfg(test)]
    pub(super) fn is_draining(&self) -> bool {
        self.0.borrow().draining
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Subject {
    fn named(service: &str) -> Option<Self> {
        match service {
            "liveness" => Some(Self::Liveness),
            ""
            | "readiness"
            | "keyward.v1.CredentialService"
            | "keyward.v1.DirectoryService"
            | "keyward.v1.EventService"
            | "keyward.v1.UsageService" => Some(Self::Serving),
            "keyward.v1.writes" => Some(Self::Writes),
            "keyward.v1.clock" => Some(Self::Clock),
            _ => None,
        }
    }

    fn status(self, state: State) -> ServingStatus {
        let serving = state.ready && !state.draining;
        let good = match self {
            Self::Liveness => true,
            Self::Serving => serving,
            Self::Writes => serving && !state.read_only,
            Self::Clock => serving && !state.leapt,
        };
        if good {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let subject = Subject::named(&request.get_ref().service)
            .ok_or_else(|| Status::not_found("no service of that name is known to health"))?;
        Ok(Response::new(answer(subject.status(*self.0.borrow()))))
    }

    type WatchStream = Watch;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Watch>, Status> {
        Ok(Response::new(Watch {
            subject: Subject::named(&request.get_ref().service),
            states: WatchStream::new(self.0.subscribe()),
            last: None,
            end: End::Open,
        }))
    }
}

/// One open Watch: the status at once, then each change of it, until the server closes.
#[derive(Debug)]
pub struct Watch {
    subject: Option<Subject>,
    states: WatchStream<State>,
    last: Option<ServingStatus>,
    end: End,
}

/// How far the end of a Watch has come: the last status is told before the stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Closing,
    Told,
}

impl Stream for Watch {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match self.end {
                End::Open => {}
                End::Closing => {
                    self.end = End::Told;
                    return Poll::Ready(Some(Err(Status::unavailable(
                        "the server is shutting down",
                    ))));
                }
                End::Told => return Poll::Ready(None),
            }
            let Some(state) = ready!(Pin::new(&mut self.states).poll_next(cx)) else {
                return Poll::Ready(None);
            };
            if state.closed {
                self.end = End::Closing;
            }
            let status = match self.subject {
                Some(subject) => subject.status(state),
                None => ServingStatus::ServiceUnknown,
            };
            if self.last != Some(status) {
                self.last = Some(status);
                return Poll::Ready(Some(Ok(answer(status))));
            }
        }
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[cfg(test)]
mod tests {
    use ServingStatus::{NotServing, ServiceUnknown, Serving};
    use tokio_stream::StreamExt as _;
    use tonic::Code;
    use tonic_health::pb::health_server::Health as _;

    use super::*;

    async fn check(health: &Health, service: &str) -> Result<ServingStatus, Code> {
        let service = service.to_owned();
        match health
            .check(Request::new(HealthCheckRequest { service }))
            .await
        {
            Ok(answer) => Ok(answer.into_inner().status()),
            Err(status) => Err(status.code()),
        }
    }

    async fn watch(health: &Health, service: &str) -> Watch {
        let service = service.to_owned();
        let request = Request::new(HealthCheckRequest { service });
        health.watch(request).await.unwrap().into_inner()
    }

    async fn next(watch: &mut Watch) -> Result<ServingStatus, Code> {
        match watch.next().await.expect("the stream ended") {
            Ok(answer) => Ok(answer.status()),
            Err(status) => Err(status.code()),
        }
    }

    #[tokio::test]
    async fn each_name_tells_of_each_state_what_the_table_says() {
        let loading = Health::new();
        let ready = Health::new();
        ready.set_ready(true);
        let read_only = Health::new();
        read_only.set_ready(true);
        read_only.set_writable(false);
        let leapt = Health::new();
        leapt.set_ready(true);
        leapt.set_leapt(true);
        let draining = Health::new();
        draining.set_ready(true);
        draining.drain();

        let whole = [NotServing, Serving, Serving, Serving, NotServing];
        for (name, expected) in [
            ("liveness", [Serving; 5]),
            ("", whole),
            ("readiness", whole),
            ("keyward.v1.CredentialService", whole),
            ("keyward.v1.DirectoryService", whole),
            ("keyward.v1.EventService", whole),
            ("keyward.v1.UsageService", whole),
            (
                "keyward.v1.writes",
                [NotServing, Serving, NotServing, Serving, NotServing],
            ),
            (
                "keyward.v1.clock",
                [NotServing, Serving, Serving, NotServing, NotServing],
            ),
        ] {
            for (health, expected) in [&loading, &ready, &read_only, &leapt, &draining]
                .into_iter()
                .zip(expected)
            {
                assert_eq!(
                    check(health, name).await,
                    Ok(expected),
                    "{name:?} of {health:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn an_unknown_name_is_not_found_by_check_and_unknown_to_a_watch_that_stays_open() {
        let health = Health::new();
        assert_eq!(check(&health, "nobody").await, Err(Code::NotFound));

        let mut watch = watch(&health, "nobody").await;
        assert_eq!(next(&mut watch).await, Ok(ServiceUnknown));
        health.set_ready(true);
        let silent =
            std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut watch).poll_next(cx))).await;
        assert!(silent.is_pending());
    }

    #[tokio::test]
    async fn a_watch_tells_changes_of_its_own_name_only() {
        let health = Health::new();
        let mut readiness = watch(&health, "readiness").await;
        let mut writes = watch(&health, "keyward.v1.writes").await;
        assert_eq!(next(&mut readiness).await, Ok(NotServing));
        assert_eq!(next(&mut writes).await, Ok(NotServing));
        health.set_ready(true);
        assert_eq!(next(&mut readiness).await, Ok(Serving));
        assert_eq!(next(&mut writes).await, Ok(Serving));
        health.set_writable(false);
        assert_eq!(next(&mut writes).await, Ok(NotServing));
        let silent =
            std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut readiness).poll_next(cx))).await;
        assert!(silent.is_pending());
    }

    #[tokio::test]
    async fn a_watch_hears_not_serving_even_where_drain_and_close_are_one_moment() {
        let health = Health::new();
        health.set_ready(true);
        let mut watch = watch(&health, "").await;
        assert_eq!(next(&mut watch).await, Ok(Serving));
        health.drain();
        health.close();
        assert_eq!(next(&mut watch).await, Ok(NotServing));
        assert_eq!(next(&mut watch).await, Err(Code::Unavailable));
    }

    #[tokio::test]
    async fn a_watch_hears_of_the_drain_and_ends_when_the_server_closes() {
        let health = Health::new();
        health.set_ready(true);
        let mut watch = watch(&health, "").await;
        assert_eq!(next(&mut watch).await, Ok(Serving));
        health.drain();
        assert_eq!(next(&mut watch).await, Ok(NotServing));
        health.close();
        assert_eq!(next(&mut watch).await, Err(Code::Unavailable));
        assert!(watch.next().await.is_none());
    }
}
