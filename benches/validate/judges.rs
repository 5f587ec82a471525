//! Which answers are right: everything else ends the run.

use std::cell::Cell;
use std::rc::Rc;

use keyward::api::proto::{Decision, DenyReason, ValidateCredentialsResponse};
use keyward::load::{Judge, Reply, Verdict};
use prost::Message as _;

/// ALLOW, and the id of the token that was presented.
#[derive(Debug)]
pub(crate) struct Allowed {
    pub(crate) ids: Rc<Vec<[u8; 22]>>,
    /// Where the id stood in the last answer.
    pub(crate) at: Cell<usize>,
}

/// DENY, UNKNOWN.
#[derive(Debug)]
pub(crate) struct Unknown;

/// The same bytes to begin with, whatever was asked.
#[derive(Debug)]
pub(crate) struct Begins(pub(crate) Vec<u8>);

/// The number of the credential that was presented.
#[derive(Debug)]
pub(crate) struct Numbered;

impl Judge for Allowed {
    fn judge(&self, question: usize, reply: Reply<'_>) -> Verdict {
        let Reply::Answer(answer) = reply else {
            return wrong(&reply);
        };
        let id = &self.ids[question][..];
        let at = self.at.get();
        // Field 4, and its length.
        let field = |at: usize| answer.get(at..at + 2) == Some(&[0x22, 22]);
        let right = |at: usize| field(at) && answer.get(at + 2..at + 24) == Some(id);
        let at = if right(at) {
            Some(at)
        } else {
            (0..answer.len()).find(|at| right(*at))
        };
        match at {
            Some(at) if answer.starts_with(&[0x08, Decision::Allow as u8]) => {
                self.at.set(at);
                Verdict::Good
            }
            _ => wrong(&reply),
        }
    }
}

impl Judge for Unknown {
    fn judge(&self, _: usize, reply: Reply<'_>) -> Verdict {
        let right = [0x08, Decision::Deny as u8, 0x10, DenyReason::Unknown as u8];
        match reply {
            Reply::Answer(answer) if answer.starts_with(&right) => Verdict::Good,
            reply => wrong(&reply),
        }
    }
}

impl Judge for Begins {
    fn judge(&self, _: usize, reply: Reply<'_>) -> Verdict {
        match reply {
            Reply::Answer(answer) if answer.starts_with(&self.0) => Verdict::Good,
            reply => wrong(&reply),
        }
    }
}

impl Judge for Numbered {
    fn judge(&self, question: usize, reply: Reply<'_>) -> Verdict {
        let number = |answer: &[u8]| std::str::from_utf8(answer).ok()?.parse::<usize>().ok();
        match reply {
            Reply::Answer(answer) if number(answer) == Some(question) => Verdict::Good,
            reply => wrong(&reply),
        }
    }
}

fn wrong(reply: &Reply<'_>) -> Verdict {
    Verdict::Failed(match reply {
        Reply::Answer(answer) => match ValidateCredentialsResponse::decode(*answer) {
            Ok(answer) => format!(
                "{:?} {:?} {}",
                answer.decision(),
                answer.reason(),
                answer.detail
            ),
            Err(_) => String::from_utf8_lossy(answer).into_owned(),
        },
        reply => format!("{reply:?}"),
    })
}
