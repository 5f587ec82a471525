//! Reads the answers of a run: allowed, denied and why, or no answer and why.

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::api::code_name;
use crate::api::proto::{Decision, DenyReason, Undecided, ValidateCredentialsResponse};
use crate::cli::words::word_of;
use crate::load::{Head, Judge, Reply, Verdict};

/// What ALLOW begins with: the decision is the first field, and the others do not matter here.
const ALLOW: [u8; 2] = [0x08, Decision::Allow as u8];

#[derive(Debug)]
pub(super) struct Decisions;

impl Judge for Decisions {
    fn judge(&self, _: usize, reply: Reply<'_>) -> Verdict {
        match reply {
            Reply::Answer(answer) if answer.starts_with(&ALLOW) => Verdict::Good,
            Reply::Answer(answer) => decision(answer),
            Reply::Undecided(why) => match Undecided::decode(why) {
                Ok(why) => Verdict::Failed(format!("undecided {}", why.reason)),
                Err(_) => broken(),
            },
            Reply::Refused(head) => Verdict::Failed(refusal(head)),
            Reply::Broken => broken(),
        }
    }
}

fn decision(answer: &[u8]) -> Verdict {
    match ValidateCredentialsResponse::decode(answer) {
        Ok(answer) if answer.decision() == Decision::Allow => Verdict::Good,
        Ok(answer) if answer.decision() == Decision::Deny => {
            let reason = word_of::<DenyReason>(answer.reason);
            Verdict::Denied(reason.to_ascii_uppercase().replace('-', "_"))
        }
        _ => broken(),
    }
}

/// `UNAVAILABLE OVERLOADED`: gRPC's code, and the reason where there is one.
fn refusal(head: &Head) -> String {
    let Some(code) = head.code else {
        return head
            .status
            .map_or_else(|| "no status".into(), |status| format!("HTTP {status}"));
    };
    let code = Code::from(i32::from(code));
    let status = Status::with_details(code, "", head.details.clone().into());
    match status.get_details_error_info() {
        Some(info) => format!("{} {}", code_name(code), info.reason),
        None => code_name(code).into(),
    }
}

fn broken() -> Verdict {
    Verdict::Failed("an answer without a decision".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    fn answer(decision: Decision, reason: DenyReason) -> Vec<u8> {
        let answer = ValidateCredentialsResponse {
            decision: decision.into(),
            reason: reason.into(),
            ..Default::default()
        };
        answer.encode_to_vec()
    }

    #[test]
    fn every_answer_is_allowed_denied_or_none() {
        let judge = |reply: Reply<'_>| Decisions.judge(0, reply);
        let failed = |why: &str| Verdict::Failed(why.into());
        let allow = answer(Decision::Allow, DenyReason::Unspecified);
        assert_eq!(judge(Reply::Answer(&allow)), Verdict::Good);
        let deny = answer(Decision::Deny, DenyReason::QuotaExceeded);
        assert_eq!(
            judge(Reply::Answer(&deny)),
            Verdict::Denied("QUOTA_EXCEEDED".into())
        );
        for bytes in [
            &[][..],
            b"\xff",
            &answer(Decision::Unspecified, DenyReason::Unknown),
        ] {
            assert_eq!(
                judge(Reply::Answer(bytes)),
                failed("an answer without a decision")
            );
        }
        let why = Undecided {
            reason: "STORE_AWAY".into(),
            ..Default::default()
        };
        let why = why.encode_to_vec();
        assert_eq!(
            judge(Reply::Undecided(&why)),
            failed("undecided STORE_AWAY")
        );
    }

    #[test]
    fn an_error_is_told_by_code_and_reason() {
        let info = ErrorDetails::with_error_info("OVERLOADED", "keyward.v1", []);
        let status = Status::with_error_details(Code::Unavailable, "busy", info);
        let mut head = Head {
            status: Some(200),
            code: Some(14),
            details: status.details().to_vec(),
        };
        assert_eq!(refusal(&head), "UNAVAILABLE OVERLOADED");
        head.details = b"\xff\xff".to_vec();
        assert_eq!(refusal(&head), "UNAVAILABLE");
        head.code = None;
        assert_eq!(refusal(&head), "HTTP 200");
    }
}
