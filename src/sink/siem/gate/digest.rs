//! The first weeks: what is new comes once a day, in one event, instead of in hundreds.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::finding::Finding;
use crate::model::server::Server;
use crate::model::stamp::Timestamp;
use crate::sink::siem::compose;
use crate::sink::siem::notice::Notice;

/// Servers that one digest names; `servers_total` tells how many there are.
const SERVERS_MAX: usize = 200;

const DAY: i64 = 86_400_000_000_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Digest {
    until: Timestamp,
    /// The first and the last moment of what was gathered.
    span: Option<(Timestamp, Timestamp)>,
    servers: Vec<Value>,
    servers_total: u64,
    /// Findings by kind and severity.
    findings: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
}

impl Digest {
    /// Gathers until a moment.
    pub(super) const fn until(until: Timestamp) -> Self {
        Self {
            until,
            span: None,
            servers: Vec::new(),
            servers_total: 0,
            findings: BTreeMap::new(),
        }
    }

    /// Whether the first weeks are not over.
    pub(super) fn lasts(&self, now: Timestamp) -> bool {
        now < self.until
    }

    pub(super) fn server(&mut self, server: &Server) {
        self.widen(server.seen.last.time);
        self.servers_total += 1;
        if self.servers.len() < SERVERS_MAX {
            self.servers.push(compose::line(server));
        }
    }

    pub(super) fn finding(&mut self, finding: &Finding) {
        self.widen(finding.seen.last.time);
        let of_kind = self.findings.entry(finding.key.kind.word()).or_default();
        *of_kind.entry(finding.severity.word()).or_insert(0) += 1;
    }

    fn widen(&mut self, at: Timestamp) {
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
    }

    /// The digest of a day that is over, or of the rest when the first weeks are.
    pub(super) fn due(&mut self, now: Timestamp, sensor: &str) -> Option<Notice> {
        let (first, last) = self.span?;
        let day = |at: Timestamp| at.nanos().div_euclid(DAY);
        if day(now) <= day(first) && self.lasts(now) {
            return None;
        }
        self.span = None;
        let date = first.to_string();
        let date = date.split('T').next().unwrap_or_default();
        let servers = std::mem::take(&mut self.servers);
        let total = std::mem::take(&mut self.servers_total);
        let mut notice = compose::digest(date, &servers, total, first, last, sensor);
        let findings = json!(std::mem::take(&mut self.findings));
        notice.fields.insert("findings".to_owned(), findings);
        Some(notice)
    }
}
