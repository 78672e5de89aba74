//! One client address: who it says it is, which servers it uses, what it looked up, what was found.

use std::collections::BTreeSet;

use crate::report::grid::count;
use crate::report::html::doors::escape;
use crate::report::html::parts::Shown;
use crate::store::Word;
use crate::web::page::Page;
use crate::web::pages::part;
use crate::web::reply::{Problem, Reply};
use crate::web::route::Visit;

pub(crate) fn show(visit: &Visit<'_>) -> Result<Reply, Problem> {
    let clients = visit.of_client(Word::Clients, visit.id)?;
    let lookups = visit.of_client(Word::Lookups, visit.id)?;
    let findings = visit.of_client(Word::Findings, visit.id)?;
    if clients.rows.is_empty() && lookups.rows.is_empty() && findings.rows.is_empty() {
        return Err(Problem::NotFound("client"));
    }
    let servers = visit.of_client(Word::Servers, visit.id)?;
    let sessions = visit.of_client(Word::Sessions, visit.id)?;
    let programs: BTreeSet<&str> = clients.records().filter_map(|row| row.text("client_name")).collect();
    let unapproved = servers.records().filter(|row| !row.flag("approved")).count() as u64;
    let lead = format!(
        "Uses {}, {unapproved} of them not approved; {}, {}.",
        count(servers.rows.len() as u64, "server", "servers"),
        count(programs.len() as u64, "program", "programs"),
        count(findings.rows.len() as u64, "finding", "findings"),
    );
    let without = ["Client", "Last seen"];
    let sections = [
        part(
            "servers",
            "Which servers it uses",
            &servers,
            Word::Servers,
            &["First seen", "Clients"],
        ),
        part("findings", "What was found", &findings, Word::Findings, &without),
        part(
            "programs",
            "As what it introduces itself",
            &clients,
            Word::Clients,
            &["Client", "Uses"],
        ),
        part("lookups", "What it looked up", &lookups, Word::Lookups, &["Client"]),
        part("sessions", "Sessions", &sessions, Word::Sessions, &["Client"]),
    ];
    let page = Page {
        title: Shown::new(visit.id),
        here: "/clients",
        up: Some(("/clients", "Clients")),
        lead: Some(Shown::new(&lead)),
        exports: vec![(format!("/api/clients/{}", escape(visit.id)), "JSON")],
        sections: sections.into_iter().flatten().collect(),
        ..Page::default()
    };
    Ok(page.reply(visit.who))
}
