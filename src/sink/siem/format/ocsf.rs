//! Open Cybersecurity Schema Framework 1.5.0: Detection Finding (2004) for every event, held by a test against the published
//! schema. What is no alarm says so by `is_alert`.
//!
//! API Activity (6003) is not claimed: it demands an actor, which a passive sensor does not know.

use serde_json::{Map, Value, json};

use super::{by_severity, cves, json, percent, put};
use crate::model::stamp::Timestamp;
use crate::sink::siem::notice::{Action, Notice, Sensor, What};

/// Version of the schema.
const VERSION: &str = "1.5.0";

/// The event as an object.
pub fn object(notice: &Notice, sensor: &Sensor) -> Map<String, Value> {
    let mut event = Map::new();
    let mut set = |path: &str, value: Value| put(&mut event, path, value);
    let (activity_id, activity, status_id, status) = match notice.action {
        Action::New => (1, "Create", 1, "New"),
        Action::Update => (2, "Update", 2, "In Progress"),
        Action::Close => (3, "Close", 4, "Resolved"),
    };
    set("class_uid", json!(2004));
    set("class_name", json!("Detection Finding"));
    set("category_uid", json!(2));
    set("category_name", json!("Findings"));
    set("activity_id", json!(activity_id));
    set("activity_name", json!(activity));
    set("type_uid", json!(200_400 + activity_id));
    set("type_name", json!(format!("Detection Finding: {activity}")));
    set("time", json!(millis(notice.last)));
    set("start_time", json!(millis(notice.first)));
    set("end_time", json!(millis(notice.last)));
    set("severity_id", json!(by_severity(notice.severity, [1, 2, 3, 4, 5])));
    set(
        "severity",
        json!(by_severity(
            notice.severity,
            ["Informational", "Low", "Medium", "High", "Critical"]
        )),
    );
    set("status_id", json!(status_id));
    set("status", json!(status));
    set("is_alert", json!(notice.what == What::Finding));
    set("message", json!(notice.title));
    set("count", json!(notice.count));
    set("confidence_score", json!(notice.confidence.map(percent)));
    set("metadata", metadata(notice, sensor));
    set("finding_info", finding_info(notice));
    set("evidences", evidences(notice));
    set("resources", resources(notice));
    set("observables", observables(notice));
    let cves: Vec<Value> = cves(notice)
        .into_iter()
        .map(|uid| json!({"cve": {"uid": uid}}))
        .collect();
    set(
        "vulnerabilities",
        if cves.is_empty() {
            Value::Null
        } else {
            Value::Array(cves)
        },
    );
    set("unmapped", Value::Object(json::rest(notice)));
    set("unmapped.ja4", json!(notice.ja4));
    set("unmapped.user_agent", json!(notice.user_agent));
    set("unmapped.session", json!(notice.session));
    set("unmapped.server_version", json!(notice.server_version));
    set("unmapped.protocol_version", json!(notice.protocol_version));
    event
}

fn metadata(notice: &Notice, sensor: &Sensor) -> Value {
    json!({
        "version": VERSION,
        "uid": notice.event_id,
        "event_code": notice.rule,
        "logged_time": millis(notice.last),
        "log_name": &*sensor.name,
        "product": {"name": "shadowtap", "vendor_name": "shadowtap", "version": &*sensor.version},
    })
}

fn finding_info(notice: &Notice) -> Value {
    json!({
        "uid": notice.id,
        "title": notice.title,
        "desc": notice.title,
        "types": [notice.word()],
        "first_seen_time": millis(notice.first),
        "last_seen_time": millis(notice.last),
        "analytic": {"uid": notice.rule, "name": notice.rule, "type_id": 1, "type": "Rule"},
    })
}

fn evidences(notice: &Notice) -> Value {
    let mut evidence = Map::new();
    if let Some((addr, port)) = notice.client_end() {
        put(&mut evidence, "src_endpoint.ip", addr.to_string());
        put(&mut evidence, "src_endpoint.port", json!(port));
    }
    if let Some(server) = notice.server {
        put(&mut evidence, "dst_endpoint.ip", server.addr.to_string());
        put(&mut evidence, "dst_endpoint.port", server.port);
        put(&mut evidence, "dst_endpoint.hostname", json!(notice.hostname));
    }
    if let Some(transport) = notice.network_transport() {
        put(&mut evidence, "connection_info.protocol_name", transport);
        put(&mut evidence, "connection_info.direction_id", 0);
        put(
            &mut evidence,
            "connection_info.community_uid",
            json!(notice.community_id()),
        );
    }
    put(&mut evidence, "data.tool", json!(notice.tool));
    put(&mut evidence, "data.where", json!(notice.text("where")));
    put(&mut evidence, "data.sample", json!(notice.text("sample")));
    put(&mut evidence, "data.direction", json!(notice.text("direction")));
    if evidence.is_empty() {
        return Value::Null;
    }
    json!([evidence])
}

fn resources(notice: &Notice) -> Value {
    let Some(uid) = &notice.server_id else {
        return Value::Null;
    };
    let mut resource = Map::new();
    put(&mut resource, "uid", uid.clone());
    put(&mut resource, "name", json!(notice.server_name));
    put(&mut resource, "type", "MCP server");
    json!([resource])
}

fn observables(notice: &Notice) -> Value {
    let client = notice
        .client_end()
        .map(|(addr, _)| ("evidences[0].src_endpoint.ip", addr));
    let server = notice
        .server
        .map(|server| ("evidences[0].dst_endpoint.ip", server.addr));
    let mut known: Vec<Value> = client
        .into_iter()
        .chain(server)
        .map(|(name, addr)| json!({"name": name, "type_id": 2, "type": "IP Address", "value": addr.to_string()}))
        .collect();
    if let Some(hostname) = notice.hostname.as_ref().filter(|_| notice.server.is_some()) {
        let name = "evidences[0].dst_endpoint.hostname";
        known.push(json!({"name": name, "type_id": 1, "type": "Hostname", "value": hostname}));
    }
    if known.is_empty() {
        Value::Null
    } else {
        Value::Array(known)
    }
}

fn millis(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000)
}
