//! One MCP session as a story: who, what in which order, how long it took, what failed, and the findings in their place.
//!
//! Told out of rows alone, so that every store tells the same. A request and its answer are one line; alike ones that
//! follow each other are one, too.

use std::collections::HashMap;

use crate::model::stamp::Timestamp;
use crate::report::document::{Document, Section};
use crate::report::entry::{Entry, entries};
use crate::store::schema::{Column, Type};
use crate::store::{Filter, Question, Rows, Store, StoreError, Value, Word};

/// Messages of one session that are read: the latest.
const MESSAGES_MAX: u64 = 20_000;

/// Lines that are told.
const STEPS_MAX: usize = 1_000;

/// Every list of columns here.
pub(crate) const LISTS: &[&[Column]] = &[&STEPS];

static STEPS: [Column; 9] = [
    Column::new("at", Type::Text, "time of day"),
    Column::new("who", Type::Text, "client, server, or finding"),
    Column::new("what", Type::Text, "method and target, or the finding"),
    Column::new("times", Type::Integer, "how often in a row, where more than once"),
    Column::new("took", Type::Text, "time to the answer"),
    Column::new("outcome", Type::Text, "how it was answered"),
    Column::rare("time", Type::Time, "when"),
    Column::rare(
        "latency_us",
        Type::Integer,
        "longest time to the answer, in microseconds",
    ),
    Column::rare("finding", Type::Text, "id of the finding"),
];

/// One line.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    time: Timestamp,
    who: &'static str,
    what: String,
    times: i64,
    /// Shortest and longest.
    latency_us: Option<(i64, i64)>,
    outcome: String,
    finding: Option<String>,
}

/// The story of the session of that id; `None` when there is none.
///
/// # Errors
/// Those of the store.
pub fn story(store: &dyn Store, id: &str) -> Result<Option<Document>, StoreError> {
    let ask = |word, filter| store.ask(&Question { word, filter });
    let of_session = || Filter {
        session: Some(id.to_owned()),
        ..Filter::default()
    };
    let sessions = ask(Word::Sessions, of_session())?;
    let Some(session) = entries(&sessions).next() else {
        return Ok(None);
    };
    let servers = ask(
        Word::Servers,
        Filter {
            server: Some(session.text("server_id").to_owned()),
            ..Filter::default()
        },
    )?;
    let messages = ask(
        Word::Messages,
        Filter {
            since: session.time("first_seen"),
            // A store may keep microseconds.
            until: session.time("last_seen").map(|last| last.plus_nanos(1_000)),
            limit: Some(MESSAGES_MAX),
            ..of_session()
        },
    )?;
    let findings = ask(Word::Findings, of_session())?;
    let mut steps = steps(&messages);
    steps.extend(entries(&findings).filter_map(told));
    steps.sort_by_key(|step| step.time);
    let mut steps = collapse(steps);
    let more = steps.len().saturating_sub(STEPS_MAX);
    steps.truncate(STEPS_MAX);
    let days = steps.first().map(|step| day(step.time)) != steps.last().map(|step| day(step.time));
    let mut section = Section::new(
        "steps",
        "What happened",
        Rows {
            columns: &STEPS,
            rows: steps.into_iter().map(|step| step.row(days)).collect(),
        },
    );
    section.note = match (more, messages.rows.len()) {
        (1.., _) => Some(format!(
            "and {more} more lines; `report messages --session {id} --format ndjson` has all"
        )),
        (0, 0) => Some("its messages are no longer kept; the counts above are".to_owned()),
        (0, _) => None,
    };
    Ok(Some(Document {
        report: "session",
        facts: facts(session, entries(&servers).next()),
        sections: vec![section],
    }))
}

fn facts(session: Entry<'_>, server: Option<Entry<'_>>) -> Vec<(&'static str, Value)> {
    let of_server = |name| server.map_or(Value::Null, |server| server.copy(name));
    let approved = server.map(|server| server.holds("approved"));
    vec![
        ("session", session.copy("id")),
        ("client", session.copy("client")),
        ("client_name", session.copy("client_name")),
        ("server", session.copy("server")),
        ("server_name", of_server("server_name")),
        ("server_id", session.copy("server_id")),
        ("path", of_server("path")),
        ("approved", approved.map_or(Value::Null, Value::Bool)),
        ("protocol_version", session.copy("protocol_version")),
        ("transport", session.copy("transport")),
        ("first_seen", session.copy("first_seen")),
        ("last_seen", session.copy("last_seen")),
        ("messages", session.copy("messages")),
        ("calls", session.copy("calls")),
    ]
}

/// Messages, latest first as a store gives them, as steps.
fn steps(messages: &Rows) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut asked: HashMap<(bool, &str), usize> = HashMap::new();
    let latest_first: Vec<Entry<'_>> = entries(messages).collect();
    for message in latest_first.into_iter().rev() {
        let Some(time) = message.time("time") else { continue };
        let from_client = message.text("direction") == "client-to-server";
        let answer = matches!(message.text("kind"), "response" | "error");
        let rpc_id = message.text("rpc_id");
        if answer && let Some(step) = asked.remove(&(!from_client, rpc_id)).and_then(|at| steps.get_mut(at)) {
            step.answer(&message, time);
            continue;
        }
        let target = message.text("target");
        let method = message.text("method");
        // The request that opens a session is not in it yet: its answer tells of it.
        let asker = from_client != (answer && !method.is_empty());
        let method = if method.is_empty() && answer {
            "answer to a request that was not seen"
        } else {
            method
        };
        let mut step = Step {
            time,
            who: if asker { "client" } else { "server" },
            what: [method, target].join(" ").trim_end().to_owned(),
            times: 1,
            latency_us: None,
            outcome: String::new(),
            finding: None,
        };
        if answer {
            step.latency_us = message.number("latency_us").map(|latency_us| (latency_us, latency_us));
            step.outcome = outcome(&message);
        } else if message.text("kind") == "request" {
            "no answer seen".clone_into(&mut step.outcome);
            asked.insert((from_client, rpc_id), steps.len());
        }
        steps.push(step);
    }
    steps
}

impl Step {
    fn answer(&mut self, message: &Entry<'_>, time: Timestamp) {
        let waited = i64::try_from(time.since(self.time) / 1_000).unwrap_or(i64::MAX);
        let latency_us = message.number("latency_us").unwrap_or(waited);
        self.latency_us = Some((latency_us, latency_us));
        self.outcome = outcome(message);
    }

    fn row(self, days: bool) -> Vec<Value> {
        let text = self.time.to_string();
        // `2026-11-20T15:11:44.123456Z`
        let clock = text.get(11..23).unwrap_or_default();
        let at = if days {
            format!("{} {clock}", text.get(..10).unwrap_or_default())
        } else {
            clock.to_owned()
        };
        let took = self.latency_us.map(|(least, most)| match (took(least), took(most)) {
            (least, most) if least == most => most,
            (least, most) => format!("{least} to {most}"),
        });
        vec![
            Value::Text(at),
            Value::text(Some(self.who)),
            Value::Text(self.what),
            if self.times > 1 {
                Value::Int(self.times)
            } else {
                Value::Null
            },
            Value::text(took),
            Value::text(Some(self.outcome).filter(|outcome| !outcome.is_empty())),
            Value::Time(self.time),
            self.latency_us.map_or(Value::Null, |(_, most)| Value::Int(most)),
            Value::text(self.finding),
        ]
    }
}

/// How a message answers.
fn outcome(message: &Entry<'_>) -> String {
    let status = message.number("http_status").filter(|status| *status >= 400);
    let mut words = match (message.text("kind"), message.number("error_code")) {
        ("error", Some(code)) => format!("error {code}"),
        ("error", None) => "error".to_owned(),
        _ if message.holds("failed") => "the tool failed".to_owned(),
        _ => "ok".to_owned(),
    };
    if let Some(status) = status {
        words.push_str(&format!(", HTTP {status}"));
    }
    words
}

/// A finding in its place.
fn told(finding: Entry<'_>) -> Option<Step> {
    let times = finding.number("count").unwrap_or(1);
    Some(Step {
        time: finding.time("first_seen")?,
        who: "finding",
        what: format!(
            "{} {}: {}",
            finding.text("severity"),
            finding.text("kind"),
            finding.text("title")
        ),
        times,
        latency_us: None,
        outcome: finding.text("sample").to_owned(),
        finding: Some(finding.text("id").to_owned()),
    })
}

/// Alike steps that follow each other become one.
fn collapse(steps: Vec<Step>) -> Vec<Step> {
    let mut out: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        match out.last_mut() {
            Some(last)
                if last.finding.is_none()
                    && step.finding.is_none()
                    && (last.who, &last.what, &last.outcome) == (step.who, &step.what, &step.outcome) =>
            {
                last.times = last.times.saturating_add(1);
                last.latency_us = match (last.latency_us, step.latency_us) {
                    (Some(one), Some(two)) => Some((one.0.min(two.0), one.1.max(two.1))),
                    (one, two) => one.or(two),
                };
            }
            _ => out.push(step),
        }
    }
    out
}

fn day(time: Timestamp) -> i64 {
    time.nanos().div_euclid(86_400_000_000_000)
}

/// Microseconds as a person would say them.
fn took(micros: i64) -> String {
    match micros {
        ..1_000 => format!("{micros} us"),
        1_000..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}
