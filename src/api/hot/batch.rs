//! Many questions in one call: each is decided as it is read, those that must wait do so side by side, and the answers come in the
//! order of the questions.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::future::join_all;
use tonic::Status;
use zeroize::Zeroizing;

use super::wire::put_message;
use super::{Outcome, kept, read, undecodable, write};
use crate::api::convert::validation::{Asked, Told};
use crate::api::decide::Unanswered;
use crate::api::gate::Caller;
use crate::api::{Desk, batch, proto, status};
use crate::clock::Reading;
use crate::domain::limits;
use crate::meter::Bill;

/// An item that waits.
struct Gap {
    /// Which of the questions it answers, and behind how many bytes of the answers its own belongs.
    question: usize,
    place: usize,
    bill: Bill,
}

pub(super) fn answer(
    desk: &Arc<Desk>,
    clocks: Reading,
    caller: &Caller,
    message: &[u8],
    out: &mut BytesMut,
) -> Result<Outcome, Status> {
    let (requests, count) = read::batch(message, limits::BATCH)
        .map_err(|_| undecodable::<proto::BatchValidateCredentialsRequest>(message))?;
    batch::check(count).map_err(|error| status::of(&error))?;
    let start = out.len();
    let mut gaps = Vec::new();
    write::framed(out, |out| {
        let start = out.len();
        for (question, asked) in requests.iter().enumerate() {
            let answered = desk.answer(clocks, caller, asked, |told| item(out, Ok(told)));
            match answered {
                Ok(()) => {}
                Err(Unanswered::Refused(status)) => item(out, Err(&status)),
                Err(Unanswered::Waits(bill)) => gaps.push(Gap {
                    question,
                    place: out.len() - start,
                    bill,
                }),
            }
        }
    });
    if gaps.is_empty() {
        return Ok(Outcome::Answered);
    }
    let mut answers = out.split_off(start);
    let _prefix = answers.split_to(write::PREFIX);
    let late = late(
        Arc::clone(desk),
        caller.clone(),
        kept(message),
        answers,
        gaps,
    );
    Ok(Outcome::Waits(Box::pin(late)))
}

/// Fills the gaps in the answers.
async fn late(
    desk: Arc<Desk>,
    caller: Caller,
    message: Zeroizing<Box<[u8]>>,
    mut answers: BytesMut,
    gaps: Vec<Gap>,
) -> Result<Bytes, Status> {
    let (requests, _) = read::batch(&message, limits::BATCH).expect("it was read before");
    let filled = gaps.into_iter().map(async |gap| {
        let item = item_late(&desk, &caller, &requests[gap.question], gap.bill).await;
        (gap.place, item)
    });
    let filled = join_all(filled).await;
    Ok(write::frame(|out| {
        let mut written = 0;
        for (place, item) in filled {
            out.put(answers.split_to(place - written));
            out.put(item);
            written = place;
        }
        out.put(answers);
    }))
}

async fn item_late(desk: &Desk, caller: &Caller, asked: &Asked<'_>, bill: Bill) -> BytesMut {
    let mut out = BytesMut::new();
    let tell = |told: &Told<'_>| item(&mut out, Ok(told));
    if let Err(status) = desk.answer_late(caller, asked, bill, tell).await {
        item(&mut out, Err(&status));
    }
    out
}

/// One `BatchItem` of the answers.
fn item(out: &mut BytesMut, answer: Result<&Told<'_>, &Status>) {
    put_message(out, 1, |out| match answer {
        Ok(told) => put_message(out, 1, |out| write::told(out, told)),
        Err(status) => put_message(out, 2, |out| {
            write::undecided(out, &status::undecided(status));
        }),
    });
}
