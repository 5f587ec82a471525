//! Tests: rows that come one after the other.

use super::*;
use crate::store::{Changed, key};

#[tokio::test]
async fn a_token_whose_account_has_not_come_yet_is_unknown() {
    let world = World::with_accounts(["acme"]).await;
    let issued = world.token("acme").await;
    let directory = Arc::new(Directory::default());
    let usage = Arc::new(Usage::new(Arc::clone(&directory), 0));
    let validator = Validator::new(
        Arc::clone(&directory),
        world.registry.keyring.clone(),
        world.registry.environment.clone(),
        world.clock.clone(),
        world.marks.clone(),
        usage,
    );
    let rows = world.backend.rows();
    let come = |family: &[u8]| {
        let of_family = rows.iter().filter(|(name, _)| name.starts_with(family));
        for (name, row) in of_family {
            let payload = crate::store::seal::open(&world.registry.keyring, name, row).unwrap();
            let row = (name.clone(), Some(payload.payload.to_vec()));
            let (revision, rows) = (Revision(1), vec![row]);
            directory.apply(&Changed { revision, rows }).unwrap();
        }
        let asked = ask(Presented::Text(issued.secret.reveal()));
        let answer = validator.validate(&asked, &mut Unmetered).unwrap();
        (answer.verdict.reason, answer.identity().is_some())
    };
    assert_eq!(come(key::TOKENS), (UNKNOWN, false));
    assert_eq!(come(key::ACCOUNTS), (None, true));
}
