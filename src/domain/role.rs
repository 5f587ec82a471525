//! Roles: named sets of grants, given to principals.

use super::grant::Grants;
use super::id::{AccountId, RoleId};
use super::time::Timestamp;

/// A role as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Role {
    pub id: RoleId,
    pub account: AccountId,
    pub display_name: String,
    /// Never under `keyward/`: those exist on tokens of `system` only.
    pub grants: Grants,
    pub create_time: Timestamp,
    pub generation: u64,
}

impl Role {
    #[must_use]
    pub fn etag(&self) -> String {
        super::etag(self.create_time, self.generation)
    }
}
