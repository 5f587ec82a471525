//! The first operator: the system account and a token with every `keyward/` grant, made on an empty store, or anew when an
//! operator is locked out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Call, DIRECTORY_PATIENCE, Error, Registry, notices};
use crate::domain::account::{Account, Policy};
use crate::domain::event::{Event, EventKind, Origin};
use crate::domain::grant::{Grant, Grants, OPERATOR_GRANTS};
use crate::domain::id::{AccountId, TokenId};
use crate::domain::operator::{Operator, Scope};
use crate::domain::secret::{Place, Secret, SecretText};
use crate::domain::text;
use crate::domain::token::{Access, Token};
use crate::random;
use crate::store::backend::Revision;
use crate::store::record::{Pointer, Tally};
use crate::store::{StoreError, View, key};

/// An operator's token that has yet to be committed, so that its text can be put into a safe place before.
#[derive(Debug)]
pub struct FirstOperator {
    token: Token,
    pub secret: SecretText,
}

impl Registry {
    /// Draws an operator's token with every `keyward/` grant for all accounts. It is good once it is committed.
    #[must_use]
    pub fn draw_operator(&self, name: &str) -> FirstOperator {
        let id = random::token_id(&*self.random);
        let secret = text::assemble(&self.environment, id, &random::secret(&*self.random));
        let key = self.keyring.current();
        let now = self.clock.settled();
        let first = Secret {
            version: 1,
            place: Place::Current,
            digest: key.secret_digest(id, secret.reveal()),
            key: key.id(),
            foreign: false,
            hint: secret.hint(),
            create_time: now,
        };
        let creator = Origin::keyward().actor;
        let token = Token {
            description: "every keyward/ grant, all accounts".into(),
            grants: every_operator_grant(),
            ..Token::new(id, AccountId::system(), name.to_owned(), creator, first)
        };
        FirstOperator { token, secret }
    }

    /// Commits an operator's token, and the system account where it is not there yet; this node knows it then. Blocks.
    pub fn admit_operator(&self, operator: &FirstOperator) -> Result<TokenId, Error> {
        let token = operator.token.clone();
        let id = token.id;
        let committed = self.store.update_blocking(move |view| {
            let system = AccountId::system();
            if view
                .get::<Account>(&key::account(system.as_str()))?
                .is_none()
            {
                make_system(view, &system)?;
            }
            let tally = key::tally(&system);
            let Tally(tokens) = view.get(&tally)?.unwrap_or_default();
            view.put(tally, &Tally(tokens + 1))?;
            view.put(key::token(token.id), &token)?;
            view.put(
                key::account_token(&system, token.id),
                &Pointer(token.id.to_string()),
            )?;
            view.log(event(EventKind::TokenCreated, &system, token.id.as_str()));
            Ok::<_, Error>(())
        });
        self.await_directory(committed?.revision)?;
        Ok(id)
    }

    /// Waits until this node's directory has a commit: whoever calls first must be known. Blocks.
    fn await_directory(&self, revision: Revision) -> Result<(), Error> {
        let begun = Instant::now();
        while self.directory.revision() < revision {
            if begun.elapsed() > DIRECTORY_PATIENCE {
                let why = "the operator is made, but this node has not seen it yet";
                return Err(StoreError::Away(why.into()).into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// A call that the service makes by itself, with every right.
    #[must_use]
    pub fn own_call(&self, token: TokenId) -> Call {
        let grants = every_operator_grant();
        Call {
            operator: Operator {
                token,
                grants,
                access: Access::Full,
                scope: Scope::Every,
            },
            origin: Origin::keyward(),
        }
    }
}

fn make_system(view: &mut View<'_>, system: &AccountId) -> Result<(), Error> {
    let account = Account {
        id: system.clone(),
        display_name: "Keyward's operators".into(),
        key: None,
        disabled: false,
        policy: Policy::standard(),
        create_time: view.now(),
        generation: 1,
    };
    view.put(key::account(system.as_str()), &account)?;
    notices::complete(view)?;
    view.log(event(EventKind::AccountCreated, system, system.as_str()));
    Ok(())
}

fn every_operator_grant() -> Grants {
    let grant = |(resource, _): &(&str, _)| {
        Grant::parse(resource).expect("a resource alone is a grant of every action")
    };
    Grants::new(OPERATOR_GRANTS.iter().map(grant))
}

fn event(kind: EventKind, account: &AccountId, subject: &str) -> Event {
    Event {
        kind,
        account: account.clone(),
        subject: subject.to_owned(),
        origin: Origin::keyward(),
        details: BTreeMap::new(),
    }
}
