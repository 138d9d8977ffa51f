//! Tables for people, JSON for programs.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::Value;

use super::connect::Format;
use super::failure::Failure;

/// A result: rows under named columns. As JSON each row is an object with the columns' keys.
#[derive(Debug)]
pub(super) struct Rows {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

/// A column of [`Rows`].
#[derive(Debug)]
pub(super) struct Column {
    /// Its name in JSON; in a table the underscores are spaces, in capitals.
    pub(super) key: &'static str,
    /// Whether its table cells are numbers, and so lean to the right.
    pub(super) number: bool,
}

/// A column of text.
pub(super) const fn text(key: &'static str) -> Column {
    Column { key, number: false }
}

/// A column of numbers.
pub(super) const fn number(key: &'static str) -> Column {
    Column { key, number: true }
}

impl Rows {
    pub(super) fn new<const N: usize>(columns: [Column; N]) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row; one value per column.
    pub(super) fn push<const N: usize>(&mut self, row: [Value; N]) {
        debug_assert_eq!(N, self.columns.len(), "a value per column");
        self.rows.push(row.into());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as an array of objects.
    pub(super) fn to_json(&self) -> Value {
        let object = |row: &Vec<Value>| {
            Value::Object(self.columns.iter().map(|c| c.key.to_owned()).zip(row.iter().cloned()).collect())
        };
        Value::Array(self.rows.iter().map(object).collect())
    }

    /// The rows as lines of aligned columns, with no trailing blanks.
    pub(super) fn to_table(&self, width: Option<u16>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if let Some(width) = width {
            table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic).set_width(width);
        }
        table.set_header(self.columns.iter().map(|c| aligned(c, c.key.replace('_', " ").to_uppercase())));
        for row in &self.rows {
            table.add_row(self.columns.iter().zip(row).map(|(c, value)| aligned(c, cell(value))));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    /// Shows the result on stdout.
    pub(super) fn show(&self, format: Format) -> io::Result<()> {
        match format {
            Format::Json => show_json(&self.to_json()),
            Format::Table => io::stdout().lock().write_all(self.to_table(terminal_width()).as_bytes()),
        }
    }

    /// Shows what became of each thing that a command was to do, if of any, and ends the command: it has failed unless
    /// `is_well`.
    pub(super) fn conclude(&self, is_well: bool, format: Format) -> Result<(), Failure> {
        Failure::unless(is_well, if self.rows.is_empty() { Ok(()) } else { self.show(format) })
    }
}

/// Writes a value to stdout: indented on a terminal, on one line for programs.
pub(super) fn show_json(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.is_terminal() {
        true => serde_json::to_writer_pretty(&mut out, value)?,
        false => serde_json::to_writer(&mut out, value)?,
    }
    writeln!(out)
}

/// Writes a line to stdout.
pub(super) fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// The terminal's width, if stdout is one. What is piped is never wrapped.
fn terminal_width() -> Option<u16> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(&out).ok().map(|size| size.ws_col).filter(|width| *width >= 40)
}

fn aligned(column: &Column, text: String) -> Cell {
    let cell = Cell::new(text);
    if column.number { cell.set_alignment(CellAlignment::Right) } else { cell }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Rows {
        let mut rows = Rows::new([text("topic"), number("partitions"), text("in_sync")]);
        rows.push([json!("orders"), json!(12), json!([0, 1])]);
        rows.push([json!("a"), json!(null), json!(true)]);
        rows
    }

    #[test]
    fn a_table_is_aligned_and_has_no_trailing_blanks() {
        assert_eq!(
            sample().to_table(None),
            "TOPIC   PARTITIONS  IN SYNC\n\
             orders          12  0,1\n\
             a                -  yes\n"
        );
    }

    #[test]
    fn json_rows_are_objects_in_column_order() {
        assert_eq!(
            sample().to_json().to_string(),
            r#"[{"topic":"orders","partitions":12,"in_sync":[0,1]},{"topic":"a","partitions":null,"in_sync":true}]"#
        );
    }
}
