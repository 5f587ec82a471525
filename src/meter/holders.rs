//! Who holds a connection at this moment: a secret is in use for as long as a connection that it opened is held.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::grant::Grants;
use crate::domain::id::{AccountId, TokenId};
use crate::meter::usage::Whose;

/// All holders of this node, by token, version of the secret and consumer (empty: nobody gave a name).
#[derive(Debug, Default)]
pub struct Holders(Mutex<BTreeMap<Place, Connections>>);

type Place = (TokenId, u32, Box<str>);

#[derive(Debug)]
struct Connections {
    account: AccountId,
    grants: Grants,
    count: usize,
}

/// A holder of one connection, until it is dropped.
#[derive(Debug)]
pub struct Holder {
    holders: Arc<Holders>,
    place: Place,
}

/// Who holds connections of a token.
#[derive(Clone, Debug)]
pub struct Held {
    pub id: TokenId,
    pub account: AccountId,
    pub grants: Grants,
    pub version: u32,
    pub consumer: Box<str>,
}

impl Held {
    #[must_use]
    pub fn whose(&self) -> Whose<'_> {
        Whose {
            id: self.id,
            account: &self.account,
            grants: &self.grants,
        }
    }
}

impl Holders {
    /// One connection more.
    pub fn hold(self: &Arc<Self>, whose: Whose<'_>, version: u32, consumer: &str) -> Holder {
        let place = (whose.id, version, consumer.into());
        let mut places = self.lock();
        let connections = places.entry(place.clone()).or_insert_with(|| Connections {
            account: whose.account.clone(),
            grants: whose.grants.clone(),
            count: 0,
        });
        connections.count += 1;
        drop(places);
        Holder {
            holders: Arc::clone(self),
            place,
        }
    }

    /// Whoever holds connections of a token.
    #[must_use]
    pub fn of(&self, id: TokenId) -> Vec<Held> {
        let places = self.lock();
        let own = places
            .range((id, 0, Box::default())..)
            .take_while(|((token, ..), _)| *token == id);
        own.map(|((_, version, consumer), connections)| Held {
            id,
            account: connections.account.clone(),
            grants: connections.grants.clone(),
            version: *version,
            consumer: consumer.clone(),
        })
        .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Connections>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let mut places = self.holders.lock();
        if let Some(connections) = places.get_mut(&self.place) {
            connections.count -= 1;
            if connections.count == 0 {
                places.remove(&self.place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::token::Token;
    use crate::meter::usage::tests::{token, whose};

    #[test]
    fn who_holds_two_connections_holds_one_after_the_first_has_ended() {
        let holders = Arc::new(Holders::default());
        let (own, other) = (token("a", &[]), token("b", &[]));
        let names = |token: &Token| -> Vec<(u32, Box<str>)> {
            let held = holders.of(token.id).into_iter();
            held.map(|held| (held.version, held.consumer)).collect()
        };
        let first = holders.hold(whose(&own), 2, "billing");
        let second = holders.hold(whose(&own), 2, "billing");
        let _others = (
            holders.hold(whose(&own), 1, ""),
            holders.hold(whose(&other), 1, "crm"),
        );
        let both = [(1, "".into()), (2, "billing".into())];
        assert_eq!(
            (names(&own), names(&other)),
            (both.to_vec(), vec![(1, "crm".into())])
        );
        drop(first);
        assert_eq!(names(&own), both);
        drop(second);
        assert_eq!(names(&own), both[..1]);
    }
}
