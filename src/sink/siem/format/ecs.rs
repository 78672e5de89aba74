//! Elastic Common Schema 9: every field has the type and, where ECS lists them, one of the values that it allows (held by a
//! test against the published schema). What ECS has no field for is under `shadowtap`.

use serde_json::{Map, Value, json};

use super::{by_severity, cves, json, put};
use crate::sink::siem::notice::{Notice, Sensor, What};

/// The release that the fields are of.
const VERSION: &str = "9.0.0";

/// The event as an object.
pub fn object(notice: &Notice, sensor: &Sensor) -> Map<String, Value> {
    let mut event = Map::new();
    let mut set = |path: &str, value: Value| put(&mut event, path, value);
    set("@timestamp", json!(notice.last.to_string()));
    set("ecs.version", json!(VERSION));
    set("message", json!(notice.title));
    set("tags", json!(tags(notice)));
    about_event(notice, &mut set);
    about_ends(notice, &mut set);
    set("rule.id", json!(notice.rule));
    set("rule.name", json!(notice.title));
    set("rule.category", json!(notice.kind));
    // ECS has room for one; all are among the references.
    set("vulnerability.id", json!(cves(notice).first()));
    set("gen_ai.tool.name", json!(notice.tool));
    set("service.name", json!(notice.server_name));
    set("service.version", json!(notice.server_version));
    set("user_agent.original", json!(notice.user_agent));
    set("url.path", json!(notice.text("path")));
    if notice.what == What::Lookup && notice.text("via") == Some("dns") {
        set("dns.question.name", json!(notice.text("name")));
        set("dns.question.type", json!(notice.text("record_type")));
    }
    set("observer.name", json!(&*sensor.name));
    set("observer.type", json!("sensor"));
    set("observer.vendor", json!("shadowtap"));
    set("observer.product", json!("shadowtap"));
    set("observer.version", json!(&*sensor.version));
    set("shadowtap", Value::Object(json::rest(notice)));
    set("shadowtap.confidence", json!(notice.confidence.map(json::hundredths)));
    set("shadowtap.mcp.method", json!(notice.method));
    set("shadowtap.mcp.session", json!(notice.session));
    set("shadowtap.mcp.protocol_version", json!(notice.protocol_version));
    set("shadowtap.tls.ja4", json!(notice.ja4));
    event
}

fn about_event(notice: &Notice, set: &mut impl FnMut(&str, Value)) {
    let (kind, category): (&str, &[&str]) = match notice.what {
        What::Digest | What::Lookup | What::ToolChange => ("event", &["network"]),
        What::Finding => ("alert", &["intrusion_detection", "network"]),
        What::SensorHealth => ("metric", &["host"]),
        What::Server => ("state", &["network"]),
    };
    let severity = by_severity(notice.severity, [10, 21, 47, 73, 99]);
    set("event.kind", json!(kind));
    set("event.category", json!(category));
    set("event.type", json!(["info"]));
    set("event.module", json!("shadowtap"));
    set("event.dataset", json!(format!("shadowtap.{}", notice.what.word())));
    set("event.id", json!(notice.event_id));
    set("event.code", json!(notice.rule));
    set("event.action", json!(notice.word()));
    set("event.created", json!(notice.last.to_string()));
    set("event.start", json!(notice.first.to_string()));
    set("event.end", json!(notice.last.to_string()));
    set("event.severity", json!(severity));
    set("event.risk_score", json!(severity));
}

fn about_ends(notice: &Notice, set: &mut impl FnMut(&str, Value)) {
    let client = notice.client_end();
    let client_ip = client.map(|(addr, _)| addr.to_string());
    let server_ip = notice.server.map(|server| server.addr.to_string());
    for side in ["source", "client"] {
        set(&format!("{side}.ip"), json!(client_ip));
        set(&format!("{side}.address"), json!(client_ip));
        set(&format!("{side}.port"), json!(client.and_then(|(_, port)| port)));
    }
    for side in ["destination", "server"] {
        set(&format!("{side}.ip"), json!(server_ip));
        set(
            &format!("{side}.address"),
            json!(notice.hostname.as_ref().or(server_ip.as_ref())),
        );
        set(&format!("{side}.port"), json!(notice.server.map(|server| server.port)));
        set(&format!("{side}.domain"), json!(notice.hostname));
    }
    let protocol = match notice.transport {
        Some("http-sse" | "streamable-http") => Some("http"),
        Some("websocket") => Some("websocket"),
        _ => None,
    };
    set("network.transport", json!(notice.network_transport()));
    set("network.protocol", json!(protocol));
    set("network.application", json!(notice.server.map(|_| "mcp")));
    set("network.community_id", json!(notice.community_id()));
    let sni = notice
        .hostname
        .as_ref()
        .filter(|_| notice.encryption.is_some_and(|word| word != "none"));
    set("tls.client.server_name", json!(sni));
    let ips: Vec<&String> = client_ip.iter().chain(&server_ip).collect();
    set("related.ip", if ips.is_empty() { Value::Null } else { json!(ips) });
    set("related.hosts", json!(notice.hostname.as_ref().map(|name| [name])));
}

fn tags(notice: &Notice) -> Vec<&'static str> {
    let approval = notice
        .approved
        .map(|approved| if approved { "approved" } else { "unapproved" });
    ["shadow-mcp"].into_iter().chain(approval).collect()
}
