//! The sled back end as a subject. Commit n writes rows that follow from n alone, so what a store at revision n holds is
//! known without asking it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use keyward::store::backend::{
    Backend, Batch, Direction, Key, MAX_VALUE_BYTES, Range, Revision, Row,
};
use keyward::store::sled::{Options, SledBackend};

use crate::random::Random;
use crate::subject::{Subject, say_acknowledged, say_opened};

/// The first argument of this program where it is the writer.
pub(crate) const WRITER: &str = "--writer";

/// What the store held when it was last looked at.
#[derive(Default)]
pub(crate) struct BackendSubject {
    revision: Revision,
    rows: BTreeMap<Key, Row>,
}

impl Subject for BackendSubject {
    fn writer(&self, dir: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg(WRITER).arg(dir);
        command
    }

    fn verify(&mut self, dir: &Path, expected: RangeInclusive<u64>) -> Result<u64, String> {
        let store = open(dir)?;
        let found = store.revision();
        if !expected.contains(&found.0) {
            return Err(format!(
                "revision {} was found, and {expected:?} was expected",
                found.0
            ));
        }
        while self.revision < found {
            self.revision = self.revision.next();
            self.apply(&batch(self.revision));
        }
        let rows: BTreeMap<Key, Row> = rows(&store)?.into_iter().collect();
        if rows != self.rows {
            return Err(format!(
                "the rows at revision {} are not those that were written",
                found.0
            ));
        }
        Ok(found.0)
    }
}

impl BackendSubject {
    fn apply(&mut self, batch: &Batch) {
        for (key, bytes) in batch.writes.clone() {
            match bytes {
                Some(bytes) => self.rows.insert(
                    key,
                    Row {
                        revision: batch.revision,
                        bytes,
                    },
                ),
                None => self.rows.remove(&key),
            };
        }
    }
}

/// The writer's whole life.
pub(crate) fn write_until_stopped(dir: &Path) -> ExitCode {
    // Why it cannot open its store is found out by whoever looks at it next.
    let Ok(store) = open(dir) else {
        return ExitCode::FAILURE;
    };
    let mut out = std::io::stdout().lock();
    let mut told = say_opened(&mut out);
    while told.is_ok() {
        let revision = store.revision().next();
        if store.commit(&batch(revision)).is_err() {
            break;
        }
        told = say_acknowledged(&mut out, revision.0);
    }
    ExitCode::SUCCESS
}

/// Opens the store, and believes it once all of it can be read.
pub(crate) fn open(dir: &Path) -> Result<Arc<SledBackend>, String> {
    let opening = SledBackend::open(dir, Options::default()).map_err(|error| error.to_string())?;
    rows(opening.store())?;
    Ok(opening.accept())
}

fn rows(store: &SledBackend) -> Result<Vec<(Key, Row)>, String> {
    let all = Range {
        prefix: b"",
        after: None,
        direction: Direction::Forward,
        limit: usize::MAX,
    };
    store.scan(all).map_err(|fault| fault.to_string())
}

/// A few small rows, now and then a deletion or one of the largest; rarely so many that they fill more than one segment of
/// sled's log.
pub(crate) fn batch(revision: Revision) -> Batch {
    let mut random = Random::new(revision.0);
    let filling = (revision.0 % 251) as u8;
    let value = |length| Some(Arc::from(vec![filling; length]));
    let mut writes = BTreeMap::new();
    if random.below(50) == 0 {
        for row in 0..150 {
            let key = format!("large/{row:04}");
            writes.insert(Key::from(key.as_bytes()), value(MAX_VALUE_BYTES));
        }
    }
    for _ in 0..=random.below(12) {
        let key = format!("row/{:04}", random.below(2000));
        let value = match random.below(600) {
            0..6 => value(MAX_VALUE_BYTES),
            6..100 => None,
            length => value(length as usize),
        };
        writes.insert(Key::from(key.as_bytes()), value);
    }
    Batch {
        revision,
        checks: Vec::new(),
        writes: writes.into_iter().collect(),
        ..Batch::default()
    }
}
