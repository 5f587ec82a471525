//! Power cuts: an ext4 file system on a loop device is shut down under the writer, without its log being flushed, then
//! unmounted and recovered.

use std::thread;
use std::time::Duration;

use crate::disk::Disk;
use crate::random::Random;
use crate::subject::{Subject, Writer};

/// After how many cuts a new file system is begun.
const CUTS_A_DISK: u64 = 10;

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
