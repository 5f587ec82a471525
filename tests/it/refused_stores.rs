//! Stores that must not be opened: the program says what to do, ends with an error and leaves everything as it was.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::{ALLOW, files};
use crate::process::{Place, Said};

/// A data directory with something in it, its server stopped.
async fn place() -> Place {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    for n in 0..30 {
        operator.token("acme", &format!("token {n}")).await;
    }
    server.stop().await;
    place
}

fn serve(place: &Place) -> Said {
    let data = place.data();
    let data = data.to_str().expect("a temporary path is text");
    place.run(&[
        "serve",
        "--data-dir",
        data,
        "--listen=127.0.0.1:0",
        "--side-listen=127.0.0.1:0",
    ])
}

fn with_file(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("it is there");
    change(&mut bytes);
    fs::write(path, bytes).expect("it is ours");
}

#[tokio::test]
async fn a_damaged_data_directory_is_refused_with_advice_and_left_as_it_was() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage, &str); 6] = [
        (
            "a flipped byte",
            |data| with_file(&data.join("store/db"), |bytes| flip(bytes)),
            "Restore",
        ),
        (
            "a truncated log",
            |data| with_file(&data.join("store/db"), truncate),
            "Restore",
        ),
        (
            "no keyring",
            |data| fs::remove_file(data.join("keyring")).expect("it is there"),
            "Put back the keyring",
        ),
        (
            "a keyring that is none",
            |data| fs::write(data.join("keyring"), "keys?").expect("it is ours"),
            "keyring",
        ),
        (
            "no anchor",
            |data| fs::remove_file(data.join("anchor")).expect("it is there"),
            "anchor",
        ),
        (
            "no store beside its anchor",
            |data| fs::remove_dir_all(data.join("store")).expect("it is there"),
            "Restore",
        ),
    ];
    let place = place().await;
    let good = files(&place.data());
    for (what, damage, advice) in damages {
        restore(&place.data(), &good);
        damage(&place.data());
        let before = files(&place.data());
        let said = serve(&place);
        assert_eq!(said.code, 2, "{what}: {said:?}");
        assert!(said.err.contains(advice), "{what}: {}", said.err);
        assert!(!said.err.contains("panicked"), "{what}: {}", said.err);
        let after = files(&place.data());
        let names = |files: &std::collections::BTreeMap<_, Vec<u8>>| {
            files.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(&after), names(&before), "{what}");
        assert!(after == before, "{what}: a file was changed");
    }
    restore(&place.data(), &good);
    let server = place.serve(&[]).await;
    server.operator().token("acme", "good as before").await;
    server.stop().await;
}

/// In the middle of what was written.
fn flip(bytes: &mut [u8]) {
    let written = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .expect("it is not empty");
    bytes[written / 2] ^= 0x10;
}

fn truncate(bytes: &mut Vec<u8>) {
    let written = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .expect("it is not empty");
    bytes.truncate(written / 2);
}

fn restore(data: &Path, good: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>) {
    fs::remove_dir_all(data).expect("it is ours");
    for (name, bytes) in good {
        let path = data.join(name);
        fs::create_dir_all(path.parent().expect("it is in the directory")).expect("it is ours");
        fs::write(&path, bytes).expect("it is ours");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let first = operator.token("acme", "before").await.secret;

    let data = place.data();
    let data = data.to_str().expect("a temporary path is text");
    for words in [
        &["operator", "recover", "--data-dir", data][..],
        &["keyring", "rotate", "--data-dir", data],
        &["keyring", "status", "--data-dir", data],
    ] {
        let said = place.run(words);
        assert_eq!(said.code, 2, "{words:?}");
        assert!(
            said.err.contains("in use by another process"),
            "{words:?}: {}",
            said.err
        );
    }
    let said = serve(&place);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("stop that one first"), "{}", said.err);

    let second = operator.token("acme", "after").await.secret;
    server.stop().await;
    let server = place.serve(&[]).await;
    for text in [&first, &second] {
        assert_eq!(server.operator().decide(text).await, ALLOW);
    }
    server.stop().await;
}
