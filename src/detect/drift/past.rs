//! Against what earlier runs saw, as the store keeps it.

use std::collections::BTreeSet;

use crate::detect::drift::pinned::{full, parse};
use crate::detect::drift::{Change, Drift, changed, drift, hex, history, is_another, tell_change, tell_clients};
use crate::detect::{Findings, about};
use crate::model::finding::Severity;
use crate::model::mcp::Auth;
use crate::model::past::{PastServer, PastState};
use crate::model::server::{Given, Server, Tool};
use crate::model::stamp::Timestamp;

impl Drift {
    /// The first definition of a tool in this run against the last one of earlier runs. Gives how many changes were
    /// told.
    pub(super) fn against_past(
        &self,
        server: &Server,
        tool: &Tool,
        past: &PastServer,
        out: &mut Findings,
    ) -> Option<usize> {
        let history = history(tool);
        let after = history.first()?;
        let before = past.definition(&tool.name, after.seen.first.time)?;
        let state = past.before(after.seen.first.time);
        if before.sha256 == full(&after.sha256) || state.is_some_and(|state| is_another(server, state.name.as_ref())) {
            return None;
        }
        let change = Change::between(&before.definition, &after.definition, &self.suspicion);
        let announced = state.and_then(|state| announced(server, state, after.seen.first.time));
        let mut finding = changed(server, tool, &change, after, announced);
        let known = parse(&before.sha256);
        finding.key.subject = Some(format!("{} to {}", hex(&known), hex(&after.sha256)));
        tell_change(&mut finding, &change, (&known, &after.sha256));
        tell_clients(&mut finding, server, &tool.name, (&Given::new(), &after.given));
        finding
            .detail
            .insert("before_last_seen".to_owned(), before.last.to_string());
        out.findings.push(finding);
        Some(1)
    }
}

/// The version that a server gives itself at a moment, where it is another than in an earlier run.
fn announced(server: &Server, state: &PastState, at: Timestamp) -> Option<String> {
    let old = state.version.as_ref()?;
    let known = server
        .identities
        .iter()
        .filter(|identity| identity.seen.first.time <= at);
    let now = known.max_by_key(|identity| identity.seen.first)?;
    (state.name.as_ref() == Some(&now.name) && *old != now.version).then(|| format!("{old} to {}", now.version))
}

/// Tools, name and instructions as they were when an earlier run ended. Tools are compared where neither then nor now
/// anybody showed credentials: what a role is offered is not kept in the store.
pub(super) fn server(server: &Server, past: &PastServer, out: &mut Findings) {
    let Some(state) = past.before(server.seen.first.time) else {
        return;
    };
    let name = about::server_name(server);
    let moment = server.seen.first.time;
    let announced = announced(server, state, server.seen.last.time);
    let mut tell = |severity, title, place: &str, subject: Option<String>, tool: Option<&str>, (mark, seen)| {
        let mut finding = drift(server, severity, title, mark, seen);
        finding.key.place = Some(place.to_owned());
        finding.key.subject = subject;
        finding.key.tool = tool.map(str::to_owned);
        finding
            .detail
            .insert("before_last_seen".to_owned(), state.last.to_string());
        finding
            .detail
            .extend(announced.clone().map(|version| ("announced".to_owned(), version)));
        out.findings.push(finding);
    };
    let unexplained = if announced.is_some() {
        Severity::Low
    } else {
        Severity::Medium
    };
    if let (Some(old), Some(first), true) = (
        &state.name,
        server.identities.first(),
        is_another(server, state.name.as_ref()),
    ) {
        let title = format!(
            "MCP server at {} calls itself {}, no longer {old}",
            server.endpoint, first.name
        );
        let subject = Some(format!("{old} to {}", first.name));
        tell(
            Severity::Medium,
            title,
            "serverInfo.name",
            subject,
            None,
            (first.mark, first.seen),
        );
        return;
    }
    let earliest = server
        .instructions
        .iter()
        .min_by_key(|text| (text.seen.first, text.sha256));
    if let (Some(old), Some(first)) = (&state.instructions_sha256, earliest)
        && *old != full(&first.sha256)
    {
        let title = format!("The instructions of {name} changed");
        let subject = Some(format!("{} to {}", hex(&parse(old)), hex(&first.sha256)));
        tell(
            unexplained,
            title,
            "instructions",
            subject,
            None,
            (first.mark, first.seen),
        );
    }
    let open = state.auth == Some(Auth::None) && server.auth == Some(Auth::None);
    let first = server.listings.iter().min_by_key(|listing| listing.seen.first);
    let known: BTreeSet<&str> = past
        .tools
        .iter()
        // Of the run before: what was gone by then was told then.
        .filter(|(tool, _)| {
            let known = past.definition(tool, moment);
            known.is_some_and(|known| !known.gone && known.last >= state.first)
        })
        .map(|(tool, _)| tool.as_str())
        .collect();
    let Some(listing) = first.filter(|_| open && !known.is_empty()) else {
        return;
    };
    let listed: BTreeSet<&str> = listing.names.iter().map(String::as_str).collect();
    let appeared = listed.difference(&known).map(|tool| (*tool, "appeared"));
    let gone = known.difference(&listed).map(|tool| (*tool, "disappeared"));
    for (tool, what) in appeared.chain(gone) {
        let title = format!("Tool {tool} of {name} {what}");
        let subject = Some(what.to_owned());
        tell(
            unexplained,
            title,
            "result.tools",
            subject,
            Some(tool),
            (listing.mark, listing.seen),
        );
    }
}
