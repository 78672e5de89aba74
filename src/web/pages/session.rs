//! One session: who talked with whom, which tools were called, what was found.

use crate::report::grid::count;
use crate::report::html::doors::Doors;
use crate::report::html::parts::{Cell, Facts, Link, Section, Shown};
use crate::report::html::words::calls;
use crate::store::Word;
use crate::store::record::Record;
use crate::web::api;
use crate::web::page::Page;
use crate::web::pages::chosen;
use crate::web::reply::{Problem, Reply};
use crate::web::route::Visit;

pub(crate) fn show(visit: &Visit<'_>) -> Result<Reply, Problem> {
    let sessions = visit.all(Word::Sessions)?;
    let session = api::find(&sessions, "id", visit.id).ok_or(Problem::NotFound("session"))?;
    let doors = Doors::Pages;
    let link = |href: Option<String>, name: &str| {
        session
            .text(name)
            .map_or(Cell::Nothing, |text| Cell::Link(Link::new(href, text)))
    };
    let facts = Facts {
        facts: vec![
            ("Server", link(doors.server(session.text("server_id")), "server")),
            ("Client", link(doors.client(session.text("client")), "client")),
            ("Program", Cell::text(session.text("client_name"))),
            ("Protocol", Cell::text(session.text("protocol_version"))),
            ("Transport", Cell::text(session.text("transport"))),
            ("Messages", Cell::count(session.count("messages"))),
            ("First seen", Cell::time(session.time("first_seen"))),
            ("Last seen", Cell::time(session.time("last_seen"))),
            ("Tools called", calls(session.map("calls"))),
        ],
    };
    let findings = match session.text("server_id") {
        Some(server) => visit.of_server(Word::Findings, server)?,
        None => visit.all(Word::Findings)?,
    };
    let own: Vec<Record<'_>> = findings
        .records()
        .filter(|finding| finding.text("session") == Some(visit.id))
        .collect();
    let mut sections = vec![Section::new("about", "What was said", &facts)];
    sections.extend(chosen(
        "findings",
        "What was found in it",
        &own,
        Word::Findings,
        &["Server", "Client"],
    ));
    let page = Page {
        title: Shown::new(&format!("Session {}", visit.id.chars().take(12).collect::<String>())),
        here: "/sessions",
        up: Some(("/sessions", "Sessions")),
        lead: Some(Shown::new(&format!(
            "{} with {}.",
            count(session.count("messages"), "message", "messages"),
            session.text("server").unwrap_or("a server")
        ))),
        sections,
        ..Page::default()
    };
    Ok(page.reply(visit.who))
}
