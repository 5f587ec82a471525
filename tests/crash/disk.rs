//! A file system on a loop device, whose power can be cut and which can be full. Needs Linux, root and loop devices.
#![expect(unsafe_code, reason = "the shutdown is an ioctl")]

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system of its own.
pub(crate) struct Disk {
    root: TempDir,
    mounted: bool,
}

impl Disk {
    pub(crate) fn new(bytes: u64) -> Result<Self, String> {
        let root = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut disk = Self {
            root,
            mounted: false,
        };
        let image = File::create(disk.image()).map_err(|error| error.to_string())?;
        image.set_len(bytes).map_err(|error| error.to_string())?;
        fs::create_dir(disk.mount_point()).map_err(|error| error.to_string())?;
        command("mkfs.ext4", &["-q".as_ref(), disk.image().as_ref()])?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.root.path().join("image")
    }

    pub(crate) fn mount_point(&self) -> PathBuf {
        self.root.path().join("disk")
    }

    fn mount(&mut self) -> Result<(), String> {
        let (image, place) = (self.image(), self.mount_point());
        command(
            "mount",
            &[
                "-o".as_ref(),
                "loop".as_ref(),
                image.as_ref(),
                place.as_ref(),
            ],
        )?;
        self.mounted = true;
        Ok(())
    }

    /// Nothing that was not synced gets to the disk any more.
    pub(crate) fn cut_power(&self) -> std::io::Result<()> {
        /// `_IOR('X', 125, __u32)`, and the flag for "without flushing the log".
        const FS_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d;
        const NO_LOG_FLUSH: u32 = 2;
        let how = NO_LOG_FLUSH;
        let place = File::open(self.mount_point())?;
        // SAFETY: the ioctl reads one u32, which lives until it returns.
        match unsafe { libc::ioctl(place.as_raw_fd(), FS_IOC_SHUTDOWN as _, &raw const how) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    }

    pub(crate) fn recover(&mut self) -> Result<(), String> {
        self.unmount()?;
        self.mount()
    }

    fn unmount(&mut self) -> Result<(), String> {
        command("umount", &[self.mount_point().as_ref()])?;
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted
            && let Err(error) = self.unmount()
        {
            eprintln!("crash: {error}");
        }
    }
}

fn command(program: &str, arguments: &[&Path]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}
