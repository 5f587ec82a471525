//! What validations counted of a token, in the form in which it is saved and added to what is stored. Who else reads `Counted`
//! reads its consumers.

use crate::domain::id::{AccountId, TokenId};
use crate::domain::usage::{Today, TokenUsage};
use crate::meter::usage::Counted;

/// Whose it is.
pub(super) fn token(counted: &Counted) -> TokenId {
    counted.id
}

pub(super) fn account(counted: &Counted) -> &AccountId {
    &counted.account
}

/// The use of the token itself, in place of what `usage` is.
pub(super) fn take(counted: &Counted, usage: &mut TokenUsage) {
    usage.today = Today::default();
    usage.before = usage.today.add(&counted.days().collect());
    usage.last_used = counted.last_used;
    usage.secrets.clear();
    usage.secrets.extend(counted.secrets());
    usage.exercised.clear();
    usage.add_marks(counted.marks());
    usage.consumers = 0;
}

/// The same as a value of its own.
pub(super) fn usage(counted: &Counted) -> TokenUsage {
    let mut usage = TokenUsage::default();
    take(counted, &mut usage);
    usage
}
