//! The event in the words of the report: what every other format is made to say, too.
//!
//! `schema` counts up when a field changes its meaning or goes; fields may come at any time. What cannot be known is
//! null. `attributes` has the names of OpenTelemetry's semantic conventions (MCP, in development) where they have one.

use serde_json::{Map, Value, json};

use super::put;
use crate::sink::siem::notice::{Notice, Sensor};

/// Version of the event.
pub const SCHEMA: u32 = 1;

/// The event as an object.
pub fn object(notice: &Notice, sensor: &Sensor) -> Map<String, Value> {
    let Value::Object(mut event) = json!({
        "schema": SCHEMA,
        "event": notice.what.word(),
        "action": notice.action.word(),
        "id": notice.id,
        "event_id": notice.event_id,
        "sensor": &*sensor.name,
        "time": notice.last.to_string(),
        "first_seen": notice.first.to_string(),
        "last_seen": notice.last.to_string(),
        "severity": notice.severity.word(),
        "confidence": notice.confidence.map(hundredths),
        "kind": notice.kind,
        "rule": notice.rule,
        "title": notice.title,
        "count": notice.count,
        "server": notice.server.map(|server| server.to_string()),
        "server_id": notice.server_id,
        "hostname": notice.hostname,
        "server_name": notice.server_name,
        "server_version": notice.server_version,
        "approved": notice.approved,
        "approval": notice.approval,
        "transport": notice.transport,
        "encryption": notice.encryption,
        "protocol_version": notice.protocol_version,
        "client": notice.client.map(|client| client.to_string()),
        "client_name": notice.client_name,
        "user_agent": notice.user_agent,
        "ja4": notice.ja4,
        "community_id": notice.community_id(),
        "flow_id": notice.flow_id(),
        "session": notice.session,
        "tool": notice.tool,
        "attributes": attributes(notice),
    }) else {
        return Map::new();
    };
    event.extend(notice.fields.clone());
    event
}

/// OpenTelemetry's names, flat as they are there.
fn attributes(notice: &Notice) -> Map<String, Value> {
    let mut known = Map::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            known.insert(name.to_owned(), value);
        }
    };
    let client = notice.client_end();
    set("mcp.method.name", json!(notice.method));
    set("mcp.session.id", json!(notice.session));
    set("mcp.protocol.version", json!(notice.protocol_version));
    set("gen_ai.tool.name", json!(notice.tool));
    set("network.transport", json!(notice.network_transport()));
    set(
        "server.address",
        json!(notice.server.map(|server| server.addr.to_string())),
    );
    set("server.port", json!(notice.server.map(|server| server.port)));
    set("client.address", json!(client.map(|(addr, _)| addr.to_string())));
    set("client.port", json!(client.and_then(|(_, port)| port)));
    set("user_agent.original", json!(notice.user_agent));
    known
}

/// Rounded to two digits.
pub(super) fn hundredths(confidence: f32) -> f64 {
    (f64::from(confidence) * 100.0).round() / 100.0
}

/// What a format has no place of its own for, under one name.
pub(super) fn rest(notice: &Notice) -> Map<String, Value> {
    let mut rest = notice.fields.clone();
    rest.retain(|_, value| !value.is_null());
    put(&mut rest, "event", notice.what.word());
    put(&mut rest, "action", notice.action.word());
    put(&mut rest, "id", notice.id.clone());
    put(&mut rest, "kind", notice.kind);
    put(&mut rest, "server_id", notice.server_id.clone());
    put(&mut rest, "approved", notice.approved);
    put(&mut rest, "approval", notice.approval.clone());
    put(&mut rest, "transport", notice.transport);
    put(&mut rest, "encryption", notice.encryption);
    put(&mut rest, "client_name", notice.client_name.clone());
    put(&mut rest, "flow_id", notice.flow_id());
    rest
}
