//! Two spans of time beside each other: servers, tools, clients and findings that appeared, went, or changed.
//!
//! What was seen within a span is in it: whatever was seen first before its end, and last at its begin or later.

use std::collections::BTreeMap;

use crate::model::stamp::Timestamp;
use crate::report::document::{Document, Section};
use crate::report::entry::{Entry, entries};
use crate::store::schema::{Column, Type};
use crate::store::{Filter, Question, Rows, Store, StoreError, Value, Word};

/// A span of time: from the first moment to before the second.
pub type Range = (Timestamp, Timestamp);

/// Every list of columns here.
pub(crate) const LISTS: &[&[Column]] = &[&CHANGES, &VOLUME];

static CHANGES: [Column; 5] = [
    Column::new("change", Type::Text, "appeared, gone or changed"),
    Column::new("what", Type::Text, "what"),
    Column::new("about", Type::Text, "name, title, or what is different"),
    Column::new("time", Type::Time, "when it was seen first, or last where it is gone"),
    Column::rare("id", Type::Text, "id"),
];

static VOLUME: [Column; 4] = [
    Column::new("server", Type::Text, "address and port of the server"),
    Column::new("method", Type::Text, "method"),
    Column::new("before", Type::Integer, "requests in the first span"),
    Column::new("after", Type::Integer, "requests in the second span"),
];

/// Volumes that are told: the greatest changes.
const VOLUMES_MAX: usize = 20;

/// How a word's rows are told apart and named.
struct Kind {
    word: Word,
    name: &'static str,
    heading: &'static str,
    /// Columns that make a row the same in both spans.
    key: &'static [&'static str],
    what: &'static [&'static str],
    about: &'static [&'static str],
}

const KINDS: [Kind; 4] = [
    Kind {
        word: Word::Servers,
        name: "servers",
        heading: "Servers",
        key: &["id"],
        what: &["server", "path"],
        about: &["server_name", "server_version"],
    },
    Kind {
        word: Word::Tools,
        name: "tools",
        heading: "Tools",
        key: &["server_id", "tool"],
        what: &["server", "tool"],
        about: &[],
    },
    Kind {
        word: Word::Clients,
        name: "clients",
        heading: "Clients",
        key: &["client", "client_name", "client_version"],
        what: &["client"],
        about: &["client_name", "client_version"],
    },
    Kind {
        word: Word::Findings,
        name: "findings",
        heading: "Findings",
        key: &["id"],
        what: &["severity", "kind"],
        about: &["title"],
    },
];

/// What is different in `after`.
///
/// # Errors
/// Those of the store.
pub fn change(store: &dyn Store, before: Range, after: Range) -> Result<Document, StoreError> {
    let ask = |word, (since, until): Range| {
        let filter = Filter {
            since: Some(since),
            until: Some(until),
            ..Filter::default()
        };
        store.ask(&Question { word, filter })
    };
    let mut sections = Vec::new();
    for kind in &KINDS {
        let (old, new) = (ask(kind.word, before)?, ask(kind.word, after)?);
        let mut rows = differences(kind, &old, &new);
        if kind.word == Word::Tools {
            rows.extend(entries(&ask(Word::Drift, after)?).map(redefined));
        }
        let rows = Rows {
            columns: &CHANGES,
            rows,
        };
        sections.push(Section::new(kind.name, kind.heading, rows));
    }
    let volume = volume(&ask(Word::Usage, before)?, &ask(Word::Usage, after)?);
    sections.push(Section::new("volume", "Requests", volume));
    Ok(Document {
        report: "diff",
        facts: vec![
            ("before_since", Value::Time(before.0)),
            ("before_until", Value::Time(before.1)),
            ("after_since", Value::Time(after.0)),
            ("after_until", Value::Time(after.1)),
        ],
        sections,
    })
}

fn differences(kind: &Kind, old: &Rows, new: &Rows) -> Vec<Vec<Value>> {
    let key = |entry: &Entry<'_>| -> Vec<String> { kind.key.iter().map(|name| entry.text(name).to_owned()).collect() };
    let known: BTreeMap<Vec<String>, Entry<'_>> = entries(old).map(|entry| (key(&entry), entry)).collect();
    let there: BTreeMap<Vec<String>, Entry<'_>> = entries(new).map(|entry| (key(&entry), entry)).collect();
    let row = |change: &str, entry: &Entry<'_>, time: &str| {
        let join = |names: &[&str]| {
            let words: Vec<&str> = names
                .iter()
                .map(|name| entry.text(name))
                .filter(|word| !word.is_empty())
                .collect();
            words.join(" ")
        };
        vec![
            Value::text(Some(change)),
            Value::Text(join(kind.what)),
            Value::text(Some(join(kind.about)).filter(|about| !about.is_empty())),
            entry.copy(time),
            entry.copy(kind.key.first().copied().unwrap_or_default()),
        ]
    };
    // In the order of the word itself.
    let appeared = entries(new).filter(|entry| !known.contains_key(&key(entry)));
    let gone = entries(old).filter(|entry| !there.contains_key(&key(entry)));
    let appeared = appeared.map(|entry| row("appeared", &entry, "first_seen"));
    appeared
        .chain(gone.map(|entry| row("gone", &entry, "last_seen")))
        .collect()
}

/// A tool with another definition than before.
fn redefined(drift: Entry<'_>) -> Vec<Value> {
    let hash = |name| drift.text(name).chars().take(12).collect::<String>();
    vec![
        Value::text(Some("changed")),
        Value::Text(format!("{} {}", drift.text("server"), drift.text("tool"))),
        Value::Text(format!("{} to {}", hash("from_sha256"), hash("to_sha256"))),
        drift.copy("time"),
        drift.copy("server_id"),
    ]
}

/// Requests by server and method, where they differ most.
fn volume(before: &Rows, after: &Rows) -> Rows {
    let mut sums: BTreeMap<(&str, &str), [i64; 2]> = BTreeMap::new();
    for (nth, rows) in [before, after].into_iter().enumerate() {
        for hour in entries(rows) {
            let sums = sums.entry((hour.text("server"), hour.text("method"))).or_default();
            sums[nth] = sums[nth].saturating_add(hour.number("requests").unwrap_or(0));
        }
    }
    let mut sums: Vec<_> = sums
        .into_iter()
        .filter(|(_, [before, after])| before != after)
        .collect();
    sums.sort_by_key(|(_, [before, after])| std::cmp::Reverse(before.abs_diff(*after)));
    sums.truncate(VOLUMES_MAX);
    let row = |((server, method), [before, after]): ((&str, &str), [i64; 2])| {
        let text = |text: &str| Value::text(Some(text));
        vec![text(server), text(method), Value::Int(before), Value::Int(after)]
    };
    Rows {
        columns: &VOLUME,
        rows: sums.into_iter().map(row).collect(),
    }
}
