//! Power cuts: an ext4 file system on a loop device is shut down under the writer, without its log being flushed, then
//! unmounted and recovered.
//!
//! What counts is what was acknowledged when the power went. ext4 can call a sync successful that was under way just then,
//! milliseconds after the shutdown, and lose it; a machine without power acknowledges nothing.

use std::thread;
use std::time::Duration;

use crate::disk::Disk;
use crate::random::Random;
use crate::subject::{Subject, Writer, now};

/// After how many cuts a new file system is begun.
const CUTS_A_DISK: u64 = 10;

/// Room for two copies of what the writer writes in that time.
const DISK_BYTES: u64 = 512 << 20;

/// Within what time the power goes.
const EARLY: Duration = Duration::from_millis(80);
const LATE: Duration = Duration::from_millis(700);

pub(crate) fn run<S: Subject>(
    fresh: &mut dyn FnMut() -> S,
    cuts: u64,
    random: &mut Random,
) -> Result<(), String> {
    let (mut while_opening, mut acknowledged, mut one_more, mut in_the_dark) = (0, 0, 0, 0);
    let mut done = 0;
    while done < cuts {
        let mut disk = match Disk::new(DISK_BYTES) {
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
            let mut gone = Duration::MAX;
            let said = Writer::start(&subject, &dir).run(|child| {
                thread::sleep(random.delay(bound));
                gone = now();
                disk.cut_power().expect("it was mounted");
                thread::sleep(random.delay(EARLY));
                child.kill().expect("the writer is ours");
            });
            disk.recover()?;
            done += 1;
            while_opening += u64::from(!said.opened);
            newest = newest.max(said.acknowledged_at(gone));
            let last = newest.max(said.acknowledged());
            let found = subject
                .verify(&dir, newest..=last + 1)
                .map_err(|loss| format!("after cut {done}: {loss}"))?;
            in_the_dark += last.saturating_sub(found);
            one_more += found.saturating_sub(last);
            newest = found;
        }
        acknowledged += newest;
    }
    println!(
        "crash: {done} power cuts, {while_opening} of them while opening; {acknowledged} acknowledged changes, none lost; \
         {one_more} found that were not acknowledged yet, {in_the_dark} lost that were acknowledged after the power was gone"
    );
    Ok(())
}
