//! Every row read once, on several threads: each reads a part of the key space, and gives half of what is left of its part to
//! a thread that has nothing to do. Parts are cut at keys and never overlap, so that whatever is there is read, and once.

use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::store::backend::{Backend, Direction, Fault, Key, Range, Revision};

/// Rows that a thread reads at a time.
const PAGE: usize = 1_000;

/// Reads every row; what `visit` makes of them is folded for each thread by itself. The families in `first` are whole before
/// anything else is read, one after the other. The first error ends it all.
pub(super) fn walk<T, E>(
    backend: &dyn Backend,
    threads: NonZeroUsize,
    first: &[&[u8]],
    visit: impl Fn(&mut T, &[u8], Revision, &[u8]) -> Result<(), E> + Sync,
) -> Result<Vec<T>, E>
where
    T: Default + Send,
    E: From<Fault> + Send,
{
    let mut parts = families(backend)?;
    let mut folded = Vec::new();
    for family in first {
        let (leading, rest) = parts.into_iter().partition(|part| part.family == *family);
        parts = rest;
        folded.extend(all(backend, threads, leading, &visit)?);
    }
    folded.extend(all(backend, threads, parts, &visit)?);
    Ok(folded)
}

/// The keys beyond `after`, up to `last` and with it.
#[derive(Debug)]
struct Part {
    /// What its keys begin with; empty for the one that lies beyond all families.
    family: Vec<u8>,
    after: Option<Key>,
    last: Option<Key>,
}

/// A part for each family of keys that is there, and one for what may lie beyond.
fn families(backend: &dyn Backend) -> Result<Vec<Part>, Fault> {
    let mut parts = Vec::new();
    let mut after = None;
    loop {
        let name = one(backend, b"", after.as_deref(), Direction::Forward)?;
        let family = name.map_or_else(Vec::new, |name| {
            let slash = name.iter().position(|byte| *byte == b'/');
            name[..slash.map_or(name.len(), |at| at + 1)].to_vec()
        });
        let last = match family.is_empty() {
            true => None,
            false => one(backend, &family, None, Direction::Backward)?,
        };
        let end = last.is_none();
        parts.push(Part {
            family,
            after: std::mem::replace(&mut after, last.clone()),
            last,
        });
        if end {
            return Ok(parts);
        }
    }
}

/// The name of the first row beyond `after`.
fn one(
    backend: &dyn Backend,
    prefix: &[u8],
    after: Option<&[u8]>,
    direction: Direction,
) -> Result<Option<Key>, Fault> {
    let range = Range {
        prefix,
        after,
        direction,
        limit: 1,
    };
    Ok(backend.scan(range)?.pop().map(|(name, _)| name))
}

fn all<T, E>(
    backend: &dyn Backend,
    threads: NonZeroUsize,
    parts: Vec<Part>,
    visit: &(impl Fn(&mut T, &[u8], Revision, &[u8]) -> Result<(), E> + Sync),
) -> Result<Vec<T>, E>
where
    T: Default + Send,
    E: From<Fault> + Send,
{
    let work = Work {
        state: Mutex::new(State {
            parts,
            ..State::default()
        }),
        changed: Condvar::new(),
    };
    let run = || {
        let mut folded = T::default();
        let done = work.run(|part| {
            page(backend, part, |name, revision, bytes| {
                visit(&mut folded, name, revision, bytes)
            })
        });
        done.map(|()| folded)
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads.get()).map(|_| scope.spawn(run)).collect();
        let own = run();
        let joined = others.into_iter().map(|other| other.join());
        let folded =
            joined.map(|other| other.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        [own].into_iter().chain(folded).collect()
    })
}

/// Visits a page of a part's rows, and says what is left of it.
fn page<E: From<Fault>>(
    backend: &dyn Backend,
    part: Part,
    mut visit: impl FnMut(&[u8], Revision, &[u8]) -> Result<(), E>,
) -> Result<Option<Part>, E> {
    let range = Range {
        prefix: b"",
        after: part.after.as_deref(),
        direction: Direction::Forward,
        limit: PAGE,
    };
    let mut visited = Ok(());
    let (mut seen, mut newest) = (0, Vec::new());
    backend.visit(range, &mut |name, revision, bytes| {
        seen += 1;
        let within = part.last.as_ref().is_none_or(|last| *name <= **last);
        if within && visited.is_ok() {
            visited = visit(name, revision, bytes);
        }
        if seen == PAGE && within {
            newest.extend_from_slice(name);
        }
    })?;
    visited.map(|()| match newest.is_empty() {
        true => None,
        false => Some(Part {
            after: Some(newest.into()),
            ..part
        }),
    })
}

/// What is to be read.
struct Work {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Nobody reads these yet.
    parts: Vec<Part>,
    /// Threads that read one, and may give half of it away.
    busy: usize,
    /// Threads that have none.
    idle: usize,
    failed: bool,
}

impl Work {
    /// Reads parts by pages until there are none.
    fn run<E>(&self, mut page: impl FnMut(Part) -> Result<Option<Part>, E>) -> Result<(), E> {
        while let Some(taken) = self.take() {
            let _busy = Busy(self);
            let mut left = Some(taken);
            while let Some(part) = left {
                left = page(part).inspect_err(|_| self.lock().failed = true)?;
                if let Some(part) = &mut left {
                    let mut state = self.lock();
                    if state.failed {
                        return Ok(());
                    }
                    if state.idle > state.parts.len()
                        && let Some(half) = part.give_half()
                    {
                        state.parts.push(half);
                        self.changed.notify_one();
                    }
                }
            }
        }
        Ok(())
    }

    /// A part that nobody reads; waits for one as long as any can come.
    fn take(&self) -> Option<Part> {
        let mut state = self.lock();
        loop {
            if state.failed {
                return None;
            }
            if let Some(part) = state.parts.pop() {
                state.busy += 1;
                return Some(part);
            }
            if state.busy == 0 {
                return None;
            }
            state.idle += 1;
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that reads a part, until it has read it or has failed.
struct Busy<'a>(&'a Work);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.busy -= 1;
        state.failed |= thread::panicking();
        self.0.changed.notify_all();
    }
}

impl Part {
    /// The upper half, as far as the keys at its ends tell; `None` where they are too close to each other.
    fn give_half(&mut self) -> Option<Self> {
        let (after, last) = (self.after.as_ref()?, self.last.as_ref()?);
        let same = after.iter().zip(last).take_while(|(a, b)| a == b).count();
        let (low, high) = (number(&after[same..]), number(&last[same..]));
        let half = low + high.checked_sub(low)? / 2;
        if half == low {
            return None;
        }
        let cut = Key::from([&last[..same], &half.to_be_bytes()].concat());
        let upper = Self {
            family: self.family.clone(),
            after: Some(cut.clone()),
            last: self.last.replace(cut),
        };
        Some(upper)
    }
}

/// The first eight bytes, as a number.
fn number(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    let most = bytes.len().min(first.len());
    first[..most].copy_from_slice(&bytes[..most]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;
    use crate::store::backend::Row;
    use crate::store::memory::MemoryBackend;

    fn store<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> MemoryBackend {
        let row = |name: &[u8]| {
            let row = Row {
                revision: Revision(1),
                bytes: [].into(),
            };
            (Key::from(name), row)
        };
        let rows: BTreeMap<_, _> = names.into_iter().map(row).collect();
        MemoryBackend::with_rows(Revision(1), rows)
    }

    /// Every name that is visited, in no order.
    fn visited(store: &MemoryBackend, threads: usize) -> Vec<Vec<u8>> {
        let visit =
            |names: &mut Vec<Vec<u8>>, name: &[u8], _: Revision, _: &[u8]| -> Result<(), Fault> {
                names.push(name.to_vec());
                Ok(())
            };
        let threads = NonZeroUsize::new(threads).unwrap();
        let mut names = walk(store, threads, &[b"b/"], visit).unwrap().concat();
        names.sort_unstable();
        names
    }

    #[test]
    fn many_rows_of_few_families_are_each_read_once() {
        let mut names = vec![b"head".to_vec()];
        names.extend((0..30_000_u32).map(|n| format!("token/{n:022}").into_bytes()));
        names.extend((0..5_000_u64).map(|n| [&b"event/"[..], &n.to_be_bytes()].concat()));
        names.sort_unstable();
        let store = store(names.iter().map(AsRef::as_ref));
        for threads in [1, 2, 5] {
            assert_eq!(visited(&store, threads), names, "{threads} threads");
        }
    }

    #[test]
    fn the_leading_families_are_whole_before_anything_else_is_read() {
        let names: Vec<_> = (0..3_000)
            .flat_map(|n| {
                [
                    format!("a/{n:05}"),
                    format!("r/{n:05}"),
                    format!("z/{n:05}"),
                ]
            })
            .collect();
        let store = store(names.iter().map(|name| name.as_bytes()));
        let order = [&b"z/"[..], b"r/"];
        let seen = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let visit = |_: &mut (), name: &[u8], _: Revision, _: &[u8]| -> Result<(), Fault> {
            let at = order.iter().position(|family| name.starts_with(family));
            for before in &seen[..at.unwrap_or(order.len())] {
                assert_eq!(before.load(Ordering::SeqCst), 3_000);
            }
            at.map(|at| seen[at].fetch_add(1, Ordering::SeqCst));
            Ok(())
        };
        walk(&store, NonZeroUsize::new(3).unwrap(), &order, visit).unwrap();
    }

    #[test]
    fn an_error_ends_it_and_a_panic_is_not_lost() {
        let names: Vec<_> = (0..20_000).map(|n| format!("a/{n:05}")).collect();
        let store = store(names.iter().map(|name| name.as_bytes()));
        let threads = NonZeroUsize::new(3).unwrap();
        let refuse = |_: &mut (), name: &[u8], _: Revision, _: &[u8]| match name {
            b"a/07777" => Err(Fault::Corrupt("it".into())),
            _ => Ok(()),
        };
        assert!(walk(&store, threads, &[], refuse).is_err());
        let panics = |_: &mut (), name: &[u8], _: Revision, _: &[u8]| -> Result<(), Fault> {
            assert_ne!(name, b"a/07777", "a bug");
            Ok(())
        };
        let walked = std::panic::AssertUnwindSafe(|| walk(&store, threads, &[], panics));
        assert!(std::panic::catch_unwind(walked).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_there_is_read_once(
            names in btree_set(proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'b'), any::<u8>()], 1..5), 0..200),
            threads in 1..4_usize,
        ) {
            let store = store(names.iter().map(AsRef::as_ref));
            prop_assert_eq!(visited(&store, threads), names.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn half_a_part_begins_where_the_other_half_ends(after: Vec<u8>, last: Vec<u8>) {
            let (after, last) = if after <= last { (after, last) } else { (last, after) };
            let mut part = Part { family: Vec::new(), after: Some(after.clone().into()), last: Some(last.clone().into()) };
            if let Some(upper) = part.give_half() {
                prop_assert_eq!(part.after.as_deref(), Some(&after[..]));
                prop_assert_eq!(&part.last, &upper.after);
                prop_assert_eq!(upper.last.as_deref(), Some(&last[..]));
                let cut = part.last.unwrap();
                prop_assert!(after[..] < cut[..] && cut[..] <= last[..]);
            }
        }
    }
}
