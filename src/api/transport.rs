//! The transport's own errors, as a caller hears them: with an `ErrorInfo`, and at the sender's door where what was sent is no
//! message of the method.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::status::{DOMAIN, code_name};

/// The reasons of requests that never reached their service, and how tonic words and codes them.
const SENDERS_MISTAKES: [(Code, &str, &str); 2] = [
    (Code::Internal, UNDECODED, "MALFORMED_REQUEST"),
    (Code::OutOfRange, TOO_LARGE, "REQUEST_TOO_LARGE"),
];

/// How tonic begins its INTERNAL for bytes that are not the method's message, text that is not UTF-8 among them.
pub(super) const UNDECODED: &str = "failed to decode Protobuf message";

/// How it begins its OUT_OF_RANGE for a message over the limit.
const TOO_LARGE: &str = "Error, decoded message length too large";

/// The status with a reason: its own, or the one that the transport's words stand for.
pub(crate) fn told(status: &Status) -> Status {
    let mut details = status.get_error_details();
    if details.error_info().is_some() {
        return status.clone();
    }
    let mut code = status.code();
    let mistake = SENDERS_MISTAKES
        .iter()
        .find(|(its, begins, _)| *its == code && status.message().starts_with(begins));
    let reason = match mistake {
        Some((_, _, reason)) => {
            code = Code::InvalidArgument;
            details.add_bad_request_violation("request", status.message());
            reason
        }
        None => code_name(code),
    };
    details.set_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details_and_metadata(
        code,
        status.message(),
        details,
        status.metadata().clone(),
    )
}
