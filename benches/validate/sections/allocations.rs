//! Heap allocations of one unary call, counted by valgrind: the difference between two runs of different length.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use crate::report::Report;
use crate::rounds::{Contestant, Until, measure};
use crate::servers::{Kind, Script, Server};
use crate::{fill, machine};

/// Few: it is slow under valgrind, and their number has no part in it.
const CREDENTIALS: usize = 1_000;
/// Calls of the one run and of the other.
const CALLS: [u64; 2] = [2_000, 12_000];
const SHAPE: (usize, usize) = (8, 16);

pub(crate) fn run(dir: &Path, report: &mut Report) {
    report.say("## Heap allocations\n");
    let Some(version) = machine::says(Command::new("valgrind").arg("--version")) else {
        return report.say("not run: valgrind is not installed\n");
    };
    report.say(&format!(
        "Counted by {version}: what {} calls allocate more than {}, for each. One token is presented, so that what is saved each \
         second is a row or two; with random tokens it is in the figure.\n",
        CALLS[1], CALLS[0]
    ));
    let rows = [
        ("Keyward, one token", Kind::Keyward, true),
        ("Keyward, random tokens", Kind::Keyward, false),
        ("no-op tonic, current_thread", Kind::NoopCurrent, true),
    ];
    let rows = rows.map(|(name, kind, one)| {
        let counted = CALLS.map(|calls| count(kind, one, calls, dir));
        let each = match counted {
            [Some(few), Some(many)] => {
                let calls = (many.0 - few.0) as f64;
                let per =
                    |few: u64, many: u64| format!("{:.1}", many.saturating_sub(few) as f64 / calls);
                vec![per(few.1, many.1), per(few.2, many.2)]
            }
            _ => vec!["not counted".into(), String::new()],
        };
        [vec![name.to_owned()], each].concat()
    });
    report.table(&["", "allocations a call", "bytes a call"], &rows);
}

/// Calls, and all that the server has allocated in its life: how often, and bytes.
fn count(kind: Kind, one: bool, calls: u64, dir: &Path) -> Option<(u64, u64, u64)> {
    let log = dir.join("valgrind.log");
    let log_flag = format!("--log-file={}", log.display());
    let wrapper = [
        "valgrind",
        "--leak-check=no",
        "--undef-value-errors=no",
        &log_flag,
    ]
    .map(OsStr::new);
    let server = Server::start_under(&wrapper, kind, CREDENTIALS, dir);
    let script = match kind {
        Kind::Keyward => {
            let mut filled = fill::read(dir);
            if one {
                filled.credentials = Rc::new(filled.credentials[..1].to_vec());
            }
            Script::hits(&filled)
        }
        _ => Script::noop(),
    };
    let contestant = Contestant::new(kind.name(), &server, script, SHAPE);
    let answered = measure(&contestant, Until::Answers(calls)).tally.answered();
    server.finish();
    let text = std::fs::read_to_string(log).ok()?;
    let (_, usage) = text.split_once("total heap usage:")?;
    let mut numbers = usage
        .split_whitespace()
        .filter_map(|word| word.replace(',', "").parse().ok());
    let (allocations, _, bytes): (u64, u64, u64) =
        (numbers.next()?, numbers.next()?, numbers.next()?);
    Some((answered, allocations, bytes))
}
