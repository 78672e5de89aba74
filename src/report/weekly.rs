//! A week on one screen: what there is, what is new, what is wrong, what could not be seen.

use crate::model::finding::Severity;
use crate::model::stamp::Timestamp;
use crate::report::document::{Document, Section};
use crate::report::entry::{Entry, entries, pick};
use crate::store::schema::{Column, Type};
use crate::store::{Filter, Question, Rows, Store, StoreError, Value, Word};

const WEEK_NANOS: i64 = 7 * 86_400_000_000_000;

/// Rows of each list: one screen.
const LISTED_MAX: usize = 5;

/// Every list of columns here.
pub(crate) const LISTS: &[&[Column]] = &[&SUMMARY, &SERVERS, &FINDINGS];

static SUMMARY: [Column; 4] = [
    Column::new("what", Type::Text, "what is counted"),
    Column::new("week", Type::Integer, "this week"),
    Column::new("before", Type::Integer, "the week before"),
    Column::new("new", Type::Integer, "seen for the first time this week"),
];

static SERVERS: [Column; 5] = [
    Column::new("approved", Type::Boolean, "whether an approval covers it"),
    Column::new("server", Type::Text, "address and port"),
    Column::new("server_name", Type::Text, "name that it gives itself"),
    Column::new("worst", Type::Text, "severity of its worst finding"),
    Column::new("first_seen", Type::Time, "first evidence"),
];

static FINDINGS: [Column; 4] = [
    Column::new("severity", Type::Text, "how bad"),
    Column::new("kind", Type::Text, "what kind"),
    Column::new("server", Type::Text, "address and port"),
    Column::new("title", Type::Text, "one sentence"),
];

/// The week before a moment.
///
/// # Errors
/// Those of the store.
pub fn weekly(store: &dyn Store, end: Timestamp) -> Result<Document, StoreError> {
    let begin = end.plus_nanos(-WEEK_NANOS);
    let ask = |word, since: Timestamp, until: Timestamp| {
        let filter = Filter {
            since: Some(since),
            until: Some(until),
            ..Filter::default()
        };
        store.ask(&Question { word, filter })
    };
    let week = |word| ask(word, begin, end);
    let before = |word| ask(word, begin.plus_nanos(-WEEK_NANOS), begin);
    let servers = week(Word::Servers)?;
    let findings = week(Word::Findings)?;
    let mut rows = Vec::new();
    for (what, word) in [
        ("MCP servers", Word::Servers),
        ("clients", Word::Clients),
        ("tools", Word::Tools),
        ("findings", Word::Findings),
        ("look-ups", Word::Lookups),
        ("sessions", Word::Sessions),
    ] {
        let (now, then) = (week(word)?, before(word)?);
        let new = entries(&now).filter(|entry| is_new(entry, begin)).count();
        rows.push(counts(what, now.rows.len(), then.rows.len(), new));
    }
    let unapproved = |rows: &Rows| entries(rows).filter(|entry| !entry.holds("approved")).count();
    let new = entries(&servers).filter(|entry| !entry.holds("approved") && is_new(entry, begin));
    rows.insert(
        1,
        counts(
            "  unapproved",
            unapproved(&servers),
            unapproved(&before(Word::Servers)?),
            new.count(),
        ),
    );
    rows.push(counts(
        "tool definitions changed",
        week(Word::Drift)?.rows.len(),
        before(Word::Drift)?.rows.len(),
        0,
    ));
    let summary = Rows {
        columns: &SUMMARY,
        rows,
    };
    let captures = week(Word::Captures)?;
    let sum = |name| {
        entries(&captures)
            .filter_map(|entry| entry.number(name))
            .fold(0, i64::saturating_add)
    };
    let mut summary = Section::new("summary", "In numbers", summary);
    summary.note = Some(format!(
        "not seen: {} encrypted flows, {} one-sided flows, {} packets dropped, {} events shed",
        sum("encrypted_flows"),
        sum("one_sided_flows"),
        sum("kernel_drops").saturating_add(sum("queue_drops")),
        sum("shed_events"),
    ));
    let open = |entry: &Entry<'_>| entry.text("state") == "open" && is_serious(entry.text("severity"));
    Ok(Document {
        report: "weekly",
        facts: vec![("since", Value::Time(begin)), ("until", Value::Time(end))],
        sections: vec![
            summary,
            list("new_servers", "New servers", &SERVERS, &servers, |entry| {
                is_new(entry, begin)
            }),
            list("worst_findings", "Worst open findings", &FINDINGS, &findings, open),
        ],
    })
}

fn counts(what: &str, week: usize, before: usize, new: usize) -> Vec<Value> {
    let count = |count: usize| Value::count(count as u64);
    vec![Value::text(Some(what)), count(week), count(before), count(new)]
}

fn is_new(entry: &Entry<'_>, begin: Timestamp) -> bool {
    entry.time("first_seen").is_some_and(|first| first >= begin)
}

fn is_serious(severity: &str) -> bool {
    Severity::parse(severity).is_some_and(|severity| severity >= Severity::Medium)
}

/// The first rows that pass, in some of their columns.
fn list(
    name: &'static str,
    heading: &'static str,
    columns: &'static [Column],
    rows: &Rows,
    passes: impl Fn(&Entry<'_>) -> bool,
) -> Section {
    let all: Vec<Entry<'_>> = entries(rows).filter(passes).collect();
    let shown = pick(columns, all.iter().take(LISTED_MAX).copied());
    let mut section = Section::new(name, heading, shown);
    let more = all.len().saturating_sub(LISTED_MAX);
    section.note = (more > 0).then(|| format!("and {more} more"));
    section
}
