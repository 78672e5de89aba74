//! The API as an OpenAPI 3.1 document, made from the table of routes and the schema of the store.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::model::finding::{Kind, Severity};
use crate::store::schema::{Column, Schema, Type};
use crate::store::{State, Word};
use crate::web::reply::{Problem, Reply};
use crate::web::route::{Given, ROUTES, Visit};

pub(crate) fn show(_: &Visit<'_>) -> Result<Reply, Problem> {
    Ok(Reply::json(&document()))
}

/// The document.
pub fn document() -> Value {
    let mut paths: BTreeMap<&str, Value> = BTreeMap::new();
    for (path, given) in ROUTES.iter().filter_map(|route| Some((route.path, route.api?))) {
        paths.insert(path, json!({ "get": operation(path, given) }));
    }
    let schemas: Map<String, Value> = Word::ALL
        .into_iter()
        .map(|word| (word.name().to_owned(), row(word)))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "shadowtap",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "MCP servers, their clients and findings, read-only over a store.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" }
        },
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas
        }
    })
}

fn operation(path: &str, given: Given) -> Value {
    let (summary, parameters, schema) = match given {
        Given::Rows(word) => (
            format!("Rows of `report {}`.", word.name()),
            filters(word),
            json!({
                "type": "object",
                "required": ["schema", "word", "rows"],
                "properties": {
                    "schema": { "const": 1 },
                    "word": { "const": word.name() },
                    "rows": { "type": "array", "items": reference(word) }
                }
            }),
        ),
        Given::One(word) => (
            format!("One of {}, with what belongs to it.", word.name()),
            vec![json!({
                "name": "id", "in": "path", "required": true, "schema": { "type": "string" },
                "description": if word == Word::Clients { "address" } else { "id" }
            })],
            json!({ "type": "object", "required": ["schema"], "properties": { "schema": { "const": 1 } } }),
        ),
        Given::Document(summary) => {
            let times = if path == "/api/report" {
                ["since", "until"].as_slice()
            } else {
                &[]
            };
            (
                summary.to_owned(),
                times
                    .iter()
                    .map(|name| parameter(name, json!({ "type": "string" }), "a time, or a span before now"))
                    .collect(),
                json!({ "type": "object" }),
            )
        }
    };
    let problem = |what: &str| json!({ "description": what });
    json!({
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "200": { "description": "The answer.", "content": { "application/json": { "schema": schema } } },
            "304": problem("Nothing has changed since the ETag that was given."),
            "400": problem("A parameter is wrong; `error` says how to mend it."),
            "401": problem("A token is needed."),
            "404": problem("There is no such thing."),
            "503": problem("The store does not answer; `error` says what to do.")
        }
    })
}

fn parameter(name: &str, schema: Value, description: &str) -> Value {
    json!({ "name": name, "in": "query", "schema": schema, "description": description })
}

/// The filters that say something about a word.
fn filters(word: Word) -> Vec<Value> {
    let filters = &Schema::of(word).filters;
    let text = || json!({ "type": "string" });
    let mut all = vec![
        parameter(
            "since",
            text(),
            "last seen then or later: a time, a date, or a span before now such as 24h",
        ),
        parameter("until", text(), "first seen before that"),
        parameter(
            "limit",
            json!({ "type": "integer", "minimum": 0 }),
            "at most so many rows",
        ),
        parameter(
            "format",
            json!({ "enum": ["json", "csv", "ndjson"] }),
            "an export, which is audited",
        ),
    ];
    if filters.severity.is_some() {
        let words = Severity::ALL.map(Severity::word);
        all.push(parameter(
            "severity",
            json!({ "enum": words }),
            "this severity or worse",
        ));
    }
    if filters.kind.is_some() {
        let words = Kind::ALL.map(|(_, word)| word);
        all.push(parameter("kind", json!({ "enum": words }), "kind of finding"));
    }
    if !filters.server.is_empty() {
        all.push(parameter(
            "server",
            text(),
            "id, address, address:port, hostname or name of a server",
        ));
    }
    if !filters.client.is_empty() {
        all.push(parameter("client", text(), "address of a client"));
    }
    if filters.unapproved.is_some() {
        all.push(parameter(
            "unapproved",
            json!({ "type": "boolean" }),
            "only what concerns servers without approval",
        ));
    }
    if filters.state.is_some() {
        let words = State::ALL.map(State::word);
        all.push(parameter(
            "state",
            json!({ "enum": words }),
            "what became of the finding",
        ));
    }
    all
}

fn reference(word: Word) -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", word.name()) })
}

/// A row of a word.
fn row(word: Word) -> Value {
    let columns = Schema::of(word).columns;
    let properties: Map<String, Value> = columns
        .iter()
        .map(|column| (column.name.to_owned(), cell(column)))
        .collect();
    let required: Vec<&str> = columns.iter().map(|column| column.name).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn cell(column: &Column) -> Value {
    let meaning = column.meaning;
    match column.kind {
        Type::Boolean => json!({ "type": ["boolean", "null"], "description": meaning }),
        Type::Integer => json!({ "type": ["integer", "null"], "description": meaning }),
        Type::List => json!({ "type": ["array", "null"], "items": { "type": "string" }, "description": meaning }),
        Type::Map => json!({ "type": ["object", "null"], "description": meaning }),
        Type::Real => json!({ "type": ["number", "null"], "description": meaning }),
        Type::Text => json!({ "type": ["string", "null"], "description": meaning }),
        Type::Time => json!({ "type": ["string", "null"], "format": "date-time", "description": meaning }),
    }
}
