//! Notices of a token's expiry: which are due, and when the next one will be.

use std::time::Duration;

use super::time::Timestamp;

/// Something to be said of a token's expiry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// So long before it.
    Expiring(Duration),
    Expired,
}

/// What was told of one expiry, and when there is more to tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    pub expire_time: Timestamp,
    /// Every notice of this time or an earlier one was told.
    pub until: Option<Timestamp>,
    pub next: Option<Timestamp>,
}

impl Told {
    /// Nothing yet.
    #[must_use]
    pub fn nothing(expire_time: Timestamp, ahead: &[Duration]) -> Self {
        let none = Self {
            expire_time,
            until: None,
            next: None,
        };
        none.with(ahead)
    }

    /// The same under other notices: one whose time has passed untold is due at once, unless a later one was told.
    #[must_use]
    pub fn with(self, ahead: &[Duration]) -> Self {
        let next = self.untold(ahead).map(|(time, _)| time).min();
        Self { next, ..self }
    }

    /// What is due by now, and what is left after it was told. Once the token has expired, that alone is said.
    #[must_use]
    pub fn tell(self, ahead: &[Duration], now: Timestamp) -> (Vec<Notice>, Self) {
        let over = now >= self.expire_time;
        let due = |(time, notice): &(Timestamp, Notice)| {
            *time <= now && (!over || *notice == Notice::Expired)
        };
        let mut due: Vec<_> = self.untold(ahead).filter(due).collect();
        due.sort_unstable_by_key(|(time, _)| *time);
        let until = due.last().map(|(time, _)| *time).or(self.until);
        let left = Self { until, ..self }.with(ahead);
        (due.into_iter().map(|(_, notice)| notice).collect(), left)
    }

    fn untold(self, ahead: &[Duration]) -> impl Iterator<Item = (Timestamp, Notice)> {
        let end = self.expire_time;
        let expiring = move |span: &Duration| (end.before(*span), Notice::Expiring(*span));
        let all = ahead.iter().map(expiring);
        let all = all.chain([(end, Notice::Expired)]);
        all.filter(move |(time, _)| self.until.is_none_or(|until| *time > until))
    }
}

#[cfg(test)]
mod tests {
    use super::Notice::{Expired, Expiring};
    use super::*;

    const END: i64 = 1_000_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn each_notice_is_told_once_at_its_time_and_not_before() {
        let ahead = [ms(5_000), ms(1_000)];
        let mut told = Told::nothing(at(END), &ahead);
        for (now, said, next) in [
            (END - 5_001, vec![], Some(END - 5_000)),
            (END - 5_000, vec![Expiring(ms(5_000))], Some(END - 1_000)),
            (END - 5_000, vec![], Some(END - 1_000)),
            (END - 1_001, vec![], Some(END - 1_000)),
            (END - 999, vec![Expiring(ms(1_000))], Some(END)),
            (END - 1, vec![], Some(END)),
            (END, vec![Expired], None),
            (END + 9_999, vec![], None),
        ] {
            let (notices, left) = told.tell(&ahead, at(now));
            assert_eq!(notices, said, "{now}");
            assert_eq!(left.next, next.map(at), "{now}");
            told = left;
        }
    }

    #[test]
    fn what_was_missed_is_made_up_for_and_after_the_expiry_that_alone_is_said() {
        let ahead = [ms(5_000), ms(1_000)];
        let fresh = Told::nothing(at(END), &ahead);
        for (now, said) in [
            (END - 1, vec![Expiring(ms(5_000)), Expiring(ms(1_000))]),
            (END, vec![Expired]),
            (END + 1, vec![Expired]),
        ] {
            assert_eq!(fresh.tell(&ahead, at(now)).0, said, "{now}");
        }
    }

    #[test]
    fn other_notices_are_told_unless_a_later_one_was() {
        let (_, told) = Told::nothing(at(END), &[ms(5_000)]).tell(&[ms(5_000)], at(END - 3_000));
        for (ahead, said) in [
            (vec![ms(5_000)], vec![]),
            (vec![], vec![]),
            (vec![ms(9_000)], vec![]),
            (vec![ms(4_000)], vec![Expiring(ms(4_000))]),
            (vec![ms(3_000), ms(5_000)], vec![Expiring(ms(3_000))]),
            (vec![ms(2_999)], vec![]),
        ] {
            let again = told.with(&ahead);
            let (notices, _) = again.tell(&ahead, at(END - 3_000));
            assert_eq!(notices, said, "{ahead:?}");
            assert_eq!(again.next <= Some(at(END - 3_000)), !said.is_empty());
        }
    }
}
