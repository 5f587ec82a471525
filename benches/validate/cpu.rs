//! CPU time as the kernel counts it, and who runs where.

use std::fs;
use std::process::Command;
use std::time::Duration;

/// Ticks of /proc a second; the same on every Linux that Rust runs on.
const TICKS: u64 = 100;

/// CPU that a process has used, in user and kernel mode.
pub(crate) fn of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name may hold spaces: fields are counted from behind it.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 1_000 / TICKS)
}

/// CPU that everybody has used.
pub(crate) fn of_all() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut fields = stat.lines().next().unwrap_or_default().split_whitespace();
    fields.next();
    let all: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, (idle, iowait,) irq, softirq, steal
    let busy: u64 = [0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|place| all.get(*place))
        .sum();
    Duration::from_millis(busy * 1_000 / TICKS)
}

/// Memory that a process has, in bytes.
pub(crate) fn memory_of(pid: u32) -> u64 {
    kilobytes(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Memory that there is for one more process, in bytes.
pub(crate) fn memory_left() -> u64 {
    kilobytes("/proc/meminfo", "MemAvailable:")
}

fn kilobytes(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// The core for servers is the first; the load runs on the last.
pub(crate) fn on_the_first_core(words: &[&std::ffi::OsStr]) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).args(words);
    command
}

/// The cores of the machine, whichever this process may use.
pub(crate) fn cores() -> usize {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let lines = info.lines().filter(|line| line.starts_with("processor"));
    lines.count().max(1)
}

/// From now on this process, with all its threads to come, runs on the last core.
pub(crate) fn stay_on_the_last_core() {
    let last = cores() - 1;
    let pid = std::process::id().to_string();
    let moved = Command::new("taskset")
        .args(["-a", "-p", "-c", &last.to_string(), &pid])
        .output();
    if !moved.is_ok_and(|output| output.status.success()) {
        println!("taskset is missing: processes are not pinned, and the figures are worth less");
    }
}
