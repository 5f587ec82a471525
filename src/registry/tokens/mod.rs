//! Tokens: issued (`issue`), given new secrets (`rekey`), managed (`manage`) and listed (`list`).

mod issue;
mod list;
mod manage;
mod rekey;

use std::collections::BTreeMap;
use std::time::Duration;

pub use issue::{Imported, NewToken};
pub use list::TokenFilter;
pub use manage::TokenPatch;
pub use rekey::{NewSecret, check_grace};

use super::{Call, Error, Kind, notices, refused};
use crate::domain::account::{Account, PrincipalRule};
use crate::domain::id::{AccountId, PrincipalId, TokenId};
use crate::domain::principal::Principal;
use crate::domain::refusal::Refusal;
use crate::domain::secret::{Digest, SecretText};
use crate::domain::time::Timestamp;
use crate::domain::token::Token;
use crate::store::record::Pointer;
use crate::store::{View, key};

/// A token and its new secret, to be shown once.
#[derive(Clone, Debug)]
pub struct Issued {
    pub token: Token,
    pub secret: SecretText,
    /// The answer of a call that was made before; the token may have been used since.
    pub again: bool,
}

/// When a token is to end, as the caller says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    Time(Timestamp),
    /// 00:00 UTC as a day begins.
    Date(Timestamp),
    Ttl(Duration),
}

impl Expiry {
    fn end(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Time(end) | Self::Date(end) => end,
            Self::Ttl(span) => now.after(span),
        }
    }

    fn field(self) -> &'static str {
        match self {
            Self::Time(_) => "expire_time",
            Self::Date(_) => "expire_date",
            Self::Ttl(_) => "ttl",
        }
    }
}

/// A token that the operator reaches, and its account.
fn token(view: &mut View<'_>, call: &Call, id: &str) -> Result<(Token, Account), Error> {
    let missing = || Error::NotFound(Kind::Token, id.to_owned());
    let name = key::token(TokenId::parse(id).ok_or_else(missing)?);
    let token: Token = view.get(&name)?.ok_or_else(missing)?;
    if !call.operator.scope.reaches(token.account.as_str()) {
        return Err(missing());
    }
    let account = super::account(view, &token.account)?;
    Ok((token, account))
}

/// Writes a token in place of what it was, with the rows that find its imported texts and those that announce its expiry.
pub(super) fn put(view: &mut View<'_>, before: Option<&Token>, after: &Token) -> Result<(), Error> {
    let old = before.map(foreign_digests).unwrap_or_default();
    let new = foreign_digests(after);
    for gone in old.iter().filter(|digest| !new.contains(digest)) {
        view.delete(key::import(&after.account, gone))?;
    }
    for come in new.iter().filter(|digest| !old.contains(digest)) {
        let name = key::import(&after.account, come);
        if view.get::<Pointer>(&name)?.is_some() {
            return Err(Error::AlreadyExists(Kind::Token, "with this sha256".into()));
        }
        view.put(name, &Pointer(after.id.to_string()))?;
    }
    view.put(key::token(after.id), after)?;
    if before.and_then(|before| before.expire_time) != after.expire_time {
        notices::schedule(view, after)?;
    }
    Ok(())
}

fn foreign_digests(token: &Token) -> Vec<Digest> {
    token
        .secrets
        .iter()
        .filter(|secret| secret.foreign)
        .map(|secret| secret.digest)
        .collect()
}

/// Whoever gives a token of the system account a right, or hands out its secret, must hold as much.
fn check_rights(call: &Call, token: &Token) -> Result<(), Error> {
    if !token.account.is_system() {
        return Ok(());
    }
    call.operator
        .lacks_for(token)
        .map_or(Ok(()), |lack| Err(Error::Lacks(lack)))
}

/// What stands on tokens of the system account only.
fn check_reserved(token: &Token, prefix: &str) -> Result<(), Error> {
    if token.account.is_system() {
        return Ok(());
    }
    if let Some(grant) = token.grants.iter().find(|grant| grant.is_reserved()) {
        let rule =
            format!("must not hold {grant}: keyward/ grants exist in the system account only");
        return Err(Error::invalid(format!("{prefix}grants"), rule));
    }
    if token.scope.is_some() {
        let rule = "belongs to tokens of the system account only";
        return Err(Error::invalid(format!("{prefix}scope_account_id"), rule));
    }
    Ok(())
}

/// The principal that a token is for, as the account's rule wants it.
fn check_principal(
    view: &mut View<'_>,
    account: &Account,
    id: Option<&PrincipalId>,
    field: &str,
) -> Result<(), Error> {
    let rule = account.policy.principal_rule;
    let Some(id) = id else {
        return match rule {
            PrincipalRule::None => Ok(()),
            PrincipalRule::Enforced => Err(Error::invalid(
                field,
                "is required: the account wants an active API user",
            )),
            PrincipalRule::Attribution => Err(Error::invalid(
                field,
                "is required: the account wants a proxy principal",
            )),
        };
    };
    let found: Option<Principal> = view.get(&key::principal(&account.id, id))?;
    let principal = found.ok_or_else(|| Error::NotFound(Kind::Principal, id.to_string()))?;
    if rule == PrincipalRule::Enforced && !principal.is_active_api_user() {
        return Err(refused(
            Refusal::PrincipalNotApiUser,
            "principal",
            id.as_str(),
        ));
    }
    Ok(())
}

/// An end must lie ahead, and within what the account's policy allows.
fn check_end(
    account: &Account,
    end: Option<Timestamp>,
    now: Timestamp,
    field: &str,
) -> Result<(), Error> {
    let Some(end) = end else {
        return if account.policy.require_expiry {
            Err(Error::invalid(field, "is required by the account's policy"))
        } else if account.policy.max_lifetime.is_some() {
            Err(Error::invalid(
                field,
                "is required: the account's policy has a max_lifetime",
            ))
        } else {
            Ok(())
        };
    };
    if end <= now {
        return Err(Error::invalid(field, "must be in the future"));
    }
    match account.policy.max_lifetime {
        Some(most) if end > now.after(most) => Err(Error::invalid(
            field,
            format!(
                "must be at most {} s ahead: the account's max_lifetime",
                most.as_secs()
            ),
        )),
        _ => Ok(()),
    }
}

/// The one account of an operator token must be there.
fn check_scope(view: &mut View<'_>, scope: Option<&AccountId>) -> Result<(), Error> {
    match scope {
        Some(scope) => super::account(view, scope).map(drop),
        None => Ok(()),
    }
}

fn details<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    let named = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    named
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
