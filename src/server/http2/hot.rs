//! Calls that are answered where they are read: no task, no timer and no layer for a validation that is decided at once.
//!
//! Only what is whole, plain and decided is answered here. A call of which something is missing or odd goes to its service like any
//! other, with what was read of it; a refusal, and an answer that waits, goes through the layers. So there is one place for each error.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::time::Instant;
use tonic::{Code, Status};
use tracing::debug;

use super::conversation;
use super::face::{Face, Services};
use super::patience::{self, Patience};
use super::{message, outgoing};
use crate::api::Desk;
use crate::api::call_id::{self, CallId};
use crate::api::hot::{self, Outcome, Route};
use crate::api::peer::Peer;
use crate::server::layers::{self, Began, Line};

/// What an answer takes up, mostly.
const USUAL: usize = 256;
/// So many bytes are made ready at most before it is known what the answers take up.
const READY: usize = 4 * 1024;
/// Calls whose body has not come whole, of which each look at the connection looks at all. One more goes to its service.
pub(super) const UNFINISHED: usize = 16;

/// What answers the validations of a new connection.
pub trait Validates: fmt::Debug + Send + Sync {
    fn hot(self: Arc<Self>, peer: &Peer) -> Box<dyn Hot>;
}

/// Answers validations from memory: `api::hot`, or what a test puts in its place.
pub trait Hot: Send {
    /// As [`hot::Hot::call`].
    fn call(
        &mut self,
        route: Route,
        head: &HeaderMap,
        id: CallId,
        message: &[u8],
        out: &mut BytesMut,
    ) -> Outcome;

    /// As [`hot::Hot::open`].
    fn open(&mut self, head: &HeaderMap, id: CallId) -> Result<hot::Stream, Status>;

    /// As [`hot::Hot::settle`].
    fn settle(&mut self);
}

impl Hot for hot::Hot {
    fn call(
        &mut self,
        route: Route,
        head: &HeaderMap,
        id: CallId,
        message: &[u8],
        out: &mut BytesMut,
    ) -> Outcome {
        Self::call(self, route, head, id, message, out)
    }

    fn open(&mut self, head: &HeaderMap, id: CallId) -> Result<hot::Stream, Status> {
        Self::open(self, head, id)
    }

    fn settle(&mut self) {
        Self::settle(self);
    }
}

impl Validates for Desk {
    fn hot(self: Arc<Self>, peer: &Peer) -> Box<dyn Hot> {
        Box::new(Self::hot(&self, peer))
    }
}

/// The validations of one connection.
pub(super) struct Inline {
    hot: Option<Box<dyn Hot>>,
    peer: Peer,
    /// Read, and not answered yet.
    calls: Vec<Call>,
    /// Room for those that still wait while the others are answered.
    spare: Vec<Call>,
    /// Rings while some of them are unfinished.
    patience: Patience,
    /// What is the same in each answer.
    headers: HeaderMap,
    trailers: HeaderMap,
}

struct Call {
    route: Route,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    /// What has come of its body, and since when it is waited for.
    taken: Bytes,
    began: Option<Began>,
}

impl Inline {
    pub(super) fn new<S>(face: &Face<S>, peer: &Peer) -> Self {
        Self {
            hot: face.hot(peer),
            peer: peer.clone(),
            calls: Vec::new(),
            spare: Vec::new(),
            patience: Patience::default(),
            headers: outgoing::headers(),
            trailers: outgoing::trailers(),
        }
    }

    /// Takes a call that is to be answered here; gives back any other.
    pub(super) fn take(
        &mut self,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) -> Option<(Request<RecvStream>, SendResponse<Bytes>)> {
        let route = self.hot.as_ref().and_then(|_| route(&request));
        let Some(route) = route else {
            return Some((request, respond));
        };
        self.calls.push(Call {
            route,
            request,
            respond,
            taken: Bytes::new(),
            began: None,
        });
        None
    }

    /// Answers what has come whole, and says whether there was anything; to be asked after each look at the connection. What is
    /// unfinished for too long goes to its service.
    pub(super) fn answer<S: Services>(&mut self, face: &Face<S>, cx: &mut Context<'_>) -> bool {
        if self.calls.is_empty() {
            return false;
        }
        let mut out = BytesMut::with_capacity(READY.min(self.calls.len() * USUAL));
        let mut answered = false;
        let mut unfinished = 0;
        let spare = std::mem::take(&mut self.spare);
        let mut calls = std::mem::replace(&mut self.calls, spare);
        for mut call in calls.drain(..) {
            if face.layers.are_full() {
                self.hand_over(face, call);
            } else if call.route == Route::Stream {
                self.open(face, call);
            } else {
                match call.read() {
                    Came::Whole => {
                        self.ask(face, call, &mut out);
                        answered = true;
                    }
                    Came::Part if unfinished < UNFINISHED => {
                        unfinished += 1;
                        self.calls.push(call);
                    }
                    Came::Part | Came::Odd => self.hand_over(face, call),
                }
            }
        }
        self.spare = calls;
        if let (Some(hot), true) = (&mut self.hot, answered) {
            hot.settle();
        }
        self.wait(face, cx);
        answered
    }

    /// Lets those go that were waited for long enough.
    fn wait<S: Services>(&mut self, face: &Face<S>, cx: &mut Context<'_>) {
        while !self.calls.is_empty() && self.patience.poll(cx).is_ready() {
            let late = |call: &mut Call| call.began.is_some_and(|began| patience::is_over(began.0));
            let late: Vec<Call> = self.calls.extract_if(.., late).collect();
            for call in late {
                self.hand_over(face, call);
            }
        }
    }

    fn open<S: Services>(&mut self, face: &Face<S>, call: Call) {
        let Call {
            request, respond, ..
        } = call;
        let id = CallId::of(request.headers());
        let opened = self.guarded(face, id, |hot| hot.open(request.headers(), id));
        let (head, body) = self.named(request, id).into_parts();
        let answer = match opened.and_then(|opened| opened) {
            Ok(stream) => outgoing::answer(conversation::body(stream, body)),
            Err(status) => status.into_http(),
        };
        let request = Request::from_parts(head, ());
        face.answer(request, Box::pin(async { Ok(answer) }), respond);
    }

    fn ask<S: Services>(&mut self, face: &Face<S>, call: Call, out: &mut BytesMut) {
        let Some(message) = message::only(&call.taken) else {
            self.hand_over(face, call);
            return;
        };
        let (route, head) = (call.route, call.request.headers());
        let id = CallId::of(head);
        let line = Line::wanted(&call.request, self.peer.address, id);
        let outcome = self.guarded(face, id, |hot| hot.call(route, head, id, message, out));
        match outcome.unwrap_or_else(Outcome::Refused) {
            Outcome::Answered => {
                let told = line.is_some() || head.contains_key(call_id::HEADER);
                self.send(call.respond, told.then_some(id), out.split().freeze());
                if let Some(line) = line {
                    line.write(Code::Ok);
                }
            }
            Outcome::Refused(status) => {
                // What a panic left in it is nobody's answer.
                out.clear();
                let answer = Box::pin(async move { Ok(status.into_http()) });
                face.answer(self.named(call.request, id), answer, call.respond);
            }
            Outcome::Waits(waits) => {
                let answer = Box::pin(async move {
                    Ok(match waits.await {
                        Ok(message) => outgoing::answer(outgoing::whole(message)),
                        Err(status) => status.into_http(),
                    })
                });
                face.answer(self.named(call.request, id), answer, call.respond);
            }
        }
    }

    /// Gives a call to its service after all.
    fn hand_over<S: Services>(&self, face: &Face<S>, call: Call) {
        let mut request = call.request;
        request.extensions_mut().insert(self.peer.clone());
        if let Some(began) = call.began {
            request.extensions_mut().insert(began);
        }
        face.serve(request, call.taken, call.respond);
    }

    /// What the layers look for in a request: its peer, and the id as the caller's own, so that each finds the same.
    fn named<B>(&self, mut request: Request<B>, id: CallId) -> Request<B> {
        request.extensions_mut().insert(self.peer.clone());
        request.headers_mut().insert(call_id::HEADER, value(id));
        request
    }

    /// What was asked of `hot`. After a panic nothing that it remembers is used again.
    fn guarded<S, T>(
        &mut self,
        face: &Face<S>,
        id: CallId,
        ask: impl FnOnce(&mut dyn Hot) -> T,
    ) -> Result<T, Status> {
        let Some(hot) = &mut self.hot else {
            return Err(Status::internal("there is nobody to ask"));
        };
        catch_unwind(AssertUnwindSafe(|| ask(&mut **hot))).map_err(|_| {
            self.hot = face.hot(&self.peer);
            layers::failed(id)
        })
    }

    /// Sends an answer that went well. The id is sent where the caller gave it, or a line of the log has it.
    fn send(&self, mut respond: SendResponse<Bytes>, id: Option<CallId>, message: Bytes) {
        let mut response = Response::new(());
        *response.headers_mut() = self.headers.clone();
        if let Some(id) = id {
            response.headers_mut().insert(call_id::HEADER, value(id));
        }
        let sent = respond
            .send_response(response, false)
            .and_then(|mut stream| {
                stream.send_data(message, false)?;
                stream.send_trailers(self.trailers.clone())
            });
        if let Err(error) = sent {
            debug!(%error, "an answer could not be sent");
        }
    }
}

/// Which of the calls that are answered here this is.
fn route(request: &Request<RecvStream>) -> Option<Route> {
    let route = hot::Hot::route(request.uri().path())?;
    // What is compressed, or says so, is its service's to refuse.
    let plain = !request.headers().contains_key("grpc-encoding");
    plain.then_some(route)
}

/// What has come of a call's body.
enum Came {
    Whole,
    Part,
    /// It will never be whole.
    Odd,
}

impl Call {
    /// Takes what has come. Nobody needs to be woken for what is still to come: it comes by the connection, which is looked at
    /// before this.
    fn read(&mut self) -> Came {
        let mut cx = Context::from_waker(Waker::noop());
        let body = self.request.body_mut();
        loop {
            match body.poll_data(&mut cx) {
                Poll::Ready(Some(Ok(data))) => {
                    self.taken = joined(std::mem::take(&mut self.taken), data);
                    if body.is_end_stream() {
                        return Came::Whole;
                    }
                }
                Poll::Ready(None) => return Came::Whole,
                Poll::Ready(Some(Err(_))) => return Came::Odd,
                Poll::Pending => {
                    self.began.get_or_insert_with(|| Began(Instant::now()));
                    return Came::Part;
                }
            }
        }
    }
}

fn joined(taken: Bytes, data: Bytes) -> Bytes {
    if data.is_empty() {
        taken
    } else if taken.is_empty() {
        data
    } else {
        [taken, data].concat().into()
    }
}

fn value(id: CallId) -> HeaderValue {
    HeaderValue::from_bytes(id.as_bytes()).expect("its characters are fit for a header")
}
