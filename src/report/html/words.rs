//! The rows of each word as a table for people: the columns that answer "what, who, approved, since when".
//!
//! A column is named once here, with the column of the store that it is sorted by; the page adds the links that sort.

use std::collections::BTreeMap;

use crate::report::html::doors::Doors;
use crate::report::html::parts::{Cell, Head, Link, Table};
use crate::store::record::Record;
use crate::store::{Value, Word};

/// How one word is shown.
#[derive(Debug)]
pub struct Layout {
    /// The word.
    pub word: Word,
    /// What is said where there are no rows.
    pub empty: &'static str,
    /// Label, class, column of the store that it is sorted by, and the cell of a row.
    pub columns: &'static [ColumnOf],
}

/// One column of a layout.
#[derive(Debug)]
pub struct ColumnOf {
    /// What it is called.
    pub label: &'static str,
    /// Class of its cells.
    pub class: &'static str,
    /// Column of the store by which rows are sorted.
    pub sorted_by: Option<&'static str>,
    /// The cell of a row.
    pub cell: fn(&Record<'_>, Doors) -> Cell,
}

impl Layout {
    /// The layout of a word.
    pub const fn of(word: Word) -> &'static Self {
        match word {
            Word::Captures => &CAPTURES,
            Word::Clients => &CLIENTS,
            Word::Drift => &DRIFT,
            Word::Findings => &FINDINGS,
            Word::Lookups => &LOOKUPS,
            Word::Messages => &MESSAGES,
            Word::Servers => &SERVERS,
            Word::Sessions => &SESSIONS,
            Word::Timeline => &TIMELINE,
            Word::Tools => &TOOLS,
            Word::Usage => &USAGE,
        }
    }

    /// The rows as a table, without some of its columns.
    pub fn table<'a>(
        &self,
        id: &'static str,
        caption: String,
        records: impl Iterator<Item = Record<'a>>,
        doors: Doors,
        without: &[&str],
    ) -> Table {
        let columns: Vec<&ColumnOf> = self
            .columns
            .iter()
            .filter(|column| !without.contains(&column.label))
            .collect();
        Table {
            id,
            caption,
            heads: columns
                .iter()
                .map(|column| Head::of(column.label, column.class))
                .collect(),
            rows: records
                .map(|record| columns.iter().map(|column| (column.cell)(&record, doors)).collect())
                .collect(),
            empty: self.empty,
        }
    }
}

const fn column(
    label: &'static str,
    class: &'static str,
    sorted_by: Option<&'static str>,
    cell: fn(&Record<'_>, Doors) -> Cell,
) -> ColumnOf {
    ColumnOf {
        label,
        class,
        sorted_by,
        cell,
    }
}

const FIRST_SEEN: ColumnOf = column("First seen", "time", Some("first_seen"), |row, _| {
    Cell::time(row.time("first_seen"))
});
const LAST_SEEN: ColumnOf = column("Last seen", "time", Some("last_seen"), |row, _| {
    Cell::time(row.time("last_seen"))
});
const TIME: ColumnOf = column("When", "time", Some("time"), |row, _| Cell::time(row.time("time")));
const SERVER: ColumnOf = column("Server", "", Some("server"), |row, doors| {
    let id = row.text("server_id");
    let href = doors.server(id).or_else(|| doors.endpoint(row.text("server")));
    row.text("server")
        .map_or(Cell::Nothing, |server| Cell::Link(Link::new(href, server)))
});
const CLIENT: ColumnOf = column("Client", "", Some("client"), |row, doors| {
    let client = row.text("client");
    client.map_or(Cell::Nothing, |name| {
        Cell::Link(Link::new(doors.client(client), name).below(row.text("client_name")))
    })
});
const METHOD: ColumnOf = column("Method", "", Some("method"), |row, _| Cell::text(row.text("method")));
const TARGET: ColumnOf = column("Target", "", Some("target"), |row, _| Cell::text(row.text("target")));
const TOOL: ColumnOf = column("Tool", "wide", Some("tool"), |row, _| Cell::text(row.text("tool")));

/// Whether a server is approved, suspected, or neither.
pub fn approval(row: &Record<'_>) -> Cell {
    match standing(row) {
        Standing::Approved => Cell::Mark("good", "✓", "approved"),
        Standing::Suspected => Cell::Mark("soft", "?", "suspected"),
        Standing::Unapproved => Cell::Mark("bad", "✕", "not approved"),
    }
}

/// What a server is to the organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// No approval covers it.
    Unapproved,
    /// It is inferred alone, and nothing approves it.
    Suspected,
    /// An approval covers it.
    Approved,
}

impl Standing {
    /// Every standing with its word in addresses.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Unapproved, "no"),
        (Self::Suspected, "suspected"),
        (Self::Approved, "yes"),
    ];
}

/// What a server is to the organisation.
pub fn standing(row: &Record<'_>) -> Standing {
    match (row.flag("approved"), row.text("evidence")) {
        (true, _) => Standing::Approved,
        (false, Some("message") | None) => Standing::Unapproved,
        (false, Some(_)) => Standing::Suspected,
    }
}

/// What people call a server: its own name, else its host, else its address.
pub fn server_name<'a>(row: &Record<'a>) -> &'a str {
    let names = [row.text("server_name"), row.text("hostname"), row.text("server")];
    names.into_iter().flatten().find(|name| !name.is_empty()).unwrap_or("")
}

/// Where a server is, with its host and path.
fn place(row: &Record<'_>) -> String {
    let (host, path) = (row.text("hostname").unwrap_or(""), row.text("path").unwrap_or(""));
    let gap = if host.is_empty() && path.is_empty() { "" } else { " " };
    format!("{}{gap}{host}{path}", row.text("server").unwrap_or(""))
}

static SERVERS: Layout = Layout {
    word: Word::Servers,
    empty: "No MCP server.",
    columns: &[
        column("Server", "lead", Some("server_name"), |row, doors| {
            let version = row.text("server_version").unwrap_or("");
            let name = format!("{} {version}", server_name(row));
            Cell::Link(Link::new(doors.server(row.text("id")), name.trim_end()).below(Some(&place(row))))
        }),
        column("Approval", "", Some("approved"), |row, _| approval(row)),
        column("Worst finding", "", Some("worst"), |row, _| {
            Cell::severity(row.text("worst"))
        }),
        column("Findings", "number", Some("findings"), |row, _| {
            Cell::count(row.count("findings"))
        }),
        column("Clients", "number", Some("clients"), |row, _| {
            Cell::count(row.list("clients").len() as u64)
        }),
        column("Tools", "number", Some("tools"), |row, _| {
            Cell::count(row.count("tools"))
        }),
        column("Sign-in", "word", Some("auth"), |row, _| Cell::text(row.text("auth"))),
        column("Transport", "word", Some("transport"), |row, _| {
            Cell::text(row.text("transport"))
        }),
        FIRST_SEEN,
        LAST_SEEN,
    ],
};

static CLIENTS: Layout = Layout {
    word: Word::Clients,
    empty: "No client.",
    columns: &[
        column("Client", "lead", Some("client"), |row, doors| {
            let client = row.text("client");
            Cell::Link(Link::new(doors.client(client), client.unwrap_or("")))
        }),
        column("Program", "", Some("client_name"), |row, _| {
            let (name, version) = (row.text("client_name"), row.text("client_version").unwrap_or(""));
            Cell::text(Some(format!("{} {version}", name.unwrap_or("")).trim()))
        }),
        column("Uses", "", Some("servers"), |row, doors| {
            let link = |server: &String| Link::new(doors.endpoint(Some(server)), server);
            Cell::links(row.list("servers").iter().map(link).collect())
        }),
        column("User-Agent", "wide", Some("user_agent"), |row, _| {
            Cell::text(row.text("user_agent"))
        }),
        FIRST_SEEN,
        LAST_SEEN,
    ],
};

static FINDINGS: Layout = Layout {
    word: Word::Findings,
    empty: "No finding.",
    columns: &[
        column("Severity", "", Some("severity"), |row, _| {
            Cell::severity(row.text("severity"))
        }),
        column("Finding", "lead", Some("kind"), |row, doors| {
            let (id, kind) = (row.text("id"), row.text("kind").unwrap_or(""));
            Cell::Link(Link::new(doors.finding(id), kind).below(row.text("title")))
        }),
        SERVER,
        CLIENT,
        TOOL,
        column("State", "", Some("state"), |row, _| state(row.text("state"))),
        column("Times", "number", Some("count"), |row, _| {
            Cell::count(row.count("count"))
        }),
        FIRST_SEEN,
        LAST_SEEN,
    ],
};

/// What became of a finding.
pub fn state(word: Option<&str>) -> Cell {
    match word {
        Some("acknowledged") => Cell::Mark("soft", "◐", "acknowledged"),
        Some("closed") => Cell::Mark("good", "✓", "closed"),
        Some("muted") => Cell::Mark("soft", "–", "muted"),
        Some("open") => Cell::Mark("plain", "○", "open"),
        _ => Cell::Nothing,
    }
}

static TOOLS: Layout = Layout {
    word: Word::Tools,
    empty: "No tool was listed.",
    columns: &[
        column("Tool", "lead", Some("tool"), |row, _| Cell::text(row.text("tool"))),
        SERVER,
        column("State", "", Some("gone"), |row, _| {
            match (row.flag("gone"), row.count("definitions") > 1) {
                (true, _) => Cell::Mark("soft", "–", "gone"),
                (false, true) => Cell::Mark("bad", "△", "changed"),
                (false, false) => Cell::Mark("plain", "=", "as first seen"),
            }
        }),
        column("Definitions", "number", Some("definitions"), |row, _| {
            Cell::count(row.count("definitions"))
        }),
        column("SHA-256", "", None, |row, _| Cell::hash(row.text("sha256"))),
        FIRST_SEEN,
        LAST_SEEN,
    ],
};

static MESSAGES: Layout = Layout {
    word: Word::Messages,
    empty: "No message.",
    columns: &[
        column("When", "lead", Some("time"), |row, _| Cell::time(row.time("time"))),
        CLIENT,
        SERVER,
        column("Kind", "word", Some("kind"), |row, _| Cell::text(row.text("kind"))),
        METHOD,
        TARGET,
        column("Took, us", "number", Some("latency_us"), |row, _| {
            Cell::count(row.count("latency_us"))
        }),
    ],
};

static USAGE: Layout = Layout {
    word: Word::Usage,
    empty: "No message.",
    columns: &[
        column("Hour", "lead", Some("time"), |row, _| Cell::time(row.time("time"))),
        CLIENT,
        SERVER,
        METHOD,
        TARGET,
        column("Requests", "number", Some("requests"), |row, _| {
            Cell::count(row.count("requests"))
        }),
        column("Failed", "number", Some("failed"), |row, _| {
            Cell::count(row.count("failed"))
        }),
    ],
};

static LOOKUPS: Layout = Layout {
    word: Word::Lookups,
    empty: "No name that a signature knows was looked up.",
    columns: &[
        column("Name", "lead", Some("name"), |row, _| Cell::text(row.text("name"))),
        column("Category", "", Some("category"), |row, _| {
            Cell::text(row.text("category"))
        }),
        column("Signature", "", Some("signature"), |row, _| {
            Cell::text(row.text("signature"))
        }),
        column("Via", "", Some("via"), |row, _| Cell::text(row.text("via"))),
        column("Type", "", Some("type"), |row, _| Cell::text(row.text("type"))),
        CLIENT,
        column("Times", "number", Some("count"), |row, _| {
            Cell::count(row.count("count"))
        }),
        FIRST_SEEN,
        LAST_SEEN,
    ],
};

static SESSIONS: Layout = Layout {
    word: Word::Sessions,
    empty: "No session.",
    columns: &[
        column("Session", "lead", Some("id"), |row, doors| {
            let id = row.text("id").unwrap_or("");
            let short: String = id.chars().take(12).collect();
            Cell::Link(Link::new(doors.session(Some(id)), &short))
        }),
        SERVER,
        CLIENT,
        column("Protocol", "word", Some("protocol_version"), |row, _| {
            Cell::text(row.text("protocol_version"))
        }),
        column("Messages", "number", Some("messages"), |row, _| {
            Cell::count(row.count("messages"))
        }),
        column("Tools called", "", None, |row, _| calls(row.map("calls"))),
        FIRST_SEEN,
        LAST_SEEN,
    ],
};

/// Tools that were called, with how often.
pub fn calls(calls: Option<&BTreeMap<String, Value>>) -> Cell {
    let links = calls.into_iter().flatten().map(|(name, count)| match count {
        Value::Int(count) => Link::new(None, &format!("{name} ×{count}")),
        _ => Link::new(None, name),
    });
    Cell::links(links.collect())
}

static DRIFT: Layout = Layout {
    word: Word::Drift,
    empty: "No tool changed.",
    columns: &[
        TIME,
        column("Tool", "lead", Some("tool"), |row, _| Cell::text(row.text("tool"))),
        SERVER,
        column("From", "", None, |row, _| Cell::hash(row.text("from_sha256"))),
        column("To", "", None, |row, _| Cell::hash(row.text("to_sha256"))),
    ],
};

static TIMELINE: Layout = Layout {
    word: Word::Timeline,
    empty: "Nothing happened.",
    columns: &[
        TIME,
        column("What", "lead", Some("event"), |row, _| Cell::text(row.text("event"))),
        column("Severity", "", Some("severity"), |row, _| {
            Cell::severity(row.text("severity"))
        }),
        SERVER,
        CLIENT,
        TOOL,
        column("About", "wide", Some("about"), |row, _| {
            let about = row.text("about").unwrap_or("");
            match row.text("event") {
                Some("tool-appeared" | "tool-changed") => Cell::hash(Some(about)),
                _ => Cell::text(Some(about)),
            }
        }),
    ],
};

static CAPTURES: Layout = Layout {
    word: Word::Captures,
    empty: "Nothing was captured yet.",
    columns: &[
        column("Source", "lead", None, |row, _| {
            Cell::links(row.list("sources").iter().map(|name| Link::new(None, name)).collect())
        }),
        column("Packets", "number", Some("packets"), |row, _| {
            Cell::count(row.count("packets"))
        }),
        column("Flows", "number", Some("flows"), |row, _| {
            Cell::count(row.count("flows"))
        }),
        column("Dropped", "number", None, |row, _| {
            Cell::count(row.count("kernel_drops").saturating_add(row.count("queue_drops")))
        }),
        column("Shed", "number", Some("shed_events"), |row, _| {
            Cell::count(row.count("shed_events"))
        }),
        column("Encrypted flows", "number", Some("encrypted_flows"), |row, _| {
            Cell::count(row.count("encrypted_flows"))
        }),
        column("One-sided flows", "number", Some("one_sided_flows"), |row, _| {
            Cell::count(row.count("one_sided_flows"))
        }),
        FIRST_SEEN,
        LAST_SEEN,
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    use crate::store::schema::Schema;

    #[test]
    fn every_column_that_sorts_is_one_of_the_store() {
        for word in Word::ALL {
            let layout = Layout::of(word);
            assert_eq!(layout.word, word);
            for column in layout.columns.iter().filter_map(|column| column.sorted_by) {
                assert!(Schema::of(word).index(column).is_some(), "{word:?} has no {column}");
            }
            let leads = layout.columns.iter().filter(|column| column.class == "lead").count();
            assert_eq!(leads, 1, "{word:?}");
        }
    }
}
