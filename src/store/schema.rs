//! Every report word and each of its columns once: name, type, meaning.
//!
//! The SQL view of a word has the columns below followed by its keys, and a test holds that. Keys are what rows are
//! ordered and filtered by and nobody reads: severities and addresses in a form that sorts. Absent values come first in
//! an ascending order. The column reference of the documentation is printed from here.

mod moments;

use crate::store::Word;
use crate::store::schema::moments::{MESSAGES, SESSIONS, TIMELINE, USAGE};

/// One column of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name, the contract's where it has one.
    pub name: &'static str,
    /// Type of its cells; any cell may also be null.
    pub kind: Type,
    /// One line for the reference.
    pub meaning: &'static str,
    /// Too wide or too rarely wanted for a table on a terminal; every other format has it.
    pub wide: bool,
}

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Yes or no; 0 or 1 in SQLite.
    Boolean,
    /// 64 bits, signed.
    Integer,
    /// Texts in order; a JSON array in SQLite.
    List,
    /// Texts or numbers by name; a JSON object in SQLite.
    Map,
    /// A fraction.
    Real,
    /// UTF-8.
    Text,
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    Time,
}

/// A report word.
#[derive(Debug)]
pub struct Schema {
    /// The word.
    pub word: Word,
    /// What is shown.
    pub columns: &'static [Column],
    /// What rows are ordered and filtered by beside `columns`.
    pub keys: &'static [Column],
    /// Columns or keys that rows are ordered by, descending where a `-` stands before; together they tell every two rows
    /// apart.
    pub order: &'static [&'static str],
    /// What the filters compare.
    pub filters: Filters,
}

/// Columns or keys that each filter compares; one that names none does not apply to the word.
#[derive(Debug)]
pub struct Filters {
    /// `--since`.
    pub since: &'static str,
    /// `--until`.
    pub until: &'static str,
    /// `--severity`: a rank, 0 for critical.
    pub severity: Option<&'static str>,
    /// `--kind`.
    pub kind: Option<&'static str>,
    /// `--server`: any of these.
    pub server: &'static [&'static str],
    /// `--client`: any of these.
    pub client: &'static [&'static str],
    /// Id, by its first digits.
    pub id: Option<&'static str>,
    /// `--session`.
    pub session: Option<&'static str>,
    /// `--tool`.
    pub tool: Option<&'static str>,
    /// `--unapproved`.
    pub unapproved: Option<&'static str>,
    /// `--state`.
    pub state: Option<&'static str>,
}

impl Schema {
    /// The schema of a word.
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

    /// Columns, then keys: the order of the view and of a row before it is cut to what is shown.
    pub fn all(&self) -> impl Iterator<Item = &'static Column> {
        self.columns.iter().chain(self.keys)
    }

    /// Place of a column or key within [`Schema::all`].
    pub fn index(&self, name: &str) -> Option<usize> {
        self.all().position(|column| column.name == name)
    }
}

impl Column {
    /// One that every format shows.
    pub(crate) const fn new(name: &'static str, kind: Type, meaning: &'static str) -> Self {
        Self {
            name,
            kind,
            meaning,
            wide: false,
        }
    }

    /// One that a table for a terminal leaves out.
    pub(crate) const fn rare(name: &'static str, kind: Type, meaning: &'static str) -> Self {
        Self {
            wide: true,
            ..Self::new(name, kind, meaning)
        }
    }
}

const fn column(name: &'static str, kind: Type, meaning: &'static str) -> Column {
    Column::new(name, kind, meaning)
}

const fn wide(name: &'static str, kind: Type, meaning: &'static str) -> Column {
    Column::rare(name, kind, meaning)
}

const FIRST_SEEN: Column = column("first_seen", Type::Time, "first evidence");
const LAST_SEEN: Column = column("last_seen", Type::Time, "latest evidence");
const SERVER: Column = column("server", Type::Text, "address and port of the server");
const SERVER_ID: Column = wide("server_id", Type::Text, "id of the server");
const ADDRESS_KEY: Column = column(
    "address_key",
    Type::Text,
    "address in an order that sorts: family, then hex digits",
);
const PORT_KEY: Column = column("port_key", Type::Integer, "port of the server");
const RANK_KEY: Column = column("severity_rank", Type::Integer, "0 critical to 4 info");
const UNAPPROVED_KEY: Column = column("unapproved", Type::Boolean, "whether no approval covers the server");
const ADDRESS_NAME: Column = column("server_address", Type::Text, "address of the server");
const HOST_NAME: Column = column("server_hostname", Type::Text, "hostname of the server");
const SELF_NAME: Column = column("server_self_name", Type::Text, "name that the server gives itself");

/// Names that `--server` accepts where a row belongs to a server by its id.
const SERVER_NAMES: &[&str] = &[
    "server_id",
    "server",
    "server_address",
    "server_hostname",
    "server_self_name",
];

/// Filters of a word whose rows were seen for a while.
const SEEN: Filters = Filters {
    since: "last_seen",
    until: "first_seen",
    severity: None,
    kind: None,
    server: &[],
    client: &[],
    id: None,
    session: None,
    tool: None,
    unapproved: None,
    state: None,
};

/// Filters of a word whose rows are moments.
const MOMENT: Filters = Filters {
    since: "time",
    until: "time",
    ..SEEN
};

static CAPTURES: Schema = Schema {
    word: Word::Captures,
    columns: &[
        column("sources", Type::List, "files or interfaces"),
        FIRST_SEEN,
        LAST_SEEN,
        column("packets", Type::Integer, "packets read"),
        column("bytes", Type::Integer, "their bytes on the wire"),
        column("flows", Type::Integer, "flows opened"),
        column("kernel_drops", Type::Integer, "packets dropped by the kernel"),
        column("queue_drops", Type::Integer, "packets dropped before a busy worker"),
        wide("truncated_packets", Type::Integer, "packets cut by the snap length"),
        wide(
            "undecodable_packets",
            Type::Integer,
            "packets that could not be decoded",
        ),
        column(
            "gap_bytes",
            Type::Integer,
            "stream bytes that were sent and not captured",
        ),
        wide("evicted_flows", Type::Integer, "flows dropped at a bound"),
        column(
            "shed_events",
            Type::Integer,
            "observations and events dropped at a bound",
        ),
        column("encrypted_flows", Type::Integer, "flows that could not be read"),
        wide("encrypted_bytes", Type::Integer, "their bytes"),
        column(
            "one_sided_flows",
            Type::Integer,
            "flows of which one direction was captured",
        ),
        wide("ech_hellos", Type::Integer, "TLS hellos whose server name is hidden"),
    ],
    keys: &[],
    order: &["first_seen", "last_seen", "sources"],
    filters: SEEN,
};

static CLIENTS: Schema = Schema {
    word: Word::Clients,
    columns: &[
        column("client", Type::Text, "address"),
        column("client_name", Type::Text, "name that it gives itself"),
        column("client_version", Type::Text, "version that it gives itself"),
        wide("user_agent", Type::Text, "User-Agent of its earliest request"),
        column("servers", Type::List, "servers that it used"),
        FIRST_SEEN,
        LAST_SEEN,
    ],
    keys: &[ADDRESS_KEY, UNAPPROVED_KEY],
    order: &["address_key", "client_name", "client_version"],
    filters: Filters {
        server: &["servers"],
        client: &["client"],
        unapproved: Some("unapproved"),
        ..SEEN
    },
};

static DRIFT: Schema = Schema {
    word: Word::Drift,
    columns: &[
        column("time", Type::Time, "when the new definition was listed first"),
        SERVER,
        SERVER_ID,
        column("tool", Type::Text, "name of the tool"),
        column("from_sha256", Type::Text, "hash of the definition before"),
        column("to_sha256", Type::Text, "hash of the new definition"),
        wide("from_definition", Type::Text, "definition before, redacted"),
        wide("to_definition", Type::Text, "new definition, redacted"),
    ],
    keys: &[
        ADDRESS_KEY,
        PORT_KEY,
        ADDRESS_NAME,
        HOST_NAME,
        SELF_NAME,
        UNAPPROVED_KEY,
    ],
    order: &["time", "address_key", "port_key", "server_id", "tool", "to_sha256"],
    filters: Filters {
        server: SERVER_NAMES,
        tool: Some("tool"),
        unapproved: Some("unapproved"),
        ..MOMENT
    },
};

static FINDINGS: Schema = Schema {
    word: Word::Findings,
    columns: &[
        column("severity", Type::Text, "critical, high, medium, low or info"),
        column("kind", Type::Text, "what kind of finding"),
        SERVER,
        wide("client", Type::Text, "address of the client"),
        wide("tool", Type::Text, "tool, prompt or resource"),
        column("title", Type::Text, "one sentence"),
        wide("count", Type::Integer, "how often it was seen"),
        wide("confidence", Type::Real, "0 to 1"),
        wide("rule", Type::Text, "rule that made it"),
        SERVER_ID,
        wide("session", Type::Text, "hash of the session"),
        wide("direction", Type::Text, "client-to-server or server-to-client"),
        wide("where", Type::Text, "JSON path, header name or DNS question"),
        wide("sample", Type::Text, "redacted sample"),
        FIRST_SEEN,
        wide("last_seen", Type::Time, "latest evidence"),
        wide("community_id", Type::Text, "Community ID of the first flow"),
        wide("packet_source", Type::Integer, "source of the first packet, from 0"),
        wide(
            "packet_number",
            Type::Integer,
            "number of the first packet in its source, from 1",
        ),
        wide("references", Type::List, "CVE, OWASP and specification references"),
        wide("detail", Type::Map, "further facts by name"),
        wide("id", Type::Text, "the same fact has the same id in every run"),
        column("state", Type::Text, "open, acknowledged, closed or muted"),
        wide("state_why", Type::Text, "why it is in that state"),
        wide("state_until", Type::Time, "until when it is"),
    ],
    keys: &[RANK_KEY, ADDRESS_NAME, HOST_NAME, SELF_NAME, UNAPPROVED_KEY],
    order: &["severity_rank", "first_seen", "id"],
    filters: Filters {
        severity: Some("severity_rank"),
        kind: Some("kind"),
        id: Some("id"),
        server: SERVER_NAMES,
        client: &["client"],
        session: Some("session"),
        tool: Some("tool"),
        unapproved: Some("unapproved"),
        state: Some("state"),
        ..SEEN
    },
};

static LOOKUPS: Schema = Schema {
    word: Word::Lookups,
    columns: &[
        column("name", Type::Text, "name that was looked up or connected to"),
        column("type", Type::Text, "DNS record type"),
        column("signature", Type::Text, "signature that knows the name"),
        column("category", Type::Text, "registry, endpoint, gateway or tunnel"),
        column("via", Type::Text, "dns, sni, quic-sni or http-host"),
        column("client", Type::Text, "who"),
        column("count", Type::Integer, "how often"),
        FIRST_SEEN,
        LAST_SEEN,
    ],
    keys: &[ADDRESS_KEY],
    order: &["name", "type", "signature", "via", "address_key"],
    filters: Filters {
        client: &["client"],
        ..SEEN
    },
};

static SERVERS: Schema = Schema {
    word: Word::Servers,
    columns: &[
        column("approved", Type::Boolean, "whether an approval of the policy covers it"),
        SERVER,
        column("hostname", Type::Text, "SNI, HTTP Host or DNS name that led here"),
        column("path", Type::Text, "endpoint path template"),
        column("server_name", Type::Text, "name that it gives itself"),
        wide("server_version", Type::Text, "version that it gives itself"),
        column("transport", Type::Text, "strongest transport seen"),
        column("tools", Type::Integer, "tools ever listed"),
        wide("auth", Type::Text, "strongest credential on an answered request"),
        wide("scope", Type::Text, "loopback, link-local, private or public"),
        column("worst", Type::Text, "severity of its worst finding"),
        column("findings", Type::Integer, "findings about it"),
        wide("id", Type::Text, "hash of address, port, hostname, endpoint path"),
        wide("address", Type::Text, "address"),
        wide("port", Type::Integer, "port"),
        wide("transports", Type::List, "all transports seen, strongest first"),
        wide("encryption", Type::Text, "none, tls or quic"),
        wide("decrypted", Type::Boolean, "whether key material opened it"),
        wide("evidence", Type::Text, "message, sni or dns"),
        wide("confidence", Type::Real, "0 to 1"),
        wide("instructions_sha256", Type::Text, "hash of its latest instructions"),
        wide("protocol_versions", Type::List, "protocol revisions, ascending"),
        wide("resources", Type::Integer, "distinct resources listed"),
        wide("prompts", Type::Integer, "distinct prompts listed"),
        wide("approval", Type::Text, "the policy rule that approves it"),
        wide("first_seen", Type::Time, "first evidence"),
        LAST_SEEN,
        wide("sessions", Type::Integer, "sessions established"),
        wide("clients", Type::List, "addresses of its clients"),
        wide("requests", Type::Integer, "requests, both directions"),
        wide("responses", Type::Integer, "responses, errors included"),
        wide("errors", Type::Integer, "responses that carry an error"),
        wide("notifications", Type::Integer, "notifications, both directions"),
        wide("by_method", Type::Map, "requests and notifications by method"),
    ],
    keys: &[ADDRESS_KEY, RANK_KEY, UNAPPROVED_KEY],
    order: &["address_key", "port", "hostname", "path", "id"],
    filters: Filters {
        severity: Some("severity_rank"),
        id: Some("id"),
        server: &["id", "server", "address", "hostname", "server_name"],
        client: &["clients"],
        unapproved: Some("unapproved"),
        ..SEEN
    },
};

static TOOLS: Schema = Schema {
    word: Word::Tools,
    columns: &[
        SERVER,
        SERVER_ID,
        column("tool", Type::Text, "name"),
        column("sha256", Type::Text, "hash of its latest definition"),
        wide("description_sha256", Type::Text, "hash of its latest description"),
        column("gone", Type::Boolean, "the newest listing lacks it"),
        column("definitions", Type::Integer, "definitions that it ever had"),
        FIRST_SEEN,
        LAST_SEEN,
        wide("definition", Type::Text, "latest definition, redacted"),
    ],
    keys: &[
        ADDRESS_KEY,
        PORT_KEY,
        ADDRESS_NAME,
        HOST_NAME,
        SELF_NAME,
        UNAPPROVED_KEY,
    ],
    order: &["address_key", "port_key", "server_hostname", "server_id", "tool"],
    filters: Filters {
        server: SERVER_NAMES,
        tool: Some("tool"),
        unapproved: Some("unapproved"),
        ..SEEN
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_orders_or_filters_is_a_column() {
        for word in Word::ALL {
            let schema = Schema::of(word);
            assert_eq!(schema.word, word);
            let filters = &schema.filters;
            let named = [filters.since, filters.until].into_iter();
            let named = named
                .chain(filters.severity)
                .chain(filters.kind)
                .chain(filters.unapproved)
                .chain(filters.id)
                .chain(filters.session)
                .chain(filters.tool);
            let named = named.chain(filters.server.iter().chain(filters.client).copied());
            let named = named.chain(schema.order.iter().map(|name| name.trim_start_matches('-')));
            for name in named {
                assert!(schema.index(name).is_some(), "{word:?} has no column {name}");
            }
            let mut names: Vec<_> = schema.all().map(|column| column.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), schema.all().count(), "{word:?} names a column twice");
            assert!(schema.all().all(|column| !column.meaning.is_empty()));
        }
    }
}
