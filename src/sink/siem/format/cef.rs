//! ArcSight Common Event Format, revision 26: `CEF:0|vendor|product|version|signature|name|severity|extension`.
//!
//! In the head `|` and `\` are escaped, in values `=` and `\`; a text has no line ends left when it comes here.

use super::{VALUE_MAX_CHARS, by_severity, percent, value};
use crate::model::plain::plain;
use crate::sink::siem::notice::{Notice, Sensor};

/// The event in one line.
pub fn render(notice: &Notice, sensor: &Sensor) -> String {
    let head = |text: &str| value(text).replace('\\', "\\\\").replace('|', "\\|");
    let mut out = format!(
        "CEF:0|shadowtap|shadowtap|{}|{}|{}|{}|",
        head(&sensor.version),
        head(&notice.rule),
        head(&notice.title),
        by_severity(notice.severity, [1, 3, 5, 8, 10])
    );
    let start = out.len();
    each(notice, sensor, &mut |key, text| {
        if out.len() > start {
            out.push(' ');
        }
        let text = plain(text, VALUE_MAX_CHARS).replace('\\', "\\\\").replace('=', "\\=");
        out.extend([key, "=", &text]);
    });
    out
}

/// Every key with its value, in the order in which they are written.
fn each(notice: &Notice, sensor: &Sensor, set: &mut impl FnMut(&str, &str)) {
    let mut some = |key: &str, text: Option<&str>| {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            set(key, text);
        }
    };
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let millis = |micros: i64| micros.div_euclid(1_000).to_string();
    some("rt", Some(&millis(notice.last.micros())));
    some("start", Some(&millis(notice.first.micros())));
    some("end", Some(&millis(notice.last.micros())));
    some("externalId", Some(&notice.id));
    some("cat", Some("shadow-mcp"));
    some("act", Some(notice.action.word()));
    some("cnt", Some(&notice.count.to_string()));
    some("dvchost", Some(&sensor.name));
    if let Some((addr, port)) = notice.client_end() {
        let key = if addr.is_ipv4() { "src" } else { "c6a2" };
        some(key, Some(&addr.to_string()));
        some("c6a2Label", addr.is_ipv6().then_some("Source IPv6 Address"));
        some("spt", number(port.map(u64::from)).as_deref());
    }
    if let Some(server) = notice.server {
        let key = if server.addr.is_ipv4() { "dst" } else { "c6a3" };
        some(key, Some(&server.addr.to_string()));
        some("c6a3Label", server.addr.is_ipv6().then_some("Destination IPv6 Address"));
        some("dpt", Some(&server.port.to_string()));
        some("app", Some("mcp"));
    }
    some("dhost", notice.hostname.as_deref());
    some("proto", notice.network_transport());
    some("requestClientApplication", notice.user_agent.as_deref());
    some("request", notice.text("path"));
    some("reason", notice.text("where"));
    some("msg", Some(&notice.title));
    let approval = notice
        .approval
        .as_deref()
        .or_else(|| notice.approved.map(|_| "not approved"));
    let sni = notice
        .hostname
        .as_deref()
        .filter(|_| notice.encryption.is_some_and(|word| word != "none"));
    for (key, label, text) in [
        ("cs1", "mcpServer", notice.server_name.as_deref()),
        ("cs2", "mcpMethod", notice.method),
        ("cs3", "mcpTool", notice.tool.as_deref()),
        ("cs4", "sni", sni),
        ("cs5", "approval", approval),
        ("cs6", "kind", Some(notice.word())),
        ("cn1", "confidence", number(notice.confidence.map(percent)).as_deref()),
        ("flexString1", "communityId", notice.community_id().as_deref()),
        ("flexString2", "ja4", notice.ja4.as_deref()),
    ] {
        some(key, text);
        some(
            &format!("{key}Label"),
            text.filter(|text| !text.is_empty()).map(|_| label),
        );
    }
}
