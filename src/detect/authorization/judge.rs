//! From traces to findings: faults that belong to MCP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::link;
use super::links::Links;
use crate::detect::Findings;
use crate::model::finding::{Evidence, Finding, FindingKey, Kind, Severity};
use crate::model::net::Direction;
use crate::model::server::View;
use crate::model::trace::{Topic, Trace};

/// A rule of the specification.
struct Rule {
    name: &'static str,
    what: &'static str,
    reference: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        name: "endpoint-in-clear",
        what: "names endpoints that are asked in clear",
        reference: "OAuth 2.1, section 1.5",
    },
    Rule {
        name: "implicit-grant",
        what: "was asked for a token in the address of a page (implicit grant)",
        reference: "OAuth 2.1, section 10.1",
    },
    Rule {
        name: "issuer-mismatch",
        what: "names another issuer than the address of its metadata",
        reference: "RFC 8414, section 3.3",
    },
    Rule {
        name: "no-pkce",
        what: "was asked without PKCE",
        reference: "RFC 7636",
    },
    Rule {
        name: "no-resource",
        what: "was asked for a token without the resource that it is for",
        reference: "RFC 8707, section 2",
    },
    Rule {
        name: "no-s256-offered",
        what: "offers PKCE without S256",
        reference: "RFC 7636, section 4.2",
    },
    Rule {
        name: "password-grant",
        what: "was given the password of a user",
        reference: "OAuth 2.1, section 10.1",
    },
    Rule {
        name: "pkce-not-s256",
        what: "was asked with a PKCE challenge that is no S256",
        reference: "RFC 7636, section 4.2",
    },
    Rule {
        name: "redirect-uri",
        what: "is to send its codes to an address in clear",
        reference: "OAuth 2.1, section 2.3",
    },
    Rule {
        name: "resource-mismatch",
        what: "describes another resource than the one asked for",
        reference: "RFC 9728, section 3.3",
    },
];

/// Makes the findings of a view.
pub(super) fn review(all: &View, out: &mut Findings) {
    let links = Links::of(all);
    // One step may be tied to MCP in several ways: each way counts it once.
    let mut facts: BTreeMap<_, BTreeMap<&str, Vec<&Trace>>> = BTreeMap::new();
    for trace in all.traces.iter().filter(|trace| trace.key.topic == Topic::AuthFault) {
        let Some((name, link)) = trace.key.place.split_once(' ') else {
            continue;
        };
        let Some(origin) = trace.key.about.as_deref() else {
            continue;
        };
        if belongs(&links, trace, name, link, origin) {
            let fact = (name, trace.key.client, trace.key.server);
            facts.entry(fact).or_default().entry(link).or_default().push(trace);
        }
    }
    for ((name, ..), ways) in facts {
        if let Some(rule) = RULES.iter().find(|known| known.name == name) {
            out.findings.extend(joined(&links, rule, &ways));
        }
    }
    shared_client(&links, all, out);
}

fn joined(links: &Links<'_>, rule: &Rule, ways: &BTreeMap<&str, Vec<&Trace>>) -> Option<Finding> {
    let all = || ways.values().flatten();
    let first = all().min_by_key(|trace| trace.mark)?;
    let origin = |trace: &Trace| trace.key.about.as_deref().map(str::to_owned);
    let mut made = finding(links, first, rule, &origin(first)?);
    made.key.site = all().filter_map(|trace| links.server(&origin(trace)?)).min().cloned();
    let count = |traces: &Vec<&Trace>| traces.iter().map(|trace| trace.count).sum();
    made.count = ways.values().map(count).max()?;
    all().for_each(|trace| made.seen.join(trace.seen));
    Some(made)
}

fn belongs(links: &Links<'_>, trace: &Trace, rule: &str, link: &str, origin: &str) -> bool {
    // The parameter came with the metadata of protected resources: a client of an older revision knows neither.
    if rule == "no-resource" && !links.was_told(trace, origin) {
        return false;
    }
    match link {
        link::CLIENT => links.serves_mcp(origin) && links.is_registered(origin, trace.key.subject),
        link::NATIVE => links.was_led(trace, origin),
        link::RESOURCE => links.server(origin).is_some(),
        link::SERVER => links.serves_mcp(origin),
        _ => false,
    }
}

fn finding(links: &Links<'_>, trace: &Trace, rule: &Rule, origin: &str) -> Finding {
    let key = &trace.key;
    Finding {
        key: FindingKey {
            kind: Kind::AuthViolation,
            rule: Arc::from(rule.name),
            site: links.server(origin).cloned(),
            client: Some(key.client),
            tool: None,
            direction: Some(Direction::ToServer),
            place: None,
            // The address that was asked, so that two ties of one step are one fact.
            subject: Some(key.server.to_string()),
        },
        severity: Severity::Medium,
        confidence: 0.9,
        title: format!("the authorization server {} of MCP {}", key.server, rule.what),
        references: vec![rule.reference.to_owned(), "OWASP-MCP07".to_owned()],
        count: trace.count,
        seen: trace.seen,
        evidence: Evidence {
            sample: None,
            session: None,
            flow: Some(trace.mark.flow),
        },
        detail: BTreeMap::from([("name".to_owned(), origin.to_owned())]),
    }
}

/// One client id at another authorization server for many registered clients: the other server shows its page of consent
/// once, and who gets the code then is the choice of any registered client (confused deputy).
fn shared_client(links: &Links<'_>, all: &View, out: &mut Findings) {
    let mut uses: BTreeMap<(&str, u128), Vec<&Trace>> = BTreeMap::new();
    for trace in all.traces.iter().filter(|trace| trace.key.topic == Topic::AuthProxy) {
        if let Some(back) = trace.key.about.as_deref() {
            uses.entry((back, trace.key.subject)).or_default().push(trace);
        }
    }
    let mut found = Vec::new();
    for ((back, _), traces) in uses {
        let clients: BTreeSet<_> = traces.iter().map(|trace| trace.key.client).collect();
        let proxy = links.serves_mcp(back) && links.registrations(back) > 1;
        let Some(first) = traces
            .iter()
            .min_by_key(|trace| trace.mark)
            .filter(|_| proxy && clients.len() > 1)
        else {
            continue;
        };
        let rule = Rule {
            name: "static-client-id",
            what: "is asked with one client id for many registered clients",
            reference: "MCP, security best practices: confused deputy",
        };
        let mut made = finding(links, first, &rule, back);
        made.key.client = None;
        made.count = traces.iter().map(|trace| trace.count).sum();
        traces.iter().for_each(|trace| made.seen.join(trace.seen));
        made.detail.insert("clients".to_owned(), clients.len().to_string());
        found.push(made);
    }
    // The order of the map above hangs on a keyed hash.
    found.sort_by(|a, b| (a.seen.first, &a.key).cmp(&(b.seen.first, &b.key)));
    out.findings.append(&mut found);
}
