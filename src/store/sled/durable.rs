//! Makes sled's writes durable, which they are not as sled comes.
//!
//! sled 0.34 takes a write for stable once `sync_file_range` has returned, and that call neither empties the disk's cache
//! nor writes the file's metadata. The program therefore brings its own `sync_file_range`, which the linker prefers to the
//! C library's, and which is a real `fdatasync`. Whether it was linked in is tested at each start (`overridden`), and each
//! commit looks whether it was called (`syncs`).
#![expect(
    unsafe_code,
    reason = "replaces one function of the C library and calls two others with plain numbers"
)]

use std::ffi::{c_int, c_uint};
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU64, Ordering};

static SYNCS: AtomicU64 = AtomicU64::new(0);

/// How often this process has synced for sled.
pub(super) fn syncs() -> u64 {
    SYNCS.load(Ordering::SeqCst)
}

/// Whether sled's syncs end up here. Calls the function as sled does, with a descriptor that is none.
pub(super) fn overridden() -> bool {
    let before = syncs();
    // SAFETY: no memory is passed, and -1 names no file.
    let _refused = unsafe { libc::sync_file_range(-1, 0, 0, 0) };
    syncs() != before
}

/// Drops the file's pages from memory, so that what is read next comes from the disk. After a failed sync Linux keeps
/// pages that were never written, and calls them clean.
pub(super) fn forget_cached(file: &File) {
    // SAFETY: no memory is passed, and the descriptor is open as long as `file` is borrowed. This is advice: it cannot
    // fail in a way that matters.
    let _advice = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

/// Stands in for the C library's function of this name: syncs all of the file.
// SAFETY: the name and signature are those of <fcntl.h>; nothing else in the program defines it.
#[unsafe(no_mangle)]
extern "C" fn sync_file_range(file: c_int, _offset: i64, _bytes: i64, _flags: c_uint) -> c_int {
    SYNCS.fetch_add(1, Ordering::SeqCst);
    #[cfg(test)]
    let file = tests::met(file);
    // SAFETY: no memory is passed; a descriptor that is not open is answered with an error, which the caller handles.
    unsafe { libc::fdatasync(file) }
}

#[cfg(test)]
pub(super) use tests::{fail_next_sync, hold_next_sync};

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Arc, Barrier, Mutex};

    use super::*;

    /// What is to happen to the next sync of a file.
    enum Trap {
        Fail,
        /// It meets somebody at the barrier twice: as it begins, and to go on.
        Hold(Arc<Barrier>),
    }

    static TRAPS: Mutex<Vec<(c_int, Trap)>> = Mutex::new(Vec::new());

    /// Lets the next sync of the file that this process has open at `path` fail.
    pub(in crate::store) fn fail_next_sync(path: &Path) {
        for file in descriptors(path) {
            TRAPS.lock().unwrap().push((file, Trap::Fail));
        }
    }

    /// The next sync of that file waits at the barrier as it begins, and once more before it goes on.
    pub(in crate::store) fn hold_next_sync(path: &Path) -> Arc<Barrier> {
        let barrier = Arc::new(Barrier::new(2));
        for file in descriptors(path) {
            let trap = Trap::Hold(Arc::clone(&barrier));
            TRAPS.lock().unwrap().push((file, trap));
        }
        barrier
    }

    fn descriptors(path: &Path) -> Vec<c_int> {
        let links = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = links.map(|entry| entry.unwrap().path());
        let open = links.filter(|link| std::fs::read_link(link).is_ok_and(|to| to == path));
        open.map(|link| link.file_name().unwrap().to_str().unwrap().parse().unwrap())
            .collect()
    }

    /// The descriptor to sync in place of one that may be trapped.
    pub(super) fn met(file: c_int) -> c_int {
        let mut traps = TRAPS.lock().unwrap();
        let place = traps.iter().position(|(trapped, _)| *trapped == file);
        let trap = place.map(|place| traps.swap_remove(place).1);
        drop(traps);
        match trap {
            None => file,
            Some(Trap::Fail) => -1,
            Some(Trap::Hold(barrier)) => {
                barrier.wait();
                barrier.wait();
                file
            }
        }
    }

    #[test]
    fn the_override_is_linked_into_this_program() {
        assert!(overridden());
    }

    #[test]
    fn a_sync_that_fails_says_so() {
        assert_eq!(sync_file_range(-1, 0, 0, 0), -1);
        assert_eq!(
            std::io::Error::last_os_error().raw_os_error(),
            Some(libc::EBADF)
        );
    }
}
