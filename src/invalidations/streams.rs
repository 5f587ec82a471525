//! Which callers follow the invalidations, and when each last heard of them: what `cache_for` rests on.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::id::TokenId;

/// Whoever keeps answers: replicas of a service share a token, but not an address.
pub type Caller = (TokenId, IpAddr);

/// The open streams. Asking costs a caller one relaxed load while there are none, and never a wait.
#[derive(Debug)]
pub struct Streams {
    /// What times are counted from.
    began: Instant,
    open: AtomicUsize,
    callers: papaya::HashMap<Caller, Arc<Heard>>,
    /// Held while a stream is opened or closed.
    changing: Mutex<()>,
}

/// What one caller's streams have told it.
#[derive(Debug, Default)]
struct Heard {
    streams: AtomicUsize,
    /// When the newest message was handed out, in microseconds from the beginning, and one more; 0 for none yet.
    last: AtomicU64,
}

/// An open stream; closed when dropped.
#[derive(Debug)]
pub struct Following {
    streams: Arc<Streams>,
    caller: Caller,
    heard: Arc<Heard>,
}

impl Streams {
    #[must_use]
    pub fn new(began: Instant) -> Self {
        Self {
            began,
            open: AtomicUsize::new(0),
            callers: papaya::HashMap::new(),
            changing: Mutex::new(()),
        }
    }

    /// A caller opens a stream.
    #[must_use]
    pub fn follow(self: &Arc<Self>, caller: Caller) -> Following {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let callers = self.callers.pin();
        let heard = Arc::clone(callers.get_or_insert_with(caller, Arc::default));
        heard.streams.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Following {
            streams: Arc::clone(self),
            caller,
            heard,
        }
    }

    /// How long ago a caller last heard something; `None` where it has no open stream, or heard nothing yet. The clock is read
    /// only where there is one.
    #[must_use]
    pub fn heard(&self, caller: &Caller, now: impl FnOnce() -> Instant) -> Option<Duration> {
        if self.open.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let callers = self.callers.pin();
        let last = callers.get(caller)?.last.load(Ordering::Relaxed);
        let last = self.began + Duration::from_micros(last.checked_sub(1)?);
        Some(now().saturating_duration_since(last))
    }
}

impl Following {
    /// A message is handed out.
    pub fn tell(&self, now: Instant) {
        let since = now.saturating_duration_since(self.streams.began);
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        self.heard
            .last
            .fetch_max(micros.saturating_add(1), Ordering::Relaxed);
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let changing = &self.streams.changing;
        let _changing = changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
        if self.heard.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.streams.callers.pin().remove(&self.caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(number: u64, address: &str) -> Caller {
        let id = TokenId::parse(&format!("{number:022}")).unwrap();
        (id, address.parse().unwrap())
    }

    #[test]
    fn a_caller_has_heard_what_its_newest_stream_told_while_one_is_open() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let streams = Arc::new(Streams::new(began));
        let ours = caller(1, "192.0.2.1");
        let heard = |caller: &Caller, now| {
            let heard = streams.heard(caller, || at(now));
            heard.map(|since| since.as_millis())
        };
        assert_eq!(heard(&ours, 0), None);
        let first = streams.follow(ours);
        assert_eq!(heard(&ours, 10), None, "nothing was told yet");
        first.tell(at(0));
        assert_eq!(heard(&ours, 10), Some(10));
        let second = streams.follow(ours);
        second.tell(at(20));
        first.tell(at(15));
        assert_eq!(heard(&ours, 30), Some(10));
        for other in [caller(1, "192.0.2.2"), caller(2, "192.0.2.1")] {
            assert_eq!(heard(&other, 30), None);
        }
        drop(second);
        assert_eq!(heard(&ours, 30), Some(10));
        drop(first);
        assert_eq!(heard(&ours, 30), None);
        assert!(streams.callers.is_empty());
        let again = streams.follow(ours);
        assert_eq!(heard(&ours, 30), None, "a new stream has told nothing");
        drop(again);
    }
}
