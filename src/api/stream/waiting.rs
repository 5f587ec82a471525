//! Answers that are waited for. What their questions take up is bounded: whoever is at the bound is not read from.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream as _};

use crate::domain::limits;

/// What a question takes up, given back with its answer.
pub(in crate::api) type Pending<T> = Pin<Box<dyn Future<Output = (usize, T)> + Send>>;

pub(in crate::api) struct Waiting<T> {
    answers: FuturesUnordered<Pending<T>>,
    bytes: usize,
}

impl<T> Waiting<T> {
    pub(in crate::api) fn new() -> Self {
        Self {
            answers: FuturesUnordered::new(),
            bytes: 0,
        }
    }

    pub(in crate::api) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Whether one more question may be read.
    pub(in crate::api) fn has_room(&self) -> bool {
        self.answers.len() < limits::STREAM_WAITING && self.bytes < limits::STREAM_WAITING_BYTES
    }

    /// Waits for one more, whose question takes up `bytes`.
    pub(in crate::api) fn push(&mut self, bytes: usize, answer: Pending<T>) {
        self.bytes += bytes;
        self.answers.push(answer);
    }

    /// The next answer that is there; `None` while none is waited for.
    pub(in crate::api) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.answers).poll_next(cx).map(|answered| {
            let (bytes, answer) = answered?;
            self.bytes -= bytes;
            Some(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::{poll_fn, ready};

    use super::*;

    fn filled(count: usize, bytes: usize) -> Waiting<()> {
        let mut waiting = Waiting::new();
        for _ in 0..count {
            waiting.push(bytes, Box::pin(ready((bytes, ()))));
        }
        waiting
    }

    #[tokio::test]
    async fn there_is_room_for_so_many_questions_and_so_many_bytes() {
        const LARGE: usize = limits::STREAM_WAITING_BYTES / 4;
        for (most, bytes) in [(limits::STREAM_WAITING, 1), (4, LARGE), (4, LARGE + 1)] {
            assert!(filled(most - 1, bytes).has_room(), "{most} of {bytes}");
            let mut full = filled(most, bytes);
            assert!(!full.has_room(), "{most} of {bytes}");
            poll_fn(|cx| full.poll_next(cx)).await.unwrap();
            assert!(full.has_room(), "one was answered");
            for _ in 1..most {
                poll_fn(|cx| full.poll_next(cx)).await.unwrap();
            }
            assert_eq!((full.is_empty(), full.bytes), (true, 0));
        }
    }
}
