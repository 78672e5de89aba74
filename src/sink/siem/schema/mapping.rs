//! What becomes of the fields of an event in the other formats: one table, printed by `shadowtap schema --mapping`.

use std::fmt::Write as _;

/// Our field, then its places in ECS, OCSF, CEF and LEEF; `–` for none of its own.
pub const FIELDS: &[[&str; 5]] = &[
    [
        "time, last_seen",
        "@timestamp, event.created, event.end",
        "time, end_time, finding_info.last_seen_time",
        "rt, end",
        "devTime",
    ],
    [
        "first_seen",
        "event.start",
        "start_time, finding_info.first_seen_time",
        "start",
        "firstSeen",
    ],
    ["id", "shadowtap.id", "finding_info.uid", "externalId", "id"],
    ["event_id", "event.id", "metadata.uid", "–", "eventId"],
    [
        "event",
        "event.dataset, shadowtap.event",
        "is_alert, unmapped.event",
        "cs6 (kind)",
        "cat",
    ],
    ["action", "shadowtap.action", "activity_id, status_id", "act", "action"],
    [
        "kind",
        "event.action, rule.category",
        "finding_info.types",
        "cs6 (kind)",
        "event id of the head",
    ],
    [
        "rule",
        "rule.id, event.code",
        "finding_info.analytic, metadata.event_code",
        "signature of the head",
        "rule",
    ],
    [
        "title",
        "message, rule.name",
        "message, finding_info.title, .desc",
        "name of the head, msg",
        "title",
    ],
    [
        "severity: info, low, medium, high, critical",
        "event.severity 10, 21, 47, 73, 99; event.risk_score",
        "severity_id 1 to 5",
        "1, 3, 5, 8, 10",
        "sev 1, 3, 5, 8, 10; severity",
    ],
    [
        "confidence 0 to 1",
        "shadowtap.confidence",
        "confidence_score 0 to 100",
        "cn1 (confidence) 0 to 100",
        "confidence 0 to 100",
    ],
    ["count", "–", "count", "cnt", "count"],
    ["sensor", "observer.name", "metadata.log_name", "dvchost", "sensor"],
    [
        "client",
        "source.ip, .port, client.ip, .port, related.ip",
        "evidences[].src_endpoint, observables[]",
        "src, c6a2, spt",
        "src, srcPort",
    ],
    [
        "server",
        "destination.ip, .port, server.ip, .port, related.ip",
        "evidences[].dst_endpoint, observables[]",
        "dst, c6a3, dpt",
        "dst, dstPort",
    ],
    ["server_id", "shadowtap.server_id", "resources[].uid", "–", "serverId"],
    [
        "hostname",
        "destination.domain, server.domain, related.hosts",
        "evidences[].dst_endpoint.hostname",
        "dhost, cs4 (sni)",
        "hostname",
    ],
    [
        "server_name, server_version",
        "service.name, .version",
        "resources[].name, unmapped.server_version",
        "cs1 (mcpServer)",
        "serverName, serverVersion",
    ],
    [
        "approved, approval",
        "tags, shadowtap.approved, .approval",
        "unmapped.approved, .approval",
        "cs5 (approval)",
        "approved",
    ],
    [
        "transport, encryption",
        "network.protocol, shadowtap.transport, .encryption",
        "unmapped.transport, .encryption",
        "–",
        "transport",
    ],
    [
        "protocol_version",
        "shadowtap.mcp.protocol_version",
        "unmapped.protocol_version",
        "–",
        "–",
    ],
    [
        "client_name",
        "shadowtap.client_name",
        "unmapped.client_name",
        "–",
        "clientName",
    ],
    [
        "user_agent",
        "user_agent.original",
        "unmapped.user_agent",
        "requestClientApplication",
        "userAgent",
    ],
    ["ja4", "shadowtap.tls.ja4", "unmapped.ja4", "flexString2 (ja4)", "ja4"],
    [
        "community_id",
        "network.community_id",
        "evidences[].connection_info.community_uid",
        "flexString1 (communityId)",
        "communityId",
    ],
    ["flow_id", "shadowtap.flow_id", "unmapped.flow_id", "–", "flowId"],
    ["session", "shadowtap.mcp.session", "unmapped.session", "–", "session"],
    [
        "attributes.\"mcp.method.name\"",
        "shadowtap.mcp.method",
        "–",
        "cs2 (mcpMethod)",
        "method",
    ],
    [
        "tool",
        "gen_ai.tool.name",
        "evidences[].data.tool",
        "cs3 (mcpTool)",
        "tool",
    ],
    ["path", "url.path", "unmapped.path", "request", "–"],
    ["where", "shadowtap.where", "evidences[].data.where", "reason", "where"],
    ["sample", "shadowtap.sample", "evidences[].data.sample", "–", "sample"],
    [
        "references",
        "vulnerability.id (CVE), shadowtap.references",
        "vulnerabilities[].cve.uid, unmapped.references",
        "–",
        "–",
    ],
    ["everything else", "shadowtap.*", "unmapped.*", "–", "–"],
];

/// The table in Markdown.
pub fn table() -> String {
    let mut out =
        String::from("| event | ECS 9 | OCSF 1.5 (2004) | CEF | LEEF 2.0 |\n| --- | --- | --- | --- | --- |\n");
    for row in FIELDS {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    out
}
