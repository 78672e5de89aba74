//! The events as others rely on them: a JSON Schema of each, a sample of each kind of finding, and what becomes of the fields in
//! the other formats. `shadowtap schema` prints them.

pub mod mapping;

use serde_json::{Map, Value, json};

use crate::model::finding::Kind;

/// What every event has.
const COMMON: &str = include_str!("event.json");

/// What each event has beside that, by its word.
const EVENTS: [(&str, &str); 6] = [
    ("digest", include_str!("digest.json")),
    ("finding", include_str!("finding.json")),
    ("lookup", include_str!("lookup.json")),
    ("sensor-health", include_str!("sensor-health.json")),
    ("server", include_str!("server.json")),
    ("tool-change", include_str!("tool-change.json")),
];

/// One event of each kind of finding and of each other event, a line each, in the plain JSON format.
pub const SAMPLES: &str = include_str!("samples.ndjson");

/// The schema of an event (JSON Schema 2020-12), whole; `None` for a word that is none.
pub fn of(event: &str) -> Option<Value> {
    let (_, own) = EVENTS.iter().find(|(word, _)| *word == event)?;
    // Both are held by a test.
    let mut schema: Value = serde_json::from_str(COMMON).ok()?;
    let own: Value = serde_json::from_str(own).ok()?;
    let required = own["required"].as_array().cloned().unwrap_or_default();
    schema["required"].as_array_mut()?.extend(required);
    let properties = own["properties"].as_object().cloned().unwrap_or_default();
    schema["properties"].as_object_mut()?.extend(properties);
    schema["title"] = own["title"].clone();
    if event == "finding" {
        let kinds = Kind::ALL.iter().map(|(_, word)| json!(word)).chain([Value::Null]);
        schema["properties"]["kind"]["enum"] = kinds.collect();
    }
    Some(schema)
}

/// Every schema by the word of its event.
pub fn all() -> Value {
    let all = EVENTS
        .iter()
        .filter_map(|(word, _)| Some(((*word).to_owned(), of(word)?)));
    Value::Object(all.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests;
