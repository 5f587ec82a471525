//! The pages of the store in which the use of many stands together, in the order of their names: found by reading, changed in
//! commits, split where they grow too large.
//!
//! A page holds the names from its own, which is in its key, up to the one at which the next begins. No page goes away and none
//! begins elsewhere, so one that was found before a commit is there in it; what was split off since lies to its right.

use std::iter::Peekable;

use crate::registry::Error;
use crate::store::backend::{Direction, Key};
use crate::store::record::UsagePage;
use crate::store::record::packed::{self, Entries, Packed};
use crate::store::seal::Corrupt;
use crate::store::{Reader, StoreError, View, Wanted, key};

/// A page with more bytes of entries is split. The largest entry is far smaller than what this leaves of a row.
pub(super) const PAGE: usize = 24 << 10;
/// What the parts of a split page hold, at the most and about.
const PART: usize = PAGE / 4 * 3;

/// The page that a name belongs to, and its key; where nothing was ever written, the first one, empty.
pub(super) fn find(
    reader: &Reader,
    family: &[u8],
    name: &[u8],
) -> Result<(Key, UsagePage), StoreError> {
    let wanted = Wanted {
        prefix: family.into(),
        after: Some([&key::page(family, name)[..], b"\0"].concat().into()),
        direction: Direction::Backward,
        limit: 1,
    };
    match reader.scan(&wanted)?.pop() {
        Some((key, page)) => Ok((key, page?)),
        None => Ok((family.into(), UsagePage::default())),
    }
}

/// What is under a name of the page that it belongs to.
pub(super) fn value<V: Packed>(page: &UsagePage, name: &[u8]) -> Result<Option<V>, StoreError> {
    let mut entries = Entries::of(&page.entries).skip_while(|(other, _)| *other < name);
    match entries.next() {
        Some((found, value)) if found == name => {
            let corrupt = |wrong: String| Corrupt::new(name, wrong);
            Ok(Some(V::unpacked(value).map_err(corrupt)?))
        }
        _ => Ok(None),
    }
}

/// Whether a name belongs to a page further on.
pub(super) fn is_beyond(page: &UsagePage, name: &[u8]) -> bool {
    page.next.as_deref().is_some_and(|next| name >= next)
}

/// The page that a name belongs to, from one on that does not lie beyond it.
pub(super) fn walk(
    view: &mut View<'_>,
    family: &[u8],
    mut at: Key,
    name: &[u8],
) -> Result<(Key, UsagePage), Error> {
    loop {
        let page: Option<UsagePage> = view.get(&at)?;
        if page.is_none() && *at != *family {
            return Err(StoreError::from(Corrupt::new(&at, "a page is missing")).into());
        }
        let page = page.unwrap_or_default();
        match &page.next {
            Some(next) if name >= &next[..] => at = key::page(family, next),
            _ => return Ok((at, page)),
        }
    }
}

/// Names that stand on one page, as far as was known when it was looked for: how many they are, and the page's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Run {
    from: Key,
    names: usize,
}

/// The pages of the first of some names, which are in order: `most` pages, and of how many names they are.
pub(super) fn locate<'a>(
    reader: &Reader,
    family: &[u8],
    names: impl Iterator<Item = &'a [u8]>,
    most: usize,
) -> Result<(Vec<Run>, usize), StoreError> {
    let mut runs: Vec<Run> = Vec::new();
    let mut count = 0;
    let mut current: Option<UsagePage> = None;
    for name in names {
        let same = current.as_ref().is_some_and(|page| !is_beyond(page, name));
        if !same {
            if runs.len() == most {
                break;
            }
            let (from, page) = find(reader, family, name)?;
            runs.push(Run { from, names: 0 });
            current = Some(page);
        }
        if let Some(run) = runs.last_mut() {
            run.names += 1;
        }
        count += 1;
    }
    Ok((runs, count))
}

/// Changes what is under the names that `runs` found, which are in order, each once: `change` is told which of them, what is there,
/// and where to put the bytes of what shall be there; it says whether anything shall.
pub(super) fn edit(
    view: &mut View<'_>,
    family: &[u8],
    runs: &[Run],
    names: &[&[u8]],
    mut change: impl FnMut(&mut View<'_>, usize, Option<&[u8]>, &mut Vec<u8>) -> Result<bool, Error>,
) -> Result<(), Error> {
    let (mut done, mut end) = (0, 0);
    let mut value = Vec::new();
    for run in runs {
        end += run.names;
        let mut at = run.from.clone();
        while let Some(name) = names[..end].get(done) {
            let (key, page) = walk(view, family, at, name)?;
            let mut old = Entries::of(&page.entries).peekable();
            let mut merged = Vec::with_capacity(page.entries.len() + page.entries.len() / 4);
            let within = |name: &&&[u8]| !is_beyond(&page, name);
            while let Some(name) = names[..end].get(done).filter(within) {
                copy_before(&mut old, name, &mut merged);
                let found = old.next_if(|(other, _)| other == name);
                value.clear();
                if change(view, done, found.map(|(_, value)| value), &mut value)? {
                    packed::push(&mut merged, name, &value);
                }
                done += 1;
            }
            old.for_each(|(name, value)| packed::push(&mut merged, name, value));
            if merged != page.entries {
                put(view, family, &key, page.next, merged)?;
            }
            at = key;
        }
    }
    Ok(())
}

fn copy_before<'a>(old: &mut Peekable<Entries<'a>>, name: &[u8], merged: &mut Vec<u8>) {
    while let Some((name, value)) = old.next_if(|(other, _)| *other < name) {
        packed::push(merged, name, value);
    }
}

/// Writes entries as the page of this key, and as more pages to its right where they are too many for one.
fn put(
    view: &mut View<'_>,
    family: &[u8],
    key: &Key,
    next: Option<Vec<u8>>,
    entries: Vec<u8>,
) -> Result<(), Error> {
    if entries.len() <= PAGE {
        return Ok(view.put(key.clone(), &UsagePage { next, entries })?);
    }
    let share = entries.len() / entries.len().div_ceil(PART);
    let mut parts: Vec<UsagePage> = vec![UsagePage::default()];
    let mut keys = vec![key.clone()];
    for (name, value) in Entries::of(&entries) {
        if let Some(last) = parts.last_mut().filter(|last| last.entries.len() >= share) {
            last.next = Some(name.into());
            parts.push(UsagePage::default());
            keys.push(key::page(family, name));
        }
        if let Some(last) = parts.last_mut() {
            packed::push(&mut last.entries, name, value);
        }
    }
    if let Some(last) = parts.last_mut() {
        last.next = next;
    }
    for (key, page) in keys.into_iter().zip(&parts) {
        view.put(key, page)?;
    }
    Ok(())
}
