//! From the joined inventory to the view that is reported: servers inferred from names, findings of the record.

use std::collections::BTreeSet;

use crate::detect::Findings;
use crate::engine::hosting::Hosting;
use crate::engine::{Shared, suspects};
use crate::host::Snapshot;
use crate::inventory::pseudonyms::pseudonym;
use crate::model::finding::{Finding, Kind};
use crate::model::message_seen::MessageSeen;
use crate::model::server::{Capture, ServerEvidence, View};
use crate::model::stamp::Timestamp;
use crate::policy::Verdict;

/// Everything that is known now, judged. Of the messages that wait, those go into it whose server is known.
pub fn review(shared: &Shared, capture: Capture, waiting: &mut Vec<MessageSeen>) -> View {
    review_with(shared, capture, waiting, Edge::default())
}

/// What a live sensor knows that no packet shows.
#[derive(Default)]
pub struct Edge<'a> {
    /// Of itself.
    pub findings: Vec<Finding>,
    /// Of its machine: what was seen before, what was seen last, and when it is asked.
    pub host: Option<(&'a mut Hosting, &'a Snapshot, Timestamp)>,
}

/// The same with what no packet shows.
pub fn review_with(shared: &Shared, capture: Capture, waiting: &mut Vec<MessageSeen>, edge: Edge<'_>) -> View {
    let mut view = shared.inventory.view(capture);
    view.place(waiting);
    suspects::count_dns(&mut view, &shared.rules.signatures.resolvers);
    suspects::add(&mut view, &shared.rules.signatures.names);
    let now = view.now();
    let policy = &shared.rules.policy;
    policy.ignore(&mut view);
    view.past.clone_from(&shared.settings.past);
    if let Some((hosting, snapshot, now)) = edge.host {
        hosting.join(&mut view, snapshot, now, &shared.rules.signatures);
    }
    for server in &mut view.servers {
        if let Verdict::Approved { rule, .. } = policy.judge(server, now) {
            server.approval = Some(rule.to_string());
        }
    }
    let approved: Vec<String> = view
        .servers
        .iter()
        .filter(|server| server.approval.is_some())
        .map(|server| server.id.clone())
        .collect();
    // A name that led to an approved server is approved with it, also where only its address is written down.
    let names: BTreeSet<&str> = view
        .servers
        .iter()
        .filter(|server| server.approval.is_some() && server.evidence != ServerEvidence::Message)
        .filter_map(|server| server.hostname.as_deref())
        .collect();
    view.findings.retain(|reported| {
        let key = &reported.finding.key;
        if !matches!(key.kind, Kind::RegistryLookup | Kind::RemoteEndpoint) {
            return true;
        }
        let name = reported
            .finding
            .detail
            .get("name")
            .map(String::as_str)
            .unwrap_or_default();
        let covered = key.client.is_some_and(|client| policy.covers_name(name, client, now));
        let server = reported.server_id.as_ref().is_some_and(|id| approved.contains(id));
        !covered && !server && !names.contains(name)
    });
    let mut findings = Findings::default();
    shared.panel.review(&view, &mut findings);
    view.report(findings.findings.into_iter().chain(edge.findings));
    policy.settle(&mut view);
    view.order_findings();
    let folded = policy.fold(&mut view);
    view.report(folded);
    if shared.settings.pseudonyms {
        let fingerprints = &shared.rules.fingerprints;
        view.pseudonymise(&|addr| pseudonym(fingerprints.of(format!("client {addr}").as_bytes())));
    }
    view
}
