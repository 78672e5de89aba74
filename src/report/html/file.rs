//! The report as one file that stands alone: style and pictures inside, no script, nothing loaded. It is fit to be sent
//! and to be printed.

use std::io;
use std::sync::Arc;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::model::stamp::Timestamp;
use crate::report::grid::thousands;
use crate::report::html::STYLE;
use crate::report::html::difference::Difference;
use crate::report::html::digest::Digest;
use crate::report::html::doors::Doors;
use crate::report::html::graph::{self, Graph};
use crate::report::html::parts::{Section, Shown, Words};
use crate::report::html::words::Layout;
use crate::report::table::moment;
use crate::store::{Filter, Question, Rows, Store, StoreError, Word};

/// Rows of one table; a report that is printed must end.
const ROWS_MAX: usize = 1_000;
/// Changes that are shown with their text.
const CHANGES_MAX: usize = 40;

#[derive(Template)]
#[template(path = "file.html", config = "src/report/html/askama.toml")]
struct File<'a> {
    title: &'static str,
    sentence: &'a str,
    span: &'a str,
    style: &'static str,
    style_hash: &'a str,
    sections: &'a [Section],
}

/// Writes the report of a store, in a span of time where one is given.
///
/// # Errors
/// Those of the store; writing into memory does not fail.
pub fn render(store: &dyn Store, since: Option<Timestamp>, until: Option<Timestamp>) -> Result<String, StoreError> {
    let ask = |word: Word| {
        let filter = Filter {
            since,
            until,
            ..Filter::default()
        };
        store.ask(&Question { word, filter }).map(Arc::new)
    };
    let digest = Digest::ask(ask)?;
    let sections = sections(&digest, ask(Word::Lookups)?.as_ref(), ask(Word::Tools)?.as_ref());
    let file = File {
        title: "MCP servers on the network",
        sentence: &digest.sentence(),
        span: &span(&digest, since, until),
        style: STYLE,
        style_hash: &STANDARD.encode(Sha256::digest(STYLE.as_bytes())),
        sections: &sections,
    };
    // Our own templates over our own cells: there is nothing that could fail.
    Ok(file.render().unwrap_or_default())
}

/// As [`render`], into a writer.
///
/// # Errors
/// Those of the store, and of the writer.
pub fn write(out: &mut impl io::Write, store: &dyn Store) -> io::Result<()> {
    let text = render(store, None, None).map_err(io::Error::other)?;
    out.write_all(text.as_bytes())
}

fn sections(digest: &Digest, lookups: &Rows, tools: &Rows) -> Vec<Section> {
    let doors = Doors::Closed;
    let table = |id, word, rows: &Rows, what: &str, without: &[&str]| {
        let all = rows.rows.len();
        let caption = match all {
            all if all > ROWS_MAX => format!("{} of {} {what}", thousands(ROWS_MAX as u64), thousands(all as u64)),
            all => format!("{} {what}", thousands(all as u64)),
        };
        Layout::of(word).table(id, caption, rows.records().take(ROWS_MAX), doors, without)
    };
    let mut sections = vec![Section::plain("share", &digest.share())];
    sections.extend(digest.charts());
    sections.push(Section::new("kinds-section", "What is wrong", &digest.kinds(doors)));
    sections.push(Section::new(
        "unapproved-section",
        "Servers that nobody approved",
        &digest.unapproved(doors),
    ));
    sections.push(Section::new(
        "worst-section",
        "Worst open findings",
        &digest.worst(doors),
    ));
    sections.push(Section::new(
        "graph-section",
        "Who uses what",
        &Graph::new(&digest.servers, &digest.clients, doors),
    ));
    let changes = changes(digest);
    sections.push(Section::new("drift-section", "What changed", &changes));
    let without = ["Findings", "First seen"];
    let servers = table("servers", Word::Servers, &digest.servers, "servers", &without);
    sections.push(Section::new("servers-section", "All servers", &servers).class("annex"));
    let clients = table("clients", Word::Clients, &digest.clients, "clients", &["User-Agent"]);
    sections.push(Section::new("clients-section", "All clients", &clients).class("annex"));
    let uses = graph::table(&digest.servers, &digest.clients, doors);
    sections.push(Section::new("uses-section", "All connections", &uses).class("annex"));
    let findings = table(
        "findings",
        Word::Findings,
        &digest.findings,
        "findings",
        &["Times", "Last seen"],
    );
    sections.push(Section::new("findings-section", "All findings", &findings).class("annex"));
    let tools = table("tools", Word::Tools, tools, "tools", &["First seen"]);
    sections.push(Section::new("tools-section", "All tools", &tools).class("annex"));
    let lookups = table("lookups", Word::Lookups, lookups, "lookups", &["Type"]);
    sections.push(Section::new("lookups-section", "All lookups", &lookups).class("annex"));
    let captures = table("captures", Word::Captures, &digest.captures, "captures", &[]);
    sections.push(
        Section::new(
            "sight-section",
            "What was seen, and what could not be",
            &digest.sight_words(),
        )
        .and(&captures),
    );
    sections
}

/// Each change with its text, the latest first.
fn changes(digest: &Digest) -> String {
    let mut out = String::new();
    let all = digest.drift.rows.len();
    for change in digest
        .drift
        .records()
        .collect::<Vec<_>>()
        .iter()
        .rev()
        .take(CHANGES_MAX)
    {
        let when = change.time("time").map(moment).unwrap_or_default();
        let head = format!(
            "{} of {}, {when}",
            change.text("tool").unwrap_or(""),
            change.text("server").unwrap_or("")
        );
        out.push_str(&Words::of("change", &head).to_string());
        let (from, to) = (change.text("from_definition"), change.text("to_definition"));
        out.push_str(&Difference::new(&head, from.unwrap_or(""), to.unwrap_or("")).to_string());
    }
    if all == 0 {
        out.push_str(&Words::of("empty", "No tool changed.").to_string());
    } else if all > CHANGES_MAX {
        out.push_str(&Words::of("soft", &format!("and {} more changes", all - CHANGES_MAX)).to_string());
    }
    out
}

/// The time that is reported of.
fn span(digest: &Digest, since: Option<Timestamp>, until: Option<Timestamp>) -> String {
    let first = digest.captures.records().filter_map(|row| row.time("first_seen")).min();
    let last = digest.captures.records().filter_map(|row| row.time("last_seen")).max();
    let text = match (since.or(first), until.or(last)) {
        (Some(first), Some(last)) => format!("{} to {} UTC", moment(first), moment(last)),
        _ => "No packets were seen".to_owned(),
    };
    Shown::new(&text).to_string()
}
