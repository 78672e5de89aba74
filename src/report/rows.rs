//! The rows of an answer as a table, one JSON object, JSON lines, CSV, or a table in Markdown.

use std::io;

use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use crate::model::finding::Severity;
use crate::report::display;
use crate::report::grid::{self, Cell, DIM, GOOD, Style, WARN, grid};
pub(crate) use crate::report::table::moment;
use crate::store::record::Record;
use crate::store::schema::{Column, Type};
use crate::store::{Rows, Value, Word};

/// A table for a terminal, of the columns that are not wide.
pub fn table(rows: &Rows, style: Style) -> String {
    if rows.rows.is_empty() {
        return "nothing found\n".to_owned();
    }
    indented(rows, 0, style)
}

/// Rows that are there, after so many spaces.
pub(crate) fn indented(rows: &Rows, indent: usize, style: Style) -> String {
    let shown: Vec<usize> = (0..rows.columns.len()).filter(|at| !rows.columns[*at].wide).collect();
    let heads: Vec<String> = shown
        .iter()
        .map(|at| rows.columns[*at].name.replace('_', " "))
        .collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let row = |row: &Vec<Value>| shown.iter().map(|at| cell(&rows.columns[*at], &row[*at])).collect();
    grid(
        &heads,
        &rows.rows.iter().map(row).collect::<Vec<Vec<Cell>>>(),
        indent,
        style,
    )
}

fn cell(column: &Column, value: &Value) -> Cell {
    let shown = display::terminal(&text(value, moment)).into_owned();
    let shown = if column.name.ends_with("sha256") {
        shown.chars().take(12).collect()
    } else {
        shown
    };
    match (column.name, value) {
        ("severity" | "worst", _) => {
            let paint = Severity::parse(&shown).map_or(grid::PLAIN, grid::severity);
            Cell::painted(shown, paint)
        }
        ("approved", Value::Bool(true)) => Cell::painted("approved", GOOD),
        ("approved", Value::Bool(false)) => Cell::painted("UNAPPROVED", WARN),
        ("first_seen" | "last_seen" | "time", _) => Cell::painted(shown, DIM),
        _ if matches!(column.kind, Type::Integer | Type::Real) => Cell::number(shown),
        ("server" | "client" | "kind" | "event" | "transport" | "category" | "via" | "type" | "id", _) => {
            Cell::new(shown)
        }
        _ => Cell::soft(shown),
    }
}

/// One JSON object: `{"schema":1,"word":"servers","rows":[{…}]}`.
///
/// # Errors
/// Those of the writer.
pub fn json(out: &mut impl io::Write, word: Word, rows: &Rows) -> io::Result<()> {
    #[derive(Serialize)]
    struct Answer<'a> {
        schema: u32,
        word: &'static str,
        rows: Vec<Object<'a>>,
    }
    let objects = rows
        .rows
        .iter()
        .map(|row| Object {
            columns: rows.columns,
            row,
        })
        .collect();
    display::json_line(
        out,
        &Answer {
            schema: 1,
            word: word.name(),
            rows: objects,
        },
    )
}

/// One JSON object per row.
///
/// # Errors
/// Those of the writer.
pub fn ndjson(out: &mut impl io::Write, rows: &Rows) -> io::Result<()> {
    rows.rows.iter().try_for_each(|row| {
        display::json_line(
            out,
            &Object {
                columns: rows.columns,
                row,
            },
        )
    })
}

/// RFC 4180 with a head line. Lists and maps stand in one cell, their parts apart by `; `.
///
/// # Errors
/// Those of the writer.
pub fn csv(out: &mut impl io::Write, rows: &Rows) -> io::Result<()> {
    let names: Vec<&str> = rows.columns.iter().map(|column| column.name).collect();
    write!(out, "{}\r\n", names.join(","))?;
    for row in &rows.rows {
        let cells: Vec<String> = row.iter().map(csv_cell).collect();
        write!(out, "{}\r\n", cells.join(","))?;
    }
    Ok(())
}

/// A table in GitHub's Markdown, of the columns that are not wide.
pub fn markdown(rows: &Rows) -> String {
    let shown: Vec<usize> = (0..rows.columns.len()).filter(|at| !rows.columns[*at].wide).collect();
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let heads = shown.iter().map(|at| rows.columns[*at].name.replace('_', " "));
    let mut out = line(heads.collect());
    out.push_str(&line(shown.iter().map(|_| "---".to_owned()).collect()));
    for row in &rows.rows {
        let cells = shown.iter().map(|at| display::markdown(&text(&row[*at], moment)));
        out.push_str(&line(cells.collect()));
    }
    out
}

fn csv_cell(value: &Value) -> String {
    match value {
        // Numbers are ours, and a sign is no formula.
        Value::Int(_) | Value::Real(_) | Value::Bool(_) => text(value, |time| time.to_string()),
        _ => display::csv(&text(value, |time| time.to_string())).into_owned(),
    }
}

/// As text, before any door.
pub(crate) fn text(value: &Value, time: fn(crate::model::stamp::Timestamp) -> String) -> String {
    match value {
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::List(list) => list.join("; "),
        Value::Map(map) => {
            let pairs: Vec<String> = map
                .iter()
                .map(|(name, value)| format!("{name}={}", text(value, time)))
                .collect();
            pairs.join("; ")
        }
        Value::Null => String::new(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Time(at) => time(*at),
    }
}

/// One row with the names of its columns.
pub(crate) struct Object<'a> {
    pub(crate) columns: &'static [Column],
    pub(crate) row: &'a [Value],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, value) in self.columns.iter().zip(self.row) {
            map.serialize_entry(column.name, &Json(value))?;
        }
        map.end()
    }
}

impl<'a> Object<'a> {
    /// A row of an answer.
    pub(crate) fn of(record: &Record<'a>) -> Self {
        let (columns, row) = record.parts();
        Self { columns, row }
    }
}

/// One cell.
pub(crate) struct Json<'a>(pub(crate) &'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bool(bit) => serializer.serialize_bool(*bit),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::List(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                list.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
            Value::Map(map) => serializer.collect_map(map.iter().map(|(name, value)| (name, Json(value)))),
            Value::Null => serializer.serialize_none(),
            Value::Real(number) => serializer.serialize_f64(*number),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Time(time) => serializer.collect_str(time),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    use proptest::prelude::*;

    use crate::model::server::View;
    use crate::store::memory::Memory;
    use crate::store::{Question, Store as _, fixture};

    /// A reader of RFC 4180, written apart from the writer.
    pub(crate) fn read_csv(text: &str) -> Vec<Vec<String>> {
        let (mut lines, mut line, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => line.push(std::mem::take(&mut cell)),
                '\r' if !quoted && chars.next() == Some('\n') => {
                    line.push(std::mem::take(&mut cell));
                    lines.push(std::mem::take(&mut line));
                }
                char => cell.push(char),
            }
        }
        lines
    }

    fn ask(view: &View, word: Word) -> Rows {
        Memory::new(view).ask(&Question::all(word)).unwrap()
    }

    proptest! {
        #[test]
        fn csv_comes_back(view in fixture::views()) {
            for word in Word::ALL {
                let rows = ask(&view, word);
                let mut out = Vec::new();
                csv(&mut out, &rows).unwrap();
                let back = read_csv(&String::from_utf8(out).unwrap());
                prop_assert_eq!(back.len(), rows.rows.len() + 1);
                for (cells, row) in back.iter().skip(1).zip(&rows.rows) {
                    prop_assert_eq!(cells.len(), row.len());
                    for (cell, value) in cells.iter().zip(row) {
                        let plain = display::plain(&text(value, |time| time.to_string()), display::CSV_MAX_CHARS).into_owned();
                        prop_assert!(*cell == plain || *cell == format!("'{plain}"), "{cell:?} of {plain:?}");
                        prop_assert!(!cell.trim_start().starts_with(['=', '@', '+']));
                    }
                }
            }
        }

        #[test]
        fn json_comes_back(view in fixture::views()) {
            for word in Word::ALL {
                let rows = ask(&view, word);
                let (mut whole, mut lines) = (Vec::new(), Vec::new());
                json(&mut whole, word, &rows).unwrap();
                ndjson(&mut lines, &rows).unwrap();
                let whole: serde_json::Value = serde_json::from_slice(&whole).unwrap();
                let lines = String::from_utf8(lines).unwrap();
                let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                prop_assert_eq!(whole["rows"].as_array().unwrap(), &lines);
                for (line, row) in lines.iter().zip(&rows.rows) {
                    for (column, value) in rows.columns.iter().zip(row) {
                        match value {
                            Value::Text(text) => prop_assert_eq!(line[column.name].as_str(), Some(text.as_str())),
                            Value::Null => prop_assert!(line[column.name].is_null()),
                            _ => prop_assert!(!line[column.name].is_null()),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_table_shows_marks_and_no_control() {
        let view = fixture::view();
        let style = Style {
            width: 120,
            color: false,
        };
        let servers = table(&ask(&view, Word::Servers), style);
        assert!(servers.starts_with("APPROVED"), "{servers}");
        assert!(servers.contains("UNAPPROVED  10.0.0.5:8000  mcp.example"), "{servers}");
        assert!(table(&ask(&view, Word::Tools), style).contains("sun\\u{202e}rise\\n"));
        assert_eq!(table(&ask(&View::default(), Word::Servers), style), "nothing found\n");
    }
}
