//! The wire: decode → call → encode. The only place that knows the generated types, gRPC's codes and the grant of each method.
//!
//! `gate` admits callers, a file a service answers them (`stream` what goes on for long), `convert` translates, `status` words what went wrong.

mod batch;
pub mod call_id;
mod closing;
pub mod codec;
mod convert;
mod credentials;
mod decide;
mod directory;
mod events;
mod gate;
mod hold;
pub mod hot;
pub mod methods;
pub mod peer;
pub mod proto;
mod standing;
mod status;
mod stream;
pub(crate) mod transport;
mod usage;

use std::sync::Arc;
use std::time::Instant;

use tonic::service::Routes;
use tonic::{Response, Status};

use self::closing::Closing;
use self::gate::{Caller, Gate};
use self::proto::credential_service_server::CredentialServiceServer;
use self::proto::directory_service_server::DirectoryServiceServer;
use self::proto::event_service_server::EventServiceServer;
use self::proto::usage_service_server::UsageServiceServer;
pub(crate) use self::status::{DOMAIN as ERROR_DOMAIN, code_name};
use self::stream::Watches;
use crate::directory::alarms::Alarms;
use crate::invalidations::{History, Streams};
use crate::meter::Meter;
use crate::registry::cuts::{CutConnection, Cuts};
use crate::registry::events::{Denials, Denied};
use crate::registry::{Error, Registry};
use crate::validator::Validator;

/// What a method of a service gives back.
type Answer<T> = Result<Response<T>, Status>;

/// What the services answer from.
#[derive(Debug)]
pub struct Desk {
    pub registry: Registry,
    pub validator: Validator,
    pub meter: Arc<Meter>,
    alarms: Arc<Alarms>,
    denials: Denials,
    cuts: Arc<Cuts>,
    closing: Closing,
    history: Arc<History>,
    streams: Arc<Streams>,
    watches: Watches,
}

impl Desk {
    #[must_use]
    pub fn new(
        registry: Registry,
        validator: Validator,
        meter: Arc<Meter>,
        alarms: Arc<Alarms>,
        history: Arc<History>,
    ) -> Self {
        Self {
            registry,
            validator,
            meter,
            alarms,
            denials: Denials::default(),
            cuts: Arc::default(),
            closing: Closing::default(),
            history,
            streams: Arc::new(Streams::new(Instant::now())),
            watches: Watches::default(),
        }
    }

    /// Ends every long stream, with a status that says why. Cannot be taken back.
    pub fn close(&self) {
        self.closing.close();
        self.alarms.ring_all();
    }

    /// What a call came to, an error as its status.
    async fn settle<T>(
        self: &Arc<Self>,
        caller: &Caller,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Status> {
        work.await.map_err(|error| self.refuse(caller, error))
    }

    /// The status for an error; the audit log hears of an operator that asked for more than it may.
    fn refuse(self: &Arc<Self>, caller: &Caller, error: Error) -> Status {
        if matches!(error, Error::Lacks(_) | Error::SystemWideOnly(_)) {
            self.deny(caller);
        }
        status::of(&error)
    }

    /// Tells the audit log of a refused operator, at most once a minute for each method. Nobody waits for it.
    fn deny(self: &Arc<Self>, caller: &Caller) {
        let now = self.validator.now();
        let Some(count) = self
            .denials
            .count(caller.token.id, caller.method.name(), now)
        else {
            return;
        };
        let denied = Denied {
            operator: caller.token.id,
            account: caller.scope.own_account(),
            method: caller.method.name(),
            origin: caller.origin(),
            count,
        };
        let desk = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = desk.registry.log_denied(denied).await {
                tracing::warn!(%error, "a refused call could not be logged");
            }
        });
    }

    /// Tells the audit log of a held connection that was cut. Nobody waits for it.
    fn tell_of_cut(&self, cut: CutConnection) {
        let (registry, cuts) = (self.registry.clone(), Arc::clone(&self.cuts));
        tokio::spawn(async move { registry.tell_of_cut(&cuts, cut).await });
    }
}

/// The services behind their gate; `max_request` bounds a request's bytes.
#[must_use]
pub fn routes(desk: &Arc<Desk>, max_request: usize) -> Routes {
    let credentials = CredentialServiceServer::new(credentials::Credentials(Arc::clone(desk)));
    let directory = DirectoryServiceServer::new(directory::Directory(Arc::clone(desk)));
    let events = EventServiceServer::new(events::Events(Arc::clone(desk)));
    let usage = UsageServiceServer::new(usage::Usage(Arc::clone(desk)));
    Routes::new(Gate::new(
        desk,
        credentials.max_decoding_message_size(max_request),
    ))
    .add_service(Gate::new(
        desk,
        directory.max_decoding_message_size(max_request),
    ))
    .add_service(Gate::new(
        desk,
        events.max_decoding_message_size(max_request),
    ))
    .add_service(Gate::new(
        desk,
        usage.max_decoding_message_size(max_request),
    ))
}
