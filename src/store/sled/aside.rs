//! A copy of the store's directory, taken before sled opens it and put back if the store is refused.
//!
//! There is no cheaper way to leave a refused store as it was. Opening writes almost anywhere in sled's `db` file: it fills
//! the rest of the active segment, wipes every segment that it believes free (and after damage it believes that of segments
//! which hold data), cuts the file's end off, replaces the snapshot, and removes files from `blobs`. The copy costs half a
//! second for each gigabyte in memory, nothing to speak of on file systems that share blocks, and the same room on the disk
//! until the store is accepted.

use std::fs::{self, File, FileTimes};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// The copy. Dropping it leaves the store as it is, and removes the copy.
#[derive(Debug)]
pub(super) struct Aside {
    store: PathBuf,
    copy: PathBuf,
}

impl Aside {
    /// Copies the directory `store` to a neighbour of it. `None` where it holds more than `limit` bytes, or more than there
    /// is room for: a good store must open on a disk that is more than half full.
    pub(super) fn take(store: &Path, limit: u64) -> io::Result<Option<Self>> {
        let aside = Self {
            store: store.to_owned(),
            copy: neighbour(store),
        };
        // What an earlier start left when it was killed.
        remove(&aside.copy)?;
        if size(store)? > limit {
            return Ok(None);
        }
        match mirror(store, &aside.copy) {
            Ok(()) => Ok(Some(aside)),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the store what it was, to the byte.
    pub(super) fn put_back(self) -> io::Result<()> {
        mirror(&self.copy, &self.store)?;
        sync(&self.store)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // A copy that stays behind is removed by the next start.
        let _removed = remove(&self.copy);
    }
}

/// Syncs every file below `dir`, and the directories.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        match path.is_dir() {
            true => sync(&path)?,
            false => File::open(&path)?.sync_all()?,
        }
    }
    File::open(dir)?.sync_all()
}

fn neighbour(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(".before-opening");
    store.with_file_name(name)
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn size(dir: &Path) -> io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let metadata = fs::metadata(&path)?;
        total += match metadata.is_dir() {
            true => size(&path)?,
            false => metadata.len(),
        };
    }
    Ok(total)
}

/// Makes `to` hold what `from` holds and nothing else. Files that are equal are not touched.
fn mirror(from: &Path, to: &Path) -> io::Result<()> {
    if !to.exists() {
        fs::create_dir(to)?;
        fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        let (kept, extra) = (from.join(entry.file_name()), entry.path());
        if kept.is_dir() != extra.is_dir() || !kept.exists() {
            match extra.is_dir() {
                true => fs::remove_dir_all(extra)?,
                false => fs::remove_file(extra)?,
            }
        }
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            mirror(&source, &target)?;
        } else if !target.exists() || !equal(&source, &target)? {
            fs::copy(&source, &target)?;
            let modified = fs::metadata(&source)?.modified()?;
            File::options()
                .append(true)
                .open(&target)?
                .set_times(FileTimes::new().set_modified(modified))?;
        }
    }
    Ok(())
}

fn equal(one: &Path, other: &Path) -> io::Result<bool> {
    const CHUNK: usize = 1 << 20;
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    loop {
        left.clear();
        right.clear();
        one.by_ref().take(CHUNK as u64).read_to_end(&mut left)?;
        other.by_ref().take(CHUNK as u64).read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}
