//! The servers of a report: the mark of their approval, their names, what is known of them, their tools.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::finding::Severity;
use crate::model::mcp::Auth;
use crate::model::server::{Encryption, Server, ServerEvidence, Tool, View};
use crate::report::display::terminal;
use crate::report::grid::{self, BOLD, DIM, GOOD, Style, WARN, count, cut, thousands, wrap};
use crate::report::table::{INDENT, title};

/// Tools of one server that are named.
const MAX_TOOLS: usize = 60;

/// Servers by their worst finding, then in the order of the view.
pub(super) fn write(out: &mut String, view: &View, style: Style) {
    if view.servers.is_empty() {
        return;
    }
    title(out, "Servers", style);
    let mut worst: BTreeMap<&str, Severity> = BTreeMap::new();
    for found in &view.findings {
        if let Some(id) = found.server_id.as_deref() {
            let known = worst.entry(id).or_insert(found.finding.severity);
            *known = found.finding.severity.max(*known);
        }
    }
    let mut servers: Vec<(Option<Severity>, &Server)> = view
        .servers
        .iter()
        .map(|server| (worst.get(server.id.as_str()).copied(), server))
        .collect();
    // Stable: within a severity the view's order, which is by address, stays.
    servers.sort_by_key(|(worst, _)| std::cmp::Reverse(*worst));
    for (worst, server) in servers {
        let (mark, paint) = if server.approval.is_some() {
            ("approved  ", GOOD)
        } else if server.inferred.is_some() {
            ("suspected ", DIM)
        } else {
            ("UNAPPROVED", WARN)
        };
        let worst = worst.map_or_else(String::new, |severity| {
            format!("  {}", style.paint(grid::severity(severity), severity.word()))
        });
        let name = cut(&names(server), style.columns().saturating_sub(INDENT + 24));
        let _ = writeln!(
            out,
            "{:INDENT$}{}  {}{worst}",
            "",
            style.paint(paint, mark),
            style.paint(BOLD, &name)
        );
        out.push_str(&wrap(&facts(server), INDENT + 12, style));
        out.push_str(&style.paint(DIM, &tools(server, style)));
    }
}

/// Address, the name that led there, and the name that it gives itself.
fn names(server: &Server) -> String {
    let mut names = server.endpoint.to_string();
    let (host, path) = (
        server.hostname.as_deref().unwrap_or_default(),
        server.path.as_deref().unwrap_or_default(),
    );
    if !host.is_empty() || !path.is_empty() {
        let _ = write!(names, "  {}{}", terminal(host), terminal(path));
    }
    if let Some(name) = &server.server_name {
        let _ = write!(names, "  \"{}\"", terminal(name));
        if let Some(version) = server.server_version.as_deref().filter(|version| !version.is_empty()) {
            let _ = write!(names, " {}", terminal(version));
        }
    }
    names
}

fn facts(server: &Server) -> Vec<String> {
    let mut facts: Vec<String> = server
        .transports
        .iter()
        .map(|transport| transport.word().to_owned())
        .collect();
    if server.encryption != Encryption::None {
        let read = if server.decrypted { " (decrypted)" } else { "" };
        facts.push(format!("{}{read}", server.encryption.word()));
    }
    if let Some(outer) = server.outer {
        let id = |id: Option<u32>| id.map(|id| format!(" {id}")).unwrap_or_default();
        facts.extend(outer.tunnel.map(|tunnel| format!("in {tunnel}{}", id(outer.id))));
        facts.extend(outer.vlan.map(|vlan| format!("VLAN {vlan}")));
    }
    facts.extend(
        server
            .protocol_versions
            .last()
            .map(|revision| format!("protocol {}", revision.as_str())),
    );
    if server.evidence != ServerEvidence::Message {
        facts.push(format!(
            "inferred from {}, confidence {:.2}",
            server.evidence.word(),
            server.confidence
        ));
        let inferred = server.inferred.as_ref();
        facts.extend(inferred.map(|inferred| inferred.grade.reason().to_owned()));
    }
    facts.extend(server.hosted.iter().flat_map(|hosted| super::host::facts(hosted)));
    facts.push(server.auth.map_or_else(
        || "auth unknown".to_owned(),
        |auth| match auth {
            Auth::None => "no auth".to_owned(),
            auth => format!("auth {}", auth.word()),
        },
    ));
    facts.push(server.scope.word().to_owned());
    facts.push(count(server.tools.len() as u64, "tool", "tools"));
    if server.resources > 0 {
        facts.push(count(server.resources, "resource", "resources"));
    }
    if server.prompts > 0 {
        facts.push(count(server.prompts, "prompt", "prompts"));
    }
    facts.push(count(server.clients.len() as u64, "client", "clients"));
    let messages = &server.messages;
    let all = messages
        .requests
        .saturating_add(messages.responses)
        .saturating_add(messages.notifications);
    facts.push(count(all, "message", "messages"));
    if messages.errors > 0 {
        facts.push(count(messages.errors, "error", "errors"));
    }
    facts.extend(server.approval.as_deref().map(|rule| format!("by {}", terminal(rule))));
    facts
}

fn tools(server: &Server, style: Style) -> String {
    if server.tools.is_empty() {
        return String::new();
    }
    let mark = |tool: &Tool| {
        let gone = if tool.gone { " (gone)" } else { "" };
        let changed = if tool.earlier.is_empty() { "" } else { " (changed)" };
        format!("{}{changed}{gone}", terminal(&tool.name))
    };
    let mut words: Vec<String> = server.tools.iter().take(MAX_TOOLS).map(mark).collect();
    if let Some(more) = server.tools.len().checked_sub(MAX_TOOLS).filter(|more| *more > 0) {
        words.push(format!("and {} more", thousands(more as u64)));
    }
    if let Some(first) = words.first_mut() {
        *first = format!("tools: {first}");
    }
    wrap(&words, INDENT + 12, style)
}
