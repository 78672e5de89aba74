//! Every table of the ClickHouse store once: columns, order, age; and the statements that make it, for one node and for a
//! cluster.
//!
//! A table of records holds states by (record, sensor, run); the newest version of a state replaces the others. How long
//! something is kept is counted from `sealed`, when the sensor wrote it, never from packet time: or an old capture would
//! be gone as soon as it is replayed.

use std::fmt::Write as _;

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [Column],
    /// What tells its rows apart.
    order: &'static str,
    /// What says on which shard a row lies: all states of one record lie on one.
    shard: &'static str,
    /// How long its rows are kept.
    age: Age,
    /// The column by which a newer row replaces an older one; empty where none does.
    newest: &'static str,
}

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    kind: &'static str,
    /// The cell of a row that only says that a record is gone.
    pub(super) empty: &'static [u8],
}

/// How long rows are kept.
#[derive(Clone, Copy, Debug)]
enum Age {
    Always,
    Findings,
    Lookups,
    Records,
}

/// How long rows are kept, in days after they were written: the section `[clickhouse.retention]`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Lookups and sessions.
    pub lookups_days: u32,
    /// Findings.
    pub findings_days: u32,
    /// Findings about personal data.
    pub pii_days: u32,
    /// What is known of servers, tools, clients and captures, after it was last seen.
    pub records_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            lookups_days: 30,
            findings_days: 180,
            pii_days: 30,
            records_days: 400,
        }
    }
}

/// Where the tables are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Name of the database.
    pub database: String,
    /// Name of the cluster; `None` for a single node.
    pub cluster: Option<String>,
    /// How long rows are kept.
    pub retention: Retention,
}

const fn column(name: &'static str, kind: &'static str, empty: &'static [u8]) -> Column {
    Column { name, kind, empty }
}

const fn text(name: &'static str) -> Column {
    column(name, "String CODEC(ZSTD(1))", &[0])
}

/// A text of few values.
const fn word(name: &'static str) -> Column {
    column(name, "LowCardinality(String)", &[0])
}

const fn maybe_text(name: &'static str) -> Column {
    column(name, "Nullable(String) CODEC(ZSTD(1))", &[1])
}

const fn count(name: &'static str) -> Column {
    column(name, "Int64 CODEC(ZSTD(1))", &[0; 8])
}

const fn maybe_count(name: &'static str) -> Column {
    column(name, "Nullable(Int64) CODEC(ZSTD(1))", &[1])
}

const fn rank(name: &'static str) -> Column {
    column(name, "UInt8", &[0])
}

const fn port(name: &'static str) -> Column {
    column(name, "UInt16", &[0; 2])
}

const fn fraction(name: &'static str) -> Column {
    column(name, "Float64", &[0; 8])
}

const fn yes_or_no(name: &'static str) -> Column {
    column(name, "Bool", &[0])
}

const fn time(name: &'static str) -> Column {
    column(name, "DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1))", &[0; 8])
}

const fn maybe_time(name: &'static str) -> Column {
    column(name, "Nullable(DateTime64(9, 'UTC')) CODEC(ZSTD(1))", &[1])
}

const fn list(name: &'static str, kind: &'static str) -> Column {
    column(name, kind, &[0])
}

const SENSOR: Column = word("sensor");
const RUN: Column = word("run");
const BEGAN: Column = time("began");
const VERSION: Column = column("version", "UInt64 CODEC(Delta, ZSTD(1))", &[0; 8]);
const SEALED: Column = column("sealed", "DateTime('UTC') CODEC(Delta, ZSTD(1))", &[0; 4]);
/// The record turned out to be part of another.
const GONE: Column = yes_or_no("gone");
const FIRST_SEEN: Column = time("first_seen");
const LAST_SEEN: Column = time("last_seen");

/// Columns that begin every row of a table of records: who wrote it, in which run, when.
pub(super) const COMMON: usize = 5;

/// A table of records.
const fn records(name: &'static str, columns: &'static [Column], age: Age) -> Table {
    Table {
        name,
        columns,
        order: "id, sensor, run",
        shard: "cityHash64(id)",
        age,
        newest: "version",
    }
}

/// A table with one row for each run.
const fn runs(name: &'static str, columns: &'static [Column], age: Age) -> Table {
    Table {
        order: "sensor, run",
        shard: "cityHash64(sensor, run)",
        ..records(name, columns, age)
    }
}

/// Which start of a run counts: rows of earlier ones do no longer.
pub(super) static BEGUN: Table = runs("begun_raw", &[SENSOR, RUN, BEGAN, VERSION, SEALED], Age::Always);

pub(super) static RUNS: Table = runs(
    "runs_raw",
    &[
        SENSOR,
        RUN,
        BEGAN,
        VERSION,
        SEALED,
        list("sources", "Array(String)"),
        maybe_time("first_seen"),
        maybe_time("last_seen"),
        count("packets"),
        count("bytes"),
        count("flows"),
        count("kernel_drops"),
        count("queue_drops"),
        count("truncated_packets"),
        count("undecodable_packets"),
        count("gap_bytes"),
        count("evicted_flows"),
        count("shed_events"),
        count("encrypted_flows"),
        count("encrypted_bytes"),
        count("one_sided_flows"),
        count("ech_hellos"),
    ],
    Age::Records,
);

pub(super) static SERVERS: Table = records(
    "servers_raw",
    &[
        SENSOR,
        RUN,
        BEGAN,
        VERSION,
        SEALED,
        text("id"),
        GONE,
        text("server"),
        text("address"),
        port("port"),
        maybe_text("hostname"),
        maybe_text("path"),
        text("address_key"),
        word("encryption"),
        yes_or_no("decrypted"),
        // 0 message, 1 sni, 2 dns
        rank("evidence_rank"),
        fraction("confidence"),
        maybe_text("server_name"),
        maybe_text("server_version"),
        maybe_text("instructions_sha256"),
        count("resources"),
        count("prompts"),
        // 0 none, 1 other, 2 basic, 3 api-key, 4 bearer; null: no request was read
        column("auth_rank", "Nullable(UInt8)", &[1]),
        word("scope"),
        maybe_text("approval"),
        FIRST_SEEN,
        LAST_SEEN,
        count("sessions"),
        count("requests"),
        count("responses"),
        count("errors"),
        count("notifications"),
        list("by_method", "Map(String, Int64)"),
        // rank, word: the rank puts them in the order of the report, here and below
        list("transports", "Array(Tuple(UInt8, String))"),
        list("revisions", "Array(String)"),
        list("clients", "Array(Tuple(String, String))"),
        // name, hash of the latest definition, hash of its description, whether the newest listing lacks it, last listed
        list(
            "tools",
            "Array(Tuple(String, String, Nullable(String), Bool, DateTime64(9, 'UTC')))",
        ),
        // name, hash, first and last listed
        list(
            "definitions",
            "Array(Tuple(String, String, DateTime64(9, 'UTC'), DateTime64(9, 'UTC')))",
        ),
    ],
    Age::Records,
);

/// Texts of definitions, redacted, once however many servers share one.
pub(super) static DOCUMENTS: Table = Table {
    name: "documents_raw",
    columns: &[
        text("sha256"),
        column("definition", "String CODEC(ZSTD(3))", &[0]),
        SEALED,
    ],
    order: "sha256",
    shard: "cityHash64(sha256)",
    age: Age::Always,
    newest: "sealed",
};

pub(super) static CLIENTS: Table = records(
    "clients_raw",
    &[
        SENSOR,
        RUN,
        BEGAN,
        VERSION,
        SEALED,
        text("id"),
        GONE,
        text("client"),
        maybe_text("client_name"),
        maybe_text("client_version"),
        maybe_text("user_agent"),
        text("address_key"),
        list("servers", "Array(Tuple(String, String))"),
        FIRST_SEEN,
        LAST_SEEN,
    ],
    Age::Records,
);

pub(super) static SESSIONS: Table = records(
    "sessions_raw",
    &[
        SENSOR,
        RUN,
        BEGAN,
        VERSION,
        SEALED,
        text("id"),
        text("server_id"),
        text("server"),
        text("address_key"),
        port("port"),
        maybe_text("client"),
        maybe_text("client_name"),
        maybe_text("protocol_version"),
        word("transport"),
        count("messages"),
        list("calls", "Map(String, Int64)"),
        FIRST_SEEN,
        LAST_SEEN,
    ],
    Age::Lookups,
);

pub(super) static LOOKUPS: Table = records(
    "lookups_raw",
    &[
        SENSOR,
        RUN,
        BEGAN,
        VERSION,
        SEALED,
        text("id"),
        text("name"),
        maybe_text("type"),
        word("signature"),
        word("category"),
        word("via"),
        text("client"),
        text("address_key"),
        count("count"),
        FIRST_SEEN,
        LAST_SEEN,
    ],
    Age::Lookups,
);

pub(super) static FINDINGS: Table = records(
    "findings_raw",
    &[
        SENSOR,
        RUN,
        BEGAN,
        VERSION,
        SEALED,
        text("id"),
        GONE,
        word("severity"),
        rank("severity_rank"),
        word("kind"),
        maybe_text("server"),
        maybe_text("client"),
        maybe_text("tool"),
        text("title"),
        count("count"),
        fraction("confidence"),
        word("rule"),
        maybe_text("server_id"),
        maybe_text("session"),
        maybe_text("direction"),
        maybe_text("place"),
        maybe_text("sample"),
        FIRST_SEEN,
        LAST_SEEN,
        maybe_text("community_id"),
        maybe_count("packet_source"),
        maybe_count("packet_number"),
        list("refs", "Array(String)"),
        list("detail", "Map(String, String)"),
    ],
    Age::Findings,
);

/// What people decided about findings: rows are only ever added, and the newest counts.
static DECISIONS: Table = Table {
    name: "decisions_raw",
    columns: &[
        text("finding"),
        word("state"),
        text("why"),
        text("who"),
        time("at"),
        maybe_time("until"),
    ],
    order: "finding, at",
    shard: "cityHash64(finding)",
    age: Age::Always,
    newest: "",
};

/// Which schema is there.
pub(super) static MIGRATIONS: Table = Table {
    name: "migrations_raw",
    columns: &[
        column("version", "UInt32", &[0; 4]),
        column("at", "DateTime('UTC') DEFAULT now('UTC')", &[0; 4]),
    ],
    order: "version",
    shard: "version",
    age: Age::Always,
    newest: "at",
};

/// The tables that a sensor writes. The place of a table is its number in sealed rows: only ever appended to.
pub(super) static WRITTEN: [&Table; 8] = [
    &BEGUN, &RUNS, &SERVERS, &DOCUMENTS, &CLIENTS, &SESSIONS, &LOOKUPS, &FINDINGS,
];

/// Every table.
pub(super) fn all() -> impl Iterator<Item = &'static Table> {
    [&MIGRATIONS, &DECISIONS].into_iter().chain(WRITTEN)
}

/// Tokens of batches that a table remembers: sensors, times batches a minute, times minutes of the longest retry.
const TOKENS: u32 = 12_000;

impl Table {
    /// The statements that make it.
    pub(super) fn statements(&self, layout: &Layout) -> Vec<String> {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("    {} {}", column.name, column.kind))
            .collect();
        let columns = columns.join(",\n");
        let Some(cluster) = &layout.cluster else {
            let engine = match self.newest {
                "" => "MergeTree".to_owned(),
                newest => format!("ReplacingMergeTree({newest})"),
            };
            let tail = self.tail(layout);
            return vec![format!(
                "CREATE TABLE IF NOT EXISTS {}\n(\n{columns}\n)\nENGINE = {engine}\n{tail}\nSETTINGS \
                 non_replicated_deduplication_window = {TOKENS}",
                self.name
            )];
        };
        let (name, database) = (self.name, &layout.database);
        let path = format!("'/clickhouse/tables/{{shard}}/{database}/{name}_local', '{{replica}}'");
        let engine = match self.newest {
            "" => format!("ReplicatedMergeTree({path})"),
            newest => format!("ReplicatedReplacingMergeTree({path}, {newest})"),
        };
        let tail = self.tail(layout);
        vec![
            format!(
                "CREATE TABLE IF NOT EXISTS {name}_local ON CLUSTER '{cluster}'\n(\n{columns}\n)\nENGINE = {engine}\n{tail}\n\
                 SETTINGS replicated_deduplication_window = {TOKENS}"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {name} ON CLUSTER '{cluster}' AS {name}_local\nENGINE = \
                 Distributed('{cluster}', '{database}', '{name}_local', {})",
                self.shard
            ),
        ]
    }

    /// Order and age.
    fn tail(&self, layout: &Layout) -> String {
        let mut tail = format!("ORDER BY ({})", self.order);
        let retention = &layout.retention;
        let after = |days: u32| format!("sealed + INTERVAL {days} DAY");
        // Writing to a String cannot fail.
        let _ = match self.age {
            Age::Always => Ok(()),
            Age::Findings => write!(
                tail,
                "\nTTL {}, {} DELETE WHERE kind = 'pii-in-transit'",
                after(retention.findings_days),
                after(retention.pii_days)
            ),
            Age::Lookups => write!(tail, "\nTTL {}", after(retention.lookups_days)),
            Age::Records => write!(tail, "\nTTL {}", after(retention.records_days)),
        };
        tail
    }

    /// The statement that rows follow.
    pub(super) fn insert(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        format!("INSERT INTO {} ({}) FORMAT RowBinary", self.name, columns.join(", "))
    }
}
