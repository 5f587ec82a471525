//! The words that the registry's tests are written in: operators, calls, requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::domain::decision::Question;
use crate::domain::grant::{Grant, Grants};
use crate::domain::id::{AccountId, PrincipalId, RoleId, TokenId};
use crate::domain::operator::Scope;
use crate::domain::presented::Presented;
use crate::domain::refusal::Refusal;
use crate::domain::secret::KeyId;
use crate::domain::token::{Access, Activation};
use crate::keyring::{KEY_LENGTH, Key, Keyring};
use crate::registry::page::Page;
use crate::registry::replay::Once;
use crate::registry::tokens::{NewSecret, NewToken};
use crate::registry::{Call, Error};
use crate::validator::Ask;

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const MILLI: Duration = Duration::from_millis(1);
/// No line of the log.
pub(crate) const NOTHING: [i32; 0] = [];
const EVERY: Scope = Scope::Every;

/// A keyring of keys that are the same for the same ids.
pub(crate) fn keyring(ids: &[u32]) -> Arc<Keyring> {
    let key = |id: &u32| {
        let master = Zeroizing::new([u8::try_from(*id).unwrap(); KEY_LENGTH]);
        Key::new(KeyId(*id), master)
    };
    Arc::new(Keyring::new(ids.iter().map(key).collect()).unwrap())
}

/// What a system-wide caller asks about credentials, and no more.
pub(crate) fn ask(presented: Presented<'_>) -> Ask<'_> {
    Ask {
        presented: Some(presented),
        scope: &EVERY,
        account: None,
        question: Question::default(),
        consumer: None,
        cost: 1,
        dry_run: false,
    }
}

pub(crate) fn new_token(account: &str) -> NewToken {
    NewToken {
        account: account.into(),
        name: "a token".into(),
        description: String::new(),
        principal: None,
        access: Access::Full,
        grants: Grants::default(),
        networks: Vec::new(),
        rate_limit: None,
        max_connections: None,
        expiry: None,
        labels: BTreeMap::new(),
        scope: String::new(),
    }
}

pub(crate) fn new_secret(
    id: TokenId,
    grace: Option<Duration>,
    activation: Activation,
) -> NewSecret {
    NewSecret {
        token: id.to_string(),
        grace,
        activation,
        etag: String::new(),
    }
}

pub(crate) fn once(
    call: &Call,
    method: &'static str,
    request_id: &str,
    payload: &str,
) -> Option<Once> {
    Some(Once {
        operator: call.operator.token,
        method,
        request_id: request_id.into(),
        payload: payload.into(),
    })
}

pub(crate) fn page(size: usize, token: &str) -> Page {
    Page {
        size,
        token: token.into(),
        method: "List",
        filter: Vec::new(),
    }
}

pub(crate) fn grants(texts: &[&str]) -> Grants {
    Grants::new(texts.iter().map(|text| Grant::parse(text).unwrap()))
}

pub(crate) fn account_id(id: &str) -> AccountId {
    AccountId::parse(id).unwrap()
}

pub(crate) fn principal_id(id: &str) -> PrincipalId {
    PrincipalId::parse(id).unwrap()
}

pub(crate) fn role_id(id: &str) -> RoleId {
    RoleId::parse(id).unwrap()
}

/// The refusal in an error, if it is one.
pub(crate) fn refusal<T>(result: Result<T, Error>) -> Option<Refusal> {
    match result {
        Err(Error::Refused { refusal, .. }) => Some(refusal),
        _ => None,
    }
}

/// The field that an error names, if it is about one.
pub(crate) fn field<T>(result: Result<T, Error>) -> Option<String> {
    match result {
        Err(Error::Invalid(violations)) => violations.first().map(|first| first.field.clone()),
        _ => None,
    }
}
