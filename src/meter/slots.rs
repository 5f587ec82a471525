//! Slots: the concurrent connections of tokens that have a limit of them.
//!
//! A slot is handed out only where the store says that this node has it, so whatever races or crashes, no token holds one too
//! many. One that is given back is free here at once; the store hears of it later, in the background, so that connections that
//! come and go cost no commit each.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::domain::id::TokenId;

/// All slots that this node holds, has, and wants.
#[derive(Debug, Default)]
pub struct Slots {
    state: Mutex<State>,
    stirred: Notify,
}

/// One connection of a token; free again when it is dropped.
#[derive(Debug)]
pub struct Slot {
    /// `None`: it never was one.
    slots: Option<Arc<Slots>>,
    token: TokenId,
}

/// What comes of asking for a slot.
#[derive(Debug)]
pub enum Taken {
    Slot(Slot),
    /// All are held.
    Refused,
    /// Only the store knows; it has been asked.
    Wait(Ticket),
}

/// A place in the queue for the store's answer.
#[derive(Debug)]
pub struct Ticket(oneshot::Receiver<Handed>);

/// A slot, or none: all are held.
type Handed = Option<Slot>;

/// The store could not be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failed;

/// What the store is to say that this node has of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    pub token: TokenId,
    /// Held here: there may be fewer by now, and no more.
    pub held: u32,
    /// Held, and waited for.
    pub wanted: u32,
}

/// What the store says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// Slots that this node has.
    pub slots: u32,
    /// Slots that other nodes have.
    pub others: u32,
    /// The limit that it was granted under, as the store knew it; `None`: there is none.
    pub limit: Option<u32>,
}

#[derive(Debug, Default)]
struct State {
    ledgers: HashMap<TokenId, Ledger>,
    /// Tokens of which somebody waits for a slot, and the store has not been asked.
    wanted: HashSet<TokenId>,
    /// Tokens of which the store may say that this node has more than it holds.
    surplus: HashSet<TokenId>,
    closed: bool,
}

/// One token's slots on this node.
#[derive(Debug, Default)]
struct Ledger {
    /// Connections, whether or not there was a limit when they began.
    held: u32,
    /// Slots that may be handed out, those that are included.
    leased: u32,
    /// The most that the store may say that this node has.
    row: u32,
    /// Of other nodes, as of the last answer.
    others: u32,
    /// The limit that they were leased under.
    limit: u32,
    waiting: VecDeque<Waiter>,
    /// Those who wait for the answer that is on its way; at most one is.
    asked: Option<VecDeque<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    /// The token's limit when it came.
    limit: u32,
    tell: oneshot::Sender<Handed>,
}

impl Lease {
    /// Of a token that is not there any more.
    pub const NONE: Self = Self {
        slots: 0,
        others: 0,
        limit: Some(0),
    };
}

impl Ticket {
    /// Waits for a slot; `None` where all are held. Not to be asked again once it is answered.
    pub async fn answered(&mut self) -> Result<Option<Slot>, Failed> {
        (&mut self.0).await.map_err(|_| Failed)
    }
}

impl Slots {
    /// Takes a slot of a token with this limit. A lower limit than before cuts nobody.
    pub fn take(self: &Arc<Self>, token: TokenId, limit: Option<u32>) -> Taken {
        let mut state = self.lock();
        let ledger = state.ledgers.entry(token).or_default();
        let Some(limit) = limit else {
            ledger.held += 1;
            return Taken::Slot(self.slot(token));
        };
        if ledger.held >= limit {
            state.tidy(token);
            return Taken::Refused;
        }
        if limit < ledger.limit {
            ledger.leased = ledger.leased.min(ledger.held);
        }
        if ledger.held < ledger.leased {
            ledger.held += 1;
            return Taken::Slot(self.slot(token));
        }
        // Who came first gave up first: while the store is silent, only those wait who still do.
        while ledger
            .waiting
            .pop_front_if(|waiter| waiter.tell.is_closed())
            .is_some()
        {}
        let (tell, ticket) = oneshot::channel();
        ledger.waiting.push_back(Waiter { limit, tell });
        if ledger.asked.is_none() && state.wanted.insert(token) {
            self.stirred.notify_one();
        }
        Taken::Wait(Ticket(ticket))
    }

    /// Connections of a token that are held, as far as this node knows.
    #[must_use]
    pub fn held(&self, token: TokenId) -> u32 {
        let state = self.lock();
        let ledger = state.ledgers.get(&token);
        ledger.map_or(0, |ledger| ledger.held.saturating_add(ledger.others))
    }

    /// Waits until slots are wanted, and takes the requests; `None` at the end.
    pub async fn wanted(&self) -> Option<Vec<Request>> {
        loop {
            {
                let mut state = self.lock();
                if !state.wanted.is_empty() {
                    return Some(state.requests());
                }
                if state.closed {
                    return None;
                }
            }
            self.stirred.notified().await;
        }
    }

    /// The store's answer to a request; `None` where it could not be asked, or did not say what came of it.
    pub fn settle(self: &Arc<Self>, request: &Request, lease: Option<Lease>) {
        let mut state = self.lock();
        let token = request.token;
        let Some(ledger) = state.ledgers.get_mut(&token) else {
            return;
        };
        if let Some(lease) = lease {
            (ledger.leased, ledger.row) = (lease.slots, lease.slots);
            ledger.others = lease.others;
            ledger.limit = lease.limit.unwrap_or(u32::MAX);
            ledger.hand_out(|| self.slot(token));
            let (all_held, held) = (lease.slots < request.wanted, ledger.held);
            let (refused, mut left): (VecDeque<Waiter>, VecDeque<Waiter>) = ledger
                .asked
                .take()
                .unwrap_or_default()
                .into_iter()
                .partition(|waiter| all_held || waiter.limit <= held);
            for waiter in refused {
                drop(waiter.tell.send(None));
            }
            left.append(&mut ledger.waiting);
            ledger.waiting = left;
        } else {
            ledger.row = ledger.row.max(request.wanted);
            ledger.asked = None;
        }
        if !ledger.waiting.is_empty() && state.wanted.insert(token) {
            self.stirred.notify_one();
        }
        state.tidy(token);
    }

    /// Whether the store may say that this node has slots that it does not hold.
    #[must_use]
    pub fn has_surplus(&self) -> bool {
        let state = self.lock();
        let mut ledgers = state.ledgers.values();
        ledgers.any(|ledger| ledger.row > ledger.held)
    }

    /// Of how many tokens.
    #[cfg(test)]
    pub(crate) fn surplus_of(&self) -> usize {
        self.lock().surplus.len()
    }

    /// What of that is to be said to the store, for so many tokens at the most. They are not handed out any more.
    #[must_use]
    pub fn surplus(&self, most: usize) -> Vec<Request> {
        let mut state = self.lock();
        let tokens: Vec<TokenId> = state.surplus.iter().take(most).copied().collect();
        let mut requests = Vec::new();
        for token in tokens {
            state.surplus.remove(&token);
            if let Some(ledger) = state.ledgers.get_mut(&token)
                && ledger.asked.is_none()
                && ledger.waiting.is_empty()
            {
                ledger.leased = ledger.leased.min(ledger.held);
                ledger.asked = Some(VecDeque::new());
                requests.push(Request {
                    token,
                    held: ledger.held,
                    wanted: ledger.held,
                });
            }
        }
        requests
    }

    /// Whether this node has any slot.
    #[must_use]
    pub fn has_any(&self) -> bool {
        self.lock().ledgers.values().any(|ledger| ledger.row > 0)
    }

    /// No connections come any more: once the requests that wait are answered, `wanted` ends.
    pub fn close(&self) {
        self.lock().closed = true;
        self.stirred.notify_one();
    }

    fn slot(self: &Arc<Self>, token: TokenId) -> Slot {
        Slot {
            slots: Some(Arc::clone(self)),
            token,
        }
    }

    fn release(self: &Arc<Self>, token: TokenId) {
        let mut state = self.lock();
        let Some(ledger) = state.ledgers.get_mut(&token) else {
            return;
        };
        ledger.held -= 1;
        ledger.hand_out(|| self.slot(token));
        state.tidy(token);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = self.slots.take() {
            slots.release(self.token);
        }
    }
}

impl State {
    fn requests(&mut self) -> Vec<Request> {
        let tokens = std::mem::take(&mut self.wanted);
        let mut requests = Vec::with_capacity(tokens.len());
        for token in tokens {
            let Some(ledger) = self.ledgers.get_mut(&token) else {
                continue;
            };
            // Whoever waits behind an answer is asked for when that has come.
            if ledger.asked.is_some() {
                continue;
            }
            ledger.waiting.retain(|waiter| !waiter.tell.is_closed());
            let waiting = std::mem::take(&mut ledger.waiting);
            if waiting.is_empty() {
                self.tidy(token);
                continue;
            }
            let count = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
            ledger.asked = Some(waiting);
            requests.push(Request {
                token,
                held: ledger.held,
                wanted: ledger.held.saturating_add(count),
            });
        }
        requests
    }

    /// Forgets a token of which nothing is held, had or wanted; remembers one of which the store may say too much.
    fn tidy(&mut self, token: TokenId) {
        let Some(ledger) = self.ledgers.get(&token) else {
            return;
        };
        let idle = ledger.asked.is_none() && ledger.waiting.is_empty();
        if idle && ledger.row > ledger.held {
            self.surplus.insert(token);
        } else if idle && ledger.held == 0 {
            self.ledgers.remove(&token);
            self.surplus.remove(&token);
        }
    }
}

impl Ledger {
    /// Gives the slots that may be handed out to those who wait longest. Nobody else is asked for them: the store may be away.
    fn hand_out(&mut self, slot: impl Fn() -> Slot) {
        for queue in self.asked.iter_mut().chain([&mut self.waiting]) {
            while self.held < self.leased
                && let Some(waiter) = queue.pop_front_if(|waiter| self.held < waiter.limit)
            {
                match waiter.tell.send(Some(slot())) {
                    Ok(()) => self.held += 1,
                    // It is gone, and what it was to be given never was handed out.
                    Err(unclaimed) => unclaimed.into_iter().for_each(Slot::forget),
                }
            }
        }
    }
}

impl Slot {
    /// Drops it without giving anything back.
    fn forget(mut self) {
        self.slots = None;
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
