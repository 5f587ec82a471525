//! ValidateCredentials: what a request asks and what an answer tells, both borrowed, so that whoever reads the bytes and whoever
//! has a generated message go by the same rules.

mod asked;
mod told;

use std::net::IpAddr;

pub(in crate::api) use asked::Asked;
pub(in crate::api) use told::Told;

use super::Fields;
use crate::domain::decision::Question;
use crate::domain::field;
use crate::domain::grant::{Permission, PermissionError};
use crate::domain::limits;
use crate::domain::operator::Scope;
use crate::registry::Error;
use crate::validator::Ask;

/// The question in a request, or what is wrong with it.
pub(in crate::api) fn ask<'a>(asked: &Asked<'a>, scope: &'a Scope) -> Result<Ask<'a>, Error> {
    let named = |text: &'a str| (!text.is_empty()).then_some(text);
    let mut fields = Fields::default();
    let required = asked
        .required
        .and_then(|(resource, action)| permission(&mut fields, resource, action));
    let client_address = named(asked.client_address).and_then(|address| {
        let parsed = address.parse::<IpAddr>();
        fields.check(
            "client_address",
            parsed.map_err(|_| "must be an IP address, without a port".into()),
        )
    });
    let consumer = named(asked.consumer).and_then(|name| {
        let printable = field::borrowed_printable(name, limits::CONSUMER_BYTES);
        fields.check("consumer", printable)
    });
    fields.finish()?;
    Ok(Ask {
        presented: asked.presented,
        scope,
        account: named(asked.account_id),
        question: Question {
            account_key: named(asked.account_key),
            required,
            client_address,
        },
        consumer,
        cost: u64::from(asked.cost.max(1)),
        dry_run: asked.dry_run,
    })
}

fn permission<'a>(
    fields: &mut Fields,
    resource: &'a str,
    action: &'a str,
) -> Option<Permission<'a>> {
    match Permission::parse(resource, action) {
        Ok(permission) => return Some(permission),
        Err(PermissionError::Resource(rule)) => fields.wrong("required.resource", rule),
        Err(PermissionError::Action(rule)) => fields.wrong("required.action", rule),
    }
    None
}
