//! The words that tell what happened: messages, sessions, usage by the hour, the time line.

use crate::store::Word;
use crate::store::schema::{
    ADDRESS_KEY, ADDRESS_NAME, FIRST_SEEN, Filters, HOST_NAME, LAST_SEEN, MOMENT, PORT_KEY, RANK_KEY, SEEN, SELF_NAME,
    SERVER, SERVER_ID, SERVER_NAMES, Schema, Type, UNAPPROVED_KEY, column, wide,
};

pub(super) static MESSAGES: Schema = Schema {
    word: Word::Messages,
    columns: &[
        column("time", Type::Time, "when its first byte was seen"),
        column("client", Type::Text, "address of the client"),
        SERVER,
        wide("direction", Type::Text, "client-to-server or server-to-client"),
        column("kind", Type::Text, "request, notification, response or error"),
        column("method", Type::Text, "method; of an answer, that of its request"),
        column("target", Type::Text, "tool or prompt, or the scheme of a resource"),
        column("failed", Type::Boolean, "an error, or a tool that says it failed"),
        column(
            "latency_us",
            Type::Integer,
            "from its request to the answer, in microseconds",
        ),
        wide(
            "http_status",
            Type::Integer,
            "status of the HTTP response that carried it",
        ),
        column("error_code", Type::Integer, "JSON-RPC error code"),
        wide("bytes", Type::Integer, "length of its text"),
        wide("session", Type::Text, "id of the session"),
        wide("protocol_version", Type::Text, "protocol revision"),
        SERVER_ID,
        wide("client_port", Type::Integer, "port of the client"),
        wide("community_id", Type::Text, "Community ID of the flow"),
        wide("rpc_id", Type::Text, "hash of the JSON-RPC id"),
    ],
    keys: &[
        column("flow", Type::Text, "hash that tells flows apart"),
        column("number", Type::Integer, "number of the message within its flow"),
        ADDRESS_NAME,
        HOST_NAME,
        SELF_NAME,
        UNAPPROVED_KEY,
    ],
    order: &["-time", "-flow", "-number"],
    filters: Filters {
        server: SERVER_NAMES,
        client: &["client"],
        session: Some("session"),
        tool: Some("target"),
        unapproved: Some("unapproved"),
        ..MOMENT
    },
};

pub(super) static SESSIONS: Schema = Schema {
    word: Word::Sessions,
    columns: &[
        column("id", Type::Text, "hash of server and session id"),
        SERVER,
        SERVER_ID,
        column("client", Type::Text, "address of the client"),
        column("client_name", Type::Text, "name of the client that opened it"),
        column("protocol_version", Type::Text, "revision negotiated"),
        column("transport", Type::Text, "how it was carried"),
        column("messages", Type::Integer, "messages, both directions"),
        column("calls", Type::Map, "tools called, with counts"),
        FIRST_SEEN,
        LAST_SEEN,
    ],
    keys: &[
        ADDRESS_KEY,
        PORT_KEY,
        ADDRESS_NAME,
        HOST_NAME,
        SELF_NAME,
        UNAPPROVED_KEY,
    ],
    order: &["address_key", "port_key", "server_id", "first_seen", "id"],
    filters: Filters {
        server: SERVER_NAMES,
        client: &["client"],
        id: Some("id"),
        session: Some("id"),
        unapproved: Some("unapproved"),
        ..SEEN
    },
};

pub(super) static TIMELINE: Schema = Schema {
    word: Word::Timeline,
    columns: &[
        column("time", Type::Time, "when"),
        column(
            "event",
            Type::Text,
            "finding, server-appeared, client-appeared, tool-appeared or tool-changed",
        ),
        column("severity", Type::Text, "of a finding"),
        column("kind", Type::Text, "of a finding"),
        SERVER,
        column("client", Type::Text, "address of the client"),
        column("tool", Type::Text, "tool, prompt or resource"),
        column("about", Type::Text, "title of a finding, or name of what appeared"),
        wide("id", Type::Text, "id of the finding or server"),
    ],
    keys: &[
        RANK_KEY,
        column("server_id", Type::Text, "id of the server"),
        ADDRESS_NAME,
        HOST_NAME,
        SELF_NAME,
        UNAPPROVED_KEY,
    ],
    order: &["time", "event", "id", "server", "client", "tool", "about"],
    filters: Filters {
        severity: Some("severity_rank"),
        kind: Some("kind"),
        server: SERVER_NAMES,
        client: &["client"],
        tool: Some("tool"),
        unapproved: Some("unapproved"),
        ..MOMENT
    },
};

pub(super) static USAGE: Schema = Schema {
    word: Word::Usage,
    columns: &[
        column("time", Type::Time, "begin of the hour"),
        column("client", Type::Text, "address of the client"),
        SERVER,
        column("method", Type::Text, "method; of an answer, that of its request"),
        column("target", Type::Text, "tool or prompt, or the scheme of a resource"),
        column("messages", Type::Integer, "messages, both directions"),
        column("requests", Type::Integer, "requests among them"),
        column("failed", Type::Integer, "errors, and tools that say they failed"),
        wide("bytes", Type::Integer, "length of their texts"),
        column("latency_us", Type::Integer, "mean time to an answer, in microseconds"),
        wide(
            "latency_max_us",
            Type::Integer,
            "longest time to an answer, in microseconds",
        ),
        SERVER_ID,
    ],
    keys: &[
        ADDRESS_KEY,
        PORT_KEY,
        ADDRESS_NAME,
        HOST_NAME,
        SELF_NAME,
        UNAPPROVED_KEY,
    ],
    order: &[
        "time",
        "client",
        "address_key",
        "port_key",
        "server_id",
        "method",
        "target",
    ],
    filters: Filters {
        server: SERVER_NAMES,
        client: &["client"],
        tool: Some("target"),
        unapproved: Some("unapproved"),
        ..MOMENT
    },
};
