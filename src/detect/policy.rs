//! `policy-violation` and `gateway-bypass`: what clients and servers do although the policy says otherwise.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use crate::detect::panel::Ruleset;
use crate::detect::{Detector, Findings, about};
use crate::model::finding::{Finding, Kind, Severity};
use crate::model::net::Direction;
use crate::model::server::{Calls, Server, ServerEvidence, Tool, View};
use crate::model::stamp::Timestamp;
use crate::policy::{Hints, Policy, Usage};

/// See the module.
pub struct Obedience {
    policy: Arc<Policy>,
}

impl Obedience {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            policy: Arc::clone(&rules.policy),
        })
    }
}

impl Detector for Obedience {
    fn review(&self, server: &Server, all: &View, out: &mut Findings) {
        self.bypasses(server, out);
        if !self.policy.restricts_tools() || server.evidence != ServerEvidence::Message {
            return;
        }
        let now = all.now();
        // A call whose name was not read breaks no rule.
        for ((client, name), calls) in server.calls.iter().filter(|((_, name), _)| !name.is_empty()) {
            out.findings.extend(self.call(server, (*client, name), calls, now));
        }
        for tool in server.tools.iter().filter(|tool| !tool.gone) {
            out.findings.extend(self.offer(server, tool, now));
        }
    }
}

impl Obedience {
    /// A call that the policy does not allow to this client.
    fn call(&self, server: &Server, (client, name): (IpAddr, &str), calls: &Calls, now: Timestamp) -> Option<Finding> {
        let tool = server.tools.iter().find(|tool| tool.name == name);
        let hints = tool.map(hints).unwrap_or_default();
        let Usage::Forbidden { rule, why } = self.policy.may_call(server, client, now, (name, hints)) else {
            return None;
        };
        let about = about::server_name(server);
        let title = format!("Client {client} calls {name} of {about}: by {rule}, the tool {why}");
        let mut finding = about::marked(Kind::PolicyViolation, server, Severity::Medium, title, Some(calls.mark));
        finding.key.rule = "tool-call".into();
        finding.key.client = Some(client);
        finding.key.tool = Some(name.to_owned());
        finding.key.direction = Some(Direction::ToServer);
        finding.key.place = Some("params.name".to_owned());
        finding.count = calls.count;
        finding.seen.last = finding.seen.last.max(calls.seen.last);
        finding.detail.insert("policy".to_owned(), rule.to_string());
        let groups = self.policy.groups_of(client);
        if !groups.is_empty() {
            finding.detail.insert("groups".to_owned(), groups.join(", "));
        }
        Some(finding)
    }

    /// A tool that the policy allows to nobody.
    fn offer(&self, server: &Server, tool: &Tool, now: Timestamp) -> Option<Finding> {
        let usage = self.policy.may_offer(server, now, (&tool.name, hints(tool)));
        let Usage::Forbidden { rule, why } = usage else {
            return None;
        };
        let about = about::server_name(server);
        let title = format!("{about} offers {}: by {rule}, the tool {why}", tool.name);
        let mut finding = about::marked(Kind::PolicyViolation, server, Severity::Medium, title, Some(tool.mark));
        finding.key.rule = "tool-offer".into();
        finding.key.tool = Some(tool.name.clone());
        finding.key.direction = Some(Direction::ToClient);
        finding.key.place = Some("result.tools".to_owned());
        finding.seen.last = finding.seen.last.max(tool.seen.last);
        finding.detail.insert("policy".to_owned(), rule.to_string());
        Some(finding)
    }

    /// Clients that got an answer around the gateway. Of a server whose messages cannot be read, those that connected.
    fn bypasses(&self, server: &Server, out: &mut Findings) {
        let mut bypass = |client: IpAddr, asks_from: IpAddr, mark| {
            let Some(rule) = self.policy.bypasses(server, asks_from) else {
                return;
            };
            let about = about::server_name(server);
            let title = format!(
                "Client {client} reaches {about} at {} directly, around {rule}",
                server.endpoint
            );
            let mut finding = about::marked(Kind::GatewayBypass, server, Severity::High, title, mark);
            finding.key.client = Some(client);
            finding.key.direction = Some(Direction::ToServer);
            finding.detail.insert("policy".to_owned(), rule.to_owned());
            finding.references = vec!["OWASP-MCP09".to_owned()];
            out.findings.push(finding);
        };
        if server.evidence == ServerEvidence::Message {
            for (client, peer) in &server.peers {
                if let Some(mark) = peer.answered {
                    // A gateway that names its client in a PROXY preface still asks from its own address.
                    bypass(*client, mark.flow.client.addr, Some(mark));
                }
            }
        } else if !server.transports.is_empty() {
            server.clients.iter().for_each(|client| bypass(*client, *client, None));
        }
    }
}

/// What a tool's annotations claim (MCP 2025-03-26 and later, `ToolAnnotations`).
fn hints(tool: &Tool) -> Hints {
    let definition: Value = serde_json::from_str(&tool.definition).unwrap_or_default();
    let hint = |name: &str| definition.get("annotations")?.get(name)?.as_bool();
    Hints {
        read_only: hint("readOnlyHint"),
        destructive: hint("destructiveHint"),
    }
}
