//! Whether a long stream may go on: its caller was admitted once, and must still be who it was then.

use tonic::Status;

use super::gate::Caller;
use super::{Desk, status};
use crate::domain::decision::{DenyReason, Question};
use crate::domain::operator::Scope;
use crate::domain::time::Timestamp;
use crate::store::backend::Revision;
use crate::validator::Identity;

/// For how long what was found of a caller is so: until something is committed, or until it ends by the passing of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    revision: Revision,
    until: Option<Timestamp>,
}

impl Standing {
    /// What was found at `now`, on a state that is not older than `revision`.
    pub(super) fn new(revision: Revision, identity: &Identity, now: Timestamp) -> Self {
        Self {
            revision,
            until: identity.good_until(now),
        }
    }

    /// Whether it is still so.
    pub(super) fn holds(&self, revision: Revision, now: Timestamp) -> bool {
        self.revision == revision && self.until.is_none_or(|until| now < until)
    }
}

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
