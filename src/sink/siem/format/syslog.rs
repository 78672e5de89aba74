//! RFC 5424: the head and the structured data of a syslog message. Framing is the transport's.

use std::fmt::Write as _;

use super::{Format, VALUE_MAX_CHARS, by_severity, render};
use crate::model::plain::plain;
use crate::sink::siem::notice::{Notice, Sensor};

/// What a message says of its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// 0 to 23 (section 6.2.1).
    pub facility: u8,
    /// Private enterprise number behind the name of the structured data (section 7.2.2).
    pub enterprise: u32,
}

/// A whole message with the notice in a format as its text; in [`Format::Rfc5424`] its fields are structured data and the text
/// is its title.
pub fn message(notice: &Notice, sensor: &Sensor, head: &Head, format: Format, max_bytes: usize) -> String {
    let level = by_severity(notice.severity, [6, 5, 4, 3, 2]);
    let mut out = format!(
        "<{}>1 {} {} shadowtap - {} ",
        u32::from(head.facility) * 8 + level,
        notice.last,
        name(&sensor.name, 255),
        name(notice.what.word(), 32)
    );
    if format == Format::Rfc5424 {
        structured(notice, sensor, head.enterprise, &mut out);
    } else {
        out.push('-');
    }
    // The byte order mark says that the text is UTF-8 (section 6.4). CEF and LEEF begin with their own names, and some of their
    // receivers look for them at the very first byte.
    out.push_str(if format == Format::Rfc5424 { " \u{feff}" } else { " " });
    let left = max_bytes.saturating_sub(out.len());
    out.push_str(&render(notice, sensor, format, left));
    out
}

/// Visible ASCII without spaces (section 6.2.4 and following), `-` for nothing.
fn name(text: &str, max: usize) -> String {
    let visible: String = text.chars().filter(char::is_ascii_graphic).take(max).collect();
    if visible.is_empty() { "-".to_owned() } else { visible }
}

fn structured(notice: &Notice, sensor: &Sensor, enterprise: u32, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "[shadowtap@{enterprise}");
    let mut set = |key: &str, text: Option<&str>| {
        if let Some(text) = text {
            let text = plain(text, VALUE_MAX_CHARS);
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
            let _ = write!(out, " {key}=\"{text}\"");
        }
    };
    set("event", Some(notice.what.word()));
    set("action", Some(notice.action.word()));
    set("id", Some(&notice.id));
    set("eventId", Some(&notice.event_id));
    set("sensor", Some(&sensor.name));
    set("severity", Some(notice.severity.word()));
    set("kind", notice.kind);
    set("rule", Some(&notice.rule));
    set("count", Some(&notice.count.to_string()));
    set("firstSeen", Some(&notice.first.to_string()));
    set("server", notice.server.map(|server| server.to_string()).as_deref());
    set("serverId", notice.server_id.as_deref());
    set("serverName", notice.server_name.as_deref());
    set("hostname", notice.hostname.as_deref());
    set(
        "approved",
        notice.approved.map(|approved| if approved { "true" } else { "false" }),
    );
    set("transport", notice.transport);
    set("client", notice.client.map(|client| client.to_string()).as_deref());
    set("clientName", notice.client_name.as_deref());
    set("ja4", notice.ja4.as_deref());
    set("communityId", notice.community_id().as_deref());
    set("flowId", notice.flow_id().as_deref());
    set("session", notice.session.as_deref());
    set("method", notice.method);
    set("tool", notice.tool.as_deref());
    set("where", notice.text("where"));
    set("sample", notice.text("sample"));
    out.push(']');
}
