//! CPU time as the kernel counts it: of processes, of their ended children, of single threads.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Ticks of /proc a second; the same on every Linux that Rust runs on.
const TICKS: u64 = 100;

/// CPU that a process has used, in user and kernel mode.
pub(crate) fn of(pid: u32) -> Duration {
    ticks(&format!("/proc/{pid}/stat"), 11..13)
}

/// The same with that of its children that have ended.
pub(crate) fn of_reaped(pid: u32) -> Duration {
    ticks(&format!("/proc/{pid}/stat"), 11..15)
}

/// The processes that it has started and that still run.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let said = fs::read_to_string(path).unwrap_or_default();
    said.split_whitespace()
        .filter_map(|id| id.parse().ok())
        .collect()
}

/// CPU that each thread of a process has used, by the thread's name; those of one name together.
pub(crate) fn by_thread(pid: u32) -> BTreeMap<String, Duration> {
    let mut used: BTreeMap<String, Duration> = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let stat = task.path().join("stat");
        *used.entry(name.trim().to_owned()).or_default() += ticks(&stat.to_string_lossy(), 11..13);
    }
    used
}

fn ticks(path: &str, fields: std::ops::Range<usize>) -> Duration {
    let stat = fs::read_to_string(path).unwrap_or_default();
    // The name may hold spaces: fields are counted from behind it.
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let wanted = behind
        .split_whitespace()
        .skip(fields.start)
        .take(fields.len());
    let ticks: u64 = wanted.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1_000 / TICKS)
}
