//! What a load came to: how many answers of which kind, and how long they took.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The slowest answer that is told apart, in nanoseconds.
const SLOWEST: u64 = 60_000_000_000;
/// Kinds of denials and of failures that are told apart, each; the others are counted together.
const KINDS: usize = 64;
const OTHERS: &str = "others";

/// What came of one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The answer that was wanted.
    Good,
    /// An answer, but no: with its reason.
    Denied(String),
    /// No answer, or one that cannot be.
    Failed(String),
}

/// The counts of a run.
#[derive(Clone, Debug)]
pub struct Tally {
    pub asked: u64,
    pub good: u64,
    pub denied: BTreeMap<String, u64>,
    pub failed: BTreeMap<String, u64>,
    latency: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            asked: 0,
            good: 0,
            denied: BTreeMap::new(),
            failed: BTreeMap::new(),
            latency: Histogram::new_with_bounds(1, SLOWEST, 3).expect("the bounds are possible"),
        }
    }
}

impl Tally {
    /// Questions that got an answer, this or that.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.good + self.denied.values().sum::<u64>()
    }

    /// Questions that got none, or none that can be.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// How long the answers took that came no later than this part of all (0 to 1).
    #[must_use]
    pub fn quantile(&self, part: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(part))
    }

    #[must_use]
    pub fn slowest(&self) -> Duration {
        Duration::from_nanos(self.latency.max())
    }

    /// How many answers took no longer than each of these, and longer than the one before.
    #[must_use]
    pub fn between(&self, bounds: &[Duration]) -> Vec<u64> {
        let mut counts = vec![0; bounds.len()];
        for step in self.latency.iter_recorded() {
            // What is told apart is a thousandth: the least of it is what it stands for.
            let least = self.latency.lowest_equivalent(step.value_iterated_to());
            let time = Duration::from_nanos(least);
            let place = bounds.partition_point(|bound| *bound < time);
            if let Some(count) = counts.get_mut(place) {
                *count += step.count_at_value();
            }
        }
        counts
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.good += other.good;
        for (own, others) in [
            (&mut self.denied, &other.denied),
            (&mut self.failed, &other.failed),
        ] {
            for (kind, count) in others {
                *own.entry(kind.clone()).or_default() += count;
            }
        }
        self.latency
            .add(&other.latency)
            .expect("the bounds are the same");
    }

    /// Counts what came of one question.
    pub fn count(&mut self, verdict: Verdict, after: Duration) {
        let counts = match verdict {
            Verdict::Good => {
                self.good += 1;
                return self.took(after);
            }
            Verdict::Denied(why) => {
                self.took(after);
                (&mut self.denied, why)
            }
            Verdict::Failed(why) => (&mut self.failed, why),
        };
        let (counts, mut why) = counts;
        if counts.len() >= KINDS && !counts.contains_key(&why) {
            why = OTHERS.into();
        }
        *counts.entry(why).or_default() += 1;
    }

    fn took(&mut self, after: Duration) {
        let nanos = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        self.latency.saturating_record(nanos);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_kind_and_failures_have_no_latency() {
        let mut tally = Tally::default();
        let micros = Duration::from_micros;
        tally.count(Verdict::Good, micros(10));
        tally.count(Verdict::Denied("EXPIRED".into()), micros(30));
        tally.count(Verdict::Failed("UNAVAILABLE".into()), micros(9_000));
        assert_eq!((tally.answered(), tally.failures()), (2, 1));
        let slowest = tally.slowest();
        assert!(slowest >= micros(30) && slowest < micros(31), "{slowest:?}");
        assert_eq!(
            tally.between(&[micros(20), micros(40), micros(10_000)]),
            [1, 1, 0]
        );
        tally.add(&tally.clone());
        assert_eq!((tally.answered(), tally.failures()), (4, 2));
    }

    #[test]
    fn what_is_told_apart_is_bounded() {
        let mut tally = Tally::default();
        for number in 0..2 * KINDS {
            tally.count(Verdict::Failed(number.to_string()), Duration::ZERO);
        }
        assert_eq!(tally.failed.len(), KINDS + 1);
        assert_eq!(tally.failed[OTHERS], KINDS as u64);
    }
}
