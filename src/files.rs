//! Small files that must be whole and durable or not there at all: the keyring, the anchor, an operator's token.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Writes the file, readable by its owner alone, so that after a crash either the old content is there or the new.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_added_extension("new");
    let mut file = create_private(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    replace(&fresh, path)
}

/// An empty file in place of what is there, readable by its owner alone.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Puts a file that was synced in the place of another, durably.
pub(crate) fn replace(fresh: &Path, path: &Path) -> io::Result<()> {
    fs::rename(fresh, path)?;
    sync_directory(parent(path))
}

/// Makes the directory and those above it, readable by its owner alone, and makes their entries durable.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        // Whoever made it may have died before its entry was durable. A parent that may not be opened is somebody else's.
        let _ = sync_directory(parent(path));
        return Ok(());
    }
    create_private_directory(parent(path))?;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_directory(parent(path)),
    }
}

/// Makes the entries of a directory durable: a file's own sync does not.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/secret");
        create_private_directory(path.parent().unwrap()).unwrap();
        for content in ["one", "two"] {
            write_private(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }
}
