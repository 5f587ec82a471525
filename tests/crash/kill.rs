//! `kill -9` at random moments, inside opening included.

use std::thread;
use std::time::Duration;

use crate::random::Random;
use crate::subject::{Subject, Writer};

/// After how many kills a new store is begun.
const KILLS_A_STORE: u64 = 25;

/// Within what time a writer dies that is to die early: opening takes some tens of milliseconds.
const EARLY: Duration = Duration::from_millis(80);
const LATE: Duration = Duration::from_millis(900);

pub(crate) fn run<S: Subject>(
    fresh: &mut dyn FnMut() -> S,
    kills: u64,
    random: &mut Random,
) -> Result<(), String> {
    let (mut while_opening, mut acknowledged, mut one_more) = (0, 0, 0);
    let mut done = 0;
    while done < kills {
        let root = tempfile::tempdir().expect("a temporary directory");
        let dir = root.path().join("store");
        let mut subject = fresh();
        let mut newest = 0;
        let mut unseen = 0;
        for _ in 0..KILLS_A_STORE.min(kills - done) {
            let bound = if random.below(2) == 0 { EARLY } else { LATE };
            let said = Writer::start(&subject, &dir).run(|child| {
                thread::sleep(random.delay(bound));
                child.kill().expect("the writer is ours");
            });
            done += 1;
            while_opening += u64::from(!said.opened);
            newest = newest.max(said.acknowledged());
            // Some die again before anybody has looked, so that more than one change is in doubt.
            unseen += 1;
            if random.below(4) > 0 {
                let found = subject
                    .verify(&dir, newest..=newest + unseen)
                    .map_err(|loss| format!("after kill {done}: {loss}"))?;
                one_more += found - newest;
                newest = found;
                unseen = 0;
            }
        }
        subject
            .verify(&dir, newest..=newest + unseen)
            .map_err(|loss| format!("after kill {done}: {loss}"))?;
        acknowledged += newest;
    }
    println!(
        "crash: {done} kills, {while_opening} of them while opening; {acknowledged} acknowledged changes, none lost; \
         {one_more} found that were not acknowledged yet"
    );
    Ok(())
}
