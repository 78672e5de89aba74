//! The traces of one credential read together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::detect::signature::Signatures;
use crate::detect::{Findings, about};
use crate::model::finding::{Finding, Kind, Severity, SiteKey};
use crate::model::net::{Direction, Scope};
use crate::model::server::{Server, View};
use crate::model::stamp::Span;
use crate::model::trace::{Topic, Trace};
use crate::policy::Policy;

/// How long after a client gave a credential its use by the server counts as handing on, in nanoseconds: what most
/// access tokens live.
const WINDOW_NANOS: u64 = 3_600_000_000_000;
/// Client addresses from which on one credential is everybody's: above what one person's machines, and a change of
/// address on a day, explain.
const MANY_CLIENTS: usize = 5;
/// Clients that a finding names.
const DETAIL_MAX_CLIENTS: usize = 8;

/// What the sightings of every credential say.
pub(super) fn review(all: &View, policy: &Policy, signatures: &Signatures, out: &mut Findings) {
    let mut journeys: HashMap<u128, Vec<&Trace>> = HashMap::new();
    for trace in all.traces.iter().filter(|trace| trace.key.topic == Topic::Credential) {
        journeys.entry(trace.key.subject).or_default().push(trace);
    }
    let servers = all.servers.iter().map(|server| (about::site(server), server)).collect();
    let mut told = Told {
        servers,
        policy,
        signatures,
        findings: BTreeMap::new(),
    };
    // In no order: what is told of two credentials is joined, whichever comes first.
    for traces in journeys.values().filter(|traces| traces.len() > 1) {
        told.passed_on(traces);
        told.shared(traces);
        told.given_away(traces);
    }
    out.findings.extend(told.findings.into_values().map(with_clients));
}

/// Findings while they are made, by what makes two of them the same fact.
struct Told<'a> {
    servers: BTreeMap<SiteKey, &'a Server>,
    policy: &'a Policy,
    signatures: &'a Signatures,
    findings: BTreeMap<(Kind, SiteKey, String), (Finding, BTreeSet<IpAddr>)>,
}

impl<'a> Told<'a> {
    fn server(&self, trace: &Trace) -> Option<&'a Server> {
        self.servers.get(trace.key.site.as_ref()?).copied()
    }

    /// A server's own request carries what a client gave it.
    fn passed_on(&mut self, traces: &[&Trace]) {
        for upstream in traces.iter().filter(|trace| of_a_head(trace)) {
            let host = upstream.key.client;
            let given = |trace: &&&Trace| {
                of_a_head(trace)
                    && trace.key.server.addr == host
                    && trace.key.client != host
                    && upstream.key.server.addr != host
            };
            let mut inbound: BTreeMap<&SiteKey, Vec<&Trace>> = BTreeMap::new();
            for trace in traces.iter().filter(given) {
                if let Some(site) = &trace.key.site {
                    inbound.entry(site).or_default().push(trace);
                }
            }
            for inbound in inbound.into_values() {
                self.passed_on_by(&inbound, upstream, traces);
            }
        }
    }

    fn passed_on_by(&mut self, inbound: &[&Trace], upstream: &Trace, traces: &[&Trace]) {
        let Some(server) = inbound.first().and_then(|trace| self.server(trace)) else {
            return;
        };
        let leg = |trace: &&&Trace| trace.key.client == upstream.key.client && trace.key.server == upstream.key.server;
        let hop = traces
            .iter()
            .filter(leg)
            .any(|leg| inbound.iter().any(|trace| trace.messages.meets(&leg.messages)));
        let name = upstream.key.about.as_deref();
        let address = upstream.key.server.addr.to_string();
        let declared = [name, Some(address.as_str())]
            .into_iter()
            .flatten()
            .any(|host| self.policy.is_backend(server, host));
        if hop || declared || !inbound.iter().any(|trace| follows(trace.seen, upstream.seen)) {
            return;
        }
        let target = match name {
            Some(name) => format!("{name}:{}", upstream.key.server.port),
            None => upstream.key.server.to_string(),
        };
        let title = format!(
            "MCP server {} hands the credential that a client gave it on to {target}",
            about::server_name(server)
        );
        let mut finding = about::marked(
            Kind::TokenPassthrough,
            server,
            Severity::High,
            title,
            Some(upstream.mark),
        );
        finding.references = ["MCP authorization: access token privilege restriction", "OWASP-MCP01"]
            .map(str::to_owned)
            .to_vec();
        finding.key.direction = Some(Direction::ToServer);
        finding.key.place = Some(upstream.key.place.to_string());
        finding.key.subject = Some(target.clone());
        finding.confidence = 0.95;
        finding.count = upstream.count;
        finding.seen = upstream.seen;
        finding.detail.insert("upstream".to_owned(), target);
        let clients = inbound.iter().map(|trace| trace.key.client).collect();
        self.tell(finding, server, clients);
    }

    /// One credential of a server, used from many addresses.
    fn shared(&mut self, traces: &[&Trace]) {
        let mut users: BTreeMap<&SiteKey, Vec<&Trace>> = BTreeMap::new();
        for trace in traces.iter().filter(|trace| of_a_head(trace)) {
            let own = trace.key.client == trace.key.server.addr || Scope::of(trace.key.client) == Scope::Loopback;
            if let Some(site) = trace.key.site.as_ref().filter(|_| !own) {
                users.entry(site).or_default().push(trace);
            }
        }
        for uses in users.into_values() {
            let clients: BTreeSet<IpAddr> = uses.iter().map(|trace| trace.key.client).collect();
            let Some(server) = uses.first().and_then(|trace| self.server(trace)) else {
                continue;
            };
            let Some(first) = uses
                .iter()
                .map(|trace| trace.mark)
                .min()
                .filter(|_| clients.len() >= MANY_CLIENTS)
            else {
                continue;
            };
            let title = format!(
                "One credential of MCP server {} is used from many addresses",
                about::server_name(server)
            );
            let mut finding = about::marked(Kind::AuthViolation, server, Severity::Low, title, Some(first));
            finding.key.rule = "shared-credential".into();
            finding.key.direction = Some(Direction::ToServer);
            finding.references = vec!["OWASP-MCP01".to_owned()];
            finding.confidence = 0.7;
            finding.count = uses.iter().map(|trace| trace.count).sum();
            uses.iter().for_each(|trace| finding.seen.join(trace.seen));
            self.tell(finding, server, clients);
        }
    }

    /// One server gave a secret to a client, and the client gave it to another server.
    fn given_away(&mut self, traces: &[&Trace]) {
        let Some(origin) = traces.iter().min_by_key(|trace| (trace.seen.first, trace.mark)) else {
            return;
        };
        let Some(from) = self.server(origin).filter(|_| origin.key.place.starts_with("result")) else {
            return;
        };
        for trace in traces.iter().filter(|trace| trace.key.place.starts_with("params")) {
            let other = trace.key.client == origin.key.client && trace.key.server.addr != trace.key.client;
            let Some(to) = self.server(trace).filter(|to| other && !std::ptr::eq(*to, from)) else {
                continue;
            };
            let rules = self.signatures.secrets.rules();
            let rule = rules.iter().find(|rule| Some(&rule.id) == trace.key.about.as_ref());
            let what = rule.map_or("A secret", |rule| &rule.title);
            let severity = rule.map_or(Severity::High, |rule| rule.severity).max(Severity::High);
            let title = format!(
                "{what} that MCP server {} returned was sent on to {}",
                about::server_name(from),
                about::server_name(to)
            );
            let mut finding = about::marked(Kind::SecretInTransit, to, severity, title, Some(trace.mark));
            finding.key.rule = "credential-lineage".into();
            finding.key.client = Some(trace.key.client);
            finding.key.direction = Some(Direction::ToServer);
            finding.key.place = Some(trace.key.place.to_string());
            finding.key.subject = Some(format!("{} {what}", about::server_name(from)));
            finding.references = ["OWASP-MCP01", "OWASP-MCP10"].map(str::to_owned).to_vec();
            finding.confidence = 0.9;
            finding.count = trace.count;
            finding.seen = trace.seen;
            finding.detail.insert("from".to_owned(), from.endpoint.to_string());
            finding
                .detail
                .insert("from_place".to_owned(), origin.key.place.to_string());
            self.tell(finding, to, BTreeSet::from([trace.key.client]));
        }
    }

    /// Joins a finding with what is told of the same fact: whichever comes first, the outcome is the same.
    fn tell(&mut self, finding: Finding, server: &Server, clients: BTreeSet<IpAddr>) {
        let key = &finding.key;
        let parts = [
            &*key.rule,
            key.subject.as_deref().unwrap_or_default(),
            key.place.as_deref().unwrap_or_default(),
            &key.client.map(|client| client.to_string()).unwrap_or_default(),
        ];
        let fact = (key.kind, about::site(server), parts.join("\n"));
        let Some((known, all)) = self.findings.get_mut(&fact) else {
            self.findings.insert(fact, (finding, clients));
            return;
        };
        all.extend(clients);
        let (count, mut seen) = (known.count.saturating_add(finding.count), known.seen);
        seen.join(finding.seen);
        let rank = |finding: &Finding| (finding.seen.first, finding.evidence.flow, finding.detail.clone());
        if rank(&finding) < rank(known) {
            *known = finding;
        }
        (known.count, known.seen) = (count, seen);
    }
}

fn with_clients((mut finding, clients): (Finding, BTreeSet<IpAddr>)) -> Finding {
    let named: Vec<String> = clients
        .iter()
        .take(DETAIL_MAX_CLIENTS)
        .map(ToString::to_string)
        .collect();
    finding.detail.insert("clients".to_owned(), named.join(", "));
    finding
        .detail
        .insert("client_count".to_owned(), clients.len().to_string());
    finding
}

/// Carried by a request head.
fn of_a_head(trace: &Trace) -> bool {
    trace.key.place.starts_with("header ")
}

/// Whether a later use lies within the window of an earlier one.
fn follows(given: Span, used: Span) -> bool {
    given.first.time <= used.last.time && used.first.time.since(given.last.time) <= WINDOW_NANOS
}
