//! Why a command came to no answer, how that is told, and the exit codes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::text::{escape_json, plain};
use super::times::show_span;
use crate::api::code_name;

/// The header in which the server names the call, in its logs and events too.
const CALL_ID: &str = "x-request-id";
/// Where an error names the grant that its caller lacks.
const GRANT: &str = "grant";

/// How a command ended when it did come to an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// Done, or allowed: exit code 0.
    Success,
    /// The answer is no: denied, not serving, not intact, not all well: exit code 1.
    Denied,
}

impl Outcome {
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Denied => 1,
        }
    }
}

/// No answer: exit code 2, but for `health`, which has 1.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    /// A gRPC code, or `USAGE` or `LOCAL` for what never left this machine.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    #[serde(flatten)]
    pub(crate) details: Box<Details>,
}

/// What the server told beside code and message.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) domain: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) field_violations: Vec<Violation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) precondition_violations: Vec<Violation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) quota_violations: Vec<Violation>,
    /// In milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_millis: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) call_id: Option<String>,
    /// What to do about it, where this program knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

/// One broken rule and what it is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Violation {
    pub(crate) field: String,
    pub(crate) description: String,
}

impl Failure {
    pub(crate) const EXIT_CODE: u8 = 2;

    /// The command line asks for what cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new("USAGE", message)
    }

    /// Something of this machine stands in the way: a file, the terminal, the environment.
    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self::new("LOCAL", message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(code_name(Code::Unavailable), message)
    }

    pub(crate) fn deadline(timeout: Duration) -> Self {
        let message = format!("no answer within {}", show_span(timeout));
        Self::new(code_name(Code::DeadlineExceeded), message)
            .with_hint("raise the limit with --timeout")
    }

    /// An answer that breaks the contract.
    pub(crate) fn broken_answer(message: impl Into<String>) -> Self {
        Self::new(code_name(Code::Internal), message)
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.details.hint = Some(hint.into());
        self
    }

    /// Whether the server may have done what was asked although no answer came.
    pub(crate) fn leaves_doubt(&self) -> bool {
        [
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::Cancelled,
            Code::Unknown,
        ]
        .map(code_name)
        .contains(&self.code)
    }

    /// Lines for a person, the last one ended.
    pub(crate) fn to_text(&self) -> String {
        let details = &self.details;
        let mut text = format!("error: {}: {}\n", self.code, plain(&self.message));
        let mut line = |label: &str, value: &str| {
            writeln!(text, "  {}: {}", plain(label), plain(value)).expect("a String takes all");
        };
        let violations = [
            &details.field_violations,
            &details.precondition_violations,
            &details.quota_violations,
        ];
        for violation in violations.into_iter().flatten() {
            line(&violation.field, &violation.description);
        }
        if let Some(reason) = &details.reason {
            line("reason", reason);
        }
        for (key, value) in &details.metadata {
            line(if key == GRANT { "missing grant" } else { key }, value);
        }
        if let Some(millis) = details.retry_after_millis {
            line("retry after", &show_span(Duration::from_millis(millis)));
        }
        if let Some(id) = &details.call_id {
            line("call id", id);
        }
        if let Some(hint) = &details.hint {
            line("hint", hint);
        }
        text
    }

    /// One line of JSON: `{"error": {"code": …, "message": …, …}}`.
    pub(crate) fn to_json(&self) -> String {
        let json = serde_json::json!({ "error": self });
        escape_json(&format!("{json}\n"))
    }

    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Box::default(),
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let rich = status.get_error_details();
        let info = rich.error_info();
        let call_id = status.metadata().get(CALL_ID);
        let details = Details {
            reason: info.map(|info| info.reason.clone()),
            domain: info.map(|info| info.domain.clone()),
            metadata: info.map_or_else(BTreeMap::new, |info| {
                info.metadata.clone().into_iter().collect()
            }),
            field_violations: violations(
                rich.bad_request().map(|all| &all.field_violations),
                |v| (&v.field, &v.description),
            ),
            precondition_violations: violations(
                rich.precondition_failure().map(|all| &all.violations),
                |v| (&v.subject, &v.description),
            ),
            quota_violations: violations(rich.quota_failure().map(|all| &all.violations), |v| {
                (&v.subject, &v.description)
            }),
            retry_after_millis: rich
                .retry_info()
                .and_then(|retry| retry.retry_delay)
                .map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
            call_id: call_id
                .and_then(|id| id.to_str().ok())
                .map(str::to_owned)
                .or_else(|| rich.request_info().map(|info| info.request_id.clone())),
            hint: None,
        };
        Self {
            code: code_name(status.code()),
            message: status.message().to_owned(),
            details: Box::new(details),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::local(format!("cannot write the answer: {error}"))
    }
}

fn violations<V>(
    list: Option<&Vec<V>>,
    parts: impl Fn(&V) -> (&String, &String),
) -> Vec<Violation> {
    list.into_iter()
        .flatten()
        .map(|violation| {
            let (field, description) = parts(violation);
            Violation {
                field: field.clone(),
                description: description.clone(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::{ErrorDetails, FieldViolation};

    fn rich() -> Failure {
        let mut details = ErrorDetails::new();
        details
            .set_bad_request(vec![FieldViolation::new(
                "name",
                "must be 1 to 200 characters",
            )])
            .set_error_info(
                "INVALID_FIELD",
                "keyward.v1",
                [(GRANT.into(), "keyward/tokens:write".into())],
            )
            .set_retry_info(Some(Duration::from_millis(1500)));
        let mut status =
            Status::with_error_details(Code::InvalidArgument, "the request is\nnot valid", details);
        status
            .metadata_mut()
            .insert(CALL_ID, "call-7".parse().unwrap());
        status.into()
    }

    #[test]
    fn a_person_reads_every_detail_on_its_own_line() {
        assert_eq!(
            rich().to_text(),
            "error: INVALID_ARGUMENT: the request is\\nnot valid\n\
             \x20 name: must be 1 to 200 characters\n\
             \x20 reason: INVALID_FIELD\n\
             \x20 missing grant: keyward/tokens:write\n\
             \x20 retry after: 1s500ms\n\
             \x20 call id: call-7\n"
        );
    }

    #[test]
    fn a_script_reads_the_same_as_one_line_of_json() {
        let json: serde_json::Value = serde_json::from_str(&rich().to_json()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"error": {
                "code": "INVALID_ARGUMENT",
                "message": "the request is\nnot valid",
                "reason": "INVALID_FIELD",
                "domain": "keyward.v1",
                "metadata": {"grant": "keyward/tokens:write"},
                "fieldViolations": [{"field": "name", "description": "must be 1 to 200 characters"}],
                "retryAfterMillis": 1500,
                "callId": "call-7",
            }})
        );
    }

    #[test]
    fn a_bare_status_has_code_and_message_alone() {
        let failure = Failure::from(Status::not_found("no such token"));
        assert_eq!(failure.to_text(), "error: NOT_FOUND: no such token\n");
        assert!(!failure.leaves_doubt());
        assert!(Failure::deadline(Duration::from_secs(1)).leaves_doubt());
    }
}
