//! One server: what it is, who uses it, what is wrong with it, its tools and how they changed.

use crate::report::grid::count;
use crate::report::html::parts::{Cell, Facts, Link, Section, Shown, Words};
use crate::report::html::words::{approval, server_name};
use crate::store::record::Record;
use crate::store::{Rows, Word};
use crate::web::page::Page;
use crate::web::pages::{chosen, part};
use crate::web::reply::{Problem, Reply};
use crate::web::route::Visit;
use crate::web::{api, pages};

use askama::Template;

/// Changes that are shown with their text.
const CHANGES_MAX: usize = 50;

/// Characters of one definition.
const DEFINITION_MAX_CHARS: usize = 20_000;

/// A definition as it was listed, behind its name.
#[derive(Template)]
#[template(
    source = r#"<details class="definition"><summary>{{ name }}</summary><pre>{% for line in lines %}{{ line }}
{% endfor %}</pre></details>"#,
    ext = "html"
)]
struct Definition {
    name: Shown,
    lines: Vec<Shown>,
}

pub(crate) fn show(visit: &Visit<'_>) -> Result<Reply, Problem> {
    let servers = visit.of_server(Word::Servers, visit.id)?;
    let server = api::find(&servers, "id", visit.id).ok_or(Problem::NotFound("server"))?;
    let mut sections = vec![Section::new("about", "What it is", &facts(&server))];
    let findings = visit.of_server(Word::Findings, visit.id)?;
    let without = ["Server", "Last seen"];
    sections.extend(part(
        "findings",
        "What is wrong with it",
        &findings,
        Word::Findings,
        &without,
    ));
    sections.push(clients(visit, &server)?);
    let tools = visit.of_server(Word::Tools, visit.id)?;
    let drift = visit.of_server(Word::Drift, visit.id)?;
    if !drift.rows.is_empty() {
        sections.push(Section::new("changes", "How its tools changed", &changes(&drift)));
    }
    if let Some(section) = part("tools", "Its tools", &tools, Word::Tools, &["Server"]) {
        sections.push(section.and(&definitions(&tools)));
    }
    let sessions = visit.of_server(Word::Sessions, visit.id)?;
    sections.extend(part("sessions", "Sessions", &sessions, Word::Sessions, &["Server"]));
    let lead = format!(
        "{} at {}, used by {}, with {} and {}.",
        match approval(&server) {
            Cell::Mark(_, _, "approved") => "Approved",
            Cell::Mark(_, _, "suspected") => "Suspected",
            _ => "Not approved",
        },
        server.text("server").unwrap_or(""),
        count(server.list("clients").len() as u64, "client", "clients"),
        count(server.count("tools"), "tool", "tools"),
        count(server.count("findings"), "finding", "findings"),
    );
    let page = Page {
        title: Shown::new(server_name(&server)),
        here: "/servers",
        up: Some(("/servers", "Servers")),
        lead: Some(Shown::new(&lead)),
        exports: vec![(format!("/api/servers/{}", visit.id), "JSON")],
        sections,
        ..Page::default()
    };
    Ok(page.reply(visit.who))
}

fn facts(server: &Record<'_>) -> Facts {
    let text = |name| Cell::text(server.text(name));
    let encryption = match (server.text("encryption"), server.flag("decrypted")) {
        (Some("none") | None, _) => "none: in clear".to_owned(),
        (Some(how), true) => format!("{how}, opened with keys"),
        (Some(how), false) => how.to_owned(),
    };
    let messages = format!(
        "{} requests, {} responses ({} errors), {} notifications",
        server.int("requests"),
        server.int("responses"),
        server.int("errors"),
        server.int("notifications")
    );
    let list = |name| {
        let links = server.list(name).iter().map(|text| Link::new(None, text));
        Cell::links(links.collect())
    };
    let methods = server
        .map("by_method")
        .into_iter()
        .flatten()
        .map(|(name, count)| match count {
            crate::store::Value::Int(count) => Link::new(None, &format!("{name} ×{count}")),
            _ => Link::new(None, name),
        });
    Facts {
        facts: vec![
            ("Approval", approval(server)),
            ("By the rule", text("approval")),
            ("Address", text("server")),
            ("Host name", text("hostname")),
            ("Path", text("path")),
            ("Calls itself", text("server_name")),
            ("Version", text("server_version")),
            ("Sign-in", text("auth")),
            ("Encryption", Cell::text(Some(&encryption))),
            ("Reach", text("scope")),
            ("Transports", list("transports")),
            ("Protocol", list("protocol_versions")),
            ("Known by", Cell::text(Some(&evidence(server)))),
            ("First seen", Cell::time(server.time("first_seen"))),
            ("Last seen", Cell::time(server.time("last_seen"))),
            ("Messages", Cell::text(Some(&messages))),
            ("Methods", Cell::links(methods.collect())),
            ("Resources", Cell::count(server.count("resources"))),
            ("Prompts", Cell::count(server.count("prompts"))),
            ("Instructions (SHA-256)", Cell::hash(server.text("instructions_sha256"))),
        ],
    }
}

fn evidence(server: &Record<'_>) -> String {
    let confidence = match server.value("confidence") {
        crate::store::Value::Real(confidence) => format!(", confidence {confidence:.2}"),
        _ => String::new(),
    };
    match server.text("evidence") {
        Some("message") => "its messages".to_owned(),
        Some("sni") => format!("the name in a TLS hello{confidence}"),
        Some("dns") => format!("the name in DNS{confidence}"),
        _ => "nothing".to_owned(),
    }
}

/// Clients of this server; others may use another one at the same address and port.
fn clients(visit: &Visit<'_>, server: &Record<'_>) -> Result<Section, Problem> {
    let rows = match server.text("server") {
        Some(endpoint) => visit.of_server(Word::Clients, endpoint)?,
        None => visit.all(Word::Clients)?,
    };
    let addresses = server.list("clients");
    let own: Vec<Record<'_>> = rows
        .records()
        .filter(|row| {
            row.text("client")
                .is_some_and(|client| addresses.iter().any(|known| known == client))
        })
        .collect();
    let section = chosen("clients", "Who uses it", &own, Word::Clients, &["Uses"]);
    Ok(section.unwrap_or_else(|| Section::new("clients", "Who uses it", &Words::of("empty", "Nobody was seen to."))))
}

/// Each change of a tool with its text, the latest first.
fn changes(drift: &Rows) -> String {
    let mut out = String::new();
    let all: Vec<Record<'_>> = drift.records().collect();
    for change in all.iter().rev().take(CHANGES_MAX) {
        out.push_str(&pages::drift::change(change, false));
    }
    if all.len() > CHANGES_MAX {
        out.push_str(&Words::of("soft", &format!("and {} earlier changes", all.len() - CHANGES_MAX)).to_string());
    }
    out
}

/// Definitions, each behind the name of its tool.
fn definitions(tools: &Rows) -> String {
    let shown = tools.records().take(pages::ROWS_MAX).filter_map(|tool| {
        let definition = tool.text("definition")?;
        let value: Option<serde_json::Value> = serde_json::from_str(definition).ok();
        let text = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
        let text: String = text
            .as_deref()
            .unwrap_or(definition)
            .chars()
            .take(DEFINITION_MAX_CHARS)
            .collect();
        Some(Definition {
            name: Shown::new(&format!("Definition of {}", tool.text("tool").unwrap_or(""))),
            lines: text.lines().map(|line| Shown::short(line, 4_000)).collect(),
        })
    });
    shown.map(|definition| definition.to_string()).collect()
}
