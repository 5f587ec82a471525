//! Records for the tests: one of each kind by hand. At random they come from `any`.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::account::{Account, Policy, PrincipalRule};
use crate::domain::grant::{Grant, Grants};
use crate::domain::id::{AccountId, AccountKey, PrincipalId, RoleId, TokenId};
use crate::domain::network::Network;
use crate::domain::notice::Told;
use crate::domain::principal::{Principal, PrincipalState};
use crate::domain::rate::RateLimit;
use crate::domain::role::Role;
use crate::domain::secret::{Digest, KeyId, Place, Secret};
use crate::domain::time::Timestamp;
use crate::domain::token::{Access, Token};
use crate::store::backend::Revision;
use crate::store::record::log::ChainEnd;
use crate::store::record::{
    Change, Checkpoint, Head, Holder, ImageFooter, KeyCheck, Link, LoggedEvent, Node, Replay, Slots,
};
use crate::store::seal::Sum;

pub(super) const TIME: Timestamp = Timestamp::from_millis(1_800_000_000_123);

pub(super) fn standard_account() -> Account {
    Account {
        id: account_id("acme"),
        display_name: String::new(),
        key: None,
        disabled: false,
        policy: Policy::standard(),
        create_time: TIME,
        generation: 1,
    }
}

pub(super) fn full_account() -> Account {
    Account {
        id: account_id("acme-2"),
        display_name: "Acme, Ünited".into(),
        key: AccountKey::parse("0123456789ABCDEFGHIJKLMNOPQRSTUV").ok(),
        disabled: true,
        policy: Policy {
            max_tokens: Some(100),
            daily_calls: Some(2_500),
            max_connections_per_token: Some(3),
            rekey_grace: Duration::from_millis(14_400_001),
            principal_rule: PrincipalRule::Enforced,
            require_account_key: true,
            require_expiry: true,
            max_lifetime: Some(Duration::from_secs(86_400)),
            freeze_tokens: true,
            notify_before_expiry: vec![Duration::from_secs(604_800), Duration::from_secs(86_400)],
        },
        create_time: TIME,
        generation: 9,
    }
}

pub(super) fn principal() -> Principal {
    Principal {
        id: PrincipalId::parse("Jane.Doe_1").unwrap(),
        account: account_id("acme"),
        display_name: "Jane Doe".into(),
        email: "jane@example.com".into(),
        state: PrincipalState::Active,
        api_user: true,
        roles: vec![
            RoleId::parse("reader").unwrap(),
            RoleId::parse("writer").unwrap(),
        ],
        create_time: TIME,
        generation: 3,
    }
}

pub(super) fn bare_principal() -> Principal {
    Principal {
        display_name: String::new(),
        email: String::new(),
        state: PrincipalState::Unverified,
        api_user: false,
        roles: Vec::new(),
        generation: 1,
        ..principal()
    }
}

pub(super) fn role() -> Role {
    Role {
        id: RoleId::parse("reader").unwrap(),
        account: account_id("acme"),
        display_name: "Reader".into(),
        grants: grants(&["tables/*:read", "dispatch", "*:read"]),
        create_time: TIME,
        generation: 2,
    }
}

/// Every field that the first tokens had, and a secret in every place.
pub(super) fn token() -> Token {
    let later = TIME.after(Duration::from_secs(3_600));
    Token {
        id: TokenId::parse("0123456789ABCDEFGHIJKL").unwrap(),
        account: account_id("acme"),
        name: "integration ü".into(),
        description: "for the warehouse".into(),
        principal: PrincipalId::parse("api").ok(),
        access: Access::ReadOnly,
        grants: grants(&["tables/orders:read,write", "dispatch"]),
        networks: vec![
            Network::parse("10.0.0.0/8").unwrap(),
            Network::parse("2001:db8::1").unwrap(),
        ],
        rate_limit: None,
        max_connections: None,
        inactive: true,
        deactivations: 2,
        expire_time: Some(later),
        create_time: TIME,
        created_by: "ABCDEFGHIJKLMNOPQRSTUV".into(),
        update_time: later,
        rekey_time: Some(TIME),
        secrets: vec![
            secret(1, Place::Old { good_until: later }),
            secret(2, Place::Current),
            secret(
                4,
                Place::Pending {
                    grace: Duration::from_millis(1_500),
                },
            ),
        ],
        last_version: 4,
        labels: [
            ("team".into(), "red".into()),
            ("tier".into(), String::new()),
        ]
        .into(),
        generation: 12,
        scope: None,
        imported: false,
        foreign_id: None,
    }
}

pub(super) fn limited_token() -> Token {
    Token {
        rate_limit: RateLimit::new(100, Duration::from_millis(1_500), 20).ok(),
        max_connections: NonZeroU32::new(3),
        ..token()
    }
}

pub(super) fn bare_token() -> Token {
    Token {
        name: "n".into(),
        description: String::new(),
        principal: None,
        access: Access::Full,
        grants: Grants::default(),
        networks: Vec::new(),
        inactive: false,
        deactivations: 0,
        expire_time: None,
        rekey_time: None,
        secrets: vec![secret(1, Place::Current)],
        last_version: 1,
        labels: [].into(),
        generation: 1,
        ..token()
    }
}

pub(super) fn imported_token() -> Token {
    Token {
        secrets: vec![Secret {
            foreign: true,
            ..secret(1, Place::Current)
        }],
        imported: true,
        foreign_id: Some("legacy".into()),
        ..bare_token()
    }
}

pub(super) fn operator_token() -> Token {
    Token {
        account: AccountId::system(),
        grants: grants(&["keyward/tokens:read,write", "keyward/credentials"]),
        scope: Some(account_id("acme")),
        ..bare_token()
    }
}

pub(super) fn told() -> Told {
    Told {
        expire_time: TIME,
        until: Some(TIME.before(Duration::from_secs(86_400))),
        next: Some(TIME.before(Duration::from_millis(1))),
    }
}

pub(super) fn slots() -> Slots {
    let holder = |node: &str, count| Holder {
        node: node.into(),
        life: 7,
        count,
    };
    Slots(vec![holder("one", 3), holder("two", 1)])
}

pub(super) fn node() -> Node {
    Node {
        life: 7,
        alive_until: Some(TIME),
    }
}

pub(super) fn event() -> LoggedEvent {
    LoggedEvent {
        sequence: (7 << 16) + 1,
        time: TIME,
        kind: 8,
        account: account_id("acme"),
        subject: "0123456789ABCDEFGHIJKL".into(),
        actor: "ABCDEFGHIJKLMNOPQRSTUV".into(),
        address: "192.0.2.1".into(),
        call_id: "call".into(),
        details: [("why".into(), "leaked".into())].into(),
        chain: [3; 32],
        chain_id: "chain".into(),
        chain_index: 5,
        key: KeyId(2),
    }
}

pub(super) fn checkpoint() -> Checkpoint {
    Checkpoint {
        chain_id: "chain-1".into(),
        chain_index: 41,
        chain: [3; 32],
        sequence: 65_536 * 9 + 2,
    }
}

pub(super) fn replay() -> Replay {
    Replay {
        create_time: TIME,
        payload_hash: [4; 32],
        subject: vec![1, 2, 3],
        sealed_secret: vec![9; 60],
        key: KeyId(2),
    }
}

pub(super) fn head() -> Head {
    let check = |id| KeyCheck {
        key: KeyId(id),
        check: [6; 32],
    };
    Head {
        format: 1,
        revision: Revision(7),
        rows: 12,
        sum: Sum([5; 32]),
        floor: TIME,
        chain: ChainEnd {
            id: "chain".into(),
            length: 5,
            value: [3; 32],
        },
        change: Link::default(),
        keys: vec![check(2), check(1)],
    }
}

pub(super) fn head_after_a_change() -> Head {
    Head {
        change: link(),
        ..head()
    }
}

pub(super) fn change() -> Change {
    let rows = [
        ("token/0123456789ABCDEFGHIJKL", Some(Sum([2; 32]))),
        ("role/acme/reader", None),
    ];
    Change {
        previous: link(),
        rows: rows.map(|(name, mac)| (name.as_bytes().into(), mac)).into(),
    }
}

pub(super) fn image_footer() -> ImageFooter {
    ImageFooter {
        form: 1,
        blocks: 12,
        leading: 2,
        from: link(),
        to: Link {
            sequence: 8 << 16,
            mac: Sum([1; 32]),
        },
        revision: Revision(7),
        rows: 12,
        sum: Sum([5; 32]),
    }
}

fn link() -> Link {
    Link {
        sequence: 7 << 16,
        mac: Sum([9; 32]),
    }
}

fn secret(version: u32, place: Place) -> Secret {
    Secret {
        version,
        place,
        digest: Digest::new([u8::try_from(version).unwrap(); 32]),
        key: KeyId(1),
        foreign: false,
        hint: "MGsp".into(),
        create_time: TIME,
    }
}

pub(super) fn account_id(id: &str) -> AccountId {
    AccountId::parse(id).unwrap()
}

fn grants(texts: &[&str]) -> Grants {
    Grants::new(texts.iter().map(|text| Grant::parse(text).unwrap()))
}
