//! Every table of the ClickHouse store once.
//!
//! A table of records holds states by (record, sensor, run); the newest version of a state replaces the others. How long
//! something is kept is counted from `sealed`, when the sensor wrote it, never from packet time: or an old capture would
//! be gone as soon as it is replayed.

use crate::store::clickhouse::table::{
    Age, Column, SUMS, Table, column, count, fraction, hash, later, list, maybe_count, maybe_text, maybe_time,
    maybe_word, port, rank, records, runs, sum, text, time, word, yes_or_no,
};

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
        // where its messages were addressed
        later(2, list("sites", "Array(String)")),
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

/// One row for each message: never a value that was in it.
pub(super) static MESSAGES: Table = Table {
    order: "time, flow, number, sensor, run",
    shard: "cityHash64(site)",
    ..records(
        "messages_raw",
        &[
            SENSOR,
            RUN,
            BEGAN,
            VERSION,
            SEALED,
            time("time"),
            hash("flow"),
            column("number", "UInt32 CODEC(ZSTD(1))", &[0; 4]),
            word("site"),
            word("server_id"),
            word("server"),
            word("client"),
            port("client_port"),
            word("direction"),
            word("kind"),
            maybe_word("method"),
            maybe_word("target"),
            yes_or_no("failed"),
            column("latency_us", "Nullable(UInt32) CODEC(ZSTD(1))", &[1]),
            column("http_status", "Nullable(UInt16)", &[1]),
            column("error_code", "Nullable(Int32)", &[1]),
            column("bytes", "UInt32 CODEC(T64, ZSTD(1))", &[0; 4]),
            column("session", "Nullable(UInt64) CODEC(ZSTD(1))", &[1]),
            column("rpc_id", "Nullable(UInt64) CODEC(ZSTD(1))", &[1]),
            maybe_word("revision"),
            text("community_id"),
        ],
        Age::Messages,
    )
};

/// What messages sum up to by the hour; a view feeds it.
static USAGE: Table = Table {
    name: "usage_raw",
    columns: &[
        column("hour", "DateTime('UTC') CODEC(Delta, ZSTD(1))", &[0; 4]),
        word("site"),
        word("client"),
        word("method"),
        word("target"),
        SENSOR,
        RUN,
        BEGAN,
        column("sealed", "SimpleAggregateFunction(max, DateTime('UTC'))", &[0; 4]),
        column("server_id", "SimpleAggregateFunction(anyLast, String)", &[0]),
        sum("messages"),
        sum("requests"),
        sum("failed"),
        sum("bytes"),
        sum("answers"),
        sum("latency_us"),
        column("latency_max_us", "SimpleAggregateFunction(max, UInt64)", &[0; 8]),
    ],
    order: "hour, site, client, method, target, sensor, run, began",
    shard: "cityHash64(site)",
    age: Age::Records,
    newest: SUMS,
};

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
pub(super) static WRITTEN: [&Table; 9] = [
    &BEGUN, &RUNS, &SERVERS, &DOCUMENTS, &CLIENTS, &SESSIONS, &LOOKUPS, &FINDINGS, &MESSAGES,
];

/// Every table.
pub(super) fn all() -> impl Iterator<Item = &'static Table> {
    [&MIGRATIONS, &DECISIONS, &USAGE].into_iter().chain(WRITTEN)
}
