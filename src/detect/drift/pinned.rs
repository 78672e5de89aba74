//! Against what is pinned: whatever differs breaks the pin.

use crate::detect::drift::{
    Change, Drift, changed, drift, hex, history, is_another, new_version, tell_change, tell_clients,
};
use crate::detect::{Findings, about};
use crate::model::finding::Severity;
use crate::model::mcp::Auth;
use crate::model::server::{Given, Mark, Server, Tool};
use crate::model::stamp::Span;
use crate::policy::pins::{PinnedServer, PinnedTool};

/// Rule of findings against pins.
const RULE: &str = "pin";
/// Definitions of one tool that break its pin and are told one by one.
const BREAKS_MAX: usize = 16;

impl Drift {
    /// Each definition of a pinned tool that is not the pinned one.
    pub(super) fn against_pin(&self, server: &Server, tool: &Tool, pin: &PinnedTool, out: &mut Findings) {
        let breaks = history(tool);
        let breaks = breaks.iter().filter(|found| full(&found.sha256) != pin.sha256);
        for after in breaks.take(BREAKS_MAX) {
            let change = Change::between(&pin.definition, &after.definition, &self.suspicion);
            let announced = new_version(server, server.seen.first, after.seen.first);
            let mut finding = changed(server, tool, &change, after, announced);
            finding.key.rule = RULE.into();
            finding.severity = Severity::High;
            finding.title = format!("{}; it is pinned otherwise", finding.title);
            let pinned = parse(&pin.sha256);
            finding.key.subject = Some(format!("pin {} to {}", hex(&pinned), hex(&after.sha256)));
            tell_change(&mut finding, &change, (&pinned, &after.sha256));
            tell_clients(&mut finding, server, &tool.name, (&Given::new(), &after.given));
            out.findings.push(finding);
        }
    }
}

/// Tools that are pinned and gone, or there and not pinned; name, version and instructions.
pub(super) fn server(server: &Server, pinned: &PinnedServer, out: &mut Findings) {
    let name = about::server_name(server);
    let mut tell = |severity, title: String, what: (&str, Option<&str>), (mark, seen): (Mark, Span)| {
        let mut finding = drift(server, severity, title, mark, seen);
        finding.key.rule = RULE.into();
        finding.key.place = Some(what.0.to_owned());
        finding.key.tool = what.1.map(str::to_owned);
        out.findings.push(finding);
    };
    for identity in &server.identities {
        let at = (identity.mark, identity.seen);
        if pinned
            .server_name
            .as_ref()
            .is_some_and(|pinned| *pinned != identity.name)
        {
            let title = format!(
                "MCP server at {} calls itself {}, and is pinned as {}",
                server.endpoint,
                identity.name,
                pinned.server_name.as_deref().unwrap_or_default()
            );
            tell(Severity::High, title, ("serverInfo.name", None), at);
        } else if pinned
            .server_version
            .as_ref()
            .is_some_and(|pinned| *pinned != identity.version)
        {
            let title = format!(
                "{name} is of version {}, and pinned at {}",
                identity.version,
                pinned.server_version.as_deref().unwrap_or_default()
            );
            tell(Severity::Low, title, ("serverInfo.version", None), at);
        }
    }
    if is_another(server, pinned.server_name.as_ref()) {
        return;
    }
    // Who asks with credentials may be of another role than whoever was watched when the pin was made.
    let roles = server.auth != Some(Auth::None);
    for tool in server.tools.iter().filter(|tool| pinned.tool(&tool.name).is_none()) {
        let severity = if roles { Severity::Medium } else { Severity::High };
        let title = format!("Tool {} of {name} is not pinned, and its server is", tool.name);
        tell(
            severity,
            title,
            ("result.tools", Some(&tool.name)),
            (tool.mark, tool.seen),
        );
    }
    if let Some(last) = server.listings.iter().max_by_key(|listing| listing.seen.last) {
        let listed = |tool: &&PinnedTool| server.tools.iter().any(|found| found.name == tool.name && !found.gone);
        for tool in pinned.tools.iter().filter(|tool| !listed(tool)) {
            let title = format!("Tool {} of {name} is pinned and no longer offered", tool.name);
            let severity = if roles { Severity::Low } else { Severity::Medium };
            tell(
                severity,
                title,
                ("result.tools", Some(&tool.name)),
                (last.mark, last.seen),
            );
        }
    }
    if let Some(hash) = &pinned.instructions_sha256 {
        for text in server.instructions.iter().filter(|text| full(&text.sha256) != *hash) {
            let title = format!("The instructions of {name} are not those that are pinned");
            tell(Severity::High, title, ("instructions", None), (text.mark, text.seen));
        }
    }
}

pub(super) fn full(hash: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A hash of the lock file, which was checked when it was read.
pub(super) fn parse(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
        *byte = text
            .get(at..at + 2)
            .and_then(|two| u8::from_str_radix(two, 16).ok())
            .unwrap_or(0);
    }
    hash
}
