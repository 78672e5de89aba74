//! `tunnel-exposure`: an MCP server behind a tunnel service, seen from either end.
//!
//! The machine of the server keeps a connection to the tunnel's control host; whoever knows the tunnel's name reaches
//! the server through it, past every rule of the network. A browser that opens somebody's tunnel page goes to other
//! names. From the client's end a server whose own name is a tunnel's is read in clear or after decryption.

use std::sync::Arc;

use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::signature::names::NameRule;
use crate::detect::{Detector, Findings, about};
use crate::model::finding::{Kind, Severity};
use crate::model::net::Scope;
use crate::model::server::{Lookup, Server, ServerEvidence, View};
use crate::policy::Policy;

/// See the module.
pub struct Tunnels {
    signatures: Arc<Signatures>,
    policy: Arc<Policy>,
}

impl Tunnels {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
            policy: Arc::clone(&rules.policy),
        })
    }

    /// The first contact that an agent on the server's machine makes with a tunnel service.
    fn published<'v>(&self, server: &Server, all: &'v View) -> Option<(&'v Lookup, &NameRule)> {
        if !self.policy.is_home(server.endpoint.addr) {
            return None;
        }
        let first = server.peers.values().filter_map(|peer| peer.answered).min()?;
        let here = |lookup: &Lookup| {
            // Who captures loopback traffic sits on the machine, and so do the agents that it sees.
            let same_machine = server.scope == Scope::Loopback
                && lookup.seen.first.source == first.at.source
                && self.policy.is_home(lookup.client);
            lookup.client == server.endpoint.addr || same_machine
        };
        let agent = |lookup: &'v Lookup| {
            let rule = self
                .signatures
                .names
                .find_where(&lookup.name, |rule| rule.category == "tunnel")?;
            (rule.agent && here(lookup)).then_some((lookup, rule))
        };
        all.lookups
            .iter()
            .filter(|lookup| lookup.category == "tunnel")
            .filter_map(agent)
            .min_by_key(|(lookup, _)| (lookup.seen.first, &lookup.name, lookup.via))
    }

    fn reached(&self, server: &Server) -> Option<&NameRule> {
        let hostname = server.hostname.as_deref()?;
        let rule = self.signatures.names.find(hostname)?;
        (rule.category == "tunnel" && !rule.shared_host).then_some(rule)
    }
}

impl Detector for Tunnels {
    fn review(&self, server: &Server, all: &View, out: &mut Findings) {
        if server.evidence != ServerEvidence::Message {
            return;
        }
        let name = about::server_name(server);
        if let Some((lookup, rule)) = self.published(server, all) {
            let title = format!("the machine of MCP server {name} keeps a tunnel of {}", rule.product);
            let mut finding = about::server(Kind::TunnelExposure, server, Severity::High, title);
            finding.key.rule = rule.id.clone();
            finding.key.subject = Some(lookup.name.clone());
            finding.confidence = 0.8;
            finding.seen = lookup.seen;
            finding.references = vec!["OWASP-MCP09".to_owned()];
            finding.detail.insert("name".to_owned(), lookup.name.clone());
            finding.detail.insert("product".to_owned(), rule.product.clone());
            finding.detail.insert("agent".to_owned(), lookup.client.to_string());
            out.findings.push(finding);
        }
        if let (Some(rule), Some(hostname)) = (self.reached(server), &server.hostname) {
            let title = format!("MCP server {name} is reached through a tunnel of {}", rule.product);
            let mut finding = about::server(Kind::TunnelExposure, server, Severity::Medium, title);
            finding.key.rule = rule.id.clone();
            finding.confidence = 0.9;
            finding.references = vec!["OWASP-MCP09".to_owned()];
            finding.detail.insert("name".to_owned(), hostname.to_string());
            finding.detail.insert("product".to_owned(), rule.product.clone());
            out.findings.push(finding);
        }
    }
}
