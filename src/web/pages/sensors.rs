//! What the sensors saw, what they lost, what could not be read, and what to do about it.

use crate::report::html::digest::{BLIND, Digest};
use crate::report::html::parts::{Cell, Head, Section, Shown, Table};
use crate::store::Word;
use crate::web::page::Page;
use crate::web::pages::part;
use crate::web::reply::{Problem, Reply};
use crate::web::route::Visit;

pub(crate) fn show(visit: &Visit<'_>) -> Result<Reply, Problem> {
    let digest = Digest::ask(|word| visit.all(word))?;
    let sum = |name: &str| {
        let counts = digest.captures.records().map(|row| row.count(name));
        counts.fold(0, u64::saturating_add)
    };
    let row = |(column, cure, _, many): &(&'static str, &'static str, &'static str, &'static str)| {
        let number = sum(column);
        let mark = if number == 0 {
            Cell::Mark("good", "✓", "none")
        } else {
            Cell::Mark("bad", "△", "look")
        };
        vec![
            Cell::text(Some(many)),
            mark,
            Cell::count(number),
            Cell::text(Some(cure)),
        ]
    };
    let blind = Table {
        id: "blind",
        caption: "What was lost or could not be read, over all captures".to_owned(),
        heads: vec![
            Head::of("What", "lead"),
            Head::new("State"),
            Head::number("Number"),
            Head::new("What it means"),
        ],
        rows: BLIND.iter().map(row).collect(),
        empty: "",
    };
    let mut sections = vec![Section::new("blind-section", "Blind spots", &blind)];
    sections.extend(part("captures", "Captures", &digest.captures, Word::Captures, &[]));
    let page = Page {
        title: Shown::new("Sensors"),
        here: "/sensors",
        lead: Some(Shown::new(&digest.sight().join(" "))),
        sections,
        ..Page::default()
    };
    Ok(page.reply(visit.who))
}
