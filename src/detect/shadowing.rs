//! `tool-shadowing`: two servers offer one client a tool of the same name, or of names that look the same, or the
//! description of a tool steers the use of a tool of another server.
//!
//! The model of that client chooses by name and description, and the last word may be the wrong server's. Equal
//! definitions are the same software twice and no shadow; so are two places of one server. The whole view is looked at
//! with its first server: one pass over the tools of each client.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;
use unicode_security::skeleton;

use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::{Detector, Findings, about};
use crate::model::finding::{Finding, Kind, Severity};
use crate::model::server::{Server, Tool, View};

/// Most findings of one view.
const MAX_FINDINGS: usize = 1_024;
/// Shortest name that a description is searched for: shorter ones are words of the language.
const MIN_NAME_BYTES: usize = 6;
/// Chance that a tool of the same name is a shadow and no accident; many servers offer `search`.
const SAME_NAME: f32 = 0.5;
/// The same of names that only look the same.
const ALIKE: f32 = 0.8;
/// The same of a description that gives orders about another server's tool.
const STEERED: f32 = 0.6;

/// See the module.
pub struct Shadowing {
    signatures: Arc<Signatures>,
}

/// A tool of a server of the view.
type Offered<'v> = (&'v Server, &'v Tool);

impl Shadowing {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
        })
    }
}

impl Detector for Shadowing {
    fn review(&self, server: &Server, all: &View, out: &mut Findings) {
        if all.servers.first().is_none_or(|first| !std::ptr::eq(first, server)) {
            return;
        }
        let mut told = Told {
            keys: BTreeSet::new(),
            out,
        };
        for servers in by_client(all).values().filter(|servers| servers.len() > 1) {
            let mut alike: BTreeMap<String, Vec<Offered<'_>>> = BTreeMap::new();
            let mut names: HashMap<&str, Vec<&Server>> = HashMap::new();
            for server in servers {
                for tool in server.tools.iter().filter(|tool| !tool.gone) {
                    alike.entry(look(&tool.name)).or_default().push((server, tool));
                    names.entry(&tool.name).or_default().push(server);
                }
            }
            alike.values().for_each(|offered| collisions(offered, &mut told));
            for server in servers {
                for tool in server.tools.iter().filter(|tool| !tool.gone) {
                    self.steering((server, tool), &names, &mut told);
                }
            }
        }
    }
}

impl Shadowing {
    /// Names of other servers' tools in a definition, with an order in the same sentence.
    fn steering(&self, own: Offered<'_>, names: &HashMap<&str, Vec<&Server>>, told: &mut Told<'_>) {
        let (server, tool) = own;
        let word = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'));
        let foreign: BTreeSet<&str> = tool
            .definition
            .split(word)
            .filter(|name| name.len() >= MIN_NAME_BYTES && is_name(name) && names.contains_key(name))
            .filter(|name| server.tools.iter().all(|own| own.name != **name))
            .collect();
        if foreign.is_empty() {
            return;
        }
        let texts = texts(&tool.definition);
        for name in foreign {
            let owner = names
                .get(name)
                .and_then(|servers| servers.iter().find(|other| !is_same(server, other)));
            let Some(owner) = owner else { continue };
            if texts.iter().any(|text| self.signatures.poison.orders(text, name)) {
                let title = format!(
                    "Tool {} of {} gives orders about {name} of {}",
                    tool.name,
                    about::server_name(server),
                    about::server_name(owner)
                );
                told.add("steers", own, (owner, name), STEERED, title);
            }
        }
    }
}

/// Servers that each client was given tools by, in the order of the view.
fn by_client(all: &View) -> BTreeMap<IpAddr, Vec<&Server>> {
    let mut clients: BTreeMap<IpAddr, Vec<&Server>> = BTreeMap::new();
    for server in &all.servers {
        let given: BTreeSet<IpAddr> = server
            .listings
            .iter()
            .flat_map(|listing| listing.clients.iter().copied())
            .collect();
        for client in given {
            clients.entry(client).or_default().push(server);
        }
    }
    clients
}

/// Tools whose names are or look the same, of which the first seen is the one that others shadow.
fn collisions(offered: &[Offered<'_>], told: &mut Told<'_>) {
    let Some((first, others)) = offered
        .iter()
        .min_by_key(|(_, tool)| tool.mark)
        .map(|first| (first, offered))
    else {
        return;
    };
    for other in others {
        let same = first.1.name == other.1.name;
        if is_same(first.0, other.0) || (same && first.1.sha256 == other.1.sha256) {
            continue;
        }
        let (what, confidence) = if same {
            ("is offered by", SAME_NAME)
        } else {
            ("looks like a tool of", ALIKE)
        };
        let title = format!(
            "Tool {} of {} {what} {}, too",
            other.1.name,
            about::server_name(other.0),
            about::server_name(first.0)
        );
        let rule = if same { "same-name" } else { "alike" };
        told.add(rule, *other, (first.0, &first.1.name), confidence, title);
    }
}

/// Two places of one server: it calls itself the same.
fn is_same(one: &Server, other: &Server) -> bool {
    std::ptr::eq(one, other) || (one.server_name.is_some() && one.server_name == other.server_name)
}

/// Whether a word can be meant as the name of a tool: it is no word of a language.
fn is_name(word: &str) -> bool {
    word.contains(['_', '-']) || word.chars().skip(1).any(char::is_uppercase)
}

/// What a name looks like (UTS #39), whatever its case.
fn look(name: &str) -> String {
    let folded: String = name.nfkc().flat_map(char::to_lowercase).collect();
    skeleton(&folded).collect()
}

/// Every string of a definition.
fn texts(definition: &str) -> Vec<String> {
    fn collect(value: Value, out: &mut Vec<String>) {
        match value {
            Value::Array(list) => list.into_iter().for_each(|inner| collect(inner, out)),
            Value::Object(map) => map.into_iter().for_each(|(_, inner)| collect(inner, out)),
            Value::String(text) => out.push(text),
            _ => {}
        }
    }
    let mut out = Vec::new();
    if let Ok(value) = serde_json::from_str(definition) {
        collect(value, &mut out);
    }
    out
}

/// Findings, each told once however many clients it concerns.
struct Told<'o> {
    keys: BTreeSet<(String, String, String, String)>,
    out: &'o mut Findings,
}

impl Told<'_> {
    fn add(&mut self, rule: &str, own: Offered<'_>, other: (&Server, &str), confidence: f32, title: String) {
        let (server, tool) = own;
        let key = (
            server.id.clone(),
            tool.name.clone(),
            other.0.id.clone(),
            other.1.to_owned(),
        );
        if self.keys.len() >= MAX_FINDINGS || !self.keys.insert(key) {
            return;
        }
        let mut finding: Finding = about::marked(Kind::ToolShadowing, server, Severity::Medium, title, Some(tool.mark));
        finding.key.rule = Arc::from(format!("tool-shadowing-{rule}"));
        finding.key.tool = Some(tool.name.clone());
        finding.key.place = Some("result.tools".to_owned());
        finding.key.subject = Some(format!("{} of {}", other.1, other.0.id));
        finding.confidence = confidence;
        finding.references = vec!["OWASP-MCP03".to_owned()];
        finding.detail.insert("other_tool".to_owned(), other.1.to_owned());
        finding
            .detail
            .insert("other_server".to_owned(), other.0.endpoint.to_string());
        self.out.findings.push(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_the_same() {
        for (one, other) in [
            ("send_email", "send_emai1"),
            ("send_email", "send_\u{435}mail"),
            ("Send_Email", "send_email"),
            ("read_file", "read_fi\u{217c}e"),
        ] {
            assert_eq!(look(one), look(other), "{one} {other}");
        }
        for (one, other) in [("list_issue", "list_issues"), ("get_a", "get_b")] {
            assert_ne!(look(one), look(other), "{one} {other}");
        }
    }

    #[test]
    fn names_are_no_words() {
        assert!(is_name("send_email") && is_name("sendEmail") && is_name("send-email"));
        assert!(!is_name("search") && !is_name("Search"));
    }
}
