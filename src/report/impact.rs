//! What it means that a server is bad: what to revoke, who used it, what was called, where it leads; the most urgent first.

use std::collections::BTreeMap;

use crate::model::stamp::Timestamp;
use crate::report::document::{Document, Section};
use crate::report::entry::{Entry, entries, pick};
use crate::store::schema::{Column, Type};
use crate::store::{Filter, Question, Rows, Store, StoreError, Value, Word};

/// Sessions and findings that are listed.
const LISTED_MAX: usize = 50;

/// Every list of columns here.
pub(crate) const LISTS: &[&[Column]] = &[&REVOKE, &CLIENTS, &CALLS, &UPSTREAMS, &SESSIONS, &FINDINGS];

static REVOKE: [Column; 8] = [
    Column::new("what", Type::Text, "kind of credential, or the rule that knows it"),
    Column::new("do", Type::Text, "what to do about it"),
    Column::new("client", Type::Text, "whose it is"),
    Column::new("where", Type::Text, "where it was"),
    Column::new("sample", Type::Text, "redacted sample"),
    Column::new("last_seen", Type::Time, "latest evidence"),
    Column::rare("first_seen", Type::Time, "first evidence"),
    Column::rare("finding", Type::Text, "id of the finding"),
];

static CLIENTS: [Column; 6] = [
    Column::new("client", Type::Text, "address"),
    Column::new("client_name", Type::Text, "names that it gives itself"),
    Column::new("requests", Type::Integer, "requests to the server"),
    Column::new("tools", Type::Integer, "tools that it called"),
    Column::new("first_seen", Type::Time, "begin of the first hour"),
    Column::new("last_seen", Type::Time, "begin of the last hour"),
];

static CALLS: [Column; 6] = [
    Column::new("method", Type::Text, "method"),
    Column::new("target", Type::Text, "tool or prompt, or the scheme of a resource"),
    Column::new("requests", Type::Integer, "how often"),
    Column::new("failed", Type::Integer, "how often it failed"),
    Column::new("clients", Type::List, "by whom"),
    Column::new("last_seen", Type::Time, "begin of the last hour"),
];

static UPSTREAMS: [Column; 4] = [
    Column::new(
        "upstream",
        Type::Text,
        "a server that it asked, or a name that it looked up",
    ),
    Column::new("how", Type::Text, "how that is known"),
    Column::new("first_seen", Type::Time, "first evidence"),
    Column::new("last_seen", Type::Time, "latest evidence"),
];

static SESSIONS: [Column; 6] = [
    Column::new("id", Type::Text, "id of the session"),
    Column::new("client", Type::Text, "address of the client"),
    Column::new("messages", Type::Integer, "messages, both directions"),
    Column::new("calls", Type::Map, "tools called, with counts"),
    Column::new("first_seen", Type::Time, "first message"),
    Column::rare("last_seen", Type::Time, "last message"),
];

static FINDINGS: [Column; 7] = [
    Column::new("severity", Type::Text, "how bad"),
    Column::new("kind", Type::Text, "what kind"),
    Column::new("title", Type::Text, "one sentence"),
    Column::new("state", Type::Text, "open, acknowledged, closed or muted"),
    Column::rare("client", Type::Text, "address of the client"),
    Column::rare("first_seen", Type::Time, "first evidence"),
    Column::rare("id", Type::Text, "id of the finding"),
];

/// The impact of the server of that id, since a moment; `None` when there is no such server.
///
/// # Errors
/// Those of the store.
pub fn impact(store: &dyn Store, id: &str, since: Option<Timestamp>) -> Result<Option<Document>, StoreError> {
    let ask = |word, filter| store.ask(&Question { word, filter });
    let of_server = || Filter {
        server: Some(id.to_owned()),
        since,
        ..Filter::default()
    };
    let servers = ask(
        Word::Servers,
        Filter {
            since: None,
            ..of_server()
        },
    )?;
    let Some(server) = entries(&servers).next() else {
        return Ok(None);
    };
    let findings = ask(Word::Findings, of_server())?;
    let usage = ask(Word::Usage, of_server())?;
    let endpoint = Some(server.text("server").to_owned());
    let clients = ask(
        Word::Clients,
        Filter {
            server: endpoint,
            since,
            ..Filter::default()
        },
    )?;
    let sessions = ask(Word::Sessions, of_server())?;
    let own = || Filter {
        client: Some(server.text("address").to_owned()),
        since,
        ..Filter::default()
    };
    let asked = ask(Word::Clients, own())?;
    let looked_up = ask(Word::Lookups, own())?;
    Ok(Some(Document {
        report: "impact",
        facts: facts(server, since),
        sections: vec![
            Section::new("revoke", "Revoke", revoke(server, &findings)),
            Section::new("clients", "Who used it", users(&clients, &usage)),
            Section::new("calls", "What was called", calls(&usage)),
            Section::new("upstreams", "Where its host went", upstreams(&asked, &looked_up)),
            listed(
                "sessions",
                "Sessions, the latest last",
                pick(&SESSIONS, entries(&sessions)),
                true,
            ),
            listed("findings", "Findings", pick(&FINDINGS, entries(&findings)), false),
        ],
    }))
}

fn facts(server: Entry<'_>, since: Option<Timestamp>) -> Vec<(&'static str, Value)> {
    const NAMES: [&str; 12] = [
        "server",
        "server_name",
        "server_version",
        "hostname",
        "path",
        "scope",
        "approved",
        "approval",
        "auth",
        "encryption",
        "first_seen",
        "last_seen",
    ];
    let mut facts = vec![("server_id", server.copy("id"))];
    facts.extend(NAMES.map(|name| (name, server.copy(name))));
    facts.push(("since", since.map_or(Value::Null, Value::Time)));
    facts
}

/// Credentials that the server, or the network before it, has seen.
fn revoke(server: Entry<'_>, findings: &Rows) -> Rows {
    let mut rows = Vec::new();
    for finding in entries(findings) {
        let Some(advice) = advice(finding.text("kind")) else {
            continue;
        };
        rows.push(vec![
            finding.copy("rule"),
            Value::text(Some(advice)),
            finding.copy("client"),
            finding.copy("where"),
            finding.copy("sample"),
            finding.copy("last_seen"),
            finding.copy("first_seen"),
            finding.copy("id"),
        ]);
    }
    let auth = server.text("auth");
    if !matches!(auth, "" | "none") {
        rows.push(vec![
            Value::Text(format!("{auth} of HTTP")),
            Value::text(Some(
                "if the server itself is bad: revoke what its clients signed in with",
            )),
            Value::Text(server.list("clients").join("; ")),
            Value::text(Some("request head")),
            Value::Null,
            server.copy("last_seen"),
            server.copy("first_seen"),
            Value::Null,
        ]);
    }
    Rows { columns: &REVOKE, rows }
}

/// What to do about a credential that a finding tells of; `None` for a finding about something else.
fn advice(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "cleartext-mcp" => "what clients sign in with crosses the network in clear: change it once TLS is on",
        "pii-in-transit" => "personal data: tell whoever answers for privacy",
        "secret-in-transit" => "revoke it where it was issued",
        "token-in-url" => "revoke it: it stands in logs and histories, too",
        "token-passthrough" => "revoke the client's token: another host has it",
        _ => return None,
    })
}

fn users(clients: &Rows, usage: &Rows) -> Rows {
    #[derive(Default)]
    struct User {
        names: Vec<String>,
        requests: i64,
        tools: std::collections::BTreeSet<String>,
        first: Option<Timestamp>,
        last: Option<Timestamp>,
    }
    let mut users: BTreeMap<&str, User> = BTreeMap::new();
    for client in entries(clients) {
        let user = users.entry(client.text("client")).or_default();
        let name = client.text("client_name");
        if !name.is_empty() && !user.names.iter().any(|known| known == name) {
            user.names.push(name.to_owned());
        }
        user.first = user.first.or_else(|| client.time("first_seen"));
        user.last = user.last.max(client.time("last_seen"));
    }
    for hour in entries(usage) {
        let user = users.entry(hour.text("client")).or_default();
        user.requests = user.requests.saturating_add(hour.number("requests").unwrap_or(0));
        if hour.text("method") == "tools/call" {
            user.tools.insert(hour.text("target").to_owned());
        }
        user.first = user.first.into_iter().chain(hour.time("time")).min();
        user.last = user.last.max(hour.time("time"));
    }
    let row = |(client, user): (&str, User)| {
        vec![
            Value::text(Some(client)),
            Value::text(Some(user.names.join("; ")).filter(|names| !names.is_empty())),
            Value::Int(user.requests),
            Value::count(user.tools.len() as u64),
            user.first.map_or(Value::Null, Value::Time),
            user.last.map_or(Value::Null, Value::Time),
        ]
    };
    let mut rows: Vec<Vec<Value>> = users.into_iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(int(row.get(2))));
    Rows {
        columns: &CLIENTS,
        rows,
    }
}

fn calls(usage: &Rows) -> Rows {
    #[derive(Default)]
    struct Called {
        requests: i64,
        failed: i64,
        clients: std::collections::BTreeSet<String>,
        last: Option<Timestamp>,
    }
    let mut all: BTreeMap<(&str, &str), Called> = BTreeMap::new();
    for hour in entries(usage) {
        let requests = hour.number("requests").unwrap_or(0);
        let known = all.entry((hour.text("method"), hour.text("target"))).or_default();
        known.requests = known.requests.saturating_add(requests);
        known.failed = known.failed.saturating_add(hour.number("failed").unwrap_or(0));
        known.clients.insert(hour.text("client").to_owned());
        known.last = known.last.max(hour.time("time"));
    }
    // What was only answered, or only notified of, was called by nobody.
    let called = all.into_iter().filter(|(_, called)| called.requests > 0);
    let row = |((method, target), called): ((&str, &str), Called)| {
        vec![
            Value::text(Some(method)),
            Value::text(Some(target).filter(|target| !target.is_empty())),
            Value::Int(called.requests),
            Value::Int(called.failed),
            Value::List(called.clients.into_iter().collect()),
            called.last.map_or(Value::Null, Value::Time),
        ]
    };
    let mut rows: Vec<Vec<Value>> = called.map(row).collect();
    // Tools before everything else, then what was asked most.
    rows.sort_by_key(|row| {
        let tool = row.first().and_then(Value::as_text) == Some("tools/call");
        (!tool, std::cmp::Reverse(int(row.get(2))))
    });
    Rows { columns: &CALLS, rows }
}

fn upstreams(asked: &Rows, looked_up: &Rows) -> Rows {
    let mut rows = Vec::new();
    for client in entries(asked) {
        for server in client.list("servers") {
            rows.push(vec![
                Value::text(Some(server.as_str())),
                Value::text(Some("its host used that MCP server")),
                client.copy("first_seen"),
                client.copy("last_seen"),
            ]);
        }
    }
    for lookup in entries(looked_up) {
        rows.push(vec![
            lookup.copy("name"),
            Value::Text(format!("{}, by {}", lookup.text("category"), lookup.text("via"))),
            lookup.copy("first_seen"),
            lookup.copy("last_seen"),
        ]);
    }
    Rows {
        columns: &UPSTREAMS,
        rows,
    }
}

/// An answer as a section, cut to what a person reads.
fn listed(name: &'static str, heading: &'static str, mut rows: Rows, latest: bool) -> Section {
    let more = rows.rows.len().saturating_sub(LISTED_MAX);
    if latest {
        rows.rows.drain(..more);
    } else {
        rows.rows.truncate(LISTED_MAX);
    }
    let mut section = Section::new(name, heading, rows);
    section.note = (more > 0).then(|| format!("and {more} more; `report {name}` has all"));
    section
}

fn int(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Int(number)) => *number,
        _ => 0,
    }
}
