//! Uses of superseded secrets: each secret's are told once an hour at the most, with how many they were.

use std::collections::HashMap;
use std::time::Duration;

use super::Marked;

/// Secrets that are remembered; uses of more are not told.
const REMEMBERED: usize = 10_000;
/// How often the use of one secret is told.
const TELL_EVERY: Duration = Duration::from_secs(3_600);

/// Uses of a superseded secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misuse {
    /// Uses that were not told yet.
    pub count: u64,
    /// Of the last of them.
    pub client_address: String,
    pub consumer: String,
}

/// The secrets whose misuse was told within an hour, by a steady clock.
#[derive(Debug, Default)]
pub(super) struct Misuses {
    told: HashMap<Marked, Told>,
    /// When the first of the uses that are held back can be told.
    due: Option<Duration>,
    /// There is no room before, and nothing is looked through for some.
    full_until: Duration,
}

#[derive(Debug)]
struct Told {
    /// When there can be more.
    until: Duration,
    held_back: Option<Misuse>,
}

impl Misuse {
    /// One use.
    #[must_use]
    pub fn one(client_address: String, consumer: String) -> Self {
        Self {
            count: 1,
            client_address,
            consumer,
        }
    }

    /// These uses, and those before.
    pub(super) fn after(self, before: Option<Self>) -> Self {
        let before = before.map_or(0, |before| before.count);
        Self {
            count: self.count.saturating_add(before),
            ..self
        }
    }
}

impl Misuses {
    /// What a use gives to tell now: nothing while the hour is not over.
    pub(super) fn seen(&mut self, marked: Marked, misuse: Misuse, now: Duration) -> Option<Misuse> {
        if let Some(told) = self.told.get_mut(&marked)
            && now < told.until
        {
            told.held_back = Some(misuse.after(told.held_back.take()));
            let until = told.until;
            self.due = Some(self.due.map_or(until, |due| due.min(until)));
            return None;
        }
        if !self.told.contains_key(&marked) && !self.has_room(now) {
            return None;
        }
        let before = self.next_hour(marked, now);
        Some(misuse.after(before))
    }

    /// When [`Misuses::over`] has something to say; `None` while nothing is held back.
    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// What was held back in hours that are over.
    pub(super) fn over(&mut self, now: Duration) -> Vec<(Marked, Misuse)> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let held_back = |told: &Told| told.held_back.is_some();
        let over = |(marked, told): (&Marked, &Told)| {
            (held_back(told) && now >= told.until).then_some(*marked)
        };
        let over: Vec<Marked> = self.told.iter().filter_map(over).collect();
        let over = over
            .into_iter()
            .filter_map(|marked| Some((marked, self.next_hour(marked, now)?)))
            .collect();
        let left = self.told.values().filter(|told| held_back(told));
        self.due = left.map(|told| told.until).min();
        over
    }

    /// Begins a secret's next hour; what was held back in the last one.
    fn next_hour(&mut self, marked: Marked, now: Duration) -> Option<Misuse> {
        let next = Told {
            until: now.saturating_add(TELL_EVERY),
            held_back: None,
        };
        self.told.insert(marked, next)?.held_back
    }

    /// Is there room to remember one more? Secrets of which there is nothing to tell any more make some.
    fn has_room(&mut self, now: Duration) -> bool {
        if self.told.len() >= REMEMBERED && now >= self.full_until {
            self.told
                .retain(|_, told| now < told.until || told.held_back.is_some());
            let ends = self.told.values().map(|told| told.until);
            self.full_until = ends.min().unwrap_or_default();
        }
        self.told.len() < REMEMBERED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::TokenId;

    const ZERO: Duration = Duration::ZERO;
    const MILLISECOND: Duration = Duration::from_millis(1);

    fn marked(number: usize) -> Marked {
        (TokenId::parse(&format!("{number:022}")).unwrap(), 1)
    }

    fn one(address: &str) -> Misuse {
        Misuse::one(address.into(), String::new())
    }

    /// When one secret is used and by whom, and what is told then.
    #[test]
    fn the_first_use_is_told_at_once_and_later_ones_hourly_though_nothing_comes() {
        let mut misuses = Misuses::default();
        let hour = TELL_EVERY;
        for (now, used_by, told) in [
            (ZERO, Some("a"), Some((1, "a"))),
            (MILLISECOND, Some("b"), None),
            (hour - MILLISECOND, Some("c"), None),
            (hour, None, Some((2, "c"))),
            (hour + MILLISECOND, Some("d"), None),
            (2 * hour - MILLISECOND, None, None),
            (2 * hour, Some("e"), Some((2, "e"))),
            (3 * hour, None, None),
            (4 * hour, Some("f"), Some((1, "f"))),
        ] {
            let seen = used_by.and_then(|address| misuses.seen(marked(1), one(address), now));
            let over = misuses.over(now).pop().map(|(_, misuse)| misuse);
            let expected = told.map(|(count, address)| Misuse {
                count,
                ..one(address)
            });
            assert_eq!(seen.or(over), expected, "{now:?}");
        }
    }

    #[test]
    fn it_is_known_when_there_is_more_to_tell() {
        let mut misuses = Misuses::default();
        for (number, now) in [(1, ZERO), (2, MILLISECOND)] {
            misuses.seen(marked(number), one("a"), now);
            assert_eq!(misuses.due(), None);
        }
        for number in [2, 1] {
            misuses.seen(marked(number), one("b"), MILLISECOND);
        }
        assert_eq!(misuses.due(), Some(TELL_EVERY));
        assert_eq!(misuses.over(TELL_EVERY).len(), 1);
        assert_eq!(misuses.due(), Some(TELL_EVERY + MILLISECOND));
        assert_eq!(misuses.over(Duration::MAX).len(), 1);
        assert_eq!(misuses.due(), None);
    }

    #[test]
    fn secrets_beyond_the_bound_are_told_once_others_are_done() {
        let mut misuses = Misuses::default();
        for number in 0..REMEMBERED {
            assert!(misuses.seen(marked(number), one("a"), ZERO).is_some());
        }
        let more = marked(REMEMBERED);
        assert_eq!(misuses.seen(more, one("a"), ZERO), None);
        assert_eq!(
            misuses.full_until, TELL_EVERY,
            "all are looked through once, not at every use"
        );
        misuses.seen(marked(0), one("b"), ZERO);
        assert!(misuses.seen(more, one("a"), TELL_EVERY).is_some());
        assert_eq!(misuses.told.len(), 2, "what is held back is kept");
    }
}
