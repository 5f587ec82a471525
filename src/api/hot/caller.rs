//! The caller of a connection's last call, so that the next one with the same header need not be authenticated again.
//!
//! What was found of it stands while the directory's revision does, and until its token or secret ends by time: a commit,
//! whatever it changes, and never the passing of some span, is what has it asked for anew.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use subtle::ConstantTimeEq as _;
use tonic::Status;
use zeroize::Zeroizing;

use crate::api::Desk;
use crate::api::call_id::CallId;
use crate::api::gate::Caller;
use crate::api::methods::Method;
use crate::api::peer::Peer;
use crate::api::standing::Standing;
use crate::clock::Reading;
use crate::domain::time::Timestamp;
use crate::meter::usage::{Usage, Used};

/// Who calls over one connection.
#[derive(Debug)]
pub(super) struct Callers {
    /// The peer's.
    address: IpAddr,
    last: Option<Known>,
}

/// An admitted caller, and how to know it again.
struct Known {
    /// As it was presented. Wiped when dropped, and never printed.
    header: Zeroizing<Box<[u8]>>,
    /// Calling the method that it was admitted to last.
    caller: Caller,
    /// `None` for one that leaves a mark when it is authenticated, and so always is.
    standing: Option<Standing>,
    /// Calls that are not counted yet, and when the last of them was.
    uncounted: u64,
    called: Timestamp,
}

impl Callers {
    pub(super) fn of(peer: &Peer) -> Self {
        Self {
            address: peer.ip(),
            last: None,
        }
    }

    /// The caller, if it may make this call.
    pub(super) fn admit(
        &mut self,
        desk: &Arc<Desk>,
        clocks: Reading,
        method: &'static Method,
        head: &HeaderMap,
        id: CallId,
    ) -> Result<&Caller, Status> {
        let header = head.get(http::header::AUTHORIZATION);
        match &mut self.last {
            Some(known) if known.is(desk, clocks, header) => {
                known.call(desk, clocks, method, id)?
            }
            _ => {
                // Before anything is looked up: what is committed meanwhile ends what is found.
                let revision = desk.validator.directory().revision();
                let identity = desk.authenticate(header, Some(self.address))?;
                let caller = Caller::new(&identity, method, Some(self.address), id);
                desk.admit(&caller)?;
                let now = clocks.now();
                let plain = desk.validator.leaves_no_mark(&identity, now);
                let standing = plain.then(|| Standing::new(revision, &identity, now));
                self.settle(&desk.meter.usage);
                self.last = Some(Known::new(header, caller, standing));
            }
        }
        let known = self.last.as_ref();
        Ok(&known.expect("the caller is known by now").caller)
    }

    pub(super) fn settle(&mut self, usage: &Usage) {
        if let Some(known) = &mut self.last {
            known.settle(usage);
        }
    }
}

impl Known {
    /// One that was authenticated, and this call of it counted.
    fn new(header: Option<&HeaderValue>, caller: Caller, standing: Option<Standing>) -> Self {
        Self {
            header: Zeroizing::new(bytes(header).into()),
            caller,
            standing,
            uncounted: 0,
            called: Timestamp::default(),
        }
    }

    /// Whether this header is of the same caller, of whom nothing can have changed.
    fn is(&self, desk: &Desk, clocks: Reading, header: Option<&HeaderValue>) -> bool {
        let revision = desk.validator.directory().revision();
        let standing = self.standing.as_ref();
        standing.is_some_and(|standing| standing.holds(revision, clocks.now()))
            && same(&self.header, bytes(header))
    }

    /// It calls a method.
    fn call(
        &mut self,
        desk: &Arc<Desk>,
        clocks: Reading,
        method: &'static Method,
        id: CallId,
    ) -> Result<(), Status> {
        self.uncounted += 1;
        self.called = clocks.settled();
        if !std::ptr::eq(self.caller.method, method) {
            let caller = self.caller.clone().calling(method, id);
            desk.admit(&caller)?;
            self.caller = caller;
        }
        Ok(())
    }

    /// Counts its calls: as many calls of one each are one of as many.
    fn settle(&mut self, usage: &Usage) {
        if self.uncounted == 0 {
            return;
        }
        usage.count(&Used {
            token: &self.caller.token,
            version: self.caller.secret_version,
            allowed: true,
            cost: std::mem::take(&mut self.uncounted),
            consumer: None,
            required: None,
            now: self.called,
        });
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known")
            .field("caller", &self.caller)
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}

fn bytes(header: Option<&HeaderValue>) -> &[u8] {
    header.map_or(&[], HeaderValue::as_bytes)
}

/// Whether two texts are the same, in a time that tells no more than their lengths.
fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let ((one, one_rest), (other, other_rest)) = (one.as_chunks(), other.as_chunks());
    let words = one.iter().zip(other);
    let words = words.map(|(one, other)| u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other));
    let bytes = one_rest.iter().zip(other_rest);
    let bytes = bytes.map(|(one, other)| u64::from(one ^ other));
    let difference = words.chain(bytes).fold(0, |all, each| all | each);
    difference.ct_eq(&0).into()
}
