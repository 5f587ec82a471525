//! The one door to generated code: everything of `keyward.v1` lives under this alias.
//!
//! Messages that hold a secret get their `Debug` here, by hand, and it redacts.

use std::fmt;

#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
mod generated {
    tonic::include_proto!("keyward.v1");
}
pub use generated::*;

/// The contract's descriptors with their comments, for reflection and for JSON.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/keyward_v1.bin"));

const REDACTED: &str = "[redacted]";

impl fmt::Debug for ValidateCredentialsRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidateCredentialsRequest")
            .field("presented", &self.presented)
            .field("required", &self.required)
            .field("client_address", &self.client_address)
            .field("consumer", &self.consumer)
            .field("dry_run", &self.dry_run)
            .field("account_id", &self.account_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for validate_credentials_request::Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self {
            Self::Authorization(_) => "Authorization",
            Self::Token(_) => "Token",
            Self::IdAndSecret(_) => "IdAndSecret",
        };
        f.debug_tuple(form).field(&REDACTED).finish()
    }
}

impl fmt::Debug for IdAndSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdAndSecret")
            .field("token_id", &self.token_id)
            .field("secret", &REDACTED)
            .finish()
    }
}

impl fmt::Debug for CreateTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateTokenResponse")
            .field("token", &self.token)
            .field("secret", &REDACTED)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RekeyResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RekeyResponse")
            .field("token", &self.token)
            .field("secret", &REDACTED)
            .field("old_secret_good_until", &self.old_secret_good_until)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ImportTokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportTokenRequest")
            .field("token", &self.token)
            .field("sha256", &REDACTED)
            .finish_non_exhaustive()
    }
}
