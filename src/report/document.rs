//! A report of several parts: facts on top, then tables; for people, for programs, for a ticket.
//!
//! [`story`](crate::report::story), [`impact`](crate::report::impact), [`change`](crate::report::change) and
//! [`weekly`](crate::report::weekly) put one together out of answers of a store; how it is shown is written here once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use serde::Serialize;

use crate::report::display;
use crate::report::grid::{BOLD, Style};
use crate::report::rows::{self, Json, Object};
use crate::store::{Rows, Value};

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What kind of report: a word of the command line.
    pub report: &'static str,
    /// What it is about, by name.
    pub facts: Vec<(&'static str, Value)>,
    /// Its parts, the most urgent first.
    pub sections: Vec<Section>,
}

/// One table.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// Its name in programs' formats.
    pub name: &'static str,
    /// Its heading for people.
    pub heading: &'static str,
    /// What it says.
    pub rows: Rows,
    /// What is to be said below it, for people.
    pub note: Option<String>,
}

impl Section {
    /// Without a note.
    pub fn new(name: &'static str, heading: &'static str, rows: Rows) -> Self {
        Self {
            name,
            heading,
            rows,
            note: None,
        }
    }
}

impl Document {
    /// For a terminal.
    pub fn table(&self, style: Style) -> String {
        let mut out = String::new();
        let facts = self.facts.iter().filter(|(_, value)| *value != Value::Null);
        let width = facts.clone().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in facts {
            let shown = rows::text(value, rows::moment);
            let line = format!("{:width$}  {}", name.replace('_', " "), display::terminal(&shown));
            let _ = writeln!(out, "{}", crate::report::grid::cut(&line, style.columns()));
        }
        for section in &self.sections {
            let _ = writeln!(out, "\n{}", style.paint(BOLD, section.heading));
            if section.rows.rows.is_empty() {
                out.push_str("  none\n");
            } else {
                out.push_str(&rows::indented(&section.rows, 2, style));
            }
            if let Some(note) = &section.note {
                let _ = writeln!(out, "  {}", display::terminal(note));
            }
        }
        out
    }

    /// Headings and tables of GitHub flavoured Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for (name, value) in self.facts.iter().filter(|(_, value)| *value != Value::Null) {
            let shown = rows::text(value, rows::moment);
            let _ = writeln!(out, "- {}: {}", name.replace('_', " "), display::markdown(&shown));
        }
        for section in &self.sections {
            let _ = writeln!(out, "\n## {}\n", section.heading);
            if section.rows.rows.is_empty() {
                out.push_str("none\n");
            } else {
                out.push_str(&rows::markdown(&section.rows));
            }
            if let Some(note) = &section.note {
                let _ = writeln!(out, "\n{}", display::markdown(note));
            }
        }
        out
    }

    /// One JSON object: `{"schema":1,"report":"impact","facts":{…},"sections":{"revoke":[{…}],…}}`.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn json(&self, out: &mut impl io::Write) -> io::Result<()> {
        #[derive(Serialize)]
        struct Whole<'a> {
            schema: u32,
            report: &'static str,
            facts: BTreeMap<&'static str, Json<'a>>,
            sections: BTreeMap<&'static str, Vec<Object<'a>>>,
        }
        let whole = Whole {
            schema: 1,
            report: self.report,
            facts: self.facts.iter().map(|(name, value)| (*name, Json(value))).collect(),
            sections: self
                .sections
                .iter()
                .map(|section| (section.name, objects(&section.rows)))
                .collect(),
        };
        display::json_line(out, &whole)
    }

    /// One JSON object per row, which names its section.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn ndjson(&self, out: &mut impl io::Write) -> io::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            section: &'static str,
            #[serde(flatten)]
            row: Object<'a>,
        }
        for section in &self.sections {
            for row in objects(&section.rows) {
                let section = section.name;
                display::json_line(out, &Line { section, row })?;
            }
        }
        Ok(())
    }

    /// RFC 4180: each section with its head line, an empty line between two of them.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn csv(&self, out: &mut impl io::Write) -> io::Result<()> {
        for (nth, section) in self.sections.iter().enumerate() {
            if nth > 0 {
                out.write_all(b"\r\n")?;
            }
            rows::csv(out, &section.rows)?;
        }
        Ok(())
    }
}

fn objects(rows: &Rows) -> Vec<Object<'_>> {
    let object = |row| Object {
        columns: rows.columns,
        row,
    };
    rows.rows.iter().map(Vec::as_slice).map(object).collect()
}
