//! What is asked: encoded messages, one after the other in one piece of memory that is wiped when it is dropped.

use std::fmt;

use zeroize::Zeroizing;

/// From one turn to the next, so that no cache helps: a prime, so that every question has its turn.
const STEP: usize = 7_368_787;

/// The questions of a run.
#[derive(Default)]
pub struct Questions {
    bytes: Zeroizing<Vec<u8>>,
    ends: Vec<usize>,
    longest: usize,
}

impl Questions {
    /// Room for all of them, so that none is moved and left behind.
    #[must_use]
    pub fn with_room(questions: usize, bytes: usize) -> Self {
        Self {
            bytes: Zeroizing::new(Vec::with_capacity(bytes)),
            ends: Vec::with_capacity(questions),
            longest: 0,
        }
    }

    pub fn push(&mut self, question: &[u8]) {
        self.bytes.extend(question);
        self.ends.push(self.bytes.len());
        self.longest = self.longest.max(question.len());
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Whose turn it is.
    pub(super) fn place(&self, turn: usize) -> usize {
        turn.wrapping_mul(STEP) % self.ends.len()
    }

    pub(super) fn of_turn(&self, turn: usize) -> &[u8] {
        let place = self.place(turn);
        let from = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[from..self.ends[place]]
    }
}

/// Never what is asked: it holds credentials.
impl fmt::Debug for Questions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Questions")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_has_its_turn() {
        let mut questions = Questions::default();
        for number in 0..100_u8 {
            questions.push(&vec![number; usize::from(number)]);
        }
        let mut seen = [false; 100];
        for turn in 0..100 {
            let place = questions.place(turn);
            assert_eq!(questions.of_turn(turn), vec![place as u8; place]);
            seen[place] = true;
        }
        assert!(seen.iter().all(|seen| *seen));
        assert_eq!((questions.len(), questions.longest()), (100, 99));
        assert!(!format!("{questions:?}").contains("[99"));
    }
}
