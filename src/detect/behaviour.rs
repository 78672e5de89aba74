//! `behaviour-anomaly`: what departs from what is usual.
//!
//! Four things that a packet proves: one source that tries MCP in many places; a registry that is looked up, and within
//! the hour a server that is new; the host of a known server that becomes a client of another; a server that is asked far
//! more than ever before. The last two need a baseline, which the store keeps (`model/past.rs`); without one they are
//! silent, and the second is told as less.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::detect::panel::Ruleset;
use crate::detect::{Detector, Findings, about};
use crate::model::finding::{Evidence, Finding, FindingKey, Kind, Severity};
use crate::model::net::{Direction, Scope};
use crate::model::past::{Past, PastState};
use crate::model::server::{Attempt, Lookup, Mark, Server, ServerEvidence, View};
use crate::model::stamp::{Span, Stamp, Timestamp};
use crate::policy::{Policy, Verdict};

const SECOND_NANOS: i64 = 1_000_000_000;
const HOUR_NANOS: i64 = 3_600 * SECOND_NANOS;

/// Places that make a sweep. A client whose configuration is wrong tries three or four paths of one host.
const SWEEP_MIN_TARGETS: usize = 10;
/// Of a hundred places of a sweep, so many give no MCP answer at least: a busy gateway gets answers.
const SWEEP_MIN_REFUSED_PERCENT: usize = 80;
/// Within this time.
const SWEEP_NANOS: i64 = 600 * SECOND_NANOS;
/// Places that a finding names.
const DETAIL_MAX_TARGETS: usize = 8;

/// Earlier runs that make a baseline of volume.
const VOLUME_MIN_RUNS: usize = 3;
/// A shorter run says nothing of how much is usual.
const VOLUME_MIN_NANOS: i64 = 600 * SECOND_NANOS;
/// Requests below which nothing is a jump.
const VOLUME_MIN_REQUESTS: u64 = 1_000;
/// So many times the busiest earlier run.
const VOLUME_JUMP: f64 = 10.0;

/// See the module.
pub struct Behaviour {
    policy: Arc<Policy>,
}

impl Behaviour {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            policy: Arc::clone(&rules.policy),
        })
    }
}

impl Detector for Behaviour {
    fn review(&self, server: &Server, all: &View, out: &mut Findings) {
        if server.evidence != ServerEvidence::Message {
            return;
        }
        self.installed(server, all, out);
        if let Some(past) = &all.past {
            out.findings.extend(volume(server, past));
        }
    }

    fn review_all(&self, all: &View, out: &mut Findings) {
        if let Some(past) = &all.past {
            upstreams(all, past, out);
        }
        // On a tap that shows one direction nobody answers.
        let counters = &all.capture.counters;
        if counters.blind.one_sided_flows * 2 > counters.flows {
            return;
        }
        for attempts in all.attempts.chunk_by(|a, b| a.client == b.client) {
            out.findings.extend(sweep(attempts));
        }
    }
}

impl Behaviour {
    /// A registry was looked up, and within the hour the same machine uses a server for the first time, or runs one.
    fn installed(&self, server: &Server, all: &View, out: &mut Findings) {
        if matches!(self.policy.judge(server, all.now()), Verdict::Approved { .. }) {
            return;
        }
        let known = all.past.as_ref().and_then(|past| past.of(server));
        let before = known.and_then(|known| known.before(server.seen.first.time));
        // Whoever has a store that saw other traffic before knows that this is new.
        let baseline = all
            .past
            .as_ref()
            .is_some_and(|past| has_before(past, server.seen.first.time));
        let uses = server
            .peers
            .iter()
            .map(|(client, peer)| (*client, peer.began, peer.answered));
        let runs = server.peers.values().filter_map(|peer| peer.answered).min();
        let runs = runs.map(|mark| (server.endpoint.addr, mark.at, Some(mark)));
        for (client, began, answered) in uses.chain(runs) {
            let Some(mark) = answered else { continue };
            if before.is_some_and(|state| client == server.endpoint.addr || state.clients.contains(&client)) {
                continue;
            }
            if let Some((lookup, at)) = last_registry(&all.lookups, client, began.time) {
                out.findings.push(story(server, (client, mark), (lookup, at), baseline));
            }
        }
    }
}

/// The last lookup of a registry by a client within the hour before a moment.
fn last_registry(lookups: &[Lookup], client: IpAddr, moment: Timestamp) -> Option<(&Lookup, Timestamp)> {
    let within = |at: &Timestamp| *at <= moment && moment.since(*at) <= HOUR_NANOS.unsigned_abs();
    let registry = lookups
        .iter()
        .filter(|lookup| lookup.client == client && lookup.category == "registry");
    let moments = registry.flat_map(|lookup| [lookup.seen.last, lookup.seen.first].map(|at| (lookup, at.time)));
    moments
        .filter(|(_, at)| within(at))
        .max_by_key(|(lookup, at)| (*at, &lookup.name))
}

fn story(
    server: &Server,
    (client, mark): (IpAddr, Mark),
    (lookup, at): (&Lookup, Timestamp),
    baseline: bool,
) -> Finding {
    let severity = if baseline { Severity::Medium } else { Severity::Low };
    let runs = client == server.endpoint.addr;
    let what = if runs { "runs" } else { "uses" };
    let title = format!(
        "{client} looked up {} and then {what} the MCP server {} for the first time",
        lookup.name,
        about::server_name(server)
    );
    let mut finding = about::marked(Kind::BehaviourAnomaly, server, severity, title, Some(mark));
    finding.key.rule = "install-path".into();
    finding.key.client = Some(client);
    finding.confidence = if baseline { 0.7 } else { 0.4 };
    finding.references = vec!["OWASP-MCP09".to_owned()];
    let detail = &mut finding.detail;
    detail.insert("registry".to_owned(), lookup.name.clone());
    detail.insert("looked_up".to_owned(), at.to_string());
    finding
}

/// Whether earlier runs saw anything before a moment.
fn has_before(past: &Past, moment: Timestamp) -> bool {
    past.servers.values().any(|server| server.before(moment).is_some())
}

/// A server that is asked far more than in any earlier run.
fn volume(server: &Server, past: &Past) -> Option<Finding> {
    let earlier = past.of(server)?.states.iter();
    let rates: Vec<f64> = earlier
        .filter(|state| state.last < server.seen.first.time)
        .filter_map(|state: &PastState| rate(state.first, state.last, state.requests))
        .collect();
    let usual = rates
        .iter()
        .copied()
        .reduce(f64::max)
        .filter(|_| rates.len() >= VOLUME_MIN_RUNS)?;
    let requests = server.messages.requests;
    let now = rate(server.seen.first.time, server.seen.last.time, requests)?;
    if requests < VOLUME_MIN_REQUESTS || now < usual * VOLUME_JUMP {
        return None;
    }
    let title = format!(
        "MCP server {} is asked {now:.0} times an hour, and was at most {usual:.0} times",
        about::server_name(server)
    );
    let mut finding = about::server(Kind::BehaviourAnomaly, server, Severity::Low, title);
    finding.key.rule = "volume-jump".into();
    finding.confidence = 0.5;
    finding.detail.insert("requests".to_owned(), requests.to_string());
    Some(finding)
}

/// Requests an hour; `None` of a run that is too short to say.
fn rate(first: Timestamp, last: Timestamp, requests: u64) -> Option<f64> {
    let nanos = last.since(first);
    (nanos >= VOLUME_MIN_NANOS.unsigned_abs()).then(|| requests as f64 * HOUR_NANOS as f64 / nanos as f64)
}

/// Clients of a server whose own MCP servers are known from earlier runs, where this use is not.
fn upstreams(all: &View, past: &Past, out: &mut Findings) {
    let before = |server: &Server, moment| past.of(server)?.before(moment);
    let read = |server: &&Server| server.evidence == ServerEvidence::Message && server.scope != Scope::Loopback;
    let hosts: BTreeMap<IpAddr, &Server> = all
        .servers
        .iter()
        .filter(read)
        .filter(|server| before(server, server.seen.first.time).is_some())
        .map(|server| (server.endpoint.addr, server))
        .collect();
    for server in all.servers.iter().filter(read) {
        let known = before(server, server.seen.first.time);
        for (client, peer) in &server.peers {
            let (Some(mark), Some(host)) = (peer.answered, hosts.get(client)) else {
                continue;
            };
            if *client == server.endpoint.addr || known.is_some_and(|state| state.clients.contains(client)) {
                continue;
            }
            let title = format!(
                "The host of MCP server {} asks another one for the first time: {} at {}",
                about::server_name(host),
                about::server_name(server),
                server.endpoint
            );
            let mut finding = about::marked(Kind::BehaviourAnomaly, server, Severity::Low, title, Some(mark));
            finding.key.rule = "new-upstream".into();
            finding.key.client = Some(*client);
            finding.confidence = 0.6;
            out.findings.push(finding);
        }
    }
}

/// One client that tries MCP in many places and hardly gets an answer. `attempts` are in the order of time.
fn sweep(attempts: &[Attempt]) -> Option<Finding> {
    let mut worst: Option<&[Attempt]> = None;
    let mut start = 0;
    for end in 0..attempts.len() {
        let last = attempts.get(end)?.seen.first.time;
        while attempts.get(start)?.seen.first.time.plus_nanos(SWEEP_NANOS) < last {
            start += 1;
        }
        let window = attempts.get(start..=end)?;
        if window.len() > worst.map_or(SWEEP_MIN_TARGETS - 1, <[Attempt]>::len) && is_refused(window) {
            worst = Some(window);
        }
    }
    let window = worst?;
    let (first, last) = (window.first()?, window.last()?);
    let answered = window.iter().filter(|attempt| attempt.answered).count();
    let hosts: BTreeSet<IpAddr> = window.iter().map(|attempt| attempt.endpoint.addr).collect();
    let ports: BTreeSet<u16> = window.iter().map(|attempt| attempt.endpoint.port).collect();
    let title = format!(
        "{} tried MCP in {} places of {} hosts; {answered} answered",
        first.client,
        window.len(),
        hosts.len()
    );
    let targets: Vec<String> = window.iter().take(DETAIL_MAX_TARGETS).map(shown).collect();
    let detail = [
        ("name", first.client.to_string()),
        ("targets", targets.join(", ")),
        ("hosts", hosts.len().to_string()),
        ("ports", ports.len().to_string()),
        ("answered", answered.to_string()),
    ];
    Some(Finding {
        key: FindingKey {
            kind: Kind::BehaviourAnomaly,
            rule: "mcp-sweep".into(),
            site: None,
            client: Some(first.client),
            tool: None,
            direction: Some(Direction::ToServer),
            place: None,
            subject: None,
        },
        severity: Severity::Low,
        confidence: 0.8,
        title,
        references: vec!["OWASP-MCP09".to_owned()],
        count: window.len() as u64,
        seen: span(first.seen.first, last.seen.last),
        evidence: Evidence::default(),
        detail: detail.map(|(name, value)| (name.to_owned(), value)).into(),
    })
}

fn is_refused(window: &[Attempt]) -> bool {
    let refused = window.iter().filter(|attempt| !attempt.answered).count();
    refused * 100 >= window.len() * SWEEP_MIN_REFUSED_PERCENT
}

fn span(first: Stamp, last: Stamp) -> Span {
    Span { first, last }
}

fn shown(attempt: &Attempt) -> String {
    format!("{}{}", attempt.endpoint, attempt.path.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests;
