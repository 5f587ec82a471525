//! One pass of the fold: a journal up to one of its saves, and how far it has come.

use std::collections::VecDeque;

use super::heap::Heap;
use crate::store::backend::Key;
use crate::store::record::UsageFold;

/// What the cursor of a pass that has come to its end stands after: no name is as great.
const END: &[u8] = b"\xff";

/// A journal, or its first part, on its way into the pages.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) saver: String,
    /// The last save that belongs to it.
    pub(super) through: u64,
    pub(super) heap: Heap,
    /// Of the journal, to be deleted once all of it is folded.
    pub(super) rows: VecDeque<Key>,
    /// How much there was of it at first.
    pub(super) bytes: usize,
    /// The last save before it that a pass was about: that one comes to its end first.
    before: Option<u64>,
}

/// Where a pass stands by what the store says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place<'a> {
    /// What lies up to this name is folded.
    After(&'a [u8]),
    Complete,
    /// Somebody else folds this journal, in another way: it is not this node's any more.
    Lost,
}

impl Pass {
    pub(super) fn new(saver: &str, through: u64, before: Option<u64>) -> Self {
        Self {
            saver: saver.to_owned(),
            through,
            heap: Heap::default(),
            rows: VecDeque::new(),
            bytes: 0,
            before,
        }
    }

    /// All of it is here.
    pub(super) fn whole(self) -> Self {
        let bytes = self.heap.bytes();
        Self { bytes, ..self }
    }

    pub(super) fn place<'a>(&self, stored: Option<&'a UsageFold>) -> Place<'a> {
        match stored {
            Some(fold) if fold.through == self.through && fold.is_complete() => Place::Complete,
            Some(fold) if fold.through == self.through => Place::After(&fold.after),
            other if other.map(|fold| fold.through) == self.before => Place::After(&[]),
            _ => Place::Lost,
        }
    }

    /// The last name that is folded, for readers: of what is not this node's any more all is.
    pub(super) fn after<'a>(&self, stored: Option<&'a UsageFold>) -> &'a [u8] {
        match self.place(stored) {
            Place::After(after) => after,
            Place::Complete | Place::Lost => END,
        }
    }

    /// What is said in the store once it is folded up to a name.
    pub(super) fn folded(&self, after: &[u8]) -> UsageFold {
        UsageFold {
            through: self.through,
            after: after.into(),
        }
    }
}

impl UsageFold {
    pub(super) fn complete(through: u64) -> Self {
        Self {
            through,
            after: END.into(),
        }
    }

    fn is_complete(&self) -> bool {
        self.after == END
    }
}
