//! Answers into the bytes that are sent: field by field in the order of their numbers, as prost writes them.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;

use super::wire::{put_element, put_message, put_number, put_text};
use crate::api::convert::validation::Told;
use crate::api::convert::{wire_span, wire_time};
use crate::api::proto;
use crate::domain::decision::Step;
use crate::domain::time::Timestamp;
use crate::meter::quota::Figures;

/// What comes before each message: whether it is compressed, and how long it is.
pub(super) const PREFIX: usize = 5;
/// Most answers are shorter.
const USUAL: usize = 512;

/// Writes one message with its prefix.
pub(super) fn framed(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_bytes(0, PREFIX);
    write(out);
    let length = u32::try_from(out.len() - start - PREFIX).expect("an answer is far shorter");
    out[start + 1..start + PREFIX].copy_from_slice(&length.to_be_bytes());
}

/// The same as bytes of its own.
pub(super) fn frame(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(USUAL);
    framed(&mut out, write);
    out.freeze()
}

/// A `ValidateCredentialsResponse`.
pub(super) fn told(out: &mut BytesMut, told: &Told<'_>) {
    put_number(out, 1, told.decision as u64);
    put_number(out, 2, told.reason as u64);
    put_text(out, 3, told.detail);
    put_text(out, 4, told.token_id.as_ref().map_or("", |id| id.as_str()));
    put_text(out, 5, told.token_name);
    put_text(out, 6, told.account_id);
    put_text(out, 7, told.principal_id);
    put_text(out, 8, told.principal_name);
    put_number(out, 9, told.access as u64);
    for grant in &told.grants {
        put_element(out, 10, grant);
    }
    put_time(out, 11, told.expire_time);
    if let Some(figures) = told.quota {
        put_message(out, 12, |out| quota(out, figures));
    }
    put_time(out, 13, told.secret_good_until);
    put_span(out, 14, told.retry_after);
    put_span(out, 15, told.cache_for);
    put_number(out, 16, told.revision);
    for each in told.steps {
        put_message(out, 17, |out| step(out, each));
    }
}

/// An `Undecided`.
pub(super) fn undecided(out: &mut BytesMut, undecided: &proto::Undecided) {
    let written = undecided.encode(out);
    written.expect("the buffer grows");
}

fn quota(out: &mut BytesMut, figures: Figures) {
    put_number(out, 1, figures.limit);
    put_number(out, 2, figures.remaining);
    put_time(out, 3, Some(figures.reset_time));
}

fn step(out: &mut BytesMut, step: &Step) {
    put_text(out, 1, step.rule);
    put_number(out, 2, step.passed.into());
    put_text(out, 3, &step.detail);
}

fn put_time(out: &mut BytesMut, field: u32, time: Option<Timestamp>) {
    if let Some(time) = time.map(wire_time) {
        put_message(out, field, |out| seconds(out, time.seconds, time.nanos));
    }
}

fn put_span(out: &mut BytesMut, field: u32, span: Option<Duration>) {
    if let Some(span) = span.map(wire_span) {
        put_message(out, field, |out| seconds(out, span.seconds, span.nanos));
    }
}

/// A timestamp's fields, and a duration's. A negative number is written with all its bits.
fn seconds(out: &mut BytesMut, seconds: i64, nanos: i32) {
    put_number(out, 1, seconds as u64);
    put_number(out, 2, i64::from(nanos) as u64);
}
