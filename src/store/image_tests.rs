//! Tests: what an image is good for, and that none is believed that is not of this store's past.

mod disk;

use std::fs;

use self::disk::{Model, changed_at, known, set, verified};
use super::backend::Row;
use super::open::{OpenError, Verified, open_with};
use super::open_tests::{Disk, close};
use super::tests::clock;
use super::*;
use crate::random::testing::SeededRandom;

/// A store with an image, and changes since that an image must be brought up by.
fn changed_since() -> Disk {
    let disk = Disk::new();
    disk.changes(&[
        ("role/acme/reader", Some(1)),
        ("token/a", Some(1)),
        ("token/b", Some(1)),
        ("token/c", Some(1)),
    ]);
    disk.image(&[]);
    disk.changes(&[
        ("token/b", Some(2)),
        ("usage/b", Some(2)),
        ("token/c", None),
        ("token/d", Some(4)),
        ("token/b", Some(3)),
        ("role/acme/writer", Some(5)),
    ]);
    disk
}

fn as_changed() -> disk::Known {
    known(&[
        ("role/acme/reader", 1),
        ("role/acme/writer", 5),
        ("token/a", 1),
        ("token/b", 3),
        ("token/d", 4),
    ])
}

#[test]
fn a_store_is_served_from_its_image_and_takes_changes_once_it_is_verified() {
    let disk = changed_since();
    let before = disk.files();
    let (opened, model) = disk.start().unwrap();
    assert_eq!(model.known(), as_changed());
    assert!(opened.verification.is_some());
    let refused = set(&opened.store, "token/e", Some(1));
    assert!(matches!(refused, Err(StoreError::Away(why)) if why.contains("verified")));
    drop(opened);
    assert!(
        disk.files() == before,
        "nobody wanted to know: it is as it was"
    );
    disk.changes(&[("token/e", Some(1))]);
    let mut expected = as_changed();
    expected.insert("token/e".into(), 1);
    assert_eq!(disk.believed(), (true, expected));
}

#[test]
fn a_verification_that_is_stopped_leaves_the_store_as_it_was() {
    let disk = changed_since();
    let before = disk.files();
    let (mut opened, _) = disk.start().unwrap();
    let verification = opened.verification.take().unwrap();
    verification.stop().stop();
    assert_eq!(verification.run().unwrap(), Verified::Stopped);
    assert!(set(&opened.store, "token/e", Some(1)).is_err());
    close(opened);
    assert!(disk.files() == before);
}

#[test]
fn a_small_store_is_verified_first() {
    let disk = changed_since();
    let (opened, model) =
        open_with::<Model>(&disk.place(), clock(), &SeededRandom::new(4), 1_000).unwrap();
    assert!(opened.verification.is_none());
    assert_eq!(model.known(), as_changed());
    close(opened);
}

#[test]
fn an_image_that_is_missing_torn_or_changed_is_not_believed() {
    let disk = changed_since();
    let path = disk.place().image();
    let whole = fs::read(&path).unwrap();
    let edits = (0..whole.len()).step_by(7).map(|at| {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        (format!("byte {at}"), flipped)
    });
    let cuts = [0, 1, 7, 27, 28, 60, whole.len() / 2, whole.len() - 1];
    let cuts = cuts.map(|at| (format!("cut at {at}"), whole[..at].to_vec()));
    for (what, bytes) in edits.chain(cuts) {
        fs::write(&path, bytes).unwrap();
        let read = image::read::<Model>(&path, &disk.open_keyring());
        assert!(read.is_err(), "{what}");
    }
    assert_eq!(disk.believed(), (false, as_changed()));
    fs::remove_file(&path).unwrap();
    assert_eq!(disk.believed(), (false, as_changed()));
}

#[test]
fn an_image_of_another_store_or_keyring_is_not_believed() {
    let (disk, other) = (changed_since(), changed_since());
    other.changes(&[("token/a", Some(9))]);
    other.image(&[]);
    fs::copy(other.path("image"), disk.path("image")).unwrap();
    assert_eq!(
        disk.believed(),
        (false, as_changed()),
        "under the same keyring"
    );
    let another = Keyring::generate(&SeededRandom::new(77));
    let read = image::read::<Model>(&disk.path("image"), &another);
    assert!(read.is_err());
}

#[test]
fn an_older_image_is_brought_up_as_long_as_the_changes_since_are_there() {
    let disk = changed_since();
    let old = fs::read(disk.path("image")).unwrap();
    disk.image(&[]);
    fs::write(disk.path("image"), &old).unwrap();
    assert_eq!(disk.believed(), (true, as_changed()));
    let (opened, _) = disk.start().unwrap();
    let opened = verified(opened);
    for name in changed_at(opened.store.reader()) {
        let sweep = move |view: &mut View<'_>| view.delete(name.clone());
        opened
            .store
            .update_blocking::<_, StoreError, _>(sweep)
            .unwrap();
    }
    close(opened);
    assert_eq!(disk.believed(), (false, as_changed()), "they were swept");
}

#[test]
fn an_image_newer_than_the_store_is_not_believed() {
    let disk = changed_since();
    let old = disk.files();
    disk.changes(&[("token/a", Some(2))]);
    disk.image(&[]);
    disk.put_back(&old, "image");
    assert_eq!(disk.believed(), (false, as_changed()));
}

#[test]
fn an_image_of_a_past_that_the_store_has_left_is_not_believed() {
    let disk = changed_since();
    let old = disk.files();
    disk.changes(&[("token/a", Some(2))]);
    disk.image(&[]);
    disk.put_back(&old, "image");
    disk.changes(&[("token/d", Some(5)), ("token/b", Some(5))]);
    let mut expected = as_changed();
    expected.extend(known(&[("token/d", 5), ("token/b", 5)]));
    assert_eq!(disk.believed(), (false, expected));
}

#[test]
fn an_image_made_while_changes_came_is_good_for_the_past_that_they_belong_to() {
    let disk = changed_since();
    let old = disk.files();
    disk.image(&[("token/a", Some(6)), ("token/d", None)]);
    let mut expected = as_changed();
    expected.insert("token/a".into(), 6);
    expected.remove("token/d");
    assert_eq!(disk.believed(), (true, expected));
    disk.put_back(&old, "image");
    disk.changes(&[("token/b", Some(8))]);
    let mut expected = as_changed();
    expected.insert("token/b".into(), 8);
    assert_eq!(disk.believed(), (false, expected), "token/a was never 6");
}

#[test]
fn what_was_done_to_the_changes_since_is_found_before_anything_is_served() {
    let disk = changed_since();
    let (first, before) = {
        let opened = disk.open().unwrap();
        let names = changed_at(opened.store.reader());
        close(opened);
        (names[names.len() - 3].clone(), disk.files())
    };
    let (old_b, c) = {
        let other = Disk::new();
        other.changes(&[
            ("role/acme/reader", Some(1)),
            ("token/a", Some(1)),
            ("token/b", Some(1)),
            ("token/c", Some(1)),
        ]);
        (other.row("token/b"), other.row("token/c"))
    };
    let flipped = disk.row("token/d").map(|mut row| {
        let mut bytes = row.bytes.to_vec();
        bytes[6] ^= 1;
        row.bytes = bytes.into();
        row
    });
    let edits: [(&str, &[u8], Option<Row>); 6] = [
        ("a change is hidden", &first, None),
        ("a change is another", &first, disk.row("usage/b")),
        ("a row is put back as it was", b"token/b", old_b),
        ("a deleted row is put back", b"token/c", c),
        ("a new row is taken away", b"token/d", None),
        ("a new row is edited", b"token/d", flipped),
    ];
    for (what, name, row) in edits {
        disk.put_back(&before, "");
        disk.set(name, row.as_ref());
        let edited = disk.files();
        let refused = disk.start();
        assert!(
            matches!(refused, Err(OpenError::Corrupt { .. })),
            "{what}: {refused:?}"
        );
        drop(refused);
        assert!(disk.files() == edited, "{what}: the files have changed");
    }
}

#[test]
fn what_was_done_to_other_rows_is_found_while_the_node_serves_and_nothing_is_written() {
    let disk = changed_since();
    let before = disk.files();
    let flipped = disk.row("token/a").map(|mut row| {
        row.bytes = [&row.bytes[..5], b"x"].concat().into();
        row
    });
    let edits: [(&str, &[u8], Option<Row>); 3] = [
        ("edited", b"token/a", flipped),
        ("taken away", b"token/a", None),
        ("added", b"token/x", disk.row("token/a")),
    ];
    for (what, name, row) in edits {
        disk.put_back(&before, "");
        disk.set(name, row.as_ref());
        let edited = disk.files();
        let (mut opened, model) = disk.start().unwrap();
        assert_eq!(
            model.known(),
            as_changed(),
            "{what}: served is what was written"
        );
        let failed = opened.verification.take().unwrap().run();
        assert!(matches!(failed, Err(OpenError::Corrupt { .. })), "{what}");
        assert!(set(&opened.store, "token/e", Some(1)).is_err(), "{what}");
        close(opened);
        assert!(disk.files() == edited, "{what}: the files have changed");
    }
}

#[test]
fn a_store_behind_its_anchor_is_refused_whatever_its_image_says() {
    let disk = changed_since();
    let old = disk.files();
    disk.image(&[("token/a", Some(2))]);
    let (anchor, image) = (
        fs::read(disk.path("anchor")).unwrap(),
        fs::read(disk.path("image")).unwrap(),
    );
    for kept in [&image, &old[&disk.path("image")]] {
        disk.put_back(&old, "image");
        fs::write(disk.path("anchor"), &anchor).unwrap();
        fs::write(disk.path("image"), kept).unwrap();
        let refused = disk.start();
        assert!(
            matches!(refused, Err(OpenError::RolledBack { .. })),
            "{refused:?}"
        );
    }
}
