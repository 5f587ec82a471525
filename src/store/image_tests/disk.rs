//! A store on disk, its image, and what somebody does to both.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::keyring::Keyring;
use crate::random::testing::SeededRandom;
use crate::store::backend::{Key, Row};
use crate::store::image::{Rank, ReadModel};
use crate::store::open::{OpenError, Opened, Verified, open_with};
use crate::store::open_tests::{Disk, close};
use crate::store::record::{Change, Record as _, Tally};
use crate::store::seal::Corrupt;
use crate::store::sled::tamper;
use crate::store::tests::{clock, name};
use crate::store::{Condition, Intake, Reader, Store, StoreError, View, changes, key};

/// What decisions rest on, as a test knows it.
pub(super) type Known = BTreeMap<String, u64>;

#[derive(Debug, Default)]
pub(super) struct Model(Mutex<Known>);

impl Model {
    pub(super) fn of(reader: &Reader) -> Self {
        let model = Self::default();
        for family in key::DECIDING {
            let take = |key: Key, Tally(count)| {
                model.set(&key, Some(count));
                Ok(())
            };
            reader.each::<Tally>(family, take).unwrap();
        }
        model
    }

    pub(super) fn set(&self, name: &[u8], count: Option<u64>) {
        let name = String::from_utf8(name.to_vec()).unwrap();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match count {
            Some(count) => known.insert(name, count),
            None => known.remove(&name),
        };
    }

    pub(super) fn known(&self) -> Known {
        self.0.lock().unwrap().clone()
    }
}

impl Intake for Model {
    fn first(&self) -> &[&[u8]] {
        &[key::ROLES]
    }

    fn take(&self, name: &[u8], payload: &[u8]) -> Result<(), Corrupt> {
        if changes::decides(name) {
            self.set(name, Some(Tally::decode(payload).unwrap().0));
        }
        Ok(())
    }
}

impl ReadModel for Model {
    fn form(&self) -> u32 {
        7
    }

    fn give(&self, block: &mut dyn FnMut(Rank, &[u8]) -> io::Result<()>) -> io::Result<()> {
        for (name, count) in self.known() {
            let rank = if name.starts_with("role/") {
                Rank::Leading
            } else {
                Rank::Other
            };
            block(rank, format!("{name} {count}").as_bytes())?;
        }
        Ok(())
    }

    fn take_block(&self, block: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(block).unwrap();
        let (name, count) = text.split_once(' ').unwrap();
        let led = !self.known().is_empty() || name.starts_with("role/");
        self.set(name.as_bytes(), count.parse().ok());
        led.then_some(()).ok_or("roles come first".into())
    }

    fn remove(&self, name: &[u8]) -> Result<(), Corrupt> {
        self.set(name, None);
        Ok(())
    }
}

impl Disk {
    pub(super) fn start(&self) -> Result<(Opened, Model), OpenError> {
        open_with(&self.place(), clock(), &SeededRandom::new(4), 0)
    }

    /// Opens, makes the changes, each in a commit of its own, and closes again.
    pub(super) fn changes(&self, changes: &[(&str, Option<u64>)]) {
        let (opened, _) = self.start().unwrap();
        let opened = verified(opened);
        make(&opened, changes);
        close(opened);
    }

    /// Opens, makes an image while the changes are made, and closes again.
    pub(super) fn image(&self, meanwhile: &[(&str, Option<u64>)]) {
        let (opened, _) = self.start().unwrap();
        let opened = verified(opened);
        let begun = opened.store.reader().head().unwrap().unwrap();
        make(&opened, meanwhile);
        let reader = opened.store.reader();
        let random = SeededRandom::new(begun.revision.0);
        let written =
            reader.write_image(&self.place().image(), &begun, &Model::of(reader), &random);
        written.unwrap();
        close(opened);
    }

    /// Whether its image is believed, and what is then known.
    pub(super) fn believed(&self) -> (bool, Known) {
        let (opened, model) = self.start().unwrap();
        let image = opened.verification.is_some();
        close(verified(opened));
        (image, model.known())
    }

    pub(super) fn row(&self, text: &str) -> Option<Row> {
        let opened = self.open().unwrap();
        let row = opened.store.reader().backend.get(&name(text)).unwrap();
        close(opened);
        row
    }

    pub(super) fn set(&self, text: &[u8], row: Option<&Row>) {
        tamper(&self.path("store"), text, row);
    }

    pub(super) fn put_back(&self, files: &BTreeMap<PathBuf, Vec<u8>>, but: &str) {
        fs::remove_dir_all(self.path("store")).unwrap();
        for (path, content) in files {
            if path.file_name().unwrap() != but {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
        }
    }
}

/// The store once it takes changes.
pub(super) fn verified(mut opened: Opened) -> Opened {
    if let Some(verification) = opened.verification.take() {
        assert_eq!(verification.run().unwrap(), Verified::Whole);
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while *opened.store.condition().borrow() != Condition::Writable {
        assert!(Instant::now() < deadline, "it takes no changes");
        std::thread::sleep(Duration::from_millis(10));
    }
    opened
}

pub(super) fn make(opened: &Opened, changes: &[(&str, Option<u64>)]) {
    for (text, count) in changes {
        set(&opened.store, text, *count).unwrap();
    }
}

pub(super) fn set(store: &Store, text: &str, count: Option<u64>) -> Result<(), StoreError> {
    let name = name(text);
    let change = move |view: &mut View<'_>| match count {
        Some(count) => view.put(name.clone(), &Tally(count)),
        None => view.delete(name.clone()),
    };
    store.update_blocking(change).map(|_| ())
}

pub(super) fn changed_at(store: &Reader) -> Vec<Key> {
    let mut names = Vec::new();
    let take = |name, _| {
        names.push(name);
        Ok(())
    };
    store.each::<Change>(key::CHANGES, take).unwrap();
    names
}

pub(super) fn known(rows: &[(&str, u64)]) -> Known {
    rows.iter()
        .map(|(name, count)| ((*name).into(), *count))
        .collect()
}

impl Disk {
    pub(super) fn open_keyring(&self) -> Keyring {
        crate::keyring::file::read(&self.path("keyring"))
            .unwrap()
            .unwrap()
    }
}
