//! The hot path from bytes to bytes: a validation is read where it lies, decided, and its answer written straight to where it is
//! sent from. It knows no HTTP/2: whoever reads a connection asks it for the three routes that validate, and the services of
//! `credentials` answer the same questions where there is no such reader.
//!
//! `caller` remembers who calls, `read` borrows the request, `api::decide` decides, `write` tells.

mod batch;
mod caller;
mod read;
mod stream;
mod wire;
mod write;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use prost::Message;
use tonic::Status;
use zeroize::Zeroizing;

pub use self::stream::{Late, Stream};

use self::caller::Callers;
use self::wire::Reader;
use super::Desk;
use super::call_id::CallId;
use super::convert::validation::Told;
use super::decide::Unanswered;
use super::gate::Caller;
use super::methods::{METHODS, Method};
use super::peer::Peer;
use super::{proto, transport};
use crate::clock::Reading;
use crate::meter::Bill;

/// What one connection's validations go through. It belongs to the connection alone.
pub struct Hot {
    desk: Arc<Desk>,
    callers: Callers,
}

/// The methods that are answered here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    Unary,
    Batch,
    /// To be opened, and then asked message by message.
    Stream,
}

/// What came of a message.
pub enum Outcome {
    /// The answer was appended.
    Answered,
    /// Nothing was appended. A call ends with this, and so does a stream.
    Refused(Status),
    /// Nothing was appended: the answer, or the status that ends the call or the stream, comes later.
    Waits(Waits),
}

/// An answer with its prefix, once it is there.
pub type Waits = Pin<Box<dyn Future<Output = Result<Bytes, Status>> + Send>>;

impl Desk {
    /// What a new connection's validations go through.
    #[must_use]
    pub fn hot(self: &Arc<Self>, peer: &Peer) -> Hot {
        Hot {
            desk: Arc::clone(self),
            callers: Callers::of(peer),
        }
    }
}

impl Hot {
    /// Whether a call to `path` is answered here.
    #[must_use]
    pub fn route(path: &str) -> Option<Route> {
        let routes = [Route::Unary, Route::Batch, Route::Stream];
        routes.into_iter().find(|route| route.method().path == path)
    }

    /// Answers a call with one message; `message` is without its prefix, and the answer is appended with its own. `id` names the
    /// call in the audit log.
    pub fn call(
        &mut self,
        route: Route,
        head: &HeaderMap,
        id: CallId,
        message: &[u8],
        out: &mut BytesMut,
    ) -> Outcome {
        let clocks = self.desk.validator.clocks();
        let admitted = self
            .callers
            .admit(&self.desk, clocks, route.method(), head, id);
        let caller = match admitted {
            Ok(caller) => caller,
            Err(status) => return Outcome::Refused(status),
        };
        let outcome = match route {
            Route::Unary => unary(&self.desk, clocks, caller, message, out),
            Route::Batch => batch::answer(&self.desk, clocks, caller, message, out),
            Route::Stream => Err(Status::internal("a stream is opened, not called")),
        };
        outcome.unwrap_or_else(Outcome::Refused)
    }

    /// Opens a stream for an admitted caller.
    pub fn open(&mut self, head: &HeaderMap, id: CallId) -> Result<Stream, Status> {
        let clocks = self.desk.validator.clocks();
        let (desk, method) = (&self.desk, Route::Stream.method());
        let caller = self.callers.admit(desk, clocks, method, head, id)?;
        Ok(Stream::new(Arc::clone(desk), caller.clone()))
    }

    /// Counts the calls of the caller since this was asked last: to be asked after all that was read at once has been answered,
    /// and before the answers are sent, so that who has an answer finds its call counted. Dropping it does so, too.
    pub fn settle(&mut self) {
        self.callers.settle(&self.desk.meter.usage);
    }
}

impl Drop for Hot {
    fn drop(&mut self) {
        self.settle();
    }
}

impl Route {
    fn method(self) -> &'static Method {
        match self {
            Self::Unary => &METHODS[0],
            Self::Stream => &METHODS[2],
            Self::Batch => &METHODS[3],
        }
    }
}

fn unary(
    desk: &Arc<Desk>,
    clocks: Reading,
    caller: &Caller,
    message: &[u8],
    out: &mut BytesMut,
) -> Result<Outcome, Status> {
    let asked = read::asked(Reader::new(message))
        .map_err(|_| undecodable::<proto::ValidateCredentialsRequest>(message))?;
    let answered = desk.answer(clocks, caller, &asked, |told| {
        write::framed(out, |out| write::told(out, told));
    });
    match answered {
        Ok(()) => Ok(Outcome::Answered),
        Err(Unanswered::Refused(status)) => Err(status),
        Err(Unanswered::Waits(bill)) => {
            let late = unary_late(Arc::clone(desk), caller.clone(), kept(message), bill);
            Ok(Outcome::Waits(Box::pin(late)))
        }
    }
}

async fn unary_late(
    desk: Arc<Desk>,
    caller: Caller,
    message: Zeroizing<Box<[u8]>>,
    bill: Bill,
) -> Result<Bytes, Status> {
    let asked = read::asked(Reader::new(&message)).expect("it was read before");
    let tell = |told: &Told<'_>| write::frame(|out| write::told(out, told));
    desk.answer_late(&caller, &asked, bill, tell).await
}

/// A message that waits. A secret may be in it.
fn kept(message: &[u8]) -> Zeroizing<Box<[u8]>> {
    Zeroizing::new(message.into())
}

/// The status of bytes that are not the method's message, in the words that they get everywhere else.
fn undecodable<M: Message + Default>(message: &[u8]) -> Status {
    let error = M::decode(message).err().map(|error| error.to_string());
    let words = error.unwrap_or_else(|| transport::UNDECODED.to_owned());
    transport::told(&Status::internal(words))
}

impl fmt::Debug for Hot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hot")
            .field("callers", &self.callers)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => f.write_str("Answered"),
            Self::Refused(status) => f.debug_tuple("Refused").field(status).finish(),
            Self::Waits(_) => f.write_str("Waits"),
        }
    }
}
