//! `tool-drift`: a tool, its description or schema, the server's name or its instructions changed, appeared or
//! disappeared.
//!
//! Held against three things, in this order: what is pinned (`drift/pinned.rs`), what earlier runs saw
//! (`drift/past.rs`), and what was seen before in this run. What is pinned is held against the pin alone.
//!
//! Order and white space are no change (the hashes are canonical). Appearance and disappearance are compared within one
//! audience. A change is graded by what it brings: suspicious text, a parameter that asks for secrets or for the
//! conversation, or weaker annotations make it high; a new server version announces it and makes it low.

mod change;
mod past;
mod pinned;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

pub(super) use self::change::Change;
use crate::detect::panel::Ruleset;
use crate::detect::suspicion::Suspicion;
use crate::detect::{Detector, Findings, about, equivocation};
use crate::model::finding::{Finding, Kind, Severity};
use crate::model::server::{Definition, Given, ListingSeen, Mark, Server, Tool, View};
use crate::model::stamp::{Span, Stamp};
use crate::policy::Policy;

/// Most findings about one server, the worst first: a server that changes with every answer is told often enough.
const MAX_FINDINGS: usize = 1024;
/// Changes of one tool that are told one by one, unless they alarm; a description that holds the time changes always.
const QUIET_CHANGES_MAX: usize = 8;
/// Listings before one that are looked through for what the same client got.
const LOOK_BACK_LISTINGS: usize = 32;
/// Clients that a finding names.
const DETAIL_MAX_CLIENTS: usize = 8;

/// See the module.
pub struct Drift {
    suspicion: Suspicion,
    policy: Arc<Policy>,
}

impl Drift {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            suspicion: Suspicion::new(&rules.signatures),
            policy: Arc::clone(&rules.policy),
        })
    }
}

impl Detector for Drift {
    fn review(&self, server: &Server, all: &View, out: &mut Findings) {
        let mut told = Findings::default();
        let pinned = self.policy.pins().of(server);
        let past = all.past.as_ref().and_then(|past| past.of(server));
        let replaced = pinned.is_some_and(|pinned| is_another(server, pinned.server_name.as_ref()));
        for tool in &server.tools {
            match pinned.and_then(|pinned| pinned.tool(&tool.name)) {
                Some(_) if replaced => {}
                Some(pin) => self.against_pin(server, tool, pin, &mut told),
                None => {
                    let before = past.and_then(|past| self.against_past(server, tool, past, &mut told));
                    self.definitions(server, tool, before, &mut told);
                }
            }
        }
        match pinned {
            Some(pinned) => pinned::server(server, pinned, &mut told),
            None => {
                if let Some(past) = past {
                    past::server(server, past, &mut told);
                }
                identity(server, &mut told);
                instructions(server, &self.suspicion, &mut told);
                all_listings(server, &mut told);
            }
        }
        told.findings
            .sort_by_key(|finding| (Reverse(finding.severity), finding.seen.first));
        told.findings.truncate(MAX_FINDINGS);
        out.findings.append(&mut told.findings);
    }
}

impl Drift {
    /// Each definition of a tool against the one before it. Changes that earlier runs tell of (so many) count to the
    /// quiet ones.
    fn definitions(&self, server: &Server, tool: &Tool, earlier_changes: Option<usize>, out: &mut Findings) {
        let history = history(tool);
        let start = out.findings.len();
        let mut quiet = earlier_changes.unwrap_or(0);
        for (at, pair) in history.windows(2).enumerate() {
            let [before, after] = pair else { continue };
            // Told as what it is, if it is among those that are compared.
            let compared = at + equivocation::DEFINITIONS_MAX >= history.len();
            if compared && equivocation::interleaved(server, before, after).is_some() {
                continue;
            }
            let change = Change::between(&before.definition, &after.definition, &self.suspicion);
            quiet += usize::from(change.alarming.is_empty());
            if change.alarming.is_empty() && quiet > QUIET_CHANGES_MAX {
                if let Some(last) = out.findings.get_mut(start..).and_then(|told| told.last_mut()) {
                    last.count += 1;
                    last.seen.last = last.seen.last.max(after.seen.last);
                }
                continue;
            }
            let announced = new_version(server, before.seen.first, after.seen.first);
            let mut finding = changed(server, tool, &change, after, announced);
            finding.key.subject = Some(format!("{} to {}", hex(&before.sha256), hex(&after.sha256)));
            tell_change(&mut finding, &change, (&before.sha256, &after.sha256));
            tell_clients(&mut finding, server, &tool.name, (&before.given, &after.given));
            finding
                .detail
                .insert("before_last_seen".to_owned(), before.seen.last.time.to_string());
            out.findings.push(finding);
        }
    }
}

/// Whether the server at a place is another one than was known there: then its tools are its own, and that it is another
/// says enough.
fn is_another(server: &Server, known: Option<&String>) -> bool {
    let names = || server.identities.iter().map(|identity| &identity.name);
    known.is_some_and(|known| names().next().is_some() && names().all(|name| name != known))
}

/// Every definition that a tool had in this run, oldest first.
fn history(tool: &Tool) -> Vec<Definition> {
    let mut history: Vec<Definition> = tool.earlier.iter().cloned().chain([tool.present()]).collect();
    history.sort_by_key(|definition| (definition.seen.first, definition.seen.last, definition.sha256));
    history
}

/// How bad a change is, and why as the end of a title.
fn graded(change: &Change, announced: Option<&String>) -> (Severity, String) {
    if !change.alarming.is_empty() {
        return (Severity::High, format!(" ({})", change.why()));
    }
    let severity = if announced.is_some() {
        Severity::Low
    } else {
        Severity::Medium
    };
    (severity, String::new())
}

/// A tool whose definition is another than before.
fn changed(server: &Server, tool: &Tool, change: &Change, after: &Definition, announced: Option<String>) -> Finding {
    let (severity, why) = graded(change, announced.as_ref());
    let title = format!(
        "Tool {} of {} changed: {}{why}",
        tool.name,
        about::server_name(server),
        change.what()
    );
    let mut finding = drift(server, severity, title, after.mark, after.seen);
    finding.key.tool = Some(tool.name.clone());
    finding.key.place = Some("result.tools".to_owned());
    finding
        .detail
        .extend(announced.map(|version| ("announced".to_owned(), version)));
    finding
}

/// What changed, between which definitions, and as text.
pub(super) fn tell_change(finding: &mut Finding, change: &Change, (before, after): (&[u8; 32], &[u8; 32])) {
    let detail = &mut finding.detail;
    detail.insert("from".to_owned(), hex(before));
    detail.insert("to".to_owned(), hex(after));
    if !change.parts.is_empty() {
        detail.insert("changed".to_owned(), change.what());
    }
    if !change.alarming.is_empty() {
        detail.insert("alarming".to_owned(), change.why());
    }
    if !change.difference.is_empty() {
        detail.insert("difference".to_owned(), change.difference.clone());
    }
}

/// Which clients got which definition, and who of those that got the second called the tool afterwards.
pub(super) fn tell_clients(finding: &mut Finding, server: &Server, tool: &str, (before, after): (&Given, &Given)) {
    let clients = |given: &Given| given.keys().map(|(_, client)| *client).collect::<BTreeSet<IpAddr>>();
    let called = |client: &IpAddr| {
        let got = after
            .iter()
            .filter(|((_, addr), _)| addr == client)
            .map(|(_, span)| span.first)
            .min();
        let calls = server.calls.get(&(*client, tool.to_owned()));
        got.zip(calls).is_some_and(|(got, calls)| calls.seen.last > got)
    };
    let (old, new) = (clients(before), clients(after));
    let callers: BTreeSet<IpAddr> = new.iter().copied().filter(called).collect();
    for (name, clients) in [
        ("clients_before", old),
        ("clients_after", new),
        ("called_after", callers),
    ] {
        if !clients.is_empty() {
            finding.detail.insert(name.to_owned(), named(&clients));
        }
    }
}

fn named(clients: &BTreeSet<IpAddr>) -> String {
    let mut text = clients
        .iter()
        .take(DETAIL_MAX_CLIENTS)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if let Some(more) = clients.len().checked_sub(DETAIL_MAX_CLIENTS).filter(|more| *more > 0) {
        // Writing to a String cannot fail.
        let _ = write!(text, " and {more} more");
    }
    text
}

/// Listings of each audience against those before them.
fn all_listings(server: &Server, out: &mut Findings) {
    for audience in server.listings.chunk_by(|a, b| a.audience == b.audience) {
        for (at, after) in audience.iter().enumerate() {
            let earlier = audience.get(..at).unwrap_or_default();
            if let Some(before) = predecessor(earlier, after)
                && out.findings.len() < MAX_FINDINGS
            {
                listings(server, before, after, out);
            }
        }
    }
}

/// The listing that another is held against: the last one that the same client got, else the last one.
fn predecessor<'l>(earlier: &'l [ListingSeen], after: &ListingSeen) -> Option<&'l ListingSeen> {
    let same = |before: &&ListingSeen| !before.clients.is_disjoint(&after.clients);
    earlier
        .iter()
        .rev()
        .take(LOOK_BACK_LISTINGS)
        .find(same)
        .or_else(|| earlier.last())
}

/// Tools that one listing of an audience has and the one before lacks, and the other way round.
fn listings(server: &Server, before: &ListingSeen, after: &ListingSeen, out: &mut Findings) {
    // Given by turns to different clients: these are roles that no credential shows, or other backends, no change.
    if before.seen.last >= after.seen.first && before.clients.is_disjoint(&after.clients) {
        return;
    }
    let announced = new_version(server, before.seen.first, after.seen.first);
    let severity = if announced.is_some() {
        Severity::Low
    } else {
        Severity::Medium
    };
    let appeared = after.names.difference(&before.names).map(|name| (name, "appeared"));
    let gone = before.names.difference(&after.names).map(|name| (name, "disappeared"));
    for (name, what) in appeared.chain(gone) {
        let title = format!("Tool {name} of {} {what}", about::server_name(server));
        let mut finding = drift(server, severity, title, after.mark, after.seen);
        finding.key.tool = Some(name.clone());
        finding.key.subject = Some(what.to_owned());
        finding.key.place = Some("result.tools".to_owned());
        finding.detail.insert("changed".to_owned(), what.to_owned());
        finding
            .detail
            .extend(announced.clone().map(|version| ("announced".to_owned(), version)));
        out.findings.push(finding);
    }
}

/// Another name at the same place. Names that alternate are those of servers behind one gateway.
fn identity(server: &Server, out: &mut Findings) {
    let mut by_name: BTreeMap<&str, (Span, Mark)> = BTreeMap::new();
    for identity in &server.identities {
        let known = by_name.entry(&identity.name).or_insert((identity.seen, identity.mark));
        known.0.join(identity.seen);
        known.1 = known.1.min(identity.mark);
    }
    let mut names: Vec<(&str, (Span, Mark))> = by_name.into_iter().collect();
    names.sort_by_key(|(name, (seen, _))| (seen.first, *name));
    for pair in names.windows(2) {
        let [(before, (old, _)), (after, (new, mark))] = pair else {
            continue;
        };
        if old.last >= new.first || out.findings.len() >= MAX_FINDINGS {
            continue;
        }
        let title = format!(
            "MCP server at {} calls itself {after}, no longer {before}",
            server.endpoint
        );
        let mut finding = drift(server, Severity::Medium, title, *mark, *new);
        finding.key.place = Some("serverInfo.name".to_owned());
        finding.key.subject = Some(format!("{before} to {after}"));
        out.findings.push(finding);
    }
}

fn instructions(server: &Server, suspicion: &Suspicion, out: &mut Findings) {
    let mut texts: Vec<&Definition> = server.instructions.iter().collect();
    texts.sort_by_key(|text| (text.seen.first, text.sha256));
    for pair in texts.windows(2) {
        let [before, after] = pair else { continue };
        let announced = new_version(server, before.seen.first, after.seen.first);
        let change = Change::of_instructions(&before.definition, &after.definition, suspicion);
        let (severity, why) = graded(&change, announced.as_ref());
        let title = format!("The instructions of {} changed{why}", about::server_name(server));
        let mut finding = drift(server, severity, title, after.mark, after.seen);
        finding.key.place = Some("instructions".to_owned());
        finding.key.subject = Some(format!("{} to {}", hex(&before.sha256), hex(&after.sha256)));
        tell_change(&mut finding, &change, (&before.sha256, &after.sha256));
        finding
            .detail
            .extend(announced.map(|version| ("announced".to_owned(), version)));
        out.findings.push(finding);
    }
}

fn drift(server: &Server, severity: Severity, title: String, mark: Mark, seen: Span) -> Finding {
    let mut finding = about::marked(Kind::ToolDrift, server, severity, title, Some(mark));
    finding.seen = Span {
        first: mark.at,
        last: seen.last.max(mark.at),
    };
    finding.references = vec!["OWASP-MCP03".to_owned()];
    finding
}

/// The version that a server newly gave itself between two moments: what it says of itself at each of them differs.
fn new_version(server: &Server, before: Stamp, after: Stamp) -> Option<String> {
    let at = |when: Stamp| {
        server
            .identities
            .iter()
            .filter(|identity| identity.seen.first <= when)
            .max_by_key(|identity| identity.seen.first)
    };
    let (old, new) = (at(before)?, at(after)?);
    (old.name == new.name && old.version != new.version).then(|| format!("{} to {}", old.version, new.version))
}

/// First 16 digits: enough to tell definitions apart and to find them in the record of the tool.
pub(super) fn hex(hash: &[u8; 32]) -> String {
    hash.iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::net::{Endpoint, FiveTuple, Transport};
    use crate::model::server::Audience;
    use crate::model::stamp::Timestamp;

    fn listing(client: u8, second: i64) -> ListingSeen {
        let addr = [10, 0, 0, client].into();
        let at = Stamp {
            time: Timestamp::from_parts(second, 0),
            ..Stamp::default()
        };
        let end = Endpoint::new(addr, 1);
        let flow = FiveTuple {
            transport: Transport::Tcp,
            client: end,
            server: end,
        };
        ListingSeen {
            audience: Audience {
                auth: None,
                client: None,
            },
            names: BTreeSet::new(),
            clients: BTreeSet::from([addr]),
            seen: Span::at(at),
            mark: Mark {
                at,
                flow,
                session: None,
            },
        }
    }

    #[test]
    fn a_listing_is_held_against_the_same_clients() {
        let earlier = [listing(1, 1), listing(2, 2), listing(1, 3), listing(2, 4)];
        assert_eq!(predecessor(&earlier, &listing(1, 5)), earlier.get(2));
        assert_eq!(predecessor(&earlier, &listing(3, 5)), earlier.last());
        assert_eq!(predecessor(&[], &listing(3, 5)), None);
    }
}
