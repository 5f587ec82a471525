//! Whether a long stream may go on: its caller was admitted once, and must still be who it was then.

use tonic::Status;

use super::gate::Caller;
use super::{Desk, status};
use crate::domain::decision::{DenyReason, Question};
use crate::domain::operator::Scope;
use crate::validator::Identity;

/// The caller as it is now. To be asked before each message of a stream; it reads memory alone.
pub(super) fn check(desk: &Desk, caller: &Caller) -> Result<Identity, Status> {
    if desk.closing.is_closing() {
        return Err(status::shutting_down());
    }
    let question = Question {
        client_address: caller.address,
        ..Question::default()
    };
    let identity = desk
        .validator
        .again(caller.token.id, caller.secret_version, &question)
        .map_err(|verdict| {
            status::unauthenticated(verdict.reason.unwrap_or(DenyReason::Unknown))
        })?;
    if Scope::of(&identity.token) != caller.scope {
        return Err(status::scope_changed());
    }
    caller.method.admits(&identity.token)?;
    Ok(identity)
}
