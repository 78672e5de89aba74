//! Who hears what, and when: of all states of all records those that somebody wants to hear of.
//!
//! A finding goes when it is new, when its severity changes, and with new counts once an hour. A server goes when it is
//! new or says something else of itself; what changed of its tools goes apart. Time is packet time: the gate has no clock,
//! so that the same capture tells the same. In the first weeks ([`Gate::with_baseline`]) what is new comes as a digest a
//! day, and only what is critical at once.
//!
//! What it remembers is bounded, and kept over a restart of a live sensor; what was forgotten is told anew, and the ids in the
//! notices tell a receiver so.

mod digest;
mod kept;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::event::{Event, Record};
use crate::model::finding::{Kind, Severity};
use crate::model::server::{Capture, Lookup, Reported, Server};
use crate::model::stamp::Timestamp;
use crate::sink::siem::compose::{self, Known};
use crate::sink::siem::gate::digest::Digest;
use crate::sink::siem::memory::Memory;
use crate::sink::siem::notice::{Action, Notice, What, hex, short_hash};

/// Records of one sort that are remembered as told.
const TOLD_MAX: usize = 65_536;
/// Findings whose new counts wait for their hour.
const WAITING_MAX: usize = 8_192;
/// How often new counts of a finding go, in nanoseconds: an hour.
const COUNTS_EVERY: i64 = 3_600_000_000_000;
/// How often the sensor's health goes, in nanoseconds: a minute.
const HEALTH_EVERY: i64 = 60_000_000_000;

/// What a sink wants to hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Events.
    pub events: Vec<What>,
    /// Kinds of findings; empty for all.
    pub kinds: Vec<Kind>,
    /// Least severity of findings.
    pub severity: Severity,
}

impl Filter {
    fn wants(&self, what: What) -> bool {
        self.events.contains(&what)
    }

    fn wants_finding(&self, reported: &Reported) -> bool {
        let finding = &reported.finding;
        self.wants(What::Finding)
            && finding.severity >= self.severity
            && (self.kinds.is_empty() || self.kinds.contains(&finding.key.kind))
    }
}

/// See the module.
#[derive(Debug)]
pub struct Gate {
    filter: Filter,
    sensor: Arc<str>,
    known: Known,
    findings: Memory<String, Told>,
    /// New counts of findings that were told less than an hour ago.
    waiting: BTreeMap<String, Notice>,
    servers: Memory<String, Shown>,
    lookups: Memory<String, ()>,
    health: Option<(Timestamp, Severity)>,
    /// The newest moment that was heard of.
    now: Timestamp,
    digest: Option<Digest>,
    /// The clock on the wall, for the sensor's health: it is told on a wire without packets, too.
    clock: Option<fn() -> Timestamp>,
}

/// A finding as it was told.
#[derive(Clone, Copy, Debug)]
struct Told {
    severity: Severity,
    count: u64,
    at: Timestamp,
    /// It only went into a digest.
    quiet: bool,
}

/// A server as it was told.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
struct Shown {
    state: String,
    /// Digest of each tool; empty where it is gone.
    tools: BTreeMap<String, String>,
}

impl Gate {
    /// Lets through what the filter wants.
    pub fn new(filter: Filter, sensor: Arc<str>) -> Self {
        Self {
            filter,
            sensor,
            known: Known::default(),
            findings: Memory::new(TOLD_MAX),
            waiting: BTreeMap::new(),
            servers: Memory::new(TOLD_MAX),
            lookups: Memory::new(TOLD_MAX),
            health: None,
            now: Timestamp::MIN,
            digest: None,
            clock: None,
        }
    }

    /// Tells the sensor's health by a clock, and not by the packets: whoever hears nothing for minutes knows that the sensor
    /// is silenced, and not the wire.
    #[must_use]
    pub fn with_clock(mut self, clock: Option<fn() -> Timestamp>) -> Self {
        self.clock = clock;
        self
    }

    /// Until a moment, what is new comes as a digest a day.
    #[must_use]
    pub fn with_baseline(mut self, until: Option<Timestamp>) -> Self {
        self.digest = until.map(Digest::until);
        self
    }

    /// Records that were forgotten as told because a bound was reached: they may be told again.
    pub const fn evicted(&self) -> u64 {
        self.findings.evicted + self.servers.evicted + self.lookups.evicted
    }

    /// What is to be told of some events, in their order.
    pub fn pass(&mut self, events: &[Event]) -> Vec<Notice> {
        let mut out = Vec::new();
        for event in events {
            match event {
                Event::Capture(capture) => self.capture(capture, &mut out),
                Event::Client(client) => self.known.client(client),
                Event::Finding(reported) => self.finding(reported, &mut out),
                Event::Gone(Record::Finding(id)) => self.gone(id, &mut out),
                Event::Lookup(lookup) => self.lookup(lookup, &mut out),
                Event::Server(server) => self.server(server, &mut out),
                _ => {}
            }
        }
        self.due(&mut out);
        for notice in &mut out {
            notice.event_id = self.state(notice);
        }
        out
    }

    fn finding(&mut self, reported: &Reported, out: &mut Vec<Notice>) {
        let finding = &reported.finding;
        self.now = self.now.max(finding.seen.last.time);
        if !self.filter.wants_finding(reported) {
            return;
        }
        let told = self.findings.get(&reported.id).copied();
        let in_baseline = self.in_baseline() && finding.severity < Severity::Critical;
        if told.is_some_and(|told| (told.severity, told.count) == (finding.severity, finding.count)) {
            return;
        }
        if in_baseline {
            if told.is_none()
                && let Some(digest) = &mut self.digest
            {
                digest.finding(finding);
            }
            self.tell(reported, true);
            return;
        }
        let mut notice = self.known.finding(reported);
        if let Some(told) = told.filter(|told| !told.quiet) {
            notice.action = Action::Update;
            if told.severity == finding.severity && self.now < told.at.plus_nanos(COUNTS_EVERY) {
                // Too many are told with their next change.
                if self.waiting.len() < WAITING_MAX || self.waiting.contains_key(&reported.id) {
                    self.waiting.insert(reported.id.clone(), notice);
                }
                return;
            }
        }
        self.waiting.remove(&reported.id);
        self.tell(reported, false);
        out.push(notice);
    }

    fn tell(&mut self, reported: &Reported, quiet: bool) {
        let told = Told {
            severity: reported.finding.severity,
            count: reported.finding.count,
            at: self.now,
            quiet,
        };
        self.findings.insert(reported.id.clone(), told);
    }

    /// A finding that was told and is taken back.
    fn gone(&mut self, id: &String, out: &mut Vec<Notice>) {
        self.waiting.remove(id);
        if let Some(told) = self.findings.remove(id).filter(|told| !told.quiet) {
            let title = "Taken back: what it rested on is part of another finding".to_owned();
            let mut notice = Notice::new(What::Finding, id.clone(), title, told.at, self.now);
            notice.action = Action::Close;
            notice.severity = told.severity;
            notice.count = told.count;
            out.push(notice);
        }
    }

    /// New counts whose hour has come, and the digest of a day that is over.
    fn due(&mut self, out: &mut Vec<Notice>) {
        let now = self.now;
        let due: Vec<String> = self
            .waiting
            .keys()
            .filter(|id| {
                self.findings
                    .get(*id)
                    .is_none_or(|told| now >= told.at.plus_nanos(COUNTS_EVERY))
            })
            .cloned()
            .collect();
        for notice in due.iter().filter_map(|id| self.waiting.remove(id)) {
            let told = Told {
                severity: notice.severity,
                count: notice.count,
                at: now,
                quiet: false,
            };
            self.findings.insert(notice.id.clone(), told);
            out.push(notice);
        }
        let digest = self.digest.as_mut().and_then(|digest| digest.due(now, &self.sensor));
        out.extend(digest.filter(|_| self.filter.wants(What::Digest)));
    }

    fn server(&mut self, server: &Server, out: &mut Vec<Notice>) {
        self.now = self.now.max(server.seen.last.time);
        self.known.server(server);
        let tools = server.tools.iter().map(|tool| {
            let state = if tool.gone { String::new() } else { hex(&tool.sha256) };
            (tool.name.clone(), state)
        });
        let shown = Shown {
            state: says(server),
            tools: tools.collect(),
        };
        let before = self.servers.remove(&server.id);
        let changed = before.as_ref().is_none_or(|before| before.state != shown.state);
        if before.is_none() && self.in_baseline() {
            if let Some(digest) = &mut self.digest {
                digest.server(server);
            }
        } else if changed && self.filter.wants(What::Server) {
            let mut notice = compose::server(server);
            notice.action = if before.is_some() { Action::Update } else { Action::New };
            out.push(notice);
        }
        if let Some(before) = before.filter(|_| self.filter.wants(What::ToolChange)) {
            let changes = server.tools.iter().filter_map(|tool| {
                let is = shown.tools.get(&tool.name)?;
                let was = before.tools.get(&tool.name);
                let change = match was {
                    Some(was) if was == is => return None,
                    None => "appeared",
                    Some(was) if was.is_empty() => "appeared",
                    Some(_) if is.is_empty() => "went",
                    Some(_) => "changed",
                };
                let was = was.filter(|was| !was.is_empty()).map(String::as_str);
                Some(compose::tool_change(server, tool, change, was))
            });
            out.extend(changes);
        }
        self.servers.insert(server.id.clone(), shown);
    }

    fn lookup(&mut self, lookup: &Lookup, out: &mut Vec<Notice>) {
        self.now = self.now.max(lookup.seen.last.time);
        if !self.filter.wants(What::Lookup) || self.in_baseline() {
            return;
        }
        let notice = self.known.lookup(lookup);
        if self.lookups.get(&notice.id).is_none() {
            self.lookups.insert(notice.id.clone(), ());
            out.push(notice);
        }
    }

    fn capture(&mut self, capture: &Capture, out: &mut Vec<Notice>) {
        self.now = capture.seen.map_or(self.now, |(_, last)| self.now.max(last));
        if !self.filter.wants(What::SensorHealth) {
            return;
        }
        let mut notice = compose::health(capture, &self.sensor);
        let now = self.clock.map_or(self.now, |clock| clock());
        if self.clock.is_some() {
            notice.first = capture.seen.map_or(now, |(first, _)| first.min(now));
            notice.last = now;
        }
        let again = self
            .health
            .is_none_or(|(told, severity)| severity != notice.severity || now >= told.plus_nanos(HEALTH_EVERY));
        if again {
            self.health = Some((now, notice.severity));
            out.push(notice);
        }
    }

    fn in_baseline(&self) -> bool {
        self.digest.as_ref().is_some_and(|digest| digest.lasts(self.now))
    }

    /// What is equal for equal states of a record, whoever asks and whenever.
    fn state(&self, notice: &Notice) -> String {
        let fields = serde_json::to_string(&notice.fields).unwrap_or_default();
        short_hash(&[
            &self.sensor,
            notice.what.word(),
            &notice.id,
            notice.severity.word(),
            &notice.count.to_string(),
            &notice.last.to_string(),
            notice.approval.as_deref().unwrap_or_default(),
            &fields,
        ])
    }
}

/// What a server says of itself and what the policy says of it; not how much it is used.
fn says(server: &Server) -> String {
    format!(
        "{:?}",
        (
            (
                &server.server_name,
                &server.server_version,
                &server.hostname,
                &server.path
            ),
            (&server.transports, server.encryption, server.decrypted, server.evidence),
            (
                &server.protocol_versions,
                server.auth,
                &server.approval,
                &server.instructions_sha256
            ),
            server.tools.len(),
        )
    )
}

#[cfg(test)]
mod tests;
