//! When the next question is asked: as soon as one is answered, or at a time that no answer moves.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

/// Waiting shorter than this is spinning: the runtime's timer tells milliseconds only.
const FINE: Duration = Duration::from_millis(2);
/// A wait ends at last after this, so that a stop is seen.
const LOOK: Duration = Duration::from_millis(50);

/// How questions come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each answer makes room for the next question.
    Closed,
    /// So many a second over all connections, answered or not. Latency counts from when a question was due, not from when
    /// there was room for it, so that a server that stops pays for all who would have asked.
    Open { rate: f64, arrivals: Arrivals },
}

/// How questions are spread over a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// One after the same time as the other.
    Even,
    /// As independent callers come.
    Poisson,
}

/// The questions of one connection.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The mean time between two, and how they are spread; `None`: whenever there is room.
    open: Option<(Duration, Arrivals)>,
    due: Instant,
    random: u64,
}

impl Schedule {
    /// That of the connection `number` out of `connections`.
    pub(super) fn new(pace: Pace, number: usize, connections: usize, start: Instant) -> Self {
        let mut schedule = Self {
            open: None,
            due: start,
            random: 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1),
        };
        if let Pace::Open { rate, arrivals } = pace {
            let gap = Duration::from_secs_f64(connections as f64 / rate);
            schedule.open = Some((gap, arrivals));
            let first = match arrivals {
                Arrivals::Even => gap.mul_f64(number as f64 / connections as f64),
                Arrivals::Poisson => schedule.gap(gap, arrivals),
            };
            schedule.due += first;
        }
        schedule
    }

    pub(super) fn is_closed(&self) -> bool {
        self.open.is_none()
    }

    /// When the question was due that may be asked now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Instant> {
        let Some((gap, arrivals)) = self.open else {
            return Some(now);
        };
        let due = self.due;
        (due <= now).then(|| {
            self.due = due + self.gap(gap, arrivals);
            due
        })
    }

    /// Waits until there may be something to read, or to ask; in an open loop alone.
    pub(super) async fn pause(&self, socket: &TcpStream, room: bool) -> std::io::Result<()> {
        let left = if room {
            self.due.saturating_duration_since(Instant::now())
        } else {
            LOOK
        };
        if left < FINE {
            tokio::task::yield_now().await;
            return Ok(());
        }
        let fine = FINE / 2;
        match tokio::time::timeout((left - fine).min(LOOK), socket.readable()).await {
            Ok(readable) => readable,
            Err(_) => Ok(()),
        }
    }

    fn gap(&mut self, mean: Duration, arrivals: Arrivals) -> Duration {
        match arrivals {
            Arrivals::Even => mean,
            Arrivals::Poisson => mean.mul_f64(-self.uniform().ln()),
        }
    }

    /// Above 0 and at most 1; no secret hangs on it.
    fn uniform(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_loop_asks_whenever_it_is_asked() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Pace::Closed, 0, 1, now);
        assert_eq!(schedule.next(now), Some(now));
        assert_eq!(schedule.next(now), Some(now));
    }

    #[test]
    fn an_open_loop_keeps_its_rate_whoever_answers() {
        let start = Instant::now();
        for arrivals in [Arrivals::Even, Arrivals::Poisson] {
            let pace = Pace::Open {
                rate: 10_000.0,
                arrivals,
            };
            let mut asked = 0;
            for number in 0..4 {
                let mut schedule = Schedule::new(pace, number, 4, start);
                assert!(schedule.next(start - Duration::from_nanos(1)).is_none());
                // A late look finds all that were due, each with its own time.
                let end = start + Duration::from_secs(10);
                let mut last = start;
                while let Some(due) = schedule.next(end) {
                    assert!(due >= last && due <= end);
                    last = due;
                    asked += 1;
                }
            }
            assert!((98_000..102_000).contains(&asked), "{arrivals:?}: {asked}");
        }
    }
}
