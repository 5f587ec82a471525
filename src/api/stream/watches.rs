//! How many watches are open: of each operator, and in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tonic::Status;

use super::super::status;
use crate::domain::id::TokenId;

/// Watches that one operator may have open.
const OF_OPERATOR: usize = 256;
/// Watches that may be open in all.
const IN_ALL: usize = 1_024;

/// Counts the open watches.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct Watches(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    in_all: usize,
    of_operator: HashMap<TokenId, usize>,
}

/// An open watch; counted until dropped.
#[derive(Debug)]
pub(super) struct Watch {
    watches: Watches,
    operator: TokenId,
}

impl Watches {
    /// Counts one more, where there is room.
    pub(super) fn open(&self, operator: TokenId) -> Result<Watch, Status> {
        let mut open = self.lock();
        if open.in_all >= IN_ALL {
            return Err(status::no_room_for_watches(IN_ALL));
        }
        let own = open.of_operator.entry(operator).or_default();
        if *own >= OF_OPERATOR {
            return Err(status::too_many_watches(OF_OPERATOR));
        }
        *own += 1;
        open.in_all += 1;
        drop(open);
        Ok(Watch {
            watches: self.clone(),
            operator,
        })
    }

    /// A panic elsewhere cannot leave the counts half changed.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut open = self.watches.lock();
        open.in_all -= 1;
        if let Some(own) = open.of_operator.get_mut(&self.operator) {
            *own -= 1;
            if *own == 0 {
                open.of_operator.remove(&self.operator);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn operator(number: usize) -> TokenId {
        TokenId::parse(&format!("{number:022}")).unwrap()
    }

    #[test]
    fn an_operator_has_as_many_watches_as_it_may_and_leaves_room_for_others() {
        let watches = Watches::default();
        let mut open: Vec<Watch> = (0..OF_OPERATOR)
            .map(|_| watches.open(operator(1)).unwrap())
            .collect();
        let refused = watches.open(operator(1)).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(watches.open(operator(2)).is_ok());
        open.pop();
        assert!(watches.open(operator(1)).is_ok());
    }

    #[test]
    fn a_server_has_room_for_so_many_watches() {
        let watches = Watches::default();
        let open: Vec<Watch> = (0..IN_ALL)
            .map(|number| watches.open(operator(number)).unwrap())
            .collect();
        let refused = watches.open(operator(IN_ALL)).unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        drop(open);
        assert!(watches.lock().of_operator.is_empty());
        assert!(watches.open(operator(0)).is_ok());
    }
}
