//! `unapproved-server`: an MCP server that no approval covers, once per server.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::detect::panel::Ruleset;
use crate::detect::{Detector, Findings, about};
use crate::model::finding::{Kind, Severity};
use crate::model::net::Scope;
use crate::model::server::{Server, ServerEvidence, View};
use crate::policy::{Policy, Verdict};

/// See the module.
pub struct Presence {
    policy: Arc<Policy>,
}

impl Presence {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            policy: Arc::clone(&rules.policy),
        })
    }
}

impl Detector for Presence {
    fn review(&self, server: &Server, all: &View, out: &mut Findings) {
        if server.evidence != ServerEvidence::Message {
            return;
        }
        let mut detail = BTreeMap::new();
        let expired = match self.policy.judge(server, all.now()) {
            Verdict::Approved { .. } => return,
            Verdict::Expired { rule, when } => {
                detail.insert("expired".to_owned(), format!("{rule}, until {when}"));
                " (its approval has expired)"
            }
            Verdict::Unapproved => "",
        };
        let name = about::server_name(server);
        detail.insert("name".to_owned(), name.clone());
        let severity = if server.scope == Scope::Public {
            Severity::High
        } else {
            Severity::Medium
        };
        let title = format!("MCP server {name} at {} is not approved{expired}", server.endpoint);
        let mut finding = about::server(Kind::UnapprovedServer, server, severity, title);
        finding.references = vec!["OWASP-MCP09".to_owned()];
        finding.detail = detail;
        out.findings.push(finding);
    }
}
