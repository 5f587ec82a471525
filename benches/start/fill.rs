//! A store as a server leaves it: an account with its API user, and tokens made one by one, many side by side so that they are
//! committed together.

use keyward::domain::account::{Policy, PrincipalRule};
use keyward::domain::grant::{Grant, Grants};
use keyward::domain::id::{AccountId, PrincipalId, RoleId};
use keyward::domain::network::Network;
use keyward::domain::principal::PrincipalState;
use keyward::domain::token::Access;
use keyward::registry::accounts::NewAccount;
use keyward::registry::principals::NewPrincipal;
use keyward::registry::roles::NewRole;
use keyward::registry::tokens::NewToken;
use keyward::registry::{Call, Error, Registry};
use keyward::server::node::Node;
use tokio::task::JoinSet;

const ACCOUNT: &str = "bench";
/// Tokens that are asked for at once.
const AT_ONCE: usize = 2_048;

pub(crate) async fn fill(node: &Node, credentials: usize) {
    let registry = &node.desk.registry;
    let call = registry.own_call(node.first_operator.as_ref().unwrap().token);
    account(registry, &call).await;
    tokens(registry, &call, credentials).await;
}

/// Tokens more, in the account that is there.
pub(crate) async fn more(registry: &Registry, credentials: usize) {
    let nobody = keyward::random::token_id(&*registry.random);
    tokens(registry, &registry.own_call(nobody), credentials).await;
}

async fn tokens(registry: &Registry, call: &Call, credentials: usize) {
    let mut making: JoinSet<Result<(), Error>> = JoinSet::new();
    for number in 0..credentials {
        if making.len() == AT_ONCE {
            making.join_next().await.unwrap().unwrap().unwrap();
        }
        let (registry, call) = (registry.clone(), call.clone());
        making.spawn(async move {
            let made = registry.create_token(&call, token(number), None).await;
            made.map(drop)
        });
    }
    for made in making.join_all().await {
        made.unwrap();
    }
}

async fn account(registry: &Registry, call: &Call) {
    let account = NewAccount {
        id: Some(AccountId::parse(ACCOUNT).unwrap()),
        display_name: String::new(),
        policy: Policy {
            principal_rule: PrincipalRule::Enforced,
            ..Policy::standard()
        },
    };
    registry.create_account(call, account, None).await.unwrap();
    let role = NewRole {
        id: Some(RoleId::parse("reader").unwrap()),
        display_name: String::new(),
        grants: grants("tables/*:read,write"),
    };
    let role = registry.create_role(call, ACCOUNT, role, None).await;
    let principal = NewPrincipal {
        id: Some(PrincipalId::parse("api").unwrap()),
        display_name: "an API user".into(),
        email: String::new(),
        state: PrincipalState::Active,
        api_user: true,
        roles: vec![role.unwrap().id],
    };
    let made = registry.create_principal(call, ACCOUNT, principal, None);
    made.await.unwrap();
}

fn token(number: usize) -> NewToken {
    NewToken {
        account: ACCOUNT.into(),
        name: format!("credential {number}"),
        description: String::new(),
        principal: Some(PrincipalId::parse("api").unwrap()),
        access: Access::Full,
        grants: grants("tables/*:read"),
        networks: vec![Network::parse("10.0.0.0/8").unwrap()],
        rate_limit: None,
        max_connections: None,
        expiry: None,
        labels: std::collections::BTreeMap::new(),
        scope: String::new(),
    }
}

fn grants(text: &str) -> Grants {
    Grants::new([Grant::parse(text).unwrap()])
}
