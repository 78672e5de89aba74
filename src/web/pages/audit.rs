//! What people did, the latest first.

use crate::report::html::parts::{Cell, Head, Section, Shown, Table};
use crate::web::page::Page;
use crate::web::reply::{Problem, Reply};
use crate::web::route::Visit;

/// Lines that are shown; the file has all.
const LINES_MAX: usize = 200;

pub(crate) fn show(visit: &Visit<'_>) -> Result<Reply, Problem> {
    let entries = visit.site.audit.last(LINES_MAX).map_err(Problem::Unaudited)?;
    let table = Table {
        id: "audit",
        caption: format!("The latest {} lines", entries.len()),
        heads: ["When", "Who", "Role", "From", "What", "About"].map(Head::new).into(),
        rows: entries
            .iter()
            .map(|entry| {
                let cells = [
                    &entry.at,
                    &entry.who,
                    &entry.role,
                    &entry.peer,
                    &entry.action,
                    &entry.about,
                ];
                cells.map(|text| Cell::text(Some(text))).into()
            })
            .collect(),
        empty: "Nobody did anything yet.",
    };
    let page = Page {
        title: Shown::new("Audit log"),
        here: "/audit",
        lead: Some(Shown::new(&format!("All lines: {}", visit.site.audit.path().display()))),
        sections: vec![Section::plain("list", &table)],
        ..Page::default()
    };
    Ok(page.reply(visit.who))
}
