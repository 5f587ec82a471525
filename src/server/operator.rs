//! An operator's token that the server makes by itself, and the file that its text is put into.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Config, OPERATOR_TOKEN};
use crate::domain::id::TokenId;
use crate::domain::text;
use crate::files;
use crate::registry::{Error, Registry};

/// An operator's token, and the file that holds its text.
#[derive(Clone, Debug)]
pub struct NewOperator {
    pub token: TokenId,
    pub file: PathBuf,
}

/// Why an operator was not made.
#[derive(Debug)]
pub enum MakeError {
    /// The token could not be committed.
    Registry(Error),
    /// Its text could not be put into its file.
    File(PathBuf, io::Error),
}

impl fmt::Display for MakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(error) => write!(f, "the operator could not be made: {error}"),
            Self::File(path, error) => write!(
                f,
                "the operator's token could not be written to {}: {error}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for MakeError {}

/// Where the first operator's token goes.
#[must_use]
pub fn token_file(config: &Config, data_dir: &Path) -> PathBuf {
    config
        .operator_token_file
        .clone()
        .unwrap_or_else(|| data_dir.join(OPERATOR_TOKEN))
}

/// Makes an operator. The text is in its file before the token is committed: a crash in between leaves a text that is good
/// for nothing.
pub(super) fn make(registry: &Registry, name: &str, file: &Path) -> Result<NewOperator, MakeError> {
    let drawn = registry.draw_operator(name);
    write_token(file, drawn.secret.reveal())
        .map_err(|error| MakeError::File(file.to_owned(), error))?;
    let token = registry
        .admit_operator(&drawn)
        .map_err(MakeError::Registry)?;
    Ok(NewOperator {
        token,
        file: file.to_owned(),
    })
}

/// A file that holds something else than a token is not written over.
fn write_token(file: &Path, text: &str) -> io::Result<()> {
    let parent = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), files::create_private_directory)?;
    match std::fs::read(file) {
        Ok(old) if !old.is_empty() && !old.starts_with(text::PREFIX.as_bytes()) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "it exists, and holds something else than a token: move it away, or name another file",
            ));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    files::write_private(file, text.as_bytes())
}
