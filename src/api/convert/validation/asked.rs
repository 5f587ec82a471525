//! A request as it came, borrowed from its message or from its bytes.

use crate::api::proto;
use crate::api::proto::validate_credentials_request::Presented as Wire;
use crate::domain::presented::Presented;

/// The fields of a `ValidateCredentialsRequest`. It has no `Debug`: secrets are in it.
#[derive(Clone, Copy, Default)]
pub(in crate::api) struct Asked<'a> {
    pub(in crate::api) presented: Option<Presented<'a>>,
    pub(in crate::api) account_key: &'a str,
    /// Resource and action.
    pub(in crate::api) required: Option<(&'a str, &'a str)>,
    pub(in crate::api) client_address: &'a str,
    pub(in crate::api) consumer: &'a str,
    pub(in crate::api) cost: u32,
    pub(in crate::api) dry_run: bool,
    pub(in crate::api) min_revision: u64,
    pub(in crate::api) account_id: &'a str,
    pub(in crate::api) with_grants: bool,
}

impl<'a> Asked<'a> {
    pub(in crate::api) fn of(request: &'a proto::ValidateCredentialsRequest) -> Self {
        let presented = request.presented.as_ref().map(|presented| match presented {
            Wire::Authorization(header) => Presented::Header(header),
            Wire::Token(text) => Presented::Text(text),
            Wire::IdAndSecret(pair) => Presented::IdAndText {
                id: &pair.token_id,
                text: &pair.secret,
            },
        });
        let required = request.required.as_ref();
        Self {
            presented,
            account_key: &request.account_key,
            required: required.map(|required| (&*required.resource, &*required.action)),
            client_address: &request.client_address,
            consumer: &request.consumer,
            cost: request.cost,
            dry_run: request.dry_run,
            min_revision: request.min_revision,
            account_id: &request.account_id,
            with_grants: request.with_grants,
        }
    }
}
