//! Tables for people: aligned, without borders, every cell safe for a terminal.

use comfy_table::{ContentArrangement, Table, presets};

use super::text::plain;

/// Columns under their names, cells made safe for a terminal.
pub(crate) fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = unadorned();
    table.set_header(columns.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| safe_cell(cell)));
    }
    trimmed(&mut table)
}

/// A table that is printed as its rows come: each column is as wide as its widest cell so far.
#[derive(Debug, Default)]
pub(crate) struct Running {
    widths: Vec<usize>,
}

impl Running {
    /// One row, or the columns' names.
    pub(crate) fn line(&mut self, cells: &[impl AsRef<str>]) -> String {
        let mut line = String::new();
        self.widths.resize(cells.len(), 0);
        for (cell, width) in cells.iter().zip(&mut self.widths) {
            let cell = safe_cell(cell.as_ref());
            *width = cell.chars().count().max(*width);
            line.push_str(&format!("{cell:<width$}  ", width = *width));
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// Labels and values, one pair a line.
pub(crate) fn pairs(fields: &[(&str, String)]) -> String {
    let mut pairs = unadorned();
    for (label, value) in fields {
        pairs.add_row([(*label).to_owned(), safe_cell(value)]);
    }
    trimmed(&mut pairs)
}

/// `yes` or `no`.
pub(crate) fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.into()
}

fn unadorned() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .force_no_tty();
    table
}

fn trimmed(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.trim_fmt();
    if text.is_empty() { text } else { text + "\n" }
}

fn safe_cell(value: &str) -> String {
    if value.is_empty() {
        "-".into()
    } else {
        plain(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_table_keeps_to_the_widest_cell_so_far() {
        let mut running = Running::default();
        assert_eq!(running.line(&["ID", "NAME"]), "ID  NAME\n");
        assert_eq!(running.line(&["long", ""]), "long  -\n");
        assert_eq!(running.line(&["a", "x\ny"]), "a     x\\ny\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_nothing_trails() {
        let rows = [
            vec!["a".to_owned(), "x\ny".to_owned()],
            vec!["東京都".to_owned(), String::new()],
        ];
        assert_eq!(
            table(&["ID", "NAME"], &rows),
            "ID      NAME\na       x\\ny\n東京都  -\n"
        );
        assert_eq!(table(&["ID", "NAME"], &[]), "ID  NAME\n");
        assert_eq!(
            pairs(&[("id", "a".into()), ("name", String::new())]),
            "id    a\nname  -\n"
        );
        assert_eq!(pairs(&[]), "");
    }
}
