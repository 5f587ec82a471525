//! The ceiling: bytes appended to a file, and one fdatasync for as many as there are writers.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cpu;
use crate::create::{Outcome, WRITERS};

/// About as much as the row of a token.
const BYTES: usize = 320;

pub(crate) fn round(dir: &Path, round: Duration) -> Outcome {
    let mut file = File::create(dir.join("raw")).expect("the directory can be written");
    let group = vec![0x5a; BYTES * WRITERS];
    let (begun, used) = (Instant::now(), cpu::of(std::process::id()));
    let mut made = 0;
    while begun.elapsed() < round {
        file.write_all(&group).expect("there is room");
        file.sync_data().expect("the disk takes it");
        made += WRITERS as u64;
    }
    Outcome {
        made,
        wall: begun.elapsed(),
        cpu: cpu::of(std::process::id()) - used,
        p99: None,
        committer: None,
    }
}
