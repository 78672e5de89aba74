//! Tools whose definition changed, the latest first, with what went and what came.

use askama::Template;

use crate::report::grid::count;
use crate::report::html::difference::Difference;
use crate::report::html::doors::Doors;
use crate::report::html::parts::{Link, Section, Shown, Words};
use crate::report::table::moment;
use crate::store::Word;
use crate::store::record::Record;
use crate::web::api;
use crate::web::page::Page;
use crate::web::reply::{Problem, Reply};
use crate::web::route::Visit;
use crate::web::select::Select;

/// Changes that are shown with their text.
const CHANGES_MAX: usize = 100;

pub(crate) fn show(visit: &Visit<'_>) -> Result<Reply, Problem> {
    let select = Select::parse(visit.query, visit.now)?;
    let rows = visit.ask(Word::Drift, &select.filter)?;
    if select.format.is_some() {
        return api::write(visit, Word::Drift, &rows, select.format);
    }
    let changes: Vec<Record<'_>> = rows.records().collect();
    let mut body: String = changes
        .iter()
        .rev()
        .take(CHANGES_MAX)
        .map(|row| change(row, true))
        .collect();
    if changes.is_empty() {
        body = Words::of("empty", "No tool changed since it was seen first.").to_string();
    } else if changes.len() > CHANGES_MAX {
        body.push_str(&Words::of("soft", &format!("and {} earlier ones", changes.len() - CHANGES_MAX)).to_string());
    }
    let export = |format| visit.query.address("/drift", &[("format", Some(format))]);
    let page = Page {
        title: Shown::new("Changes of tools"),
        here: "/drift",
        lead: Some(Shown::new(&format!(
            "{}, the latest first.",
            count(changes.len() as u64, "change", "changes")
        ))),
        exports: vec![(export("csv"), "CSV"), (export("json"), "JSON")],
        sections: vec![Section::plain("changes", &body)],
        ..Page::default()
    };
    Ok(page.reply(visit.who))
}

/// One change of a tool.
#[derive(Template)]
#[template(path = "change.html", config = "src/report/html/askama.toml")]
struct Change {
    tool: Shown,
    server: Link,
    iso: String,
    when: String,
    from: Shown,
    from_short: Shown,
    to: Shown,
    to_short: Shown,
    difference: Difference,
}

/// One change; with its server where that is not clear from the page.
pub(crate) fn change(row: &Record<'_>, with_server: bool) -> String {
    let (tool, server) = (row.text("tool").unwrap_or(""), row.text("server").unwrap_or(""));
    let (from, to) = (
        row.text("from_sha256").unwrap_or(""),
        row.text("to_sha256").unwrap_or(""),
    );
    let (old, new) = (
        row.text("from_definition").unwrap_or(""),
        row.text("to_definition").unwrap_or(""),
    );
    let short = |hash: &str| Shown::new(hash.get(..12).unwrap_or(hash));
    let time = row.time("time");
    let change = Change {
        tool: Shown::new(tool),
        server: Link::new(
            Doors::Pages.server(row.text("server_id").filter(|_| with_server)),
            server,
        ),
        iso: time.map(|time| time.to_string()).unwrap_or_default(),
        when: time.map(moment).unwrap_or_default(),
        from: Shown::new(from),
        from_short: short(from),
        to: Shown::new(to),
        to_short: short(to),
        difference: Difference::new(&format!("What changed in {tool}"), old, new),
    };
    // Our own template over our own cells: nothing in it can fail.
    change.render().unwrap_or_default()
}
