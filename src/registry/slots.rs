//! Slots of connections: taken from the store before they are handed out, and given back to it in the background.
//!
//! A token's row says which node holds how many. It names the node's life as well, a number that rises when a node that was started
//! wants its first slot: what a life before held is free from then on, without anybody having to sweep it. Where several nodes share a store, a node says
//! in a row of its own until when it is alive, and renews that for as long as it has slots; what a node held that is not
//! alive is free, so such a node must let go of its connections when it cannot renew.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Error, Registry};
use crate::domain::account::Account;
use crate::domain::id::TokenId;
use crate::domain::token::Token;
use crate::meter::slots::{Lease, Request, Slots};
use crate::store::record::{self, Holder, Node};
use crate::store::{View, key};

/// Requests that are asked side by side, so that the committer makes them durable together.
const AT_ONCE: usize = 256;
/// How often slots that are not held any more are given back.
const RETURN_EVERY: Duration = Duration::from_secs(1);
/// Tokens of which one commit gives slots back, at the most.
const RETURNED: usize = 500;

/// A node as the store knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Presence {
    pub name: String,
    /// How long its slots count after it was last heard of; `None` where nobody else may write to the store, and so nobody
    /// else could take them.
    pub lasting: Option<Duration>,
}

/// One life of a node.
#[derive(Clone, Debug)]
struct Life {
    name: Arc<str>,
    number: u64,
    lasting: Option<Duration>,
}

impl Presence {
    /// The one node of a store that takes a single writer.
    #[must_use]
    pub fn alone() -> Self {
        Self {
            name: "alone".into(),
            lasting: None,
        }
    }
}

impl Registry {
    /// Fetches slots as they are wanted and gives back what is not held, until the slots are closed; then all of them.
    pub async fn keep_slots(&self, slots: &Arc<Slots>, presence: &Presence) {
        let mut life = None;
        let mut tick = tokio::time::interval(RETURN_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                wanted = slots.wanted() => {
                    let Some(wanted) = wanted else { break };
                    if life.is_none() {
                        life = self.begin_life(presence).await;
                    }
                    self.fetch_slots(slots, life.as_ref(), wanted).await;
                }
                _ = tick.tick() => {
                    if let Some(life) = &life {
                        if self.return_slots(slots, life).await {
                            // One step at a time: whoever wants a slot comes between.
                            tick.reset_immediately();
                        }
                        self.stay_alive(slots, life).await;
                    }
                }
            }
        }
        if let Some(life) = &life {
            while self.return_slots(slots, life).await {}
        }
    }

    /// A life that no other is equal to. What the node held in an earlier one is free from now on.
    async fn begin_life(&self, presence: &Presence) -> Option<Life> {
        let (name, lasting) = (presence.name.clone(), presence.lasting);
        let begun = self.store.update(move |view: &mut View<'_>| {
            let name = key::node(&name);
            let before: Node = view.get(&name)?.unwrap_or_default();
            let node = Node {
                life: before.life + 1,
                alive_until: lasting.map(|lasting| view.now().after(lasting)),
            };
            view.put(name, &node)?;
            Ok::<_, Error>(node.life)
        });
        match begun.await {
            Ok(begun) => Some(Life {
                name: presence.name.as_str().into(),
                number: begun.value,
                lasting,
            }),
            Err(error) => {
                tracing::debug!(%error, "no slots can be leased");
                None
            }
        }
    }

    async fn fetch_slots(&self, slots: &Arc<Slots>, life: Option<&Life>, wanted: Vec<Request>) {
        let Some(life) = life else {
            return wanted
                .iter()
                .for_each(|request| slots.settle(request, None));
        };
        for requests in wanted.chunks(AT_ONCE) {
            let mut asked = JoinSet::new();
            for request in requests.iter().copied() {
                let (registry, life) = (self.clone(), life.clone());
                asked.spawn(async move {
                    let change = move |view: &mut View<'_>| lease(view, &life, &request);
                    (request, registry.store.update(change).await)
                });
            }
            while let Some(Ok((request, leased))) = asked.join_next().await {
                if let Err(error) = &leased {
                    tracing::debug!(token = %request.token, %error, "no slots could be leased");
                }
                slots.settle(&request, leased.ok().map(|leased| leased.value));
            }
        }
    }

    /// One step: tells the store of slots that are not held any more. Whether to go on: what it cannot be told it is told the
    /// next time.
    async fn return_slots(&self, slots: &Arc<Slots>, life: &Life) -> bool {
        let requests = slots.surplus(RETURNED);
        if requests.is_empty() {
            return false;
        }
        let (life, returned) = (life.clone(), requests.clone());
        let given_back = self.store.update(move |view: &mut View<'_>| {
            let each = returned.iter().map(|request| lease(view, &life, request));
            each.collect::<Result<Vec<Lease>, Error>>()
        });
        let given_back = given_back.await;
        if let Err(error) = &given_back {
            tracing::debug!(%error, "slots could not be given back");
        }
        let leases = given_back.as_ref().ok().map(|given_back| &given_back.value);
        for (place, request) in requests.iter().enumerate() {
            slots.settle(request, leases.map(|leases| leases[place]));
        }
        leases.is_some()
    }

    /// Where other nodes could take its slots, says anew that it is alive.
    async fn stay_alive(&self, slots: &Slots, life: &Life) {
        if life.lasting.is_none() || !slots.has_any() {
            return;
        }
        let life = life.clone();
        let renewed = self
            .store
            .update(move |view: &mut View<'_>| alive(view, &life));
        if let Err(error) = renewed.await {
            tracing::warn!(%error, "the store could not be told that this node is alive");
        }
    }
}

/// Says until when a node is alive, once half of what it said before is over.
fn alive(view: &mut View<'_>, life: &Life) -> Result<(), Error> {
    let Some(lasting) = life.lasting else {
        return Ok(());
    };
    let name = key::node(&life.name);
    let said: Option<Node> = view.get(&name)?;
    let soon = view.now().after(lasting / 2);
    if said
        .and_then(|node| node.alive_until)
        .is_none_or(|end| end < soon)
    {
        let node = Node {
            life: life.number,
            alive_until: Some(view.now().after(lasting)),
        };
        view.put(name, &node)?;
    }
    Ok(())
}

/// Makes this life's slots of a token what is wanted, as far as the limit allows. It takes none away that are held.
fn lease(view: &mut View<'_>, life: &Life, request: &Request) -> Result<Lease, Error> {
    let name = key::slots(request.token);
    let Some(limit) = limit(view, request.token)? else {
        view.delete(name)?;
        return Ok(Lease::NONE);
    };
    let (kept, mut counting) = holders(view, request.token)?;
    counting.retain(|holder| *holder.node != *life.name);
    let others: u32 = counting.iter().map(|holder| holder.count).sum();
    let room = limit.map_or(u32::MAX, |limit| limit.saturating_sub(others));
    let slots = request.wanted.min(room).max(request.held);
    if slots > 0 {
        alive(view, life)?;
        counting.push(Holder {
            node: life.name.to_string(),
            life: life.number,
            count: slots,
        });
    }
    if counting.is_empty() && !kept.is_empty() {
        view.delete(name)?;
    } else if counting != kept {
        view.put(name, &record::Slots(counting))?;
    }
    Ok(Lease {
        slots,
        others,
        limit,
    })
}

/// A token's limit as the store has it, where there is such a token.
fn limit(view: &mut View<'_>, token: TokenId) -> Result<Option<Option<u32>>, Error> {
    let Some(token) = view.get::<Token>(&key::token(token))? else {
        return Ok(None);
    };
    let account: Option<Account> = view.get(&key::account(token.account.as_str()))?;
    Ok(account.map(|account| token.credential().max_connections(&account.policy)))
}

/// Who holds slots of a token: as it is kept, and those of them that count.
fn holders(view: &mut View<'_>, token: TokenId) -> Result<(Vec<Holder>, Vec<Holder>), Error> {
    let record::Slots(kept) = view.get(&key::slots(token))?.unwrap_or_default();
    let mut counting = Vec::with_capacity(kept.len());
    for holder in &kept {
        let node: Option<Node> = view.get(&key::node(&holder.node))?;
        let counts = node.is_some_and(|node| {
            node.life == holder.life && node.alive_until.is_none_or(|end| view.now() < end)
        });
        if counts {
            counting.push(holder.clone());
        }
    }
    Ok((kept, counting))
}
