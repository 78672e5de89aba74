//! What single sessions of a server show: `auth-violation` (an id that others use, or that stands in for a credential)
//! and `protocol-violation` (what was asked of a client that cannot be asked, tools that were never listed, a revision
//! older than the one before).
//!
//! Everything here compares what was seen with what was not, so a session only counts as far as it was seen whole: where
//! the capture has gaps or the inventory was at a bound, nothing is said of what is missing.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::detect::panel::Ruleset;
use crate::detect::{Detector, Findings, about};
use crate::model::finding::{Finding, Kind, Severity};
use crate::model::mcp::{Abilities, Auth};
use crate::model::net::Direction;
use crate::model::server::{Mark, Server, ServerEvidence, Session, View};

/// See the module.
pub struct Sessions;

impl Sessions {
    /// For [`super::DETECTORS`].
    pub fn build(_rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self)
    }
}

impl Detector for Sessions {
    fn review(&self, server: &Server, all: &View, out: &mut Findings) {
        if server.evidence != ServerEvidence::Message {
            return;
        }
        if is_complete(all) {
            ghosts(server, out);
        }
        let mine: Vec<&Session> = all
            .sessions
            .iter()
            .filter(|session| session.server_id == server.id)
            .collect();
        if mine.is_empty() {
            return;
        }
        shared(server, &mine, out);
        unguarded(server, &mine, out);
        unable(server, &mine, out);
        downgraded(server, &mine, out);
    }
}

/// Whether all that was sent was captured, and all that was read was kept.
fn is_complete(all: &View) -> bool {
    let lost = &all.capture.counters.lost;
    lost.kernel_drops == 0
        && lost.queue_drops == 0
        && lost.truncated_packets == 0
        && lost.gap_bytes == 0
        && lost.evicted_flows == 0
        && lost.shed_events == 0
}

fn made(about: (Kind, &str), server: &Server, client: Option<IpAddr>, mark: Mark, title: String) -> Finding {
    let (kind, rule) = about;
    let severity = if kind == Kind::AuthViolation {
        Severity::Medium
    } else {
        Severity::Low
    };
    let mut finding = about::marked(kind, server, severity, title, Some(mark));
    finding.key.rule = rule.into();
    finding.key.client = client;
    finding
}

/// One session id in the hands of a machine that did not open the session. Pools of relays and mirrored address
/// translation carry many sessions from the same addresses, so a pair of addresses that shares several proves nothing.
fn shared(server: &Server, sessions: &[&Session], out: &mut Findings) {
    let mut pairs: BTreeMap<(IpAddr, IpAddr), Vec<(&Session, Mark)>> = BTreeMap::new();
    for session in sessions {
        let holders = &session.conduct.holders;
        let owner = holders
            .iter()
            .filter(|(_, holder)| holder.opened)
            .min_by_key(|(_, holder)| holder.first);
        let Some((owner, opened)) = owner else { continue };
        for (other, holder) in holders {
            let kin = other.is_ipv4() == owner.is_ipv4();
            if !holder.opened && kin && holder.first > opened.first {
                pairs.entry((*owner, *other)).or_default().push((session, holder.first));
            }
        }
    }
    for ((owner, other), used) in &pairs {
        let [(session, mark)] = used.as_slice() else { continue };
        if pairs.contains_key(&(*other, *owner)) {
            continue;
        }
        let title = format!(
            "the session that {owner} opened with MCP server {} is used by {other}",
            about::server_name(server)
        );
        let mut finding = made(
            (Kind::AuthViolation, "shared-session"),
            server,
            Some(*other),
            *mark,
            title,
        );
        finding.confidence = 0.7;
        finding.references = vec!["MCP, security best practices: session hijacking".to_owned()];
        finding.detail.insert("owner".to_owned(), owner.to_string());
        finding.seen.last = finding.seen.last.max(session.seen.last);
        out.findings.push(finding);
    }
}

/// A server that wants credentials takes the session id for one.
fn unguarded(server: &Server, sessions: &[&Session], out: &mut Findings) {
    let guarded = |session: &&&Session| session.conduct.auth.is_some_and(|auth| auth >= Auth::Basic);
    // A server that serves whole sessions without a credential is open, and told as that.
    let open = sessions
        .iter()
        .any(|session| session.conduct.bare.is_some() && !guarded(&session));
    if open {
        return;
    }
    let first = sessions
        .iter()
        .filter(guarded)
        .filter_map(|session| Some((session.conduct.bare?, session.client)))
        .min_by_key(|(mark, _)| *mark);
    if let Some((mark, client)) = first {
        let title = format!(
            "MCP server {} takes a session id in the place of a credential",
            about::server_name(server)
        );
        let mut finding = made(
            (Kind::AuthViolation, "session-as-credential"),
            server,
            client,
            mark,
            title,
        );
        finding.confidence = 0.8;
        finding.references = vec!["MCP, security best practices: session hijacking".to_owned()];
        out.findings.push(finding);
    }
}

/// Requests of a server for what its client did not offer.
fn unable(server: &Server, sessions: &[&Session], out: &mut Findings) {
    const METHODS: [(u8, &str); 3] = [
        (Abilities::ELICITATION, "elicitation/create"),
        (Abilities::ROOTS, "roots/list"),
        (Abilities::SAMPLING, "sampling/createMessage"),
    ];
    for (bit, method) in METHODS {
        let asked = |session: &&Session| {
            let able = session.conduct.able?;
            let mark = *session.conduct.asked.get(&bit).filter(|_| !able.has(bit))?;
            Some((mark, session.client))
        };
        let Some((mark, client)) = sessions.iter().filter_map(asked).min() else {
            continue;
        };
        let title = format!(
            "MCP server {} asks {method} of a client that cannot be asked for it",
            about::server_name(server)
        );
        let mut finding = made(
            (Kind::ProtocolViolation, "unsolicited-request"),
            server,
            client,
            mark,
            title,
        );
        finding.key.direction = Some(Direction::ToClient);
        finding.key.place = Some(method.to_owned());
        finding.references = vec!["MCP, client capabilities".to_owned()];
        out.findings.push(finding);
    }
}

/// The same client offers as much as before and gets an older revision, from a server that gives itself one name and
/// version throughout.
fn downgraded(server: &Server, sessions: &[&Session], out: &mut Findings) {
    if server.identities.len() > 1 {
        return;
    }
    let mut best: BTreeMap<(Option<IpAddr>, Option<&str>), &Session> = BTreeMap::new();
    let mut ordered = sessions.to_vec();
    ordered.sort_by_key(|session| (session.seen.first, &session.id));
    for session in ordered {
        let (Some(settled), Some((_, offered))) = (session.protocol_version, session.conduct.offered) else {
            continue;
        };
        let key = (session.client, session.client_name.as_deref());
        let before = best.get(&key).and_then(|before| before.protocol_version);
        if before.is_none_or(|before| before <= settled) {
            best.insert(key, session);
            continue;
        }
        let holder = session.conduct.holders.values().map(|holder| holder.first).min();
        let (Some(before), Some(mark)) = (before.filter(|before| offered >= *before), holder) else {
            continue;
        };
        let title = format!(
            "MCP server {} settles on {} with a client that it settled on {} with before",
            about::server_name(server),
            settled.as_str(),
            before.as_str()
        );
        let mut finding = made(
            (Kind::ProtocolViolation, "version-downgrade"),
            server,
            session.client,
            mark,
            title,
        );
        finding.confidence = 0.6;
        finding.references = vec!["MCP, lifecycle: version negotiation".to_owned()];
        out.findings.push(finding);
    }
}

/// Tools that answered a client although no listing of the server ever had them.
fn ghosts(server: &Server, out: &mut Findings) {
    let mut found: BTreeMap<&str, (Mark, Option<IpAddr>)> = BTreeMap::new();
    for ((client, tool), calls) in &server.calls {
        let Some(mark) = calls.served.filter(|_| !tool.is_empty()) else {
            continue;
        };
        let listed = server.tools.iter().any(|known| known.name == *tool)
            || server.listings.iter().any(|listing| listing.names.contains(tool));
        let informed = server
            .listings
            .iter()
            .any(|listing| listing.clients.contains(client) && listing.seen.first < mark.at);
        if informed && !listed {
            let known = found.entry(tool).or_insert((mark, Some(*client)));
            *known = (*known).min((mark, Some(*client)));
        }
    }
    for (tool, (mark, client)) in found {
        let title = format!(
            "MCP server {} answers calls of {tool}, a tool that it does not list",
            about::server_name(server)
        );
        let mut finding = made((Kind::ProtocolViolation, "ghost-tool"), server, client, mark, title);
        finding.key.tool = Some(tool.to_owned());
        finding.confidence = 0.7;
        finding.references = vec!["OWASP-MCP03".to_owned()];
        out.findings.push(finding);
    }
}
