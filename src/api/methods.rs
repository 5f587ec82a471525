//! Which grant each method needs. A method without a row here is refused, and fails the tests.

/// A method and what its caller must hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Method {
    /// As it stands in a request's path.
    pub path: &'static str,
    pub resource: &'static str,
    pub action: &'static str,
}

impl Method {
    /// The row of a path.
    #[must_use]
    pub fn of(path: &str) -> Option<&'static Self> {
        METHODS.iter().find(|method| method.path == path)
    }

    /// The name without its service.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

macro_rules! methods {
    ($($service:literal { $($name:literal => $resource:literal $action:literal,)* })*) => {
        /// Every method of the contract; the hottest first.
        pub static METHODS: &[Method] = &[$($(Method {
            path: concat!("/keyward.v1.", $service, "/", $name),
            resource: concat!("keyward/", $resource),
            action: $action,
        },)*)*];
    };
}

methods! {
    "CredentialService" {
        "ValidateCredentials" => "credentials" "validate",
        "HoldConnection" => "credentials" "validate",
        "StreamValidateCredentials" => "credentials" "validate",
        "BatchValidateCredentials" => "credentials" "validate",
        "WatchInvalidations" => "credentials" "validate",
        "CreateToken" => "tokens" "write",
        "Rekey" => "tokens" "write",
        "CompleteRekey" => "tokens" "write",
        "CancelRekey" => "tokens" "write",
        "ImportToken" => "tokens" "write",
        "GetToken" => "tokens" "read",
        "ListTokens" => "tokens" "read",
        "UpdateToken" => "tokens" "write",
        "DeactivateToken" => "tokens" "write",
        "ReactivateToken" => "tokens" "write",
        "DeleteToken" => "tokens" "write",
    }
    "DirectoryService" {
        "CreateAccount" => "directory" "write",
        "GetAccount" => "directory" "read",
        "ListAccounts" => "directory" "read",
        "UpdateAccount" => "directory" "write",
        "CreateAccountKey" => "directory" "write",
        "CreatePrincipal" => "directory" "write",
        "GetPrincipal" => "directory" "read",
        "ListPrincipals" => "directory" "read",
        "UpdatePrincipal" => "directory" "write",
        "CreateRole" => "directory" "write",
        "GetRole" => "directory" "read",
        "ListRoles" => "directory" "read",
        "UpdateRole" => "directory" "write",
        "DeleteRole" => "directory" "write",
    }
    "EventService" {
        "ListEvents" => "events" "read",
        "VerifyEvents" => "events" "read",
        "WatchEvents" => "events" "read",
    }
    "UsageService" {
        "GetUsage" => "usage" "read",
        "ListConsumers" => "usage" "read",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_reflect::DescriptorPool;

    use super::*;
    use crate::domain::grant::{Grant, Permission};

    #[test]
    fn every_method_of_the_contract_has_a_grant_and_no_other_has() {
        let pool = DescriptorPool::decode(crate::api::proto::DESCRIPTORS).unwrap();
        let path = |method: prost_reflect::MethodDescriptor| {
            format!("/{}/{}", method.parent_service().full_name(), method.name())
        };
        let contract: BTreeSet<String> = pool
            .services()
            .flat_map(|service| service.methods().map(path).collect::<Vec<_>>())
            .collect();
        let table: BTreeSet<String> = METHODS
            .iter()
            .map(|method| method.path.to_owned())
            .collect();
        assert_eq!(table, contract);
        assert_eq!(METHODS.len(), table.len());
    }

    #[test]
    fn every_grant_can_be_given_and_gives_its_method() {
        for method in METHODS {
            let grant = Grant::parse(&format!("{}:{}", method.resource, method.action)).unwrap();
            assert!(
                grant.allows(&Permission::parse(method.resource, method.action).unwrap()),
                "{}",
                method.path
            );
        }
    }
}
