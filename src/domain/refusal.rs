//! States that forbid a change: each becomes FAILED_PRECONDITION with its reason.

/// Why a well-formed change cannot be made as things stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    TokenActive,
    TokenExpired,
    TokenFrozen,
    PrincipalNotApiUser,
    PrincipalNotActive,
    AccountDisabled,
    AccountKeyExists,
    PolicyFixed,
    SystemAccount,
    RoleInUse,
    NoPendingSecret,
    NoRetiringSecret,
    RekeyPending,
    TooManyRetiringSecrets,
    ReplayGone,
}

impl Refusal {
    /// The reason as machines read it, and a sentence for people.
    #[must_use]
    pub const fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::TokenActive => (
                "TOKEN_ACTIVE",
                "an active token is not deleted: deactivate it first",
            ),
            Self::TokenExpired => (
                "TOKEN_EXPIRED",
                "the token has expired, and that is for good",
            ),
            Self::TokenFrozen => (
                "TOKEN_FROZEN",
                "the account's policy freezes a token's name, principal and expiry",
            ),
            Self::PrincipalNotApiUser => (
                "PRINCIPAL_NOT_API_USER",
                "the principal is not an active API user",
            ),
            Self::PrincipalNotActive => (
                "PRINCIPAL_NOT_ACTIVE",
                "only an active principal can be made an API user",
            ),
            Self::AccountDisabled => ("ACCOUNT_DISABLED", "the account is disabled"),
            Self::AccountKeyExists => (
                "ACCOUNT_KEY_EXISTS",
                "the account has its key already, and it is permanent",
            ),
            Self::PolicyFixed => (
                "POLICY_FIXED",
                "principal_rule is fixed once the account has a token",
            ),
            Self::SystemAccount => (
                "SYSTEM_ACCOUNT",
                "the built-in system account cannot be changed in this way",
            ),
            Self::RoleInUse => ("ROLE_IN_USE", "the role is given to a principal"),
            Self::NoPendingSecret => ("NO_PENDING_SECRET", "no rekey is waiting for its first use"),
            Self::NoRetiringSecret => ("NO_RETIRING_SECRET", "no old secret is in its grace"),
            Self::RekeyPending => (
                "REKEY_PENDING",
                "the new secret has not been used yet, so no grace has begun",
            ),
            Self::TooManyRetiringSecrets => (
                "TOO_MANY_RETIRING_SECRETS",
                "three old secrets are in their grace: complete that rekey first, or rekey with a grace of 0",
            ),
            Self::ReplayGone => (
                "REPLAY_GONE",
                "the token has been rekeyed, deactivated or deleted since this request was first answered",
            ),
        }
    }
}
