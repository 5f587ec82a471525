//! Where one gRPC message ends: its prefix says whether it is compressed, and how long it is.

use tonic::Status;

use crate::api::transport;
use crate::server::MAX_REQUEST;

/// Bytes before each message: a flag, and the length.
const PREFIX: usize = 5;

/// A message without its prefix, and what is behind it.
pub(super) type Cut<'a> = (&'a [u8], &'a [u8]);

/// The first message in `bytes`; none where it is not whole.
///
/// What cannot be a message is refused in the words that it gets from tonic everywhere else.
pub(super) fn first(bytes: &[u8]) -> Result<Option<Cut<'_>>, Status> {
    let Some((&[flag, a, b, c, d], rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    match flag {
        0 => {}
        1 => return Err(refused(Status::internal(COMPRESSED))),
        flag => return Err(refused(Status::internal(unknown_flag(flag)))),
    }
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > MAX_REQUEST {
        return Err(refused(Status::out_of_range(too_large(length))));
    }
    Ok(rest.split_at_checked(length))
}

/// The message, where `bytes` are just one.
pub(super) fn only(bytes: &[u8]) -> Option<&[u8]> {
    match first(bytes) {
        Ok(Some((message, []))) => Some(message),
        _ => None,
    }
}

/// The end came before the message was whole.
pub(super) fn cut_short() -> Status {
    refused(Status::internal("Unexpected EOF decoding stream."))
}

const COMPRESSED: &str =
    "protocol error: received message with compressed-flag but no grpc-encoding was specified";

fn unknown_flag(flag: u8) -> String {
    format!(
        "protocol error: received message with invalid compression flag: {flag} (valid flags are 0 and 1), while sending request"
    )
}

fn too_large(length: usize) -> String {
    format!(
        "Error, decoded message length too large: found {length} bytes, the limit is: {MAX_REQUEST} bytes"
    )
}

fn refused(status: Status) -> Status {
    transport::told(&status)
}
