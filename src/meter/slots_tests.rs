//! Tests: slots are handed out to the last one and not one further, and come back.

use super::*;

fn token(number: u32) -> TokenId {
    TokenId::parse(&format!("{number:022}")).unwrap()
}

/// The store, as `registry::slots` asks it: the row of this node, beside those of others.
struct Kept {
    row: u32,
    others: u32,
    limit: Option<u32>,
    commits: usize,
}

impl Kept {
    fn new(others: u32, limit: u32) -> Self {
        Self {
            row: 0,
            others,
            limit: Some(limit),
            commits: 0,
        }
    }

    fn lease(&mut self, request: &Request) -> Lease {
        let limit = self.limit.unwrap_or(u32::MAX);
        let room = limit.saturating_sub(self.others);
        self.row = request.wanted.min(room).max(request.held);
        self.commits += 1;
        Lease {
            slots: self.row,
            others: self.others,
            limit: self.limit,
        }
    }

    /// Answers whoever waits.
    fn answer(&mut self, slots: &Arc<Slots>) {
        loop {
            let requests = slots.lock().requests();
            if requests.is_empty() {
                return;
            }
            for request in &requests {
                let lease = self.lease(request);
                slots.settle(request, Some(lease));
            }
        }
    }

    fn return_surplus(&mut self, slots: &Arc<Slots>) {
        for request in slots.surplus(10) {
            let lease = self.lease(&request);
            slots.settle(&request, Some(lease));
        }
    }

    /// Takes a slot, with the store's answer where it is needed.
    fn take(&mut self, slots: &Arc<Slots>) -> Option<Slot> {
        match slots.take(token(1), self.limit) {
            Taken::Slot(slot) => Some(slot),
            Taken::Refused => None,
            Taken::Wait(mut ticket) => {
                self.answer(slots);
                ticket.0.try_recv().unwrap()
            }
        }
    }
}

fn wait(taken: Taken) -> Ticket {
    match taken {
        Taken::Wait(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

#[test]
fn slots_are_handed_out_to_the_last_one() {
    for (others, limit) in [(0, 1), (0, 3), (2, 3), (3, 3), (4, 3)] {
        let (slots, mut kept) = (Arc::new(Slots::default()), Kept::new(others, limit));
        let mut held = Vec::new();
        while let Some(slot) = kept.take(&slots) {
            held.push(slot);
        }
        assert_eq!(held.len() as u32, limit.saturating_sub(others), "{limit}");
        assert!(kept.take(&slots).is_none());
        if held.pop().is_some() {
            assert!(kept.take(&slots).is_some(), "what was given back");
        }
    }
}

#[test]
fn connections_that_come_and_go_cost_no_commit_each() {
    let (slots, mut kept) = (Arc::new(Slots::default()), Kept::new(0, 3));
    for _ in 0..100 {
        drop(kept.take(&slots).unwrap());
    }
    assert_eq!(kept.commits, 1);
    assert!(slots.has_surplus());
    kept.return_surplus(&slots);
    assert_eq!((kept.commits, kept.row), (2, 0));
    assert!(!slots.has_surplus() && slots.lock().ledgers.is_empty());
}

#[test]
fn what_is_being_given_back_is_not_handed_out() {
    let (slots, mut kept) = (Arc::new(Slots::default()), Kept::new(0, 3));
    let held = kept.take(&slots).unwrap();
    drop(kept.take(&slots).unwrap());
    let returned = slots.surplus(10);
    assert_eq!(returned.len(), 1);
    let mut ticket = wait(slots.take(token(1), Some(3)));
    assert!(slots.lock().requests().is_empty(), "one answer at a time");
    let lease = kept.lease(&returned[0]);
    slots.settle(&returned[0], Some(lease));
    kept.answer(&slots);
    assert!(ticket.0.try_recv().unwrap().is_some());
    assert_eq!(kept.row, 2, "asked for anew");
    drop(held);
}

#[test]
fn without_a_limit_nothing_is_asked_and_a_limit_counts_who_came_before_it() {
    let (slots, mut kept) = (Arc::new(Slots::default()), Kept::new(0, 3));
    kept.limit = None;
    let held: Vec<Slot> = (0..2).map(|_| kept.take(&slots).unwrap()).collect();
    assert_eq!((kept.commits, slots.held(token(1))), (0, 2));
    kept.limit = Some(3);
    let third = kept.take(&slots);
    assert!(third.is_some() && kept.take(&slots).is_none());
    drop((held, third));
    kept.return_surplus(&slots);
    assert!(slots.lock().ledgers.is_empty());
}

#[test]
fn a_lower_limit_cuts_nobody_and_binds_whoever_comes() {
    let (slots, mut kept) = (Arc::new(Slots::default()), Kept::new(1, 5));
    let mut held: Vec<Slot> = (0..4).map(|_| kept.take(&slots).unwrap()).collect();
    kept.limit = Some(3);
    assert!(kept.take(&slots).is_none());
    for left in [3, 2] {
        held.pop();
        assert!(kept.take(&slots).is_none(), "{left} here and one elsewhere");
    }
    held.pop();
    assert!(kept.take(&slots).is_some());
}

#[test]
fn a_store_that_does_not_answer_refuses_nobody_falsely() {
    let (slots, mut kept) = (Arc::new(Slots::default()), Kept::new(0, 2));
    let mut first = wait(slots.take(token(1), Some(2)));
    let requests = slots.lock().requests();
    slots.settle(&requests[0], None);
    assert!(first.0.try_recv().is_err(), "an error, and no refusal");
    assert!(slots.has_surplus(), "the store may have made the commit");
    kept.row = 1;
    kept.return_surplus(&slots);
    assert_eq!(kept.row, 0);
    assert!(kept.take(&slots).is_some());
}

#[test]
fn what_is_given_back_goes_to_whoever_waits_for_the_store() {
    let (slots, mut kept) = (Arc::new(Slots::default()), Kept::new(0, 2));
    let held = kept.take(&slots).unwrap();
    let gone = wait(slots.take(token(1), Some(2)));
    let mut waiting = wait(slots.take(token(1), Some(2)));
    let requests = slots.lock().requests();
    drop((gone, held));
    let slot = waiting.0.try_recv().unwrap();
    assert!(slot.is_some(), "the store is still silent");
    slots.settle(&requests[0], None);
    assert_eq!(slots.held(token(1)), 1);
}

#[test]
fn who_waits_while_others_take_the_last_one_is_refused() {
    let (slots, mut kept) = (Arc::new(Slots::default()), Kept::new(0, 1));
    let mut tickets: Vec<Ticket> = (0..3)
        .map(|_| wait(slots.take(token(1), Some(1))))
        .collect();
    kept.answer(&slots);
    assert_eq!(kept.commits, 1, "one for all");
    let handed: Vec<bool> = tickets
        .iter_mut()
        .map(|ticket| ticket.0.try_recv().unwrap().is_some())
        .collect();
    assert_eq!(handed.iter().filter(|slot| **slot).count(), 1);
    assert!(handed[0], "who came first");
}

#[test]
fn who_does_not_wait_any_more_takes_up_no_room_while_the_store_is_silent() {
    let slots = Arc::new(Slots::default());
    let asked = wait(slots.take(token(1), Some(2)));
    let requests = slots.lock().requests();
    for _ in 0..1_000 {
        drop(wait(slots.take(token(1), Some(2))));
    }
    assert!(slots.lock().ledgers[&token(1)].waiting.len() <= 1);
    drop(asked);
    slots.settle(&requests[0], None);
}

#[test]
fn whoever_waits_under_a_limit_that_is_reached_is_refused() {
    let (slots, mut kept) = (Arc::new(Slots::default()), Kept::new(0, 3));
    let _raised = wait(slots.take(token(1), Some(3)));
    let mut lowered = wait(slots.take(token(1), Some(1)));
    let requests = slots.lock().requests();
    let lease = kept.lease(&requests[0]);
    slots.settle(&requests[0], Some(lease));
    assert!(lowered.0.try_recv().unwrap().is_none());
    assert!(slots.lock().requests().is_empty(), "nobody is asked about");
}
