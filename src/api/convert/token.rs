//! Tokens: what is asked for, and how one is shown.

use std::collections::BTreeMap;

use super::{Fields, bad_path, paths, rate, required, secret, span, time, wire_time};
use crate::api::proto;
use crate::api::proto::create_token_request::Expiry as WireExpiry;
use crate::domain::field::{self, Rule};
use crate::domain::grant::{Grant, Grants};
use crate::domain::id::PrincipalId;
use crate::domain::limits;
use crate::domain::network::Network;
use crate::domain::time::Timestamp;
use crate::domain::token::{Access, Token, TokenState};
use crate::domain::usage::TokenUsage;
use crate::registry::Error;
use crate::registry::tokens::{Expiry, Imported, NewToken, TokenFilter, TokenPatch};

/// A token as callers see it, with its use up to this day: never its digests.
pub(in crate::api) fn wire(token: &Token, usage: &TokenUsage, now: Timestamp) -> proto::Token {
    proto::Token {
        id: token.id.to_string(),
        account_id: token.account.to_string(),
        name: token.name.clone(),
        description: token.description.clone(),
        principal_id: token
            .principal
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        access: wire_access(token.access).into(),
        grants: token.grants.iter().map(ToString::to_string).collect(),
        allowed_networks: token.networks.iter().map(ToString::to_string).collect(),
        rate_limit: token.rate_limit.map(rate::wire),
        max_connections: token.max_connections.map_or(0, Into::into),
        state: wire_state(token.state(now)).into(),
        expire_time: token.expire_time.map(wire_time),
        create_time: Some(wire_time(token.create_time)),
        created_by: token.created_by.clone(),
        update_time: Some(wire_time(token.update_time)),
        rekey_time: token.rekey_time.map(wire_time),
        secrets: token
            .secrets
            .iter()
            .filter_map(|secret| secret::wire(token, secret, usage, now))
            .collect(),
        last_used_time: usage.last_used.map(wire_time),
        calls_today: usage.today.counts.allowed,
        labels: token.labels.clone(),
        etag: token.etag(),
        scope_account_id: token
            .scope
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        imported: token.imported,
    }
}

pub(super) fn wire_access(access: Access) -> proto::Access {
    match access {
        Access::Full => proto::Access::Full,
        Access::ReadOnly => proto::Access::ReadOnly,
    }
}

fn wire_state(state: TokenState) -> proto::TokenState {
    match state {
        TokenState::Active => proto::TokenState::Active,
        TokenState::Inactive => proto::TokenState::Inactive,
        TokenState::Expired => proto::TokenState::Expired,
    }
}

/// What CreateToken asks for; `prefix` leads to the fields in the request.
pub(in crate::api) fn new_token(
    request: &proto::CreateTokenRequest,
    prefix: &str,
) -> Result<NewToken, Error> {
    let mut fields = Fields::default();
    let at = |name: &str| format!("{prefix}{name}");
    let new = NewToken {
        account: request.account_id.clone(),
        name: fields.take(&at("name"), field::name(&request.name)),
        description: fields.take(
            &at("description"),
            field::free_text(&request.description, limits::DESCRIPTION_CHARS),
        ),
        principal: fields.take(&at("principal_id"), principal(&request.principal_id)),
        access: fields.take(&at("access"), access(request.access)),
        grants: grants(&mut fields, &at("grants"), &request.grants),
        networks: networks(
            &mut fields,
            &at("allowed_networks"),
            &request.allowed_networks,
        ),
        rate_limit: rate::limit(&mut fields, &at("rate_limit"), request.rate_limit.as_ref()),
        max_connections: rate::max_connections(
            &mut fields,
            &at("max_connections"),
            request.max_connections,
        ),
        expiry: request
            .expiry
            .as_ref()
            .and_then(|expiry| self::expiry(&mut fields, prefix, expiry)),
        labels: fields.take(&at("labels"), labels(&request.labels)),
        scope: request.scope_account_id.clone(),
    };
    fields.finish()?;
    Ok(new)
}

/// What ImportToken asks for.
pub(in crate::api) fn imported(
    request: &proto::ImportTokenRequest,
) -> Result<(NewToken, Imported), Error> {
    let token = request
        .token
        .as_ref()
        .ok_or_else(|| Error::invalid("token", "is required"))?;
    let mut fields = Fields::default();
    let sha256 = request.sha256.as_slice().try_into();
    let sha256 = fields.take(
        "sha256",
        sha256.map_err(|_| "must be the 32 bytes of a SHA-256".into()),
    );
    let foreign_id = fields.take("foreign_id", foreign_id(&request.foreign_id));
    let hint = fields.take("hint", field::free_text(&request.hint, limits::HINT_CHARS));
    fields.finish()?;
    Ok((
        new_token(token, "token.")?,
        Imported {
            sha256,
            foreign_id,
            hint,
        },
    ))
}

/// In Basic it stands before the first colon, so it cannot hold one.
fn foreign_id(text: &str) -> Result<Option<String>, Rule> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = field::printable(text, limits::FOREIGN_ID_BYTES)?;
    if id.contains(':') {
        Err("must not hold a colon".into())
    } else {
        Ok(Some(id))
    }
}

/// Which tokens ListTokens asks for.
pub(in crate::api) fn filter(request: &proto::ListTokensRequest) -> Result<TokenFilter, Error> {
    let mut fields = Fields::default();
    let states = request
        .states
        .iter()
        .filter_map(|state| fields.check("states", self::state(*state)))
        .collect();
    let expire_before = request
        .expire_before
        .as_ref()
        .and_then(|before| fields.check("expire_before", time(before)));
    let unused_since = request
        .unused_since
        .as_ref()
        .and_then(|since| fields.check("unused_since", time(since)));
    fields.finish()?;
    Ok(TokenFilter {
        states,
        principal: request.principal_id.clone(),
        name_prefix: request.name_prefix.clone(),
        expire_before,
        unused_since,
        labels: request.labels.clone(),
    })
}

const MUTABLE: [&str; 10] = [
    "name",
    "description",
    "principal_id",
    "expire_time",
    "grants",
    "access",
    "allowed_networks",
    "rate_limit",
    "max_connections",
    "labels",
];
const IMMUTABLE: [&str; 13] = [
    "id",
    "account_id",
    "state",
    "create_time",
    "created_by",
    "update_time",
    "rekey_time",
    "secrets",
    "last_used_time",
    "calls_today",
    "etag",
    "scope_account_id",
    "imported",
];

/// The token that UpdateToken names, and what it changes.
pub(in crate::api) fn patch(
    request: &proto::UpdateTokenRequest,
) -> Result<(proto::Token, TokenPatch), Error> {
    let token = request
        .token
        .clone()
        .ok_or_else(|| Error::invalid("token", "is required"))?;
    required("token.id", &token.id)?;
    let mut fields = Fields::default();
    let mut patch = TokenPatch::default();
    for path in paths(request.update_mask.as_ref())? {
        match path.as_str() {
            "name" => patch.name = fields.check("token.name", field::name(&token.name)),
            "description" => {
                let text = field::free_text(&token.description, limits::DESCRIPTION_CHARS);
                patch.description = fields.check("token.description", text);
            }
            "principal_id" => {
                patch.principal = fields.check("token.principal_id", principal(&token.principal_id))
            }
            "expire_time" => {
                let end = token.expire_time.as_ref().map(time).transpose();
                patch.expire_time = fields.check("token.expire_time", end);
            }
            "grants" => patch.grants = Some(grants(&mut fields, "token.grants", &token.grants)),
            "access" => patch.access = fields.check("token.access", access(token.access)),
            "allowed_networks" => {
                patch.networks = Some(networks(
                    &mut fields,
                    "token.allowed_networks",
                    &token.allowed_networks,
                ));
            }
            "rate_limit" => {
                let limit = token.rate_limit.as_ref();
                patch.rate_limit = Some(rate::limit(&mut fields, "token.rate_limit", limit));
            }
            "max_connections" => {
                let most = token.max_connections;
                let most = rate::max_connections(&mut fields, "token.max_connections", most);
                patch.max_connections = Some(most);
            }
            "labels" => patch.labels = fields.check("token.labels", labels(&token.labels)),
            other => bad_path(&mut fields, other, &IMMUTABLE, &MUTABLE),
        }
    }
    fields.finish()?;
    Ok((token, patch))
}

/// Grants, at most 64 of them; each that is wrong is named by its place.
pub(super) fn grants(fields: &mut Fields, field: &str, texts: &[String]) -> Grants {
    if texts.len() > limits::GRANTS {
        fields.wrong(field, format!("must be at most {}", limits::GRANTS));
        return Grants::default();
    }
    Grants::new(each(fields, field, texts, Grant::parse))
}

fn networks(fields: &mut Fields, field: &str, texts: &[String]) -> Vec<Network> {
    if texts.len() > limits::NETWORKS {
        fields.wrong(field, format!("must be at most {}", limits::NETWORKS));
        return Vec::new();
    }
    each(fields, field, texts, Network::parse)
}

fn each<T>(
    fields: &mut Fields,
    field: &str,
    texts: &[String],
    parse: fn(&str) -> Result<T, Rule>,
) -> Vec<T> {
    let mut parsed = Vec::with_capacity(texts.len());
    for (place, text) in texts.iter().enumerate() {
        parsed.extend(fields.check(&format!("{field}[{place}]"), parse(text)));
    }
    parsed
}

fn principal(id: &str) -> Result<Option<PrincipalId>, Rule> {
    if id.is_empty() {
        Ok(None)
    } else {
        PrincipalId::parse(id).map(Some)
    }
}

fn access(wire: i32) -> Result<Access, Rule> {
    match proto::Access::try_from(wire) {
        Ok(proto::Access::Unspecified | proto::Access::Full) => Ok(Access::Full),
        Ok(proto::Access::ReadOnly) => Ok(Access::ReadOnly),
        Err(_) => Err("must be FULL or READ_ONLY".into()),
    }
}

fn state(wire: i32) -> Result<TokenState, Rule> {
    match proto::TokenState::try_from(wire) {
        Ok(proto::TokenState::Active) => Ok(TokenState::Active),
        Ok(proto::TokenState::Inactive) => Ok(TokenState::Inactive),
        Ok(proto::TokenState::Expired) => Ok(TokenState::Expired),
        Ok(proto::TokenState::Unspecified) | Err(_) => {
            Err("must be ACTIVE, INACTIVE or EXPIRED".into())
        }
    }
}

fn labels(wire: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Rule> {
    if wire.len() > limits::LABELS {
        return Err(format!("must be at most {}", limits::LABELS));
    }
    let clean = |text: &str| !text.chars().any(char::is_control);
    for (key, value) in wire {
        if key.is_empty() || key.len() > limits::LABEL_KEY_BYTES || !clean(key) {
            let most = limits::LABEL_KEY_BYTES;
            return Err(format!(
                "must have keys of 1 to {most} bytes without control characters"
            ));
        }
        if value.len() > limits::LABEL_VALUE_BYTES || !clean(value) {
            let most = limits::LABEL_VALUE_BYTES;
            return Err(format!(
                "must have values of at most {most} bytes without control characters"
            ));
        }
    }
    Ok(wire.clone())
}

fn expiry(fields: &mut Fields, prefix: &str, wire: &WireExpiry) -> Option<Expiry> {
    let at = |name: &str| format!("{prefix}{name}");
    match wire {
        WireExpiry::ExpireTime(end) => fields
            .check(&at("expire_time"), time(end))
            .map(Expiry::Time),
        WireExpiry::ExpireDate(date) => {
            let day = Timestamp::start_of_day(date)
                .ok_or_else(|| "must be a date such as 2027-01-31".into());
            fields.check(&at("expire_date"), day).map(Expiry::Date)
        }
        WireExpiry::Ttl(ttl) => fields.check(&at("ttl"), span(ttl)).map(Expiry::Ttl),
    }
}
