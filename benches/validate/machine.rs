//! Where and of what the figures are.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cpu;

/// Lines for the report's head.
pub(crate) fn describe() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |name| name.trim_start_matches(['\t', ' ', ':']));
    let cores = cpu::cores();
    let changed = match says(
        Command::new("git")
            .current_dir(root)
            .args(["status", "--porcelain"]),
    ) {
        Some(text) if !text.is_empty() => ", with changes",
        _ => "",
    };
    let commit =
        says(
            Command::new("git")
                .current_dir(root)
                .args(["rev-parse", "--short=12", "HEAD"]),
        );
    vec![
        format!(
            "machine: {cores} cores, {model}, {}",
            or_unknown(says(Command::new("uname").arg("-sr")))
        ),
        format!("date: {}", chrono::Utc::now().format("%Y-%m-%d %H:%M UTC")),
        format!("commit: {}{changed}", or_unknown(commit)),
        format!(
            "{}, tonic {}, h2 {}",
            or_unknown(says(Command::new("rustc").arg("-V"))),
            locked("tonic"),
            locked("h2")
        ),
    ]
}

/// The first line that a program says of itself.
pub(crate) fn says(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Some(
        said.trim()
            .lines()
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned(),
    )
}

fn or_unknown(said: Option<String>) -> String {
    said.unwrap_or_else(|| "unknown".into())
}

/// The version that Cargo.lock has of a package.
fn locked(package: &str) -> String {
    let lock = include_str!("../../Cargo.lock");
    let name = format!("name = \"{package}\"\nversion = \"");
    let version = lock
        .split_once(&name)
        .and_then(|(_, rest)| rest.split('"').next());
    version.unwrap_or("unknown").to_owned()
}
