//! Saved contexts: a server address and the path of an operator token's file under one name.
//!
//! The path is kept, never the token: the secret stays in one place, under its owner's rights, and a rekeyed one is
//! replaced there alone; a copied or backed-up configuration gives nothing away.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::shell::Shell;

/// The file's name in the user's configuration directory.
const FILE: &str = "contexts.toml";

/// Everything that is saved.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The one in use where none is named.
    pub(crate) current: Option<String>,
    #[serde(default, rename = "context")]
    pub(crate) by_name: BTreeMap<String, Context>,
}

/// One server and how to be somebody there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    pub(crate) server: String,
    /// Absolute.
    pub(crate) token_file: Option<PathBuf>,
}

impl Contexts {
    /// What was saved; nothing where there is no file yet.
    pub(crate) fn load(shell: &Shell<'_>) -> Result<Self, Failure> {
        let Some(path) = file(shell) else {
            return Ok(Self::default());
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                return Err(Failure::local(format!(
                    "cannot read {}: {error}",
                    path.display()
                )));
            }
        };
        toml::from_str(&text).map_err(|error| {
            Failure::local(format!(
                "{} is not as it was saved: {error}",
                path.display()
            ))
        })
    }

    /// Replaces what was saved, whole or not at all; the file has mode 0600.
    pub(crate) fn save(&self, shell: &Shell<'_>) -> Result<(), Failure> {
        let path = file(shell).ok_or_else(|| {
            Failure::local(
                "there is no place for contexts: neither XDG_CONFIG_HOME nor HOME is set",
            )
        })?;
        let text = toml::to_string(self).expect("strings and maps of strings are TOML");
        replace(&path, &text)
            .map_err(|error| Failure::local(format!("cannot write {}: {error}", path.display())))
    }

    /// The context of that name.
    pub(crate) fn named(&self, name: &str) -> Result<&Context, Failure> {
        self.by_name.get(name).ok_or_else(|| {
            Failure::usage(format!("there is no context named {name}"))
                .with_hint("`keyward context list` shows those there are")
        })
    }
}

fn file(shell: &Shell<'_>) -> Option<PathBuf> {
    Some(shell.config_dir()?.join(FILE))
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let dir = path.parent().expect("the file lies in a directory");
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let next = dir.join(format!(".{FILE}.{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&next)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&next, path)
        });
    if written.is_err() {
        let _ = fs::remove_file(&next);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::Scene;
    use std::os::unix::fs::PermissionsExt as _;

    fn sample() -> Contexts {
        Contexts {
            current: Some("prod".into()),
            by_name: BTreeMap::from([(
                "prod".into(),
                Context {
                    server: "keyward.internal:50051".into(),
                    token_file: Some("/run/operator.token".into()),
                },
            )]),
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_only_the_owner_can_read_it() {
        let mut scene = Scene::new();
        scene.shell(|shell| {
            assert_eq!(Contexts::load(shell), Ok(Contexts::default()));
            sample().save(shell).unwrap();
            sample().save(shell).unwrap();
            assert_eq!(Contexts::load(shell), Ok(sample()));
        });
        let dir = scene.home().join(".config/keyward");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir.join(FILE)), 0o600);
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_holds_something_else_is_refused() {
        let mut scene = Scene::new();
        let dir = scene.home().join(".config/keyward");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(FILE), "token = \"x\"").unwrap();
        scene.shell(|shell| assert_eq!(Contexts::load(shell).unwrap_err().code, "LOCAL"));
    }

    #[test]
    fn without_a_home_there_is_nothing_to_load_and_no_place_to_save() {
        let mut scene = Scene::new();
        scene.unset("HOME");
        scene.shell(|shell| {
            assert_eq!(Contexts::load(shell), Ok(Contexts::default()));
            assert_eq!(sample().save(shell).unwrap_err().code, "LOCAL");
        });
    }
}
