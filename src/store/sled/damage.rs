//! Tests: what becomes of stores that are damaged, in use, or refused.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::handle::SEGMENT_BYTES;
use super::{Left, OpenError, Options, SledBackend};
use crate::store::backend::{Backend as _, Batch, Direction, Fault, Key, Range, Revision, Row};

const COMMITS: u64 = 300;

/// A closed store with rows of some size, and all that it holds.
fn closed_store() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = SledBackend::open(&dir, Options::default())
        .unwrap()
        .accept();
    for revision in 1..=COMMITS {
        let write = |row: u64| {
            let key = format!("row/{:03}", (revision * 7 + row * 31) % 200);
            (Key::from(key.as_bytes()), Some(vec![b'v'; 3000].into()))
        };
        let batch = Batch {
            revision: Revision(revision),
            checks: vec![],
            writes: (0..5).map(write).collect(),
            ..Batch::default()
        };
        store.commit(&batch).unwrap();
    }
    drop(store);
    (root, dir)
}

fn rows(store: &SledBackend) -> Result<Vec<(Key, Row)>, Fault> {
    store.scan(Range {
        prefix: b"",
        after: None,
        direction: Direction::Forward,
        limit: usize::MAX,
    })
}

/// All files below a directory, with what they hold.
fn files(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
            found.insert(path, None);
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, Some(bytes));
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for (path, bytes) in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        match bytes {
            Some(bytes) => {
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                fs::write(target, bytes).unwrap();
            }
            None => fs::create_dir_all(target).unwrap(),
        }
    }
}

fn snapshot(dir: &Path) -> PathBuf {
    let mut entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_snapshot = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("snap.")
    };
    entries.find(is_snapshot).unwrap()
}

fn flip(path: &Path, offset: u64) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    file.write_all_at(&[!byte[0]], offset)
}

fn truncate(path: &Path, cut: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let length = file.metadata()?.len();
    file.set_len(length.saturating_sub(cut))
}

/// What opening a damaged store comes to. Every outcome leaves the directory as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// It opens with all its rows: nothing that counts was damaged.
    Whole,
    /// It opens, and rows are missing: for the layer above to find out.
    Less,
    Refused,
}

use Outcome::{Less, Refused, Whole};

fn open_damaged(dir: &Path, whole: &[(Key, Row)]) -> Outcome {
    match SledBackend::open(dir, Options::default()) {
        Err(OpenError::Damaged { left, .. } | OpenError::Io { left, .. }) => {
            assert_eq!(left, Left::AsItWas);
            Refused
        }
        Err(other) => panic!("{other}"),
        Ok(opening) => {
            let found = rows(opening.store());
            assert_eq!(opening.refuse(), Left::AsItWas);
            match found {
                Ok(rows) if rows == whole => Whole,
                Ok(_) => Less,
                Err(_) => Refused,
            }
        }
    }
}

type Damage = fn(&Path) -> io::Result<()>;

#[test]
fn a_damaged_store_is_left_as_it_was() {
    let table: [(&str, Damage, Outcome); 20] = [
        ("nothing", |_| Ok(()), Whole),
        (
            "the log's end is cut off",
            |dir| truncate(&dir.join("db"), 5_000_000),
            Refused,
        ),
        (
            "a part of the log is there twice",
            |dir| repeat_last_segment(&dir.join("db")),
            Refused,
        ),
        (
            "the log is empty",
            |dir| truncate(&dir.join("db"), u64::MAX),
            Refused,
        ),
        (
            "the log is missing",
            |dir| fs::remove_file(dir.join("db")),
            Refused,
        ),
        (
            "the log is a directory",
            |dir| swap_for_directory(&dir.join("db")),
            Refused,
        ),
        (
            "the snapshot is missing",
            |dir| fs::remove_file(snapshot(dir)),
            Less,
        ),
        (
            "the snapshot is empty",
            |dir| fs::write(snapshot(dir), b""),
            Refused,
        ),
        (
            "the snapshot is garbage",
            |dir| fs::write(snapshot(dir), [7; 400]),
            Refused,
        ),
        (
            "the snapshot has a flipped byte",
            |dir| flip(&snapshot(dir), 30),
            Refused,
        ),
        (
            "the snapshot's end is cut off",
            |dir| truncate(&snapshot(dir), 30),
            Refused,
        ),
        (
            "the settings are missing",
            |dir| fs::remove_file(dir.join("conf")),
            Whole,
        ),
        (
            "the settings are empty",
            |dir| fs::write(dir.join("conf"), b""),
            Whole,
        ),
        (
            "the settings are garbage",
            |dir| fs::write(dir.join("conf"), [7; 40]),
            Refused,
        ),
        (
            "the settings have a flipped byte",
            |dir| flip(&dir.join("conf"), 3),
            Refused,
        ),
        (
            "the blobs are missing",
            |dir| fs::remove_dir(dir.join("blobs")),
            Whole,
        ),
        (
            "a blob too many",
            |dir| fs::write(dir.join("blobs/99999999999"), b"x"),
            Whole,
        ),
        (
            "a snapshot half written",
            |dir| fs::write(dir.join("snap.00F0.generating"), b""),
            Whole,
        ),
        (
            "a file of somebody else's",
            |dir| fs::write(dir.join("notes"), b"x"),
            Whole,
        ),
        (
            "an earlier copy",
            |dir| fs::create_dir(dir.with_file_name("store.before-opening")),
            Whole,
        ),
    ];
    let (_root, dir) = closed_store();
    let whole = rows(
        &SledBackend::open(&dir, Options::default())
            .unwrap()
            .accept(),
    )
    .unwrap();
    for (name, damage, expected) in table {
        let root = tempfile::tempdir().unwrap();
        let hurt = root.path().join("store");
        copy(&dir, &hurt);
        damage(&hurt).unwrap();
        let before = files(&hurt);
        assert_eq!(open_damaged(&hurt, &whole), expected, "{name}");
        assert!(files(&hurt) == before, "{name}: the files have changed");
        assert_eq!(
            fs::read_dir(root.path()).unwrap().count(),
            1,
            "{name}: the copy is still there"
        );
    }
}

#[test]
fn a_flipped_byte_is_found_or_does_no_harm_and_is_left_as_it_was() {
    const PLACES: u64 = 12;
    let (_root, dir) = closed_store();
    let whole = rows(
        &SledBackend::open(&dir, Options::default())
            .unwrap()
            .accept(),
    )
    .unwrap();
    let length = fs::metadata(dir.join("db")).unwrap().len();
    for place in 0..PLACES {
        let root = tempfile::tempdir().unwrap();
        let hurt = root.path().join("store");
        copy(&dir, &hurt);
        flip(&hurt.join("db"), length * (2 * place + 1) / (2 * PLACES)).unwrap();
        let before = files(&hurt);
        assert_ne!(open_damaged(&hurt, &whole), Less, "{place}");
        assert!(files(&hurt) == before, "{place}: the files have changed");
    }
}

#[test]
fn a_refused_store_opens_again_with_all_its_rows() {
    let (root, dir) = closed_store();
    let before = files(root.path());
    let refused = SledBackend::open(&dir, Options::default()).unwrap();
    let whole = rows(refused.store()).unwrap();
    assert_eq!(refused.refuse(), Left::AsItWas);
    assert!(files(root.path()) == before);
    drop(SledBackend::open(&dir, Options::default()).unwrap());
    assert!(
        files(root.path()) == before,
        "an opening that is dropped is refused"
    );
    let store = SledBackend::open(&dir, Options::default())
        .unwrap()
        .accept();
    assert_eq!(rows(&store).unwrap(), whole);
    assert_eq!(store.revision(), Revision(COMMITS));
}

#[test]
fn a_store_too_large_to_copy_is_opened_and_its_refusal_says_what_became_of_it() {
    let (_root, dir) = closed_store();
    let bytes = files(&dir).values().flatten().map(Vec::len).sum::<usize>() as u64;
    for (copy_bytes, kept) in [(bytes, true), (bytes - 1, false)] {
        let options = Options {
            copy_bytes,
            ..Options::default()
        };
        let opening = SledBackend::open(&dir, options).unwrap();
        assert_eq!(opening.store().revision(), Revision(COMMITS));
        assert_eq!(opening.refuse() == Left::AsItWas, kept, "{copy_bytes}");
    }
}

#[test]
fn a_store_is_open_once_only() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("a/new/place");
    let first = SledBackend::open(&dir, Options::default())
        .unwrap()
        .accept();
    let before = files(root.path());
    let second = SledBackend::open(&dir, Options::default());
    assert!(matches!(second, Err(OpenError::InUse(_))), "{second:?}");
    assert!(files(root.path()) == before);
    drop(first);
    SledBackend::open(&dir, Options::default()).unwrap();
}

#[test]
fn a_database_that_another_program_has_open_is_in_use() {
    let (_root, dir) = closed_store();
    let held = File::open(dir.join("db")).unwrap();
    held.lock().unwrap();
    let before = files(&dir);
    let refused = SledBackend::open(&dir, Options::default());
    assert!(matches!(refused, Err(OpenError::InUse(_))), "{refused:?}");
    assert!(files(&dir) == before);
}

#[test]
fn a_store_that_cannot_be_opened_again_is_away_until_it_can() {
    let (_root, dir) = closed_store();
    let store = SledBackend::open(&dir, Options::default())
        .unwrap()
        .accept();
    let commit = || {
        store.commit(&Batch {
            revision: store.revision().next(),
            ..Batch::default()
        })
    };
    super::durable::fail_next_sync(&dir.join("db"));
    commit().unwrap_err();
    assert!(
        store.get(b"row/000").unwrap().is_some(),
        "what was open is still read"
    );
    let good = files(&dir);
    truncate(&dir.join("db"), u64::MAX).unwrap();
    for _ in 0..2 {
        store.reopen().unwrap_err();
        store.get(b"row/000").unwrap_err();
        commit().unwrap_err();
    }
    for (path, bytes) in good
        .iter()
        .filter_map(|(path, bytes)| Some((path, bytes.as_ref()?)))
    {
        fs::write(path, bytes).unwrap();
    }
    store.reopen().unwrap();
    assert!(store.get(b"row/000").unwrap().is_some());
    commit().unwrap();
}

#[test]
fn a_store_that_lost_durable_commits_is_not_opened_again() {
    let (_root, dir) = closed_store();
    let old = files(&dir);
    let store = SledBackend::open(&dir, Options::default())
        .unwrap()
        .accept();
    let commit = || {
        store.commit(&Batch {
            revision: store.revision().next(),
            ..Batch::default()
        })
    };
    commit().unwrap();
    super::durable::fail_next_sync(&dir.join("db"));
    commit().unwrap_err();
    fs::remove_file(snapshot(&dir)).unwrap();
    for (path, bytes) in old
        .iter()
        .filter_map(|(path, bytes)| Some((path, bytes.as_ref()?)))
    {
        fs::write(path, bytes).unwrap();
    }
    let refused = store.reopen();
    assert!(matches!(refused, Err(Fault::Corrupt(_))), "{refused:?}");
}

/// What makes sled panic: two segments that claim the same place in the log.
fn repeat_last_segment(path: &Path) -> io::Result<()> {
    let mut log = fs::read(path)?;
    let last = (log.len() - 1) / SEGMENT_BYTES * SEGMENT_BYTES;
    let segment = log[last..].to_vec();
    log.resize(last + SEGMENT_BYTES, 0);
    log.extend(segment);
    fs::write(path, log)
}

fn swap_for_directory(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    fs::create_dir(path)
}
