//! The JSON API: the words of the report with the filters of the command line, single things, and the report object.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::report::object::stored::Stored;
use crate::report::rows::{self, Object};
use crate::store::record::Record;
use crate::store::{Filter, Question, Rows, Word};
use crate::web::desk::ROWS_MAX;
use crate::web::reply::{CSV, NDJSON, Problem, Reply};
use crate::web::route::Visit;
use crate::web::select::{FILTERS, Format, Select};

impl Visit<'_> {
    /// The answer to a word and a filter.
    pub(crate) fn ask(&self, word: Word, filter: &Filter) -> Result<Arc<Rows>, Problem> {
        let filter = filter.clone();
        Ok(self.site.desk.ask(&Question { word, filter })?)
    }

    /// The rows of a word that belong to a server.
    pub(crate) fn of_server(&self, word: Word, id: &str) -> Result<Arc<Rows>, Problem> {
        let server = Some(id.to_owned());
        self.ask(
            word,
            &Filter {
                server,
                ..Filter::default()
            },
        )
    }

    /// The rows of a word that belong to a client.
    pub(crate) fn of_client(&self, word: Word, address: &str) -> Result<Arc<Rows>, Problem> {
        let client = Some(address.to_owned());
        self.ask(
            word,
            &Filter {
                client,
                ..Filter::default()
            },
        )
    }

    /// All rows of a word.
    pub(crate) fn all(&self, word: Word) -> Result<Arc<Rows>, Problem> {
        self.ask(word, &Filter::default())
    }
}

/// The row whose cell is this text.
pub(crate) fn find<'r>(rows: &'r Rows, column: &str, text: &str) -> Option<Record<'r>> {
    rows.records().find(|row| row.text(column) == Some(text))
}

/// Rows of a word, as `report WORD --format json` prints them.
pub(crate) fn rows(visit: &Visit<'_>, word: Word) -> Result<Reply, Problem> {
    let known: Vec<&str> = FILTERS.into_iter().chain(["format"]).collect();
    if let Some(unknown) = visit.query.unknown(&known).first() {
        return Err(Problem::Bad(format!(
            "{unknown}: no such parameter; there are {}",
            known.join(", ")
        )));
    }
    let select = Select::parse(visit.query, visit.now)?;
    let answer = visit.ask(word, &select.filter)?;
    let reply = write(visit, word, &answer, select.format)?;
    // A program has to know that there may be more.
    let more = answer.rows.len() as u64 >= select.filter.limit.unwrap_or(ROWS_MAX).min(ROWS_MAX);
    Ok(if more {
        reply.with(
            axum::http::HeaderName::from_static("shadowtap-limit"),
            &answer.rows.len().to_string(),
        )
    } else {
        reply
    })
}

/// Rows in a form; files are exports, and audited.
pub(crate) fn write(visit: &Visit<'_>, word: Word, answer: &Rows, format: Option<Format>) -> Result<Reply, Problem> {
    if format.is_some() {
        visit.note("export", &visit.query.address(visit.path, &[]))?;
    }
    let mut body = Vec::new();
    let (kind, ending, written) = match format {
        Some(Format::Csv) => (CSV, "csv", rows::csv(&mut body, answer)),
        Some(Format::Ndjson) => (NDJSON, "ndjson", rows::ndjson(&mut body, answer)),
        Some(Format::Json) | None => (crate::web::reply::JSON, "json", rows::json(&mut body, word, answer)),
    };
    debug_assert!(written.is_ok(), "memory takes everything");
    let reply = Reply::new(kind, body);
    Ok(match format {
        None => reply,
        Some(_) => reply.file(&format!("shadowtap-{}.{ending}", word.name())),
    })
}

/// Rows as a list of objects.
struct List<'a>(&'a Rows);

impl Serialize for List<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.records().map(|row| Object::of(&row)))
    }
}

/// A server with its tools, their changes, its clients, sessions and findings.
pub(crate) fn server(visit: &Visit<'_>) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Answer<'a> {
        schema: u32,
        server: Object<'a>,
        tools: List<'a>,
        drift: List<'a>,
        sessions: List<'a>,
        findings: List<'a>,
    }
    let servers = visit.of_server(Word::Servers, visit.id)?;
    let server = find(&servers, "id", visit.id).ok_or(Problem::NotFound("server"))?;
    Ok(Reply::json(&Answer {
        schema: 1,
        server: Object::of(&server),
        tools: List(&*visit.of_server(Word::Tools, visit.id)?),
        drift: List(&*visit.of_server(Word::Drift, visit.id)?),
        sessions: List(&*visit.of_server(Word::Sessions, visit.id)?),
        findings: List(&*visit.of_server(Word::Findings, visit.id)?),
    }))
}

/// A client address: who it says it is, what it uses, what it looked up.
pub(crate) fn client(visit: &Visit<'_>) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Answer<'a> {
        schema: u32,
        clients: List<'a>,
        servers: List<'a>,
        sessions: List<'a>,
        lookups: List<'a>,
        findings: List<'a>,
    }
    let clients = visit.of_client(Word::Clients, visit.id)?;
    let lookups = visit.of_client(Word::Lookups, visit.id)?;
    if clients.rows.is_empty() && lookups.rows.is_empty() {
        return Err(Problem::NotFound("client"));
    }
    Ok(Reply::json(&Answer {
        schema: 1,
        clients: List(&clients),
        servers: List(&*visit.of_client(Word::Servers, visit.id)?),
        sessions: List(&*visit.of_client(Word::Sessions, visit.id)?),
        lookups: List(&lookups),
        findings: List(&*visit.of_client(Word::Findings, visit.id)?),
    }))
}

/// A finding.
pub(crate) fn finding(visit: &Visit<'_>) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Answer<'a> {
        schema: u32,
        finding: Object<'a>,
    }
    let findings = visit.all(Word::Findings)?;
    let finding = find(&findings, "id", visit.id).ok_or(Problem::NotFound("finding"))?;
    Ok(Reply::json(&Answer {
        schema: 1,
        finding: Object::of(&finding),
    }))
}

/// The report object.
pub(crate) fn report(visit: &Visit<'_>) -> Result<Reply, Problem> {
    let select = Select::parse(visit.query, visit.now)?;
    let filter = Filter {
        since: select.filter.since,
        until: select.filter.until,
        ..Filter::default()
    };
    if let Some(unknown) = visit.query.unknown(&["since", "until"]).first() {
        return Err(Problem::Bad(format!(
            "{unknown}: no such parameter; there are since, until"
        )));
    }
    let ask = |word| visit.ask(word, &filter);
    let (captures, servers, tools) = (ask(Word::Captures)?, ask(Word::Servers)?, ask(Word::Tools)?);
    let (clients, lookups, findings) = (ask(Word::Clients)?, ask(Word::Lookups)?, ask(Word::Findings)?);
    Ok(Reply::json(&Stored {
        captures: &captures,
        servers: &servers,
        tools: &tools,
        clients: &clients,
        lookups: &lookups,
        findings: &findings,
    }))
}

/// What a page asks every few seconds.
pub(crate) fn state(visit: &Visit<'_>) -> Result<Reply, Problem> {
    let stamp = match visit.site.desk.stamp() {
        stamp if stamp.is_empty() => (visit.now.micros() / 10_000_000).to_string(),
        stamp => stamp,
    };
    Ok(Reply::json(&json!({ "schema": 1, "stamp": stamp })))
}
