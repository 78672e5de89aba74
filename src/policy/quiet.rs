//! What is told, and how loudly: `[[ignore]]`, `[[suppress]]`, `[[severity]]`, `[alerts]`.
//!
//! One place decides, after every detector has spoken; what is held back is counted, never lost without a trace.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::finding::{Finding, FindingKey, Kind, Severity, SiteKey};
use crate::model::net::Direction;
use crate::model::server::{Reported, Server, View};
use crate::model::stamp::Timestamp;
use crate::policy::criteria::{Clients, Servers, given};

/// Findings of one rule about one server, or of one client, that are told one by one unless the policy says otherwise.
pub(super) const SAME_MAX: usize = 100;

/// Rule of a finding that stands for those that are not told one by one.
const FOLDED: &str = "folded";

/// One `[[ignore]]`: clients of which nothing is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ignore {
    pub(super) rule: Arc<str>,
    pub(super) clients: Clients,
    pub(super) until: Option<Timestamp>,
}

/// Which findings a section is about: all that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    pub(super) kind: Option<Kind>,
    pub(super) rule: Option<String>,
    pub(super) servers: Servers,
    pub(super) clients: Clients,
    pub(super) direction: Option<Direction>,
}

/// One `[[suppress]]`: findings that are not reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suppress {
    pub(super) rule: Arc<str>,
    pub(super) findings: Findings,
    pub(super) until: Option<Timestamp>,
}

/// One `[[severity]]`: the first that matches a finding decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Regrade {
    pub(super) rule: Arc<str>,
    pub(super) findings: Findings,
    pub(super) severity: Severity,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quiet {
    pub(super) ignores: Vec<Ignore>,
    pub(super) suppressions: Vec<Suppress>,
    pub(super) severities: Vec<Regrade>,
    /// `alerts.max_same`.
    pub(super) same_max: usize,
}

impl Default for Quiet {
    fn default() -> Self {
        Self {
            ignores: Vec::new(),
            suppressions: Vec::new(),
            severities: Vec::new(),
            same_max: SAME_MAX,
        }
    }
}

impl Findings {
    /// What a finding does not name matches no criterion about it. Where it names no client, the clients of its server
    /// count, all of them.
    fn matches(&self, finding: &Finding, server: Option<&Server>) -> bool {
        let key = &finding.key;
        let of_clients = || match (key.client, server) {
            (Some(client), _) => self.clients.holds(client),
            (None, Some(server)) => {
                !server.clients.is_empty() && server.clients.iter().all(|client| self.clients.holds(*client))
            }
            (None, None) => false,
        };
        given(&self.kind, |kind| *kind == key.kind)
            && given(&self.rule, |rule| **rule == *key.rule)
            && (self.servers.is_any() || server.is_some_and(|server| self.servers.matches(server)))
            && (self.clients.is_any() || of_clients())
            && given(&self.direction, |direction| key.direction == Some(*direction))
    }

    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.kind.iter().map(|kind| format!("kind {}", kind.word())).collect();
        words.extend(self.rule.as_ref().map(|rule| format!("rule {rule}")));
        words.extend(self.servers.words());
        words.extend(self.clients.words());
        words.extend(
            self.direction
                .map(|direction| format!("direction {}", direction.word())),
        );
        words
    }
}

impl Quiet {
    /// Sections that may run out, and when.
    pub(super) fn terms(&self) -> impl Iterator<Item = (&Arc<str>, Option<Timestamp>)> {
        let ignores = self.ignores.iter().map(|ignore| (&ignore.rule, ignore.until));
        ignores.chain(
            self.suppressions
                .iter()
                .map(|suppress| (&suppress.rule, suppress.until)),
        )
    }

    fn ignores(&self, client: IpAddr, now: Timestamp) -> bool {
        let counts = |ignore: &&Ignore| ignore.until.is_none_or(|until| now < until);
        self.ignores
            .iter()
            .filter(counts)
            .any(|ignore| ignore.clients.holds(client))
    }

    /// Takes out of the records what is only about ignored clients, before detectors look. A server that such a client
    /// found stays: it is there.
    pub(super) fn ignore(&self, view: &mut View) {
        if self.ignores.is_empty() {
            return;
        }
        let now = view.now();
        let told = |client: &IpAddr| !self.ignores(*client, now);
        let before = view.findings.len();
        let mut hidden: std::collections::BTreeSet<IpAddr> = view.clients.iter().map(|client| client.addr).collect();
        hidden.extend(view.servers.iter().flat_map(|server| server.clients.iter().copied()));
        hidden.extend(view.lookups.iter().map(|lookup| lookup.client));
        hidden.retain(|client| !told(client));
        view.withheld.ignored_clients = hidden.len() as u64;
        view.clients.retain(|client| told(&client.addr));
        view.lookups.retain(|lookup| told(&lookup.client));
        view.led.retain(|led| told(&led.client));
        view.attempts.retain(|attempt| told(&attempt.client));
        view.messages.retain(|row| told(&row.seen.route.client));
        view.sessions.retain(|session| session.client.as_ref().is_none_or(told));
        view.findings
            .retain(|reported| reported.finding.key.client.as_ref().is_none_or(told));
        for server in &mut view.servers {
            server.clients.retain(told);
            server.peers.retain(|client, _| told(client));
            server.calls.retain(|(client, _), _| told(client));
            for listing in &mut server.listings {
                listing.clients.retain(told);
            }
            server.listings.retain(|listing| !listing.clients.is_empty());
        }
        view.withheld.ignored += (before - view.findings.len()) as u64;
    }

    /// Severities, suppression and the bound of alike findings. What is left needs to be put in order.
    pub(super) fn settle(&self, view: &mut View) {
        let now = view.now();
        let servers: BTreeMap<&str, &Server> = view.servers.iter().map(|server| (server.id.as_str(), server)).collect();
        let of = |reported: &Reported| reported.server_id.as_deref().and_then(|id| servers.get(id).copied());
        let in_force: Vec<&Suppress> = self
            .suppressions
            .iter()
            .filter(|suppress| suppress.until.is_none_or(|until| now < until))
            .collect();
        let mut withheld = view.withheld;
        let mut findings = std::mem::take(&mut view.findings);
        findings.retain_mut(|reported| {
            let server = of(reported);
            let finding = &mut reported.finding;
            let client = finding.key.client;
            if client.is_some_and(|client| !self.ignores.is_empty() && self.ignores(client, now)) {
                withheld.ignored += 1;
                return false;
            }
            if in_force
                .iter()
                .any(|suppress| suppress.findings.matches(finding, server))
            {
                withheld.suppressed += 1;
                return false;
            }
            if let Some(rule) = self
                .severities
                .iter()
                .find(|rule| rule.findings.matches(finding, server))
            {
                finding.severity = rule.severity;
            }
            true
        });
        view.findings = findings;
        view.withheld = withheld;
    }

    /// Findings beyond the bound of their lot, each lot as one finding. `view.findings` is in order, so
    /// the worst and earliest are the ones that are told one by one.
    pub(super) fn fold(&self, view: &mut View) -> Vec<Finding> {
        let mut told: BTreeMap<Lot, usize> = BTreeMap::new();
        let mut folded: BTreeMap<Lot, Finding> = BTreeMap::new();
        let mut withheld = 0;
        view.findings.retain(|reported| {
            let lot = Lot::of(&reported.finding.key);
            let count = told.entry(lot.clone()).or_insert(0);
            *count += 1;
            if *count <= self.same_max {
                return true;
            }
            withheld += 1;
            match folded.get_mut(&lot) {
                Some(sum) => {
                    sum.count += 1;
                    sum.seen.join(reported.finding.seen);
                }
                None => {
                    folded.insert(lot, summary(reported));
                }
            }
            false
        });
        view.withheld.folded += withheld;
        let finish = |(lot, mut sum): (Lot, Finding)| {
            let name = sum.detail.get("name").cloned().unwrap_or_default();
            let about = match (&lot.site, lot.client) {
                (Some(site), _) => format!(" about {name} at {}", site.endpoint),
                (None, Some(client)) => format!(" of client {client}"),
                (None, None) => String::new(),
            };
            sum.title = format!(
                "{} more findings of {} ({}){about}",
                sum.count,
                lot.kind.word(),
                lot.rule
            );
            sum
        };
        folded.into_iter().map(finish).collect()
    }
}

/// Findings that are alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lot {
    kind: Kind,
    rule: Arc<str>,
    site: Option<SiteKey>,
    /// Of findings that are about no server.
    client: Option<IpAddr>,
}

impl Lot {
    fn of(key: &FindingKey) -> Self {
        Self {
            kind: key.kind,
            rule: Arc::clone(&key.rule),
            site: key.site.clone(),
            client: key.client.filter(|_| key.site.is_none()),
        }
    }
}

/// The first of a lot that is told together, as the one that stands for them.
fn summary(first: &Reported) -> Finding {
    let mut finding = first.finding.clone();
    let key = &mut finding.key;
    let rule = std::mem::replace(&mut key.rule, FOLDED.into());
    if key.site.is_some() {
        key.client = None;
    }
    (key.tool, key.direction, key.place) = (None, None, None);
    key.subject = Some(rule.to_string());
    finding.count = 1;
    let name = finding.detail.remove("name").unwrap_or_default();
    finding.detail = BTreeMap::from([
        ("name".to_owned(), name),
        ("rule".to_owned(), rule.to_string()),
        ("example".to_owned(), first.id.clone()),
    ]);
    finding
}

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = |until: Option<Timestamp>| until.map(|until| format!("until {until}"));
        for ignore in &self.ignores {
            let words: Vec<String> = ignore.clients.words().into_iter().chain(until(ignore.until)).collect();
            write!(f, "\n{} [{}]", ignore.rule, words.join("; "))?;
        }
        for suppress in &self.suppressions {
            let words: Vec<String> = suppress
                .findings
                .words()
                .into_iter()
                .chain(until(suppress.until))
                .collect();
            write!(f, "\n{} [{}]", suppress.rule, words.join("; "))?;
        }
        for rule in &self.severities {
            let words = rule.findings.words().join("; ");
            write!(f, "\n{} [{words}] is {}", rule.rule, rule.severity.word())?;
        }
        if self.same_max != SAME_MAX {
            write!(f, "\nalerts: at most {} alike", self.same_max)?;
        }
        Ok(())
    }
}
