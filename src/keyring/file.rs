//! The keyring's file: a line a key, `<id> <current|retired> <64 hex digits>`; `#` begins a comment.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::{KEY_LENGTH, Key, Keyring};
use crate::domain::secret::KeyId;
use crate::files;
use crate::random::Random;

/// Why a keyring's file cannot be used.
#[derive(Debug)]
pub enum KeyringError {
    Io(io::Error),
    /// Somebody besides its owner may read or write it.
    NotPrivate,
    /// The line's number, from 1, and what is wrong there.
    Line(usize, &'static str),
    /// No current key, more than one, more than two in all, or an id twice.
    Keys,
    /// There is a retired key already, and room for one.
    Full,
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::NotPrivate => {
                f.write_str("it can be read or written by others than its owner: chmod 600 it")
            }
            Self::Line(number, wrong) => write!(f, "line {number}: {wrong}"),
            Self::Keys => f.write_str(
                "it must hold one current key and at most one retired one, with different ids",
            ),
            Self::Full => f.write_str(
                "it holds a retired key already: two keys are the most that validation works with",
            ),
        }
    }
}

impl std::error::Error for KeyringError {}

/// The keyring in a file, or `None` where there is no file.
pub fn read(path: &Path) -> Result<Option<Keyring>, KeyringError> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(KeyringError::Io)?,
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyringError::NotPrivate);
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(KeyringError::Io)?);
    parse(&text).map(Some)
}

/// Writes a keyring, readable by its owner alone.
pub fn write(path: &Path, keyring: &Keyring) -> io::Result<()> {
    files::write_private(path, render(keyring).as_bytes())
}

/// Adds a new current key to the keyring in a file, and retires the one that was. A second retired key is refused.
pub fn rotate(path: &Path, random: &dyn Random) -> Result<KeyId, KeyringError> {
    let Some(keyring) = read(path)? else {
        return Err(KeyringError::Io(io::ErrorKind::NotFound.into()));
    };
    let newest = keyring
        .keys()
        .iter()
        .map(|key| key.id().0)
        .max()
        .unwrap_or_default();
    let fresh = Key::generate(KeyId(newest + 1), random);
    let id = fresh.id();
    let keys = std::iter::once(fresh).chain(keyring.into_keys()).collect();
    let rotated = Keyring::new(keys).ok_or(KeyringError::Full)?;
    write(path, &rotated).map_err(KeyringError::Io)?;
    Ok(id)
}

fn parse(text: &str) -> Result<Keyring, KeyringError> {
    let mut current = Vec::new();
    let mut retired = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            [id, state, hex] => {
                let wrong = |what| KeyringError::Line(at + 1, what);
                let id = id.parse().map_err(|_| wrong("the id is not a number"))?;
                let master = unhex(hex).ok_or_else(|| wrong("the key is not 64 hex digits"))?;
                let keys = match state {
                    "current" => &mut current,
                    "retired" => &mut retired,
                    _ => return Err(wrong("the state is neither current nor retired")),
                };
                keys.push(Key::new(KeyId(id), master));
            }
            _ => {
                return Err(KeyringError::Line(
                    at + 1,
                    "a line is: id, current or retired, 64 hex digits",
                ));
            }
        }
    }
    if current.len() != 1 {
        return Err(KeyringError::Keys);
    }
    current.append(&mut retired);
    Keyring::new(current).ok_or(KeyringError::Keys)
}

fn render(keyring: &Keyring) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(512));
    text.push_str("# Keyward's keyring. Without it no token in the store is good any more; with it and the store, anyone can\n");
    text.push_str(
        "# forge one. Keep a copy apart from the store, and never change it while there is one.\n",
    );
    for (at, key) in keyring.keys().iter().enumerate() {
        let state = if at == 0 { "current" } else { "retired" };
        text.push_str(&format!("{} {state} ", key.id.0));
        for byte in key.master.iter() {
            text.push(HEX[usize::from(byte >> 4)]);
            text.push(HEX[usize::from(byte & 15)]);
        }
        text.push('\n');
    }
    text
}

const HEX: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
];

fn unhex(text: &str) -> Option<Zeroizing<[u8; KEY_LENGTH]>> {
    let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
    if text.len() != 2 * KEY_LENGTH {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::testing::SeededRandom;

    #[test]
    fn a_keyring_reads_back_as_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keyring");
        assert!(read(&path).unwrap().is_none());
        let random = SeededRandom::new(3);
        let keyring = Keyring::new(vec![
            Key::generate(KeyId(7), &random),
            Key::generate(KeyId(2), &random),
        ])
        .unwrap();
        write(&path, &keyring).unwrap();
        let again = read(&path).unwrap().unwrap();
        let checks = |keyring: &Keyring| {
            keyring
                .keys()
                .iter()
                .map(|key| (key.id(), key.check()))
                .collect::<Vec<_>>()
        };
        assert_eq!(checks(&again), checks(&keyring));
    }

    #[test]
    fn a_keyring_is_rotated_once_and_not_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keyring");
        let random = SeededRandom::new(3);
        write(&path, &Keyring::generate(&random)).unwrap();
        assert_eq!(rotate(&path, &random).unwrap(), KeyId(2));
        let ids: Vec<KeyId> = read(&path)
            .unwrap()
            .unwrap()
            .keys()
            .iter()
            .map(Key::id)
            .collect();
        assert_eq!(ids, [KeyId(2), KeyId(1)]);
        assert!(matches!(rotate(&path, &random), Err(KeyringError::Full)));
        assert_eq!(
            read(&path).unwrap().unwrap().current().id(),
            KeyId(2),
            "and nothing changed"
        );
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keyring");
        write(&path, &Keyring::generate(&SeededRandom::new(3))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(&path), Err(KeyringError::NotPrivate)));
    }

    #[test]
    fn malformed_files_are_refused_with_their_line() {
        let key = "ab".repeat(32);
        for (text, line) in [
            (format!("x current {key}"), Some(1)),
            (format!("\n1 new {key}"), Some(2)),
            (format!("1 current {key}0"), Some(1)),
            (format!("1 current {}", "zz".repeat(32)), Some(1)),
            ("1 current".into(), Some(1)),
            (String::new(), None),
            (format!("1 retired {key}"), None),
            (format!("1 current {key}\n1 retired {key}"), None),
            (format!("1 current {key}\n2 current {key}"), None),
        ] {
            match (parse(&text), line) {
                (Err(KeyringError::Line(at, _)), Some(line)) => assert_eq!(at, line, "{text}"),
                (Err(KeyringError::Keys), None) => {}
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
    }
}
