//! Tests: from the bytes of a request to the bytes of its answer, over one connection.

use std::num::NonZeroU32;

use http::HeaderValue;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::*;
use crate::api::peer::Cut;
use crate::api::proto::validate_credentials_request::Presented;
use crate::api::proto::{
    DenyReason, ValidateCredentialsRequest as Request, ValidateCredentialsResponse as Response,
};
use crate::directory::alarms::Alarms;
use crate::domain::id::TokenId;
use crate::domain::rate::RateLimit;
use crate::invalidations::History;
use crate::meter::Meter;
use crate::registry::tests::world::*;
use crate::registry::tokens::{Issued, NewToken};
use crate::validator::Validator;

mod answers;
mod batch;
mod caller;
mod stream;
mod waits;

const VALIDATE: &str = "keyward/credentials:validate";

/// One connection to a service without its wire.
struct Line {
    world: World,
    desk: Arc<Desk>,
    hot: Hot,
}

/// What came of a message.
enum Came {
    Answered(Bytes),
    Refused(Code, String),
    Waits(Waits),
}

impl Line {
    async fn new() -> Self {
        Self::over(World::with_accounts(["acme"]).await)
    }

    fn over(world: World) -> Self {
        let meter = Arc::new(Meter::new(
            Arc::clone(&world.registry.directory),
            MAX_CONSUMERS,
        ));
        let registry = world.registry.clone();
        let validator = Validator::new(
            Arc::clone(&registry.directory),
            Arc::clone(&registry.keyring),
            registry.environment.clone(),
            Arc::clone(&registry.clock),
            Arc::clone(&world.marks),
            Arc::clone(&meter.usage),
        );
        let (alarms, history) = (Arc::new(Alarms::new(10)), Arc::new(History::default()));
        let desk = Arc::new(Desk::new(registry, validator, meter, alarms, history));
        let hot = desk.hot(&Peer {
            address: "[::ffff:10.0.0.1]:4000".parse().unwrap(),
            cut: Cut::default(),
        });
        Self { world, desk, hot }
    }

    /// An operator that may validate.
    async fn caller(&self) -> Issued {
        let new = NewToken {
            grants: grants(&[VALIDATE]),
            ..new_token("system")
        };
        self.world.create(new).await.unwrap()
    }

    fn call(&mut self, route: Route, head: &HeaderMap, message: &impl Message) -> Came {
        let mut out = BytesMut::new();
        let (id, message) = (CallId::made(), message.encode_to_vec());
        let outcome = self.hot.call(route, head, id, &message, &mut out);
        Came::of(outcome, out)
    }

    /// The decision that whoever presents `caller` hears of a text, or the code and reason of its refusal.
    fn ask(&mut self, caller: &Issued, text: &str) -> Result<DenyReason, (Code, String)> {
        let came = self.call(Route::Unary, &head(caller.secret.reveal()), &request(text));
        came.answer().map(|response: Response| response.reason())
    }

    /// Calls that are counted of a token.
    fn counted(&self, id: TokenId) -> u64 {
        let counted = self.desk.meter.usage.waiting(id);
        counted.map_or(0, |counted| {
            counted.secrets().map(|secret| secret.calls).sum()
        })
    }
}

impl Came {
    fn of(outcome: Outcome, out: BytesMut) -> Self {
        match outcome {
            Outcome::Answered => Self::Answered(out.freeze()),
            _ if !out.is_empty() => panic!("something was appended"),
            Outcome::Refused(status) => Self::refused(&status),
            Outcome::Waits(waits) => Self::Waits(waits),
        }
    }

    fn refused(status: &Status) -> Self {
        let info = status.get_details_error_info().unwrap();
        let why = info.metadata.get("why").cloned().unwrap_or(info.reason);
        Self::Refused(status.code(), why)
    }

    /// The same once it need not be waited for.
    async fn at_last(self) -> Self {
        match self {
            Self::Waits(waits) => match waits.await {
                Ok(bytes) => Self::Answered(bytes),
                Err(status) => Self::refused(&status),
            },
            came => came,
        }
    }

    /// The one message that was answered; it must be there, and as prost would have written it.
    fn answer<M: Message + Default>(self) -> Result<M, (Code, String)> {
        let bytes = match self {
            Self::Answered(bytes) => bytes,
            Self::Refused(code, why) => return Err((code, why)),
            Self::Waits(_) => panic!("it waits"),
        };
        let message = M::decode(&bytes[write::PREFIX..]).unwrap();
        let length = u32::try_from(bytes.len() - write::PREFIX).unwrap();
        assert_eq!(bytes[0], 0, "compressed");
        assert_eq!(bytes[1..write::PREFIX], length.to_be_bytes());
        assert_eq!(bytes[write::PREFIX..], message.encode_to_vec());
        Ok(message)
    }
}

/// Who calls: the bare text of a token.
fn head(text: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {text}")).unwrap();
    HeaderMap::from_iter([(http::header::AUTHORIZATION, value)])
}

fn request(text: &str) -> Request {
    Request {
        presented: Some(Presented::Token(text.to_owned())),
        ..Request::default()
    }
}

fn once_an_hour() -> RateLimit {
    RateLimit {
        calls: NonZeroU32::MIN,
        per: HOUR,
        burst: NonZeroU32::MIN,
    }
}

fn unauthenticated<T>(why: &str) -> Result<T, (Code, String)> {
    Err((Code::Unauthenticated, why.to_owned()))
}

const ALLOW: Result<DenyReason, (Code, String)> = Ok(DenyReason::Unspecified);
