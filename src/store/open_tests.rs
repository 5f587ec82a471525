//! Tests: stores on disk, opened, refused and left as they were.

use std::collections::BTreeMap;

use super::backend::Revision;
use super::open::{OpenError, Opened, Place, open};
use super::record::Tally;
use super::sled;
use super::tests::{add, clock, name};
use crate::keyring::Keyring;
use crate::random::testing::SeededRandom;

pub(super) struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn place(&self) -> Place {
        Place {
            data_dir: self.dir.path().join("data"),
            keyring_file: None,
            sled: sled::Options::default(),
        }
    }

    pub(super) fn open(&self) -> Result<Opened, OpenError> {
        open(&self.place(), clock(), &SeededRandom::new(4), &())
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("data").join(name)
    }

    /// Every file with its content.
    pub(super) fn files(&self) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut dirs = vec![self.dir.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir)
                .unwrap()
                .map(|entry| entry.unwrap().path())
            {
                if entry.is_dir() {
                    dirs.push(entry)
                } else {
                    drop(files.insert(entry.clone(), std::fs::read(&entry).unwrap()))
                }
            }
        }
        files
    }

    /// Opens, adds to `n`, and closes again.
    fn session(&self, times: u64) {
        let opened = self.open().unwrap();
        for _ in 0..times {
            add(&opened.store, "n", 1).unwrap();
        }
        close(opened);
    }
}

pub(super) fn close(opened: Opened) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(opened.store.close());
}

#[test]
fn a_store_on_disk_is_there_after_it_was_closed() {
    let disk = Disk::new();
    disk.session(3);
    let opened = disk.open().unwrap();
    assert!(!opened.empty);
    assert_eq!(
        opened.store.reader().get::<Tally>(&name("n")).unwrap(),
        Some(Tally(3))
    );
    assert!(
        matches!(disk.open(), Err(OpenError::InUse(_))),
        "a second one is refused"
    );
    close(opened);
}

#[test]
fn a_store_without_its_keyring_or_anchor_is_refused_and_left_as_it_was() {
    for (missing, replaced) in [
        ("keyring", false),
        ("anchor", false),
        ("keyring", true),
        ("anchor", true),
    ] {
        let disk = Disk::new();
        disk.session(1);
        std::fs::remove_file(disk.path(missing)).unwrap();
        if replaced {
            let other = Disk::new();
            other.session(1);
            let random = SeededRandom::new(77);
            if missing == "keyring" {
                crate::keyring::file::write(&disk.path("keyring"), &Keyring::generate(&random))
                    .unwrap();
            } else {
                std::fs::write(disk.path("anchor"), b"nonsense").unwrap();
            }
        }
        let before = disk.files();
        let refused = disk.open();
        let expected = match (missing, replaced) {
            ("keyring", false) => matches!(refused, Err(OpenError::KeyringMissing(_))),
            ("keyring", true) => matches!(refused, Err(OpenError::KeyringWrong(..))),
            _ => matches!(refused, Err(OpenError::Anchor { .. })),
        };
        assert!(expected, "{missing}: {refused:?}");
        assert_eq!(disk.files(), before, "{missing}");
    }
}

#[test]
fn a_store_that_was_rolled_back_is_told_by_its_anchor() {
    let disk = Disk::new();
    disk.session(1);
    let old = disk.files();
    disk.session(2);
    let anchor = std::fs::read(disk.path("anchor")).unwrap();
    std::fs::remove_dir_all(disk.path("store")).unwrap();
    for (path, content) in &old {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    std::fs::write(disk.path("anchor"), anchor).unwrap();
    let refused = disk.open();
    assert!(
        matches!(
            refused,
            Err(OpenError::RolledBack {
                anchored: Revision(3),
                ..
            })
        ),
        "{refused:?}"
    );
    std::fs::remove_dir_all(disk.path("store")).unwrap();
    let refused = disk.open();
    assert!(
        matches!(
            refused,
            Err(OpenError::RolledBack {
                found: Revision(0),
                ..
            })
        ),
        "{refused:?}"
    );
}

#[test]
fn a_crash_between_the_first_files_is_no_loss() {
    for kept in [&["keyring"][..], &["keyring", "anchor"]] {
        let disk = Disk::new();
        let opened = disk.open().unwrap();
        close(opened);
        std::fs::remove_dir_all(disk.path("store")).unwrap();
        if !kept.contains(&"anchor") {
            std::fs::remove_file(disk.path("anchor")).unwrap();
        }
        disk.session(1);
    }
}
