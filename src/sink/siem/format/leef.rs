//! QRadar Log Event Extended Format 2.0: `LEEF:2.0|vendor|product|version|event|x09|key=value<tab>key=value`.
//!
//! It has no escapes: a text has no tabs and line ends left when it comes here, and `|` of the head becomes a slash.

use super::{by_severity, percent, value};
use crate::sink::siem::notice::{Notice, Sensor};

/// The event in one line.
pub fn render(notice: &Notice, sensor: &Sensor) -> String {
    let head = |text: &str| value(text).replace('|', "/");
    let mut out = format!(
        "LEEF:2.0|shadowtap|shadowtap|{}|{}|x09|",
        head(&sensor.version),
        head(notice.word())
    );
    let start = out.len();
    let mut set = |key: &str, text: Option<&str>| {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            if out.len() > start {
                out.push('\t');
            }
            out.extend([key, "=", &value(text)]);
        }
    };
    set("devTime", Some(&millis(&notice.last.to_string())));
    set("devTimeFormat", Some("yyyy-MM-dd'T'HH:mm:ss.SSSX"));
    set("cat", Some(notice.what.word()));
    set("sev", Some(&by_severity(notice.severity, [1, 3, 5, 8, 10]).to_string()));
    let client = notice.client_end();
    set("src", client.map(|(addr, _)| addr.to_string()).as_deref());
    set(
        "srcPort",
        client
            .and_then(|(_, port)| port)
            .map(|port| port.to_string())
            .as_deref(),
    );
    set("dst", notice.server.map(|server| server.addr.to_string()).as_deref());
    set(
        "dstPort",
        notice.server.map(|server| server.port.to_string()).as_deref(),
    );
    set("proto", notice.network_transport());
    set("action", Some(notice.action.word()));
    set("id", Some(&notice.id));
    set("eventId", Some(&notice.event_id));
    set("sensor", Some(&sensor.name));
    set("rule", Some(&notice.rule));
    set("title", Some(&notice.title));
    set("severity", Some(notice.severity.word()));
    set(
        "confidence",
        notice
            .confidence
            .map(|confidence| percent(confidence).to_string())
            .as_deref(),
    );
    set("count", Some(&notice.count.to_string()));
    set("firstSeen", Some(&notice.first.to_string()));
    set("serverId", notice.server_id.as_deref());
    set("hostname", notice.hostname.as_deref());
    set("serverName", notice.server_name.as_deref());
    set("serverVersion", notice.server_version.as_deref());
    set(
        "approved",
        notice.approved.map(|approved| if approved { "true" } else { "false" }),
    );
    set("transport", notice.transport);
    set("method", notice.method);
    set("tool", notice.tool.as_deref());
    set("session", notice.session.as_deref());
    set("where", notice.text("where"));
    set("sample", notice.text("sample"));
    set("clientName", notice.client_name.as_deref());
    set("userAgent", notice.user_agent.as_deref());
    set("ja4", notice.ja4.as_deref());
    set("communityId", notice.community_id().as_deref());
    set("flowId", notice.flow_id().as_deref());
    out
}

/// A time with three digits: what `SSS` of `devTimeFormat` reads.
fn millis(rfc3339: &str) -> String {
    let seconds = rfc3339.trim_end_matches('Z');
    let cut = seconds.len().saturating_sub(3);
    format!("{}Z", seconds.get(..cut).unwrap_or(seconds))
}
