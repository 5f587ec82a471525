//! Questions on one long stream: each is decided as it comes, with its caller's standing looked at before.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tonic::Status;
use zeroize::Zeroizing;

use super::wire::{put_message, put_number};
use super::{Outcome, Waits, kept, read, undecodable, write};
use crate::api::convert::validation::Told;
use crate::api::decide::Unanswered;
use crate::api::gate::Caller;
use crate::api::standing::{self, Standing};
use crate::api::stream::Waiting;
use crate::api::{Desk, proto, status};
use crate::clock::Reading;
use crate::meter::Bill;

/// One open stream of an admitted caller.
pub struct Stream {
    desk: Arc<Desk>,
    caller: Arc<Caller>,
    /// As it was found last.
    standing: Option<Standing>,
}

impl Stream {
    pub(super) fn new(desk: Arc<Desk>, caller: Caller) -> Self {
        Self {
            desk,
            caller: Arc::new(caller),
            standing: None,
        }
    }

    /// Answers one message; it is without its prefix, and the answer is appended with its own. Whatever is refused ends the stream.
    pub fn message(&mut self, message: &[u8], out: &mut BytesMut) -> Outcome {
        self.answer(message, out).unwrap_or_else(Outcome::Refused)
    }

    /// Waits for the end of all long streams, and says with what status they end.
    pub fn closing(&self) -> impl Future<Output = Status> + Send + use<> {
        let desk = Arc::clone(&self.desk);
        async move {
            desk.closing.begun().await;
            status::shutting_down()
        }
    }

    fn answer(&mut self, message: &[u8], out: &mut BytesMut) -> Result<Outcome, Status> {
        let (correlation_id, asked) = read::question(message)
            .map_err(|_| undecodable::<proto::StreamValidateCredentialsRequest>(message))?;
        let clocks = self.desk.validator.clocks();
        self.check(clocks)?;
        let answered = self.desk.answer(clocks, &self.caller, &asked, |told| {
            write::framed(out, |out| reply(out, correlation_id, Ok(told)));
        });
        match answered {
            Ok(()) => Ok(Outcome::Answered),
            Err(Unanswered::Refused(status)) => {
                write::framed(out, |out| reply(out, correlation_id, Err(&status)));
                Ok(Outcome::Answered)
            }
            Err(Unanswered::Waits(bill)) => {
                let (desk, caller) = (Arc::clone(&self.desk), Arc::clone(&self.caller));
                let late = late(desk, caller, kept(message), bill);
                Ok(Outcome::Waits(Box::pin(late)))
            }
        }
    }

    /// Whether the stream may go on. Only where something was committed, or the caller has ended by time, is there anything to look
    /// up.
    fn check(&mut self, clocks: Reading) -> Result<(), Status> {
        let revision = self.desk.validator.directory().revision();
        let holds = |standing: &Standing| standing.holds(revision, clocks.now());
        if self.standing.as_ref().is_some_and(holds) && !self.desk.closing.is_closing() {
            return Ok(());
        }
        let identity = standing::check(&self.desk, &self.caller)?;
        self.standing = Some(Standing::new(revision, &identity, clocks.now()));
        Ok(())
    }
}

/// The reply to a question that waits. It ends the stream where its caller may not hear it any more.
async fn late(
    desk: Arc<Desk>,
    caller: Arc<Caller>,
    message: Zeroizing<Box<[u8]>>,
    bill: Bill,
) -> Result<Bytes, Status> {
    let (correlation_id, asked) = read::question(&message).expect("it was read before");
    let tell = |told: &Told<'_>| write::frame(|out| reply(out, correlation_id, Ok(told)));
    let answered = desk.answer_late(&caller, &asked, bill, tell).await;
    standing::check(&desk, &caller)?;
    Ok(answered
        .unwrap_or_else(|status| write::frame(|out| reply(out, correlation_id, Err(&status)))))
}

/// A `StreamValidateCredentialsResponse`.
fn reply(out: &mut BytesMut, correlation_id: u64, answer: Result<&Told<'_>, &Status>) {
    put_number(out, 1, correlation_id);
    match answer {
        Ok(told) => put_message(out, 2, |out| write::told(out, told)),
        Err(status) => put_message(out, 3, |out| {
            write::undecided(out, &status::undecided(status));
        }),
    }
}

/// The answers that a stream waits for. What their questions take up is bounded: while there is no room, no further one is to be
/// read.
pub struct Late(Waiting<Result<Bytes, Status>>);

impl Late {
    #[must_use]
    pub fn new() -> Self {
        Self(Waiting::new())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one more question may be read.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.0.has_room()
    }

    /// Waits for one more answer, whose question took up `bytes`.
    pub fn push(&mut self, bytes: usize, answer: Waits) {
        self.0
            .push(bytes, Box::pin(async move { (bytes, answer.await) }));
    }

    /// The next answer that is there, or the status that ends the stream; `None` while none is waited for.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        self.0.poll_next(cx)
    }
}

impl Default for Late {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Late").finish_non_exhaustive()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("caller", &self.caller)
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}
