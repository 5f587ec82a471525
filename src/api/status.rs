//! What went wrong, in gRPC's words: one mapping from the registry's errors, without a wildcard, and the few refusals that are
//! made before the registry is asked. Every status carries an `ErrorInfo` of the domain `keyward.v1`.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::convert::wire_span;
use super::proto;
use crate::domain::decision::DenyReason;
use crate::domain::field;
use crate::domain::limits;
use crate::domain::operator::Lack;
use crate::meter::Unleased;
use crate::registry::Error;
use crate::store::StoreError;

/// The domain of every `ErrorInfo`.
pub(crate) const DOMAIN: &str = "keyward.v1";
/// An old secret was used too lately.
const OLD_SECRET_IN_USE: &str = "OLD_SECRET_IN_USE";
/// When to try again after the store was away or busy.
const RETRY: Duration = Duration::from_secs(1);

/// The status of a refused or failed call.
pub(super) fn of(error: &Error) -> Status {
    let message = error.to_string();
    match error {
        Error::Invalid(violations) => {
            let mut details = info("INVALID_FIELD", &[]);
            for violation in violations.iter().take(limits::VIOLATIONS_TOLD) {
                details.add_bad_request_violation(&violation.field, &violation.rule);
            }
            status(Code::InvalidArgument, message, details)
        }
        Error::NotFound(kind, id) => {
            let mut details = info("NOT_FOUND", &[("kind", kind.name())]);
            details.set_resource_info(kind.name(), field::repeated(id), "", &message);
            status(Code::NotFound, message, details)
        }
        Error::AlreadyExists(kind, id) => {
            let mut details = info("ALREADY_EXISTS", &[("kind", kind.name())]);
            details.set_resource_info(kind.name(), field::repeated(id), "", &message);
            status(Code::AlreadyExists, message, details)
        }
        Error::RequestIdReused => {
            status(Code::AlreadyExists, message, info("REQUEST_ID_REUSED", &[]))
        }
        Error::Refused { refusal, subject } => {
            let (reason, description) = refusal.describe();
            let mut details = info(reason, &[]);
            details.add_precondition_failure_violation(reason, subject, description);
            status(Code::FailedPrecondition, message, details)
        }
        Error::TokenLimit { account, limit } => {
            let mut details = info("TOKEN_LIMIT", &[("limit", &limit.to_string())]);
            details.add_quota_failure_violation(format!("account:{account}"), &message);
            status(Code::ResourceExhausted, message, details)
        }
        Error::EtagMismatch { .. } => status(Code::Aborted, message, info("ETAG_MISMATCH", &[])),
        Error::Lacks(lack) => {
            let grant = match lack {
                Lack::Grant(grant) => grant.to_string(),
                Lack::Scope => "scope".into(),
                Lack::FullAccess => "full access".into(),
            };
            status(
                Code::PermissionDenied,
                message,
                info("GRANT_MISSING", &[("grant", &grant)]),
            )
        }
        Error::SystemWideOnly(_) => status(
            Code::PermissionDenied,
            message,
            info("SYSTEM_WIDE_ONLY", &[]),
        ),
        Error::OldSecretInUse(in_use) => {
            let mut details = info(
                OLD_SECRET_IN_USE,
                &[("last_used", &in_use.last_used.to_string())],
            );
            let subject = format!("token {}", in_use.token);
            for (name, used) in in_use.consumers.iter().take(limits::VIOLATIONS_TOLD) {
                let told = format!("consumer {name} last used it at {used}");
                details.add_precondition_failure_violation(OLD_SECRET_IN_USE, &subject, told);
            }
            if in_use.consumers.is_empty() {
                let told = format!(
                    "last used at {}, by nobody who gave a name",
                    in_use.last_used
                );
                details.add_precondition_failure_violation(OLD_SECRET_IN_USE, &subject, told);
            }
            status(Code::FailedPrecondition, message, details)
        }
        Error::EventsSwept { oldest } => {
            let details = info("EVENTS_SWEPT", &[("oldest_sequence", &oldest.to_string())]);
            status(Code::OutOfRange, message, details)
        }
        Error::SequenceNotReached { newest } => {
            let newest = [("newest_sequence", &*newest.to_string())];
            let details = info("SEQUENCE_NOT_REACHED", &newest);
            status(Code::OutOfRange, message, details)
        }
        Error::Store(error) => of_store(error, message),
    }
}

fn of_store(error: &StoreError, message: String) -> Status {
    match error {
        StoreError::Away(_) => unavailable("STORE_AWAY", message),
        StoreError::Busy => unavailable("OVERLOADED", message),
        StoreError::Corrupt(_) => {
            tracing::error!(%error, "a stored row cannot be believed");
            status(
                Code::DataLoss,
                "a stored row cannot be believed".into(),
                info("STORE_CORRUPT", &[]),
            )
        }
        StoreError::TooLarge { .. } => {
            let mut details = info("INVALID_FIELD", &[]);
            details.add_bad_request_violation("request", &message);
            status(Code::InvalidArgument, message, details)
        }
    }
}

/// A code as the gRPC specification writes it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// A caller that is nobody. It hears no more than a guesser may.
pub(super) fn unauthenticated(reason: DenyReason) -> Status {
    let (why, message) = match reason {
        DenyReason::Missing => (
            "MISSING",
            "a call needs an operator's token: authorization: Bearer <token>",
        ),
        DenyReason::Malformed => (
            "MALFORMED",
            "the operator's token has a wrong shape or checksum",
        ),
        DenyReason::WrongEnvironment => (
            "WRONG_ENVIRONMENT",
            "the operator's token was issued in another environment",
        ),
        DenyReason::Superseded => (
            "SUPERSEDED",
            "the operator's token was rekeyed, and its grace is over",
        ),
        DenyReason::Expired => ("EXPIRED", "the operator's token has expired"),
        DenyReason::Inactive => ("INACTIVE", "the operator's token is deactivated"),
        DenyReason::AddressNotAllowed => (
            "ADDRESS_NOT_ALLOWED",
            "the operator's token may not be used from this address",
        ),
        DenyReason::Unknown
        | DenyReason::AccountKeyMismatch
        | DenyReason::PrincipalDisabled
        | DenyReason::AccountDisabled
        | DenyReason::PermissionDenied
        | DenyReason::ReadOnly
        | DenyReason::TooManyConnections
        | DenyReason::RateLimited
        | DenyReason::QuotaExceeded => (
            "UNKNOWN",
            "there is no such operator's token, or its secret does not match",
        ),
    };
    status(
        Code::Unauthenticated,
        message.into(),
        info("UNAUTHENTICATED", &[("why", why)]),
    )
}

pub(super) fn grant_missing(grant: &str) -> Status {
    let message = format!("the operator's token lacks the grant {grant}, or is read-only");
    status(
        Code::PermissionDenied,
        message,
        info("GRANT_MISSING", &[("grant", grant)]),
    )
}

/// A stream's caller reaches other accounts than when it was admitted.
pub(super) fn scope_changed() -> Status {
    status(
        Code::PermissionDenied,
        "the operator's token reaches other accounts than when the stream began".into(),
        info("SCOPE_CHANGED", &[]),
    )
}

/// A stream ends because the server does.
pub(super) fn shutting_down() -> Status {
    unavailable(
        "SHUTTING_DOWN",
        "the server is shutting down; go on with another, or with this one when it is back".into(),
    )
}

/// A stream's caller has not read for too long.
pub(super) fn slow_reader() -> Status {
    status(
        Code::ResourceExhausted,
        "nothing was read from the stream for too long; go on after what was heard last".into(),
        info("SLOW_READER", &[]),
    )
}

/// An operator has as many streams open as it may.
pub(super) fn too_many_watches(limit: usize) -> Status {
    status(
        Code::ResourceExhausted,
        format!("the operator has {limit} watches open, which is as many as it may"),
        info("TOO_MANY_WATCHES", &[("limit", &limit.to_string())]),
    )
}

/// The server has as many streams open as it may.
pub(super) fn no_room_for_watches(limit: usize) -> Status {
    unavailable(
        "TOO_MANY_WATCHES",
        format!("{limit} watches are open, which is as many as this server has room for"),
    )
}

pub(super) fn unknown_method() -> Status {
    status(
        Code::Unimplemented,
        "there is no such method".into(),
        info("UNIMPLEMENTED", &[]),
    )
}

/// The state asked for did not come within a second.
pub(super) fn revision_not_reached(wanted: u64, at: u64) -> Status {
    unavailable(
        "REVISION_NOT_REACHED",
        format!("min_revision is {wanted}, and this node is at {at}"),
    )
}

/// There may be some left, and none could be leased in time to hand one out.
pub(super) fn unleased(what: Unleased) -> Status {
    let (reason, counted) = match what {
        Unleased::Slot => ("SLOTS_NOT_LEASED", "the token's connections are"),
        Unleased::Calls => ("CALLS_NOT_LEASED", "the account's daily calls are"),
    };
    unavailable(
        reason,
        format!("{counted} counted in the store, which did not answer in time"),
    )
}

/// This server holds as many connections as it may.
pub(super) fn too_many_held() -> Status {
    unavailable(
        "TOO_MANY_HELD",
        "this server holds as many connections as it may (--max-held)".into(),
    )
}

/// The same for one of many, whose neighbours go on.
pub(super) fn undecided(status: &Status) -> proto::Undecided {
    let details = status.get_error_details();
    let retry = details.retry_info().and_then(|retry| retry.retry_delay);
    let reason = details.error_info().map(|info| info.reason.clone());
    proto::Undecided {
        reason: reason.unwrap_or_else(|| code_name(status.code()).to_owned()),
        detail: status.message().to_owned(),
        retry_after: retry.map(wire_span),
    }
}

fn unavailable(reason: &str, message: String) -> Status {
    let mut details = info(reason, &[]);
    details.set_retry_info(Some(RETRY));
    status(Code::Unavailable, message, details)
}

fn info(reason: &str, metadata: &[(&str, &str)]) -> ErrorDetails {
    let metadata: HashMap<String, String> = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}

fn status(code: Code, message: String, details: ErrorDetails) -> Status {
    Status::with_error_details(code, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::field::Violation;
    use crate::registry::Kind;

    #[test]
    fn an_error_fits_into_the_headers_that_clients_take() {
        let long = "ü".repeat(60_000);
        let violation = || Violation::new("update_mask", "r".repeat(300));
        for error in [
            Error::NotFound(Kind::Account, long.clone()),
            Error::AlreadyExists(Kind::Token, long),
            Error::Invalid((0..3_000).map(|_| violation()).collect()),
        ] {
            let headers = of(&error).into_http::<()>().headers().clone();
            let bytes: usize = headers
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len())
                .sum();
            assert!(bytes < 8 << 10, "{bytes} bytes of headers: {error:.80}");
        }
    }

    #[test]
    fn every_violation_is_named_where_there_is_room() {
        let violations: Vec<_> = (0..=limits::VIOLATIONS_TOLD)
            .map(|place| Violation::new(format!("grants[{place}]"), "must not be"))
            .collect();
        for (given, told) in [
            (limits::VIOLATIONS_TOLD, limits::VIOLATIONS_TOLD),
            (limits::VIOLATIONS_TOLD + 1, limits::VIOLATIONS_TOLD),
        ] {
            let status = of(&Error::Invalid(violations[..given].to_vec()));
            let bad = status.get_details_bad_request().unwrap();
            assert_eq!(bad.field_violations.len(), told);
            let more = format!("; and {} more", given - 3);
            assert!(status.message().ends_with(&more), "{}", status.message());
        }
    }
}
