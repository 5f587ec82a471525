//! A token's secrets: how one is shown, and what is asked for when they change.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Fields, required, span, wire_time};
use crate::api::proto;
use crate::domain::id::TokenId;
use crate::domain::secret::{Secret, SecretState, SecretText};
use crate::domain::time::Timestamp;
use crate::domain::token::{Activation, Token};
use crate::domain::usage::TokenUsage;
use crate::registry::Error;
use crate::registry::tokens::{NewSecret, check_grace};

/// Superseded ones are not listed.
pub(super) fn wire(
    token: &Token,
    secret: &Secret,
    usage: &TokenUsage,
    now: Timestamp,
) -> Option<proto::SecretVersion> {
    let used = usage.secret(secret.version);
    let (state, good_until) = match token.secret_state(secret, now)? {
        SecretState::Pending => (proto::SecretState::Pending, None),
        SecretState::Current => (proto::SecretState::Current, None),
        SecretState::Retiring { good_until } => (proto::SecretState::Retiring, Some(good_until)),
        SecretState::Superseded => return None,
    };
    Some(proto::SecretVersion {
        version: secret.version,
        state: state.into(),
        hint: secret.hint.clone(),
        create_time: Some(wire_time(secret.create_time)),
        good_until: good_until.map(wire_time),
        last_used_time: used.map(|used| wire_time(used.last_used)),
        calls_today: used.map_or(0, |used| used.calls_on(usage.today.day)),
    })
}

/// A secret's header in Basic, ready to be sent.
pub(in crate::api) fn basic_authorization(id: TokenId, secret: &SecretText) -> String {
    format!(
        "Basic {}",
        BASE64.encode(format!("{id}:{}", secret.reveal()))
    )
}

/// What Rekey asks for.
pub(in crate::api) fn new_secret(request: &proto::RekeyRequest) -> Result<NewSecret, Error> {
    required("token_id", &request.token_id)?;
    let mut fields = Fields::default();
    let grace = request
        .grace
        .as_ref()
        .and_then(|grace| fields.check("grace", span(grace)));
    let activation = match proto::Activation::try_from(request.activation) {
        Ok(proto::Activation::Unspecified | proto::Activation::AtOnce) => Activation::AtOnce,
        Ok(proto::Activation::OnFirstUse) => Activation::OnFirstUse,
        Err(_) => {
            fields.wrong("activation", "must be AT_ONCE or ON_FIRST_USE");
            Activation::AtOnce
        }
    };
    fields.finish()?;
    let grace = grace.map(check_grace).transpose()?;
    Ok(NewSecret {
        token: request.token_id.clone(),
        grace,
        activation,
        etag: request.etag.clone(),
    })
}

/// The token that CompleteRekey names, and how long its old secrets must have been idle.
pub(in crate::api) fn idle(
    request: &proto::CompleteRekeyRequest,
) -> Result<Option<Duration>, Error> {
    required("token_id", &request.token_id)?;
    let idle = request.if_old_idle_for.as_ref().map(span).transpose();
    idle.map_err(|rule| Error::invalid("if_old_idle_for", rule))
}
