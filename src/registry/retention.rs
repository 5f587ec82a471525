//! Removes the oldest lines of the audit log after their time, in bounded steps. What is left stays verifiable: the same commit
//! keeps where the chain now begins, and says in the log how much went.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::{Error, Registry};
use crate::domain::event::{Event, EventKind, Origin};
use crate::domain::id::AccountId;
use crate::domain::time::Timestamp;
use crate::store::backend::Direction;
use crate::store::record::{Checkpoint, LoggedEvent};
use crate::store::{View, Wanted, key};

/// How often the sweeper looks.
pub const EVERY: Duration = Duration::from_secs(600);
/// Lines that one step removes at the most.
pub const STEP: usize = 500;

impl Registry {
    /// Sweeps now and again; never ends.
    pub async fn retain_events(&self, kept: Duration) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            loop {
                match self.sweep_events(kept).await {
                    Ok(STEP) => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::warn!(%error, "the audit log could not be swept");
                        break;
                    }
                }
            }
        }
    }

    /// Removes the oldest lines that are older than `kept`; how many they were. Call again while it is `STEP`.
    ///
    /// A line's age is told by the clock's floor, which a wall clock that leapt ahead does not move.
    pub async fn sweep_events(&self, kept: Duration) -> Result<usize, Error> {
        let wanted = Wanted {
            prefix: key::EVENTS.into(),
            after: None,
            direction: Direction::Forward,
            limit: STEP,
        };
        let lines = self.store.scan::<LoggedEvent>(wanted).await?;
        let mut lines: Vec<LoggedEvent> = lines.into_iter().map(|(_, line)| line).collect();
        lines.truncate(due(&lines, self.clock.floor(), kept));
        if lines.is_empty() {
            return Ok(0);
        }
        let count = lines.len();
        self.commit(move |view| remove(view, &lines)).await?;
        Ok(count)
    }
}

/// How many of the oldest lines are to go. A line that stands before an old one is old, whatever its own time says; and lines
/// that tell of nothing but sweeping wait for others, or an idle log would be swept for ever.
fn due(lines: &[LoggedEvent], floor: Timestamp, kept: Duration) -> usize {
    let old = |line: &LoggedEvent| floor.since(line.time) > kept;
    let due = lines.iter().rposition(old).map_or(0, |last| last + 1);
    let tells = |line: &LoggedEvent| line.kind != EventKind::EventsSwept as i32;
    if lines[..due].iter().any(tells) || due == STEP {
        due
    } else {
        0
    }
}

fn remove(view: &mut View<'_>, lines: &[LoggedEvent]) -> Result<(), Error> {
    // Somebody else may have swept them first.
    let mut swept: BTreeMap<&str, (u64, &LoggedEvent)> = BTreeMap::new();
    for line in lines {
        let name = key::event(line.sequence);
        if view.get::<LoggedEvent>(&name)?.is_some() {
            view.delete(name)?;
            let (count, last) = swept.entry(&line.chain_id).or_insert((0, line));
            *count += 1;
            *last = line;
        }
    }
    for (chain, (count, last)) in swept {
        view.put(key::checkpoint(chain), &Checkpoint::from(last))?;
        view.log(event(count, last));
    }
    Ok(())
}

fn event(count: u64, last: &LoggedEvent) -> Event {
    let mut chain = String::new();
    for byte in last.chain {
        write!(chain, "{byte:02x}").expect("a String takes all");
    }
    let details = [
        ("count", count.to_string()),
        ("sequence", last.sequence.to_string()),
        ("chain_index", last.chain_index.to_string()),
        ("chain", chain),
    ];
    Event {
        kind: EventKind::EventsSwept,
        account: AccountId::system(),
        subject: AccountId::SYSTEM.to_owned(),
        origin: Origin::keyward(),
        details: details.map(|(name, value)| (name.to_owned(), value)).into(),
    }
}
