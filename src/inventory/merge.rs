//! How two records of the same thing become one: in either order the same.

use std::collections::BTreeMap;

use crate::inventory::account::first_of;
use crate::model::finding::{Finding, FindingKey};
use crate::model::server::Lookup;

/// Counts are summed; what comes from one piece of evidence is taken whole from the earlier one.
pub(super) fn join_finding(findings: &mut BTreeMap<FindingKey, Finding>, finding: Finding) {
    match findings.get_mut(&finding.key) {
        Some(known) => merge_finding(known, finding),
        None => {
            findings.insert(finding.key.clone(), finding);
        }
    }
}

pub(super) fn merge_finding(known: &mut Finding, other: Finding) {
    let mut seen = known.seen;
    seen.join(other.seen);
    let count = known.count.saturating_add(other.count);
    let (severity, confidence) = (
        known.severity.max(other.severity),
        known.confidence.max(other.confidence),
    );
    if other.seen.first < known.seen.first {
        *known = other;
    }
    (known.seen, known.count, known.severity, known.confidence) = (seen, count, severity, confidence);
}

pub(super) fn join_lookup(known: &mut Lookup, other: &Lookup) {
    known.count = known.count.saturating_add(other.count);
    known.connected = first_of(known.connected, other.connected);
    known.seen.join(other.seen);
}
