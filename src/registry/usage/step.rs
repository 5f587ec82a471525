//! One step of a fold: what it takes from a journal, and what its commit does to the pages.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::consumers;
use super::pages::{self, Run};
use super::pass::{Pass, Place};
use crate::directory::Directory;
use crate::domain::id::TokenId;
use crate::domain::limits;
use crate::domain::usage::{Consumer, Days, TokenUsage};
use crate::registry::Error;
use crate::store::backend::{Direction, Key};
use crate::store::key::{self, Named};
use crate::store::record::packed::{self, Entries, Packed as _};
use crate::store::record::{Pointer, Tally, UsageFold};
use crate::store::seal::Corrupt;
use crate::store::{Reader, StoreError, View, Wanted};

/// Entries that one step looks through, in bytes and about.
const STEP: usize = 1 << 20;
/// Pages that one commit writes, at the most and about.
pub(super) const PAGES: usize = 32;
/// Rows of consumers that one commit writes, about: those of one token are written together.
const CONSUMERS: usize = 1_000;
/// What one commit folds.
#[derive(Debug)]
pub(super) struct Step {
    fold: Key,
    expected: Option<UsageFold>,
    pub(super) next: UsageFold,
    /// Of tokens and accounts that are there, in the order of their names.
    entries: Vec<u8>,
    runs: Vec<Run>,
    directory: Arc<Directory>,
}

/// What a look at the pass that is under way finds.
#[derive(Debug)]
pub(super) enum Found {
    Step(Step),
    /// All of it is folded; the store may not say so yet.
    Complete(Option<UsageFold>),
    Lost,
}

/// What a commit learned.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// Names with days that are over.
    pub(super) over: Vec<Box<[u8]>>,
    pub(super) crowded: BTreeSet<TokenId>,
    pub(super) consumers: u64,
}

/// What comes next of a pass.
pub(super) fn look(
    reader: &Reader,
    pass: &Pass,
    directory: Arc<Directory>,
) -> Result<Found, StoreError> {
    let fold = key::usage_fold(&pass.saver);
    let stored: Option<UsageFold> = reader.get(&fold)?;
    if pass.heap.bytes() == 0 {
        return Ok(Found::Complete(stored));
    }
    let after = match pass.place(stored.as_ref()) {
        Place::After(after) => after,
        Place::Complete => return Ok(Found::Complete(stored)),
        Place::Lost => return Ok(Found::Lost),
    };
    let next = pass.heap.next(after, STEP);
    let (Some((first, _)), Some((last, _))) = (next.first(), next.last()) else {
        return Ok(Found::Complete(stored));
    };
    let deleted = deleted(reader, first, last)?;
    let owners = owners(&next);
    let there = owners.iter().filter(|owner| is_there(owner.name, &deleted));
    let names = || there.clone().map(|owner| owner.name);
    let (runs, count) = pages::locate(reader, key::USAGE_PAGES, names(), PAGES)?;
    // Where there are more than fit one commit, the last of those that do; else all, the deleted ones among them.
    let fitting = names().nth(count).and_then(|_| names().take(count).last());
    let last = fitting.or(owners.last().map(|owner| owner.name));
    let mut entries = Vec::new();
    for owner in there.clone().take(count) {
        for (name, value) in &next[owner.entries.clone()] {
            packed::push(&mut entries, name, value);
        }
    }
    Ok(Found::Step(Step {
        fold,
        next: pass.folded(last.unwrap_or(after)),
        entries,
        runs,
        directory,
        expected: stored,
    }))
}

/// A token or an account, and where its entries are among others.
struct Owner<'a> {
    name: &'a [u8],
    entries: Range<usize>,
}

/// Whose entries these are; no more than have as many consumers as one commit writes.
fn owners<'a>(entries: &[packed::Entry<'a>]) -> Vec<Owner<'a>> {
    let mut owners: Vec<Owner<'a>> = Vec::new();
    let (mut consumers, mut before) = (0, &[][..]);
    for (place, (name, _)) in entries.iter().copied().enumerate() {
        let owner = key::usage_owner(name);
        match owners.last_mut() {
            Some(same) if same.name == owner => same.entries.end = place + 1,
            _ if consumers >= CONSUMERS => break,
            _ => owners.push(Owner {
                name: owner,
                entries: place..place + 1,
            }),
        }
        consumers += usize::from(name != owner && name != before);
        before = name;
    }
    owners
}

fn is_there(name: &[u8], deleted: &BTreeSet<TokenId>) -> bool {
    match key::usage_name(name) {
        Some(Named::Token(id) | Named::Consumer(id, _)) => !deleted.contains(&id),
        Some(Named::Account) => true,
        None => false,
    }
}

/// The tokens that were deleted and are not swept yet, between two names.
fn deleted(reader: &Reader, first: &[u8], last: &[u8]) -> Result<BTreeSet<TokenId>, StoreError> {
    let mut deleted = BTreeSet::new();
    let mut after: Key = key::deleted_before(first);
    loop {
        let wanted = Wanted {
            prefix: key::DELETED_TOKENS.into(),
            after: Some(after),
            direction: Direction::Forward,
            limit: CONSUMERS,
        };
        let page = reader.scan::<Pointer>(&wanted)?;
        let Some((name, _)) = page.last() else {
            return Ok(deleted);
        };
        after = name.clone();
        for (_, pointer) in page {
            deleted.extend(TokenId::parse(&pointer?.0));
        }
        if deleted
            .last()
            .is_some_and(|id| *key::token_name(*id) > *last)
        {
            return Ok(deleted);
        }
    }
}

/// Folds a step's entries, unless the journal is folded further or elsewhere already.
pub(super) fn fold(view: &mut View<'_>, step: &Step) -> Result<Option<Folded>, Error> {
    let stored: Option<UsageFold> = view.get(&step.fold)?;
    if stored != step.expected {
        return Ok(None);
    }
    let mut groups: Vec<(&[u8], Vec<packed::Entry<'_>>)> = Vec::new();
    for (name, value) in Entries::of(&step.entries) {
        let owner = key::usage_owner(name);
        match groups.last_mut() {
            Some((same, entries)) if *same == owner => entries.push((name, value)),
            _ => groups.push((owner, vec![(name, value)])),
        }
    }
    let names: Vec<&[u8]> = groups.iter().map(|(name, _)| *name).collect();
    let mut folded = Folded::default();
    let Tally(mut consumers) = view.get(&key::CONSUMER_TALLY.into())?.unwrap_or_default();
    let before = consumers;
    let mut usage = TokenUsage::default();
    let change = |view: &mut View<'_>, place: usize, old: Option<&[u8]>, new: &mut Vec<u8>| {
        let (name, entries) = &groups[place];
        match old {
            Some(old) => usage.unpack(old).map_err(|wrong| corrupt(name, wrong))?,
            None => usage = TokenUsage::default(),
        }
        let come = add(view, &mut usage, entries)?;
        consumers += come;
        if usage.consumers > limits::CONSUMERS_OF_TOKEN as u64
            && let Some(Named::Token(id)) = key::usage_name(name)
        {
            folded.crowded.insert(id);
        }
        if usage.has_too_many_marks() {
            drop_marks(&mut usage, name, &step.directory);
        }
        if !usage.before.is_empty() {
            folded.over.push((*name).into());
        }
        usage.pack(new);
        Ok(true)
    };
    pages::edit(view, key::USAGE_PAGES, &step.runs, &names, change)?;
    if consumers != before {
        view.put(key::CONSUMER_TALLY.into(), &Tally(consumers))?;
    }
    folded.consumers = consumers;
    view.put(step.fold.clone(), &step.next)?;
    Ok(Some(folded))
}

/// Adds what was counted of a token and of its consumers, or of an account. How many consumers came.
fn add(
    view: &mut View<'_>,
    usage: &mut TokenUsage,
    entries: &[packed::Entry<'_>],
) -> Result<u64, Error> {
    let mut seen: BTreeMap<String, Consumer> = BTreeMap::new();
    let mut counted = TokenUsage::default();
    let mut token = None;
    for (name, value) in entries {
        let wrong = |wrong: String| corrupt(name, wrong);
        if let Some(Named::Consumer(id, consumer)) = key::usage_name(name) {
            token = Some(id);
            let other = Consumer::unpacked(value).map_err(wrong)?;
            consumers::add(&mut seen, consumer, &other);
        } else {
            counted.unpack(value).map_err(wrong)?;
            usage.add(&counted);
        }
    }
    let Some(token) = token else {
        return Ok(0);
    };
    consumers::forget_oldest(&mut seen);
    let mut come = 0;
    for (consumer, mut seen) in seen {
        let name = key::consumer(token, &consumer);
        match view.get::<Consumer>(&name)? {
            None => come += 1,
            Some(kept) => seen.add(&kept),
        }
        view.put(name, &seen)?;
    }
    usage.consumers += come;
    Ok(come)
}

/// Makes room among the exercised grants: of a token that is not known any more they are of no use.
fn drop_marks(usage: &mut TokenUsage, name: &[u8], directory: &Directory) {
    let token = match key::usage_name(name) {
        Some(Named::Token(id)) => directory.find(&id),
        _ => None,
    };
    match token {
        Some(token) => usage.keep_own_marks(&token.profile().grants),
        None => usage.exercised.clear(),
    }
}

/// Takes the days that are over from the pages of use, and adds them to the histories.
pub(super) fn move_days(
    view: &mut View<'_>,
    names: &[&[u8]],
    from: &[Run],
    to: &[Run],
) -> Result<(), Error> {
    let mut over: Vec<Days> = Vec::with_capacity(names.len());
    let mut usage = TokenUsage::default();
    pages::edit(view, key::USAGE_PAGES, from, names, |_, place, old, new| {
        let Some(old) = old else {
            over.push(Days::default());
            return Ok(false);
        };
        usage
            .unpack(old)
            .map_err(|wrong| corrupt(names[place], wrong))?;
        over.push(std::mem::take(&mut usage.before));
        usage.pack(new);
        Ok(true)
    })?;
    pages::edit(
        view,
        key::USAGE_HISTORIES,
        to,
        names,
        |_, place, old, new| {
            let mut days = match old {
                Some(old) => Days::unpacked(old).map_err(|wrong| corrupt(names[place], wrong))?,
                None => Days::default(),
            };
            days.add_all(&over[place]);
            days.keep_newest();
            days.pack(new);
            Ok(!days.is_empty())
        },
    )
}

pub(super) fn corrupt(name: &[u8], wrong: String) -> Error {
    StoreError::from(Corrupt::new(name, wrong)).into()
}
