//! What was measured, as it is printed and as a page.

use std::path::PathBuf;

/// The page as far as it has come.
#[derive(Default)]
pub(crate) struct Report(String);

/// A median, and the least and the most beside it.
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self {
            median: values[values.len() / 2],
            least: values[0],
            most: values[values.len() - 1],
        }
    }
}

impl Report {
    /// Prints a part, and keeps it for the page.
    pub(crate) fn add(&mut self, title: &str, table: &str) {
        println!("\n{title}\n\n{table}");
        self.0
            .push_str(&format!("\n## {title}\n\n```\n{table}```\n"));
    }

    /// Writes the page beside what cargo builds.
    pub(crate) fn write(&self) -> std::io::Result<PathBuf> {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("changes.md");
        std::fs::write(&path, format!("# What changes cost\n{}", self.0))?;
        Ok(path)
    }
}
