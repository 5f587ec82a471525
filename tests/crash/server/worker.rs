//! One client of the load. It has tokens, accounts, principals and roles of its own, makes one change after the other, and
//! remembers what was acknowledged and which change was under way when the server went.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use keyward::api::proto::EventType;
use tonic::Status;

use super::client::Client;
use super::rules::{Change, REKEYS, Shown, State};
use super::thing::Thing;
use super::token::{Answer, Making, Token};
use super::{SHARED, told};
use crate::random::Random;

/// Tokens of one worker that are there at a time.
const TOKENS: usize = 10;
/// Tokens that were deleted, and are still asked for.
const DELETED: usize = 4;
/// How many events of each type there must be.
pub(super) type Events = BTreeMap<EventType, u64>;

pub(super) struct Worker {
    pub(super) number: usize,
    random: Random,
    /// How many things it has begun to make: their names come from this.
    made: u64,
    pub(super) tokens: Vec<Token>,
    things: Vec<Thing>,
    /// Sent, and not answered while the server was there.
    under_way: Option<Step>,
    /// By the id of what they are about.
    pub(super) events: BTreeMap<String, Events>,
    pub(super) acknowledged: u64,
    /// Steps that turned out to be there although they were not acknowledged.
    pub(super) found: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Make(Making),
    Change(usize, Change),
    Thing(Thing),
}

impl Worker {
    pub(super) fn new(number: usize, seed: u64) -> Self {
        Self {
            number,
            random: Random::new(seed),
            made: 0,
            tokens: Vec::new(),
            things: Vec::new(),
            under_way: None,
            events: BTreeMap::new(),
            acknowledged: 0,
            found: 0,
        }
    }

    /// Makes changes until it is told that the server goes. What is answered later was not acknowledged.
    pub(super) async fn load(
        &mut self,
        client: &mut Client,
        over: &AtomicBool,
    ) -> Result<(), String> {
        while !over.load(Ordering::SeqCst) {
            let step = self.plan();
            self.under_way = Some(step.clone());
            let answer = self.carry_out(client, &step).await;
            if over.load(Ordering::SeqCst) {
                break;
            }
            let answer = answer.map_err(|status| format!("{step:?} was answered {status}"))?;
            self.take_in(step, answer)?;
            self.under_way = None;
            self.acknowledged += 1;
        }
        Ok(())
    }

    /// Finds out what became of the change that was under way.
    pub(super) async fn settle(&mut self, client: &mut Client) -> Result<(), String> {
        let Some(step) = self.under_way.take() else {
            return Ok(());
        };
        let there = self.is_there(client, &step).await.map_err(told(&step))?;
        self.found += u64::from(there.is_some());
        let repeatable = match &step {
            Step::Make(making) => !making.request_id.is_empty(),
            Step::Change(_, Change::Rekey { request_id, .. }) => !request_id.is_empty(),
            Step::Change(..) | Step::Thing(_) => false,
        };
        if repeatable {
            let answer = self.carry_out(client, &step).await.map_err(told(&step))?;
            let told_id = answer.token.as_ref().map(|token| &token.id);
            if let Some(Answer {
                token: Some(token), ..
            }) = &there
                && told_id != Some(&token.id)
            {
                return Err(format!(
                    "{step:?} was there as {}, and made another",
                    token.id
                ));
            }
            return self.take_in(step, answer);
        }
        there.map_or(Ok(()), |answer| self.take_in(step, answer))
    }

    /// Compares everything it made with what is there, and every secret it ever had with how it is answered.
    pub(super) async fn compare(&mut self, client: &mut Client) -> Result<(), String> {
        for place in 0..self.tokens.len() {
            let repeat = self.random.below(4) == 0;
            self.tokens[place].compare(client, repeat).await?;
        }
        for thing in &self.things {
            let there = thing.is_there(client).await.map_err(told(thing))?;
            if !there {
                return Err(format!("{thing:?} is lost"));
            }
        }
        self.forget_deleted();
        Ok(())
    }

    fn forget_deleted(&mut self) {
        let mut deleted = self
            .tokens
            .iter()
            .filter(|token| token.state.is_none())
            .count();
        self.tokens.retain(|token| {
            let forgotten = token.state.is_none() && deleted > DELETED;
            deleted -= usize::from(forgotten);
            !forgotten
        });
    }

    fn plan(&mut self) -> Step {
        let alive: Vec<usize> = (0..self.tokens.len())
            .filter(|place| self.tokens[*place].state.is_some())
            .collect();
        if self.random.below(12) == 0 {
            return Step::Thing(self.new_thing());
        }
        if alive.is_empty() || (alive.len() < TOKENS && self.random.below(5) == 0) {
            return Step::Make(self.new_token());
        }
        let place = alive[self.random.below(alive.len() as u64) as usize];
        Step::Change(place, self.change_of(place))
    }

    fn new_name(&mut self, what: &str) -> String {
        self.made += 1;
        format!("{what}-{}-{}-", self.number, self.made)
    }

    fn new_thing(&mut self) -> Thing {
        let id = format!("{}x", self.new_name("thing"));
        match self.random.below(3) {
            0 => Thing::Account(id),
            1 => Thing::Principal(id),
            _ => Thing::Role(id),
        }
    }

    fn new_token(&mut self) -> Making {
        let name = self.new_name("token");
        let foreign = (self.random.below(4) == 0).then(|| format!("foreign-secret-{name}"));
        let once = self.random.below(2) == 0;
        Making {
            request_id: if once { name.clone() } else { String::new() },
            name,
            foreign,
            twice: once && self.random.below(2) == 0,
        }
    }

    /// One that the token's state permits.
    fn change_of(&mut self, place: usize) -> Change {
        let state = self.tokens[place]
            .state
            .clone()
            .expect("it was not deleted");
        let usable = state
            .pending()
            .filter(|version| !state.inactive && self.tokens[place].secrets.contains_key(version));
        loop {
            match self.random.below(16) {
                0..5 if state.newest() <= REKEYS => {
                    let once = self.random.below(2) == 0;
                    return Change::Rekey {
                        at_once: self.random.below(2) == 0,
                        graceful: state.retires_more() && self.random.below(3) > 0,
                        request_id: if once {
                            self.new_name("rekey")
                        } else {
                            String::new()
                        },
                    };
                }
                5..8 if usable.is_some() => return Change::Use,
                8 if state.retiring() > 0 => return Change::Complete,
                9 if state.pending().is_some() => return Change::Cancel,
                10..12 => return Change::Describe(self.new_name("description")),
                12..14 if !state.inactive => return Change::Deactivate,
                14 if state.inactive => return Change::Reactivate,
                15 if state.inactive => return Change::Delete,
                _ => {}
            }
        }
    }

    async fn carry_out(&self, client: &mut Client, step: &Step) -> Result<Answer, Status> {
        match step {
            Step::Make(making) if making.twice => {
                let mut second = client.clone();
                let (one, other) = tokio::join!(making.make(client), making.make(&mut second));
                let (one, other) = (one?, other?);
                if one.secret != other.secret || one.token != other.token {
                    return Err(Status::internal("two answers to one request id"));
                }
                Ok(one)
            }
            Step::Make(making) => making.make(client).await,
            Step::Change(place, change) => self.tokens[*place].change(client, change).await,
            Step::Thing(thing) => thing.make(client).await.map(|()| Answer::default()),
        }
    }

    /// What the step left, asked for without making it again; `None` where nothing of it is there.
    async fn is_there(&self, client: &mut Client, step: &Step) -> Result<Option<Answer>, Status> {
        match step {
            Step::Make(making) => {
                let named = client.tokens(SHARED, &making.name).await?;
                let many = named.len();
                let mut named = named.into_iter();
                match (named.next(), many) {
                    (None, _) => Ok(None),
                    (token, 1) => Ok(Some(Answer {
                        token,
                        secret: None,
                    })),
                    _ => Err(Status::internal(format!("it is there {many} times"))),
                }
            }
            Step::Change(place, change) => {
                let Token { id, state, .. } = &self.tokens[*place];
                let before = state.as_ref().expect("only what is there is changed");
                let there = client.token(id).await?;
                let shown = there.as_ref().map(Shown::of);
                if shown == before.after(change).as_ref().map(State::shown) {
                    Ok(Some(Answer {
                        token: there,
                        secret: None,
                    }))
                } else if shown == Some(before.shown()) {
                    Ok(None)
                } else {
                    Err(Status::internal(format!(
                        "{shown:?} is neither {before:?} nor after it"
                    )))
                }
            }
            Step::Thing(thing) => Ok(thing.is_there(client).await?.then(Answer::default)),
        }
    }

    /// Remembers a step that is done, if its answer is what it must be.
    fn take_in(&mut self, step: Step, answer: Answer) -> Result<(), String> {
        let shown = answer.token.as_ref().map(Shown::of);
        let (id, event) = match step {
            Step::Make(making) => {
                let event = match making.foreign {
                    None => EventType::TokenCreated,
                    Some(_) => EventType::TokenImported,
                };
                let first = State::first();
                let Some(token) = answer.token.filter(|_| shown == Some(first.shown())) else {
                    return Err(format!("{making:?} made {shown:?}"));
                };
                let text = answer.secret.or_else(|| making.foreign.clone());
                self.tokens.push(Token {
                    id: token.id.clone(),
                    name: token.name,
                    state: Some(first),
                    secrets: text.into_iter().map(|text| (1, text)).collect(),
                    making: (!making.request_id.is_empty()).then_some(making),
                });
                (token.id, event)
            }
            Step::Change(place, change) => {
                let token = &mut self.tokens[place];
                let before = token.state.take().expect("only what is there is changed");
                token.state = before.after(&change);
                if shown != token.state.as_ref().map(State::shown) {
                    return Err(format!("{change:?} of {before:?} made {shown:?}"));
                }
                if let (Some(text), Some(state)) = (answer.secret, &token.state) {
                    token.secrets.insert(state.newest(), text);
                }
                (token.id.clone(), change.event())
            }
            Step::Thing(thing) => {
                self.things.push(thing.clone());
                thing.id_and_event()
            }
        };
        *self.events.entry(id).or_default().entry(event).or_default() += 1;
        Ok(())
    }
}
