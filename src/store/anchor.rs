//! The anchor: a copy of the head outside the database, never ahead of it and at most a second behind. A store that was rolled
//! back, or lost its newest commits, is behind its anchor, and that shows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::backend::{Revision, Row};
use super::record::{Head, Record as _};
use super::seal;
use crate::files;
use crate::keyring::Keyring;

/// The name that the anchor's bytes are sealed under.
const NAME: &[u8] = b"anchor";

/// The file.
#[derive(Debug)]
pub(super) struct Anchor {
    path: PathBuf,
    written: Option<Revision>,
}

impl Anchor {
    pub(super) fn at(path: PathBuf) -> Self {
        Self {
            path,
            written: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The head as it was anchored; `None` where there is no file. The error says what is wrong with it.
    pub(super) fn read(&self, keyring: &Keyring) -> Result<Option<Head>, String> {
        let bytes = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|error| error.to_string())?,
        };
        let (revision, sealed) = bytes.split_first_chunk::<8>().ok_or("it is too short")?;
        let row = Row {
            revision: Revision(u64::from_be_bytes(*revision)),
            bytes: sealed.into(),
        };
        let opened = seal::open(keyring, NAME, &row).map_err(|corrupt| corrupt.wrong)?;
        Head::decode(opened.payload).map(Some)
    }

    /// Writes the head, if it moved since.
    pub(super) fn write(&mut self, keyring: &Keyring, head: &Head) -> io::Result<()> {
        if self.written == Some(head.revision) {
            return Ok(());
        }
        let (sealed, _) = seal::seal(keyring, NAME, head.revision, &head.encode());
        files::write_private(
            &self.path,
            &[&head.revision.0.to_be_bytes()[..], &sealed].concat(),
        )?;
        self.written = Some(head.revision);
        Ok(())
    }
}
