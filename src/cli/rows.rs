//! Answers that are no message of the contract, printed in the same forms as those that are.

use std::fmt;
use std::io::Write;

use serde_json::Value;

use super::failure::Failure;
use super::output::Format;
use super::table::{table, yes_no};
use super::text::escape_json;

/// Rows of plain values, each under the JSON key of its column.
pub(crate) struct Rows<const N: usize> {
    pub(crate) keys: [&'static str; N],
    pub(crate) rows: Vec<[Value; N]>,
}

impl<const N: usize> Rows<N> {
    /// Prints a list.
    pub(crate) fn show(&self, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
        let text = match format {
            Format::Table => self.to_table(),
            Format::Json => escape_json(&format!("{:#}\n", Value::from_iter(self.objects()))),
            Format::Jsonl => {
                escape_json(&self.objects().map(|o| format!("{o}\n")).collect::<String>())
            }
        };
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// Prints the first row, for scripts as an object by itself.
    pub(crate) fn show_one(&self, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
        match (format, self.objects().next()) {
            (Format::Json, Some(object)) => {
                out.write_all(escape_json(&format!("{object:#}\n")).as_bytes())?;
                Ok(out.flush()?)
            }
            _ => self.show(format, out),
        }
    }

    fn to_table(&self) -> String {
        let headers = self.keys.map(spaced);
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| row.each_ref().map(in_words).to_vec())
            .collect();
        table(&headers.each_ref().map(String::as_str), &rows)
    }

    fn objects(&self) -> impl Iterator<Item = Value> {
        self.rows.iter().map(|row| {
            let keys = self.keys.iter().map(|key| (*key).to_owned());
            Value::Object(keys.zip(row.iter().cloned()).collect())
        })
    }
}

impl<const N: usize> fmt::Debug for Rows<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// `tokenFile` as the header `TOKEN FILE`.
fn spaced(key: &str) -> String {
    key.chars().fold(String::new(), |mut header, c| {
        if c.is_ascii_uppercase() {
            header.push(' ');
        }
        header.push(c.to_ascii_uppercase());
        header
    })
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => yes_no(*value),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
