//! Power cuts: an ext4 file system on a loop device is shut down under the writer, without its log being flushed, then
//! unmounted and recovered.
#![expect(unsafe_code, reason = "the shutdown is an ioctl")]

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::random::Random;
use crate::subject::{Subject, Writer};

/// After how many cuts a new file system is begun.
const CUTS_A_DISK: u64 = 10;
const DISK_BYTES: u64 = 256 << 20;

/// Within what time the power goes.
const EARLY: Duration = Duration::from_millis(80);
const LATE: Duration = Duration::from_millis(700);

pub(crate) fn run<S: Subject>(
    fresh: &mut dyn FnMut() -> S,
    cuts: u64,
    random: &mut Random,
) -> Result<(), String> {
    let (mut while_opening, mut acknowledged, mut one_more) = (0, 0, 0);
    let mut done = 0;
    while done < cuts {
        let mut disk = match Disk::new() {
            Ok(disk) => disk,
            Err(reason) => {
                println!("crash: power cuts not run: {reason}");
                return Ok(());
            }
        };
        let dir = disk.mount_point().join("data/store");
        let mut subject = fresh();
        let mut newest = 0;
        for _ in 0..CUTS_A_DISK.min(cuts - done) {
            let bound = if random.below(3) == 0 { EARLY } else { LATE };
            let said = Writer::start(&subject, &dir).run(|child| {
                thread::sleep(random.delay(bound));
                disk.cut_power().expect("it was mounted");
                thread::sleep(random.delay(EARLY));
                child.kill().expect("the writer is ours");
            });
            disk.recover()?;
            done += 1;
            while_opening += u64::from(!said.opened);
            newest = newest.max(said.acknowledged.unwrap_or(0));
            let found = subject
                .verify(&dir, newest..=newest + 1)
                .map_err(|loss| format!("after cut {done}: {loss}"))?;
            one_more += found - newest;
            newest = found;
        }
        acknowledged += newest;
    }
    println!(
        "crash: {done} power cuts, {while_opening} of them while opening; {acknowledged} acknowledged changes, none lost; \
         {one_more} found that were not acknowledged yet"
    );
    Ok(())
}

/// A file system of its own.
struct Disk {
    root: TempDir,
    mounted: bool,
}

impl Disk {
    fn new() -> Result<Self, String> {
        let root = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut disk = Self {
            root,
            mounted: false,
        };
        let image = File::create(disk.image()).map_err(|error| error.to_string())?;
        image
            .set_len(DISK_BYTES)
            .map_err(|error| error.to_string())?;
        fs::create_dir(disk.mount_point()).map_err(|error| error.to_string())?;
        command("mkfs.ext4", &["-q".as_ref(), disk.image().as_ref()])?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.root.path().join("image")
    }

    fn mount_point(&self) -> PathBuf {
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
    fn cut_power(&self) -> std::io::Result<()> {
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

    fn recover(&mut self) -> Result<(), String> {
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
