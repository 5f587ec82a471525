//! Principals: somebody or something that acts in an account. An API user is one that tokens may be issued for.

use super::id::{AccountId, PrincipalId, RoleId};
use super::refusal::Refusal;
use super::time::Timestamp;

/// A principal as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    pub id: PrincipalId,
    pub account: AccountId,
    pub display_name: String,
    pub email: String,
    pub state: PrincipalState,
    /// It cannot log in interactively, bypasses SSO, and its password does not expire: all three follow from this.
    pub api_user: bool,
    pub roles: Vec<RoleId>,
    pub create_time: Timestamp,
    pub generation: u64,
}

/// Only an active principal is made an API user, and only an active API user's tokens are good where the policy enforces it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrincipalState {
    Unverified,
    Active,
    Disabled,
}

impl Principal {
    /// May a token be issued for it, and may its tokens be used?
    #[must_use]
    pub fn is_active_api_user(&self) -> bool {
        self.api_user && self.state == PrincipalState::Active
    }

    /// Makes it an API user, or no longer one. Only an active principal can be made one.
    pub fn set_api_user(&mut self, api_user: bool) -> Result<(), Refusal> {
        if api_user && !self.api_user && self.state != PrincipalState::Active {
            return Err(Refusal::PrincipalNotActive);
        }
        self.api_user = api_user;
        Ok(())
    }

    #[must_use]
    pub fn etag(&self) -> String {
        super::etag(self.create_time, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(state: PrincipalState, api_user: bool) -> Principal {
        Principal {
            id: PrincipalId::parse("p").unwrap(),
            account: AccountId::parse("acme").unwrap(),
            display_name: String::new(),
            email: String::new(),
            state,
            api_user,
            roles: Vec::new(),
            create_time: Timestamp::default(),
            generation: 1,
        }
    }

    #[test]
    fn only_an_active_principal_can_be_made_an_api_user() {
        use PrincipalState::{Active, Disabled, Unverified};
        for (state, was, expected) in [
            (Active, false, Ok(())),
            (Unverified, false, Err(Refusal::PrincipalNotActive)),
            (Disabled, false, Err(Refusal::PrincipalNotActive)),
            (Disabled, true, Ok(())),
        ] {
            assert_eq!(
                principal(state, was).set_api_user(true),
                expected,
                "{state:?}"
            );
        }
        assert_eq!(principal(Disabled, true).set_api_user(false), Ok(()));
    }

    #[test]
    fn tokens_are_issued_only_for_active_api_users() {
        assert!(principal(PrincipalState::Active, true).is_active_api_user());
        assert!(!principal(PrincipalState::Active, false).is_active_api_user());
        assert!(!principal(PrincipalState::Disabled, true).is_active_api_user());
        assert!(!principal(PrincipalState::Unverified, true).is_active_api_user());
    }
}
