//! The report object out of the rows of a store: what `GET /api/report` gives.
//!
//! Names, order and nulls are those of the contract. What a store does not keep (JA4, the outside of tunnels, the shape
//! of encrypted flows) is null or left out.

use std::collections::BTreeMap;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use crate::report::rows::Json as Cell;
use crate::store::record::Record;
use crate::store::{Rows, Value};

/// Answers that the report is made of.
#[derive(Debug)]
pub struct Stored<'a> {
    /// What was captured.
    pub captures: &'a Rows,
    /// Servers.
    pub servers: &'a Rows,
    /// Tools.
    pub tools: &'a Rows,
    /// Clients.
    pub clients: &'a Rows,
    /// Lookups.
    pub lookups: &'a Rows,
    /// Findings.
    pub findings: &'a Rows,
}

/// Names in an order that is ours.
struct Object<'a>(Vec<(&'a str, Part<'a>)>);

enum Part<'a> {
    Cell(&'a Value),
    Json(Json),
    List(Vec<Object<'a>>),
    Object(Object<'a>),
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, part) in &self.0 {
            match part {
                Part::Cell(value) => map.serialize_entry(name, &Cell(value))?,
                Part::Json(value) => map.serialize_entry(name, value)?,
                Part::List(list) => map.serialize_entry(name, list)?,
                Part::Object(object) => map.serialize_entry(name, object)?,
            }
        }
        map.end()
    }
}

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tools: BTreeMap<&str, Vec<Object<'_>>> = BTreeMap::new();
        for tool in self.tools.records() {
            let object = Object(vec![
                ("name", Part::Cell(tool.value("tool"))),
                ("sha256", Part::Cell(tool.value("sha256"))),
                ("description_sha256", Part::Cell(tool.value("description_sha256"))),
                ("gone", Part::Cell(tool.value("gone"))),
            ]);
            tools
                .entry(tool.text("server_id").unwrap_or(""))
                .or_default()
                .push(object);
        }
        let servers = self.servers.records().map(|row| {
            let tools = tools.remove(row.text("id").unwrap_or("")).unwrap_or_default();
            server(row, tools)
        });
        Object(vec![
            ("schema", Part::Json(json!(1))),
            ("capture", Part::Object(capture(self.captures))),
            ("servers", Part::List(servers.collect())),
            ("clients", Part::List(self.clients.records().map(client).collect())),
            (
                "lookups",
                Part::List(self.lookups.records().map(|row| same(row, &LOOKUP)).collect()),
            ),
            ("findings", Part::List(self.findings.records().map(finding).collect())),
        ])
        .serialize(serializer)
    }
}

const LOOKUP: [&str; 9] = [
    "name",
    "type",
    "signature",
    "category",
    "via",
    "client",
    "count",
    "first_seen",
    "last_seen",
];

/// Cells whose names are those of the contract.
fn same<'a>(row: Record<'a>, names: &[&'a str]) -> Object<'a> {
    Object(names.iter().map(|name| (*name, Part::Cell(row.value(name)))).collect())
}

/// All captures as one.
fn capture(captures: &Rows) -> Object<'static> {
    let sum = |name: &'static str| {
        let counts = captures.records().map(|row| row.count(name));
        (name, Part::Json(json!(counts.fold(0, u64::saturating_add))))
    };
    let mut sources: Vec<&String> = captures.records().flat_map(|row| row.list("sources")).collect();
    sources.sort();
    sources.dedup();
    let first = captures.records().filter_map(|row| row.time("first_seen")).min();
    let last = captures.records().filter_map(|row| row.time("last_seen")).max();
    let lost = [
        "kernel_drops",
        "queue_drops",
        "truncated_packets",
        "undecodable_packets",
        "gap_bytes",
        "evicted_flows",
        "shed_events",
    ];
    let blind = ["encrypted_flows", "encrypted_bytes", "one_sided_flows", "ech_hellos"];
    Object(vec![
        ("sources", Part::Json(json!(sources))),
        ("first", Part::Json(json!(first.map(|time| time.to_string())))),
        ("last", Part::Json(json!(last.map(|time| time.to_string())))),
        sum("packets"),
        sum("bytes"),
        sum("flows"),
        ("lost", Part::Object(Object(lost.map(sum).into()))),
        ("blind", Part::Object(Object(blind.map(sum).into()))),
    ])
}

fn server<'a>(row: Record<'a>, tools: Vec<Object<'a>>) -> Object<'a> {
    let mut object = same(
        row,
        &[
            "id",
            "address",
            "port",
            "hostname",
            "path",
            "transport",
            "transports",
            "encryption",
            "decrypted",
            "evidence",
            "confidence",
            "server_name",
            "server_version",
            "instructions_sha256",
            "protocol_versions",
        ],
    );
    object.0.push(("tools", Part::List(tools)));
    object.0.extend(same(row, &["resources", "prompts", "auth", "scope"]).0);
    object
        .0
        .extend([("bind", Part::Json(Json::Null)), ("process", Part::Json(Json::Null))]);
    let rest = ["approved", "approval", "first_seen", "last_seen", "sessions", "clients"];
    object.0.extend(same(row, &rest).0);
    let messages = ["requests", "responses", "errors", "notifications", "by_method"];
    object.0.push(("messages", Part::Object(same(row, &messages))));
    object
}

fn client(row: Record<'_>) -> Object<'_> {
    let mut object = Object(vec![("address", Part::Cell(row.value("client")))]);
    object
        .0
        .extend(same(row, &["client_name", "client_version", "user_agent"]).0);
    object.0.push(("ja4", Part::Json(Json::Null)));
    object.0.extend(same(row, &["servers", "first_seen", "last_seen"]).0);
    object
}

fn finding(row: Record<'_>) -> Object<'_> {
    let mut object = same(
        row,
        &[
            "id",
            "kind",
            "severity",
            "confidence",
            "title",
            "rule",
            "server",
            "server_id",
            "client",
            "session",
            "tool",
            "direction",
            "where",
            "sample",
            "count",
            "first_seen",
            "last_seen",
            "community_id",
        ],
    );
    let packet = match (row.value("packet_source"), row.value("packet_number")) {
        (source @ Value::Int(_), number @ Value::Int(_)) => Part::Object(Object(vec![
            ("source", Part::Cell(source)),
            ("number", Part::Cell(number)),
        ])),
        _ => Part::Json(Json::Null),
    };
    object.0.push(("packet", packet));
    object.0.extend(same(row, &["references", "detail"]).0);
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::report::object;
    use crate::store::memory::Memory;
    use crate::store::{Question, Store as _, Word, fixture};

    #[test]
    fn rows_give_the_report_of_their_view() {
        let view = fixture::view();
        let memory = Memory::new(&view);
        let ask = |word| memory.ask(&Question::all(word)).unwrap();
        let (captures, servers, tools) = (ask(Word::Captures), ask(Word::Servers), ask(Word::Tools));
        let (clients, lookups, findings) = (ask(Word::Clients), ask(Word::Lookups), ask(Word::Findings));
        let stored = Stored {
            captures: &captures,
            servers: &servers,
            tools: &tools,
            clients: &clients,
            lookups: &lookups,
            findings: &findings,
        };
        let stored = serde_json::to_value(&stored).unwrap();
        let mut text = Vec::new();
        object::write(&mut text, &view).unwrap();
        let mut direct: Json = serde_json::from_slice(&text).unwrap();
        // What the store does not keep.
        for (part, kept) in [
            ("lost", &stored["capture"]["lost"]),
            ("blind", &stored["capture"]["blind"]),
        ] {
            let kept = kept.as_object().unwrap();
            direct["capture"][part]
                .as_object_mut()
                .unwrap()
                .retain(|name, _| kept.contains_key(name));
        }
        for client in direct["clients"].as_array_mut().unwrap() {
            client["ja4"] = Json::Null;
        }
        for server in direct["servers"].as_array_mut().unwrap() {
            let server = server.as_object_mut().unwrap();
            for name in ["outer", "why", "shape"] {
                server.remove(name);
            }
        }
        assert_eq!(stored, direct);
    }
}
