//! `tool-drift`: a tool, its description or schema, the server's name or its instructions changed, appeared or
//! disappeared.
//!
//! Order and white space are no change (the hashes are canonical). Appearance and disappearance are compared within one
//! audience. A change is graded by what it brings: suspicious text, a parameter that asks for secrets or for the
//! conversation, or weaker annotations make it high; a new server version announces it and makes it low.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use crate::detect::panel::Ruleset;
use crate::detect::suspicion::Suspicion;
use crate::detect::{Detector, Findings, about};
use crate::model::finding::{Finding, Kind, Severity};
use crate::model::server::{Definition, ListingSeen, Mark, Server, Tool, View};
use crate::model::stamp::{Span, Stamp};

/// Most findings about one server, the worst first: a server that changes with every answer is told often enough.
const MAX_FINDINGS: usize = 1024;
/// Changes of one tool that are told one by one, unless they alarm; a description that holds the time changes always.
const QUIET_CHANGES_MAX: usize = 8;
/// Listings before one that are looked through for what the same client got.
const LOOK_BACK_LISTINGS: usize = 32;

/// Words in a parameter's name that ask for what a tool has no business with.
const SENSITIVE_WORDS: [&str; 9] = [
    "apikey",
    "conversation",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "passwd",
    "password",
    "sidenote",
];

/// The same, as two words that follow each other.
const SENSITIVE_PAIRS: [(&str, &str); 13] = [
    ("access", "token"),
    ("api", "key"),
    ("api", "token"),
    ("auth", "token"),
    ("bearer", "token"),
    ("chat", "history"),
    ("client", "secret"),
    ("private", "key"),
    ("refresh", "token"),
    ("secret", "key"),
    ("session", "token"),
    ("ssh", "key"),
    ("system", "prompt"),
];

/// See the module.
pub struct Drift {
    suspicion: Suspicion,
}

impl Drift {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            suspicion: Suspicion::new(&rules.signatures),
        })
    }
}

impl Detector for Drift {
    fn review(&self, server: &Server, _all: &View, out: &mut Findings) {
        let mut all = Findings::default();
        for tool in &server.tools {
            self.definitions(server, tool, &mut all);
        }
        identity(server, &mut all);
        instructions(server, &mut all);
        for audience in server.listings.chunk_by(|a, b| a.audience == b.audience) {
            for (at, after) in audience.iter().enumerate() {
                let earlier = audience.get(..at).unwrap_or_default();
                if let Some(before) = predecessor(earlier, after)
                    && all.findings.len() < MAX_FINDINGS
                {
                    listings(server, before, after, &mut all);
                }
            }
        }
        all.findings
            .sort_by_key(|finding| (Reverse(finding.severity), finding.seen.first));
        all.findings.truncate(MAX_FINDINGS);
        out.findings.append(&mut all.findings);
    }
}

impl Drift {
    /// Each definition of a tool against the one before it.
    fn definitions(&self, server: &Server, tool: &Tool, out: &mut Findings) {
        let current = tool.present();
        let mut history: Vec<&Definition> = tool.earlier.iter().chain([&current]).collect();
        history.sort_by_key(|definition| (definition.seen.first, definition.seen.last, definition.sha256));
        let start = out.findings.len();
        let mut quiet = 0;
        for pair in history.windows(2) {
            let [before, after] = pair else { continue };
            let change = Change::between(&before.definition, &after.definition, &self.suspicion);
            quiet += usize::from(change.alarming.is_empty());
            if change.alarming.is_empty() && quiet > QUIET_CHANGES_MAX {
                if let Some(last) = out.findings.get_mut(start..).and_then(|told| told.last_mut()) {
                    last.count += 1;
                    last.seen.last = last.seen.last.max(after.seen.last);
                }
                continue;
            }
            let announced = new_version(server, before.seen.first, after.seen.first);
            let severity = match (change.alarming.is_empty(), &announced) {
                (false, _) => Severity::High,
                (true, Some(_)) => Severity::Low,
                (true, None) => Severity::Medium,
            };
            let what = change.parts.iter().copied().collect::<Vec<_>>().join(", ");
            let alarming = change.alarming.into_iter().collect::<Vec<_>>().join("; ");
            let why = if alarming.is_empty() {
                String::new()
            } else {
                format!(" ({alarming})")
            };
            let title = format!(
                "Tool {} of {} changed: {what}{why}",
                tool.name,
                about::server_name(server)
            );
            let mut finding = drift(server, severity, title, after.mark, after.seen);
            finding.key.tool = Some(tool.name.clone());
            finding.key.subject = Some(format!("{} to {}", hex(&before.sha256), hex(&after.sha256)));
            finding.key.place = Some("result.tools".to_owned());
            finding.detail.insert("from".to_owned(), hex(&before.sha256));
            finding.detail.insert("to".to_owned(), hex(&after.sha256));
            finding.detail.insert("changed".to_owned(), what);
            if !alarming.is_empty() {
                finding.detail.insert("alarming".to_owned(), alarming);
            }
            finding
                .detail
                .extend(announced.map(|version| ("announced".to_owned(), version)));
            out.findings.push(finding);
        }
    }
}

/// The listing that another is held against: the last one that the same client got, else the last one.
fn predecessor<'l>(earlier: &'l [ListingSeen], after: &ListingSeen) -> Option<&'l ListingSeen> {
    let same = |before: &&ListingSeen| !before.clients.is_disjoint(&after.clients);
    earlier
        .iter()
        .rev()
        .take(LOOK_BACK_LISTINGS)
        .find(same)
        .or_else(|| earlier.last())
}

/// Tools that one listing of an audience has and the one before lacks, and the other way round.
fn listings(server: &Server, before: &ListingSeen, after: &ListingSeen, out: &mut Findings) {
    // Given by turns to different clients: these are roles that no credential shows, or other backends, no change.
    if before.seen.last >= after.seen.first && before.clients.is_disjoint(&after.clients) {
        return;
    }
    let announced = new_version(server, before.seen.first, after.seen.first);
    let severity = if announced.is_some() {
        Severity::Low
    } else {
        Severity::Medium
    };
    let appeared = after.names.difference(&before.names).map(|name| (name, "appeared"));
    let gone = before.names.difference(&after.names).map(|name| (name, "disappeared"));
    for (name, what) in appeared.chain(gone) {
        let title = format!("Tool {name} of {} {what}", about::server_name(server));
        let mut finding = drift(server, severity, title, after.mark, after.seen);
        finding.key.tool = Some(name.clone());
        finding.key.subject = Some(what.to_owned());
        finding.key.place = Some("result.tools".to_owned());
        finding.detail.insert("changed".to_owned(), what.to_owned());
        finding
            .detail
            .extend(announced.clone().map(|version| ("announced".to_owned(), version)));
        out.findings.push(finding);
    }
}

/// Another name at the same place. Names that alternate are those of servers behind one gateway.
fn identity(server: &Server, out: &mut Findings) {
    let mut by_name: BTreeMap<&str, (Span, Mark)> = BTreeMap::new();
    for identity in &server.identities {
        let known = by_name.entry(&identity.name).or_insert((identity.seen, identity.mark));
        known.0.join(identity.seen);
        known.1 = known.1.min(identity.mark);
    }
    let mut names: Vec<(&str, (Span, Mark))> = by_name.into_iter().collect();
    names.sort_by_key(|(name, (seen, _))| (seen.first, *name));
    for pair in names.windows(2) {
        let [(before, (old, _)), (after, (new, mark))] = pair else {
            continue;
        };
        if old.last >= new.first || out.findings.len() >= MAX_FINDINGS {
            continue;
        }
        let title = format!(
            "MCP server at {} calls itself {after}, no longer {before}",
            server.endpoint
        );
        let mut finding = drift(server, Severity::Medium, title, *mark, *new);
        finding.key.place = Some("serverInfo.name".to_owned());
        finding.key.subject = Some(format!("{before} to {after}"));
        out.findings.push(finding);
    }
}

fn instructions(server: &Server, out: &mut Findings) {
    let mut texts: Vec<&Definition> = server.instructions.iter().collect();
    texts.sort_by_key(|text| (text.seen.first, text.sha256));
    for pair in texts.windows(2) {
        let [before, after] = pair else { continue };
        let announced = new_version(server, before.seen.first, after.seen.first);
        let severity = if announced.is_some() {
            Severity::Low
        } else {
            Severity::Medium
        };
        let title = format!("The instructions of {} changed", about::server_name(server));
        let mut finding = drift(server, severity, title, after.mark, after.seen);
        finding.key.place = Some("instructions".to_owned());
        finding.key.subject = Some(format!("{} to {}", hex(&before.sha256), hex(&after.sha256)));
        finding
            .detail
            .extend(announced.map(|version| ("announced".to_owned(), version)));
        out.findings.push(finding);
    }
}

fn drift(server: &Server, severity: Severity, title: String, mark: Mark, seen: Span) -> Finding {
    let mut finding = about::marked(Kind::ToolDrift, server, severity, title, Some(mark));
    finding.seen = Span {
        first: mark.at,
        last: seen.last.max(mark.at),
    };
    finding.references = vec!["OWASP-MCP03".to_owned()];
    finding
}

/// The version that a server newly gave itself between two moments: what it says of itself at each of them differs.
fn new_version(server: &Server, before: Stamp, after: Stamp) -> Option<String> {
    let at = |when: Stamp| {
        server
            .identities
            .iter()
            .filter(|identity| identity.seen.first <= when)
            .max_by_key(|identity| identity.seen.first)
    };
    let (old, new) = (at(before)?, at(after)?);
    (old.name == new.name && old.version != new.version).then(|| format!("{} to {}", old.version, new.version))
}

/// What differs between two definitions.
#[derive(Debug, Default)]
struct Change {
    /// Members that differ.
    parts: BTreeSet<&'static str>,
    /// Why it is more than a change.
    alarming: BTreeSet<String>,
}

impl Change {
    fn between(before: &str, after: &str, suspicion: &Suspicion) -> Self {
        let mut change = Self::default();
        let (Ok(old), Ok(new)) = (
            serde_json::from_str::<Value>(before),
            serde_json::from_str::<Value>(after),
        ) else {
            // The text of one was over a bound: the hashes alone say that something changed.
            change.parts.insert("definition");
            return change;
        };
        for part in [
            "title",
            "description",
            "inputSchema",
            "outputSchema",
            "annotations",
            "icons",
            "execution",
        ] {
            if old.get(part) != new.get(part) {
                change.parts.insert(part);
            }
        }
        if change.parts.is_empty() {
            change.parts.insert("definition");
        }
        let known = suspicion.of_definition(&old);
        let fresh = suspicion.of_definition(&new);
        if fresh.is_recorded() && fresh.score > known.score {
            change
                .alarming
                .insert(format!("suspicious text ({})", fresh.groups.join(", ")));
        }
        let old_parameters = parameters(&old);
        for name in parameters(&new).difference(&old_parameters) {
            if is_sensitive(name) {
                change.alarming.insert(format!("new parameter {name}"));
            }
        }
        for (hint, weaker) in [
            ("readOnlyHint", false),
            ("destructiveHint", true),
            ("openWorldHint", true),
        ] {
            let value = |tool: &Value| {
                tool.pointer("/annotations")
                    .and_then(|hints| hints.get(hint))
                    .and_then(Value::as_bool)
            };
            if value(&old) == Some(!weaker) && value(&new) != Some(!weaker) {
                change.alarming.insert(format!("weaker {hint}"));
            }
        }
        change
    }
}

fn parameters(tool: &Value) -> BTreeSet<String> {
    let properties = tool.pointer("/inputSchema/properties").and_then(Value::as_object);
    properties.map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

/// Whether a parameter's name asks for secrets or for the conversation.
fn is_sensitive(name: &str) -> bool {
    let words = words(name);
    let pairs = words.iter().zip(words.iter().skip(1));
    words.iter().any(|word| SENSITIVE_WORDS.contains(&word.as_str()))
        || pairs
            .into_iter()
            .any(|(one, two)| SENSITIVE_PAIRS.contains(&(one, two)))
}

/// Words of `snake_case`, `kebab-case` and `camelCase`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        let next = !c.is_alphanumeric() || (lower && c.is_uppercase());
        lower = c.is_lowercase() || c.is_numeric();
        match words.last_mut() {
            Some(word) if !next => word.extend(c.to_lowercase()),
            _ => words.push(if c.is_alphanumeric() {
                c.to_lowercase().collect()
            } else {
                String::new()
            }),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// First 16 digits: enough to tell definitions apart and to find them in the record of the tool.
fn hex(hash: &[u8; 32]) -> String {
    hash.iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::net::{Endpoint, FiveTuple, Transport};
    use crate::model::server::Audience;
    use crate::model::stamp::Timestamp;

    fn listing(client: u8, second: i64) -> ListingSeen {
        let addr = [10, 0, 0, client].into();
        let at = Stamp {
            time: Timestamp::from_parts(second, 0),
            ..Stamp::default()
        };
        let end = Endpoint::new(addr, 1);
        let flow = FiveTuple {
            transport: Transport::Tcp,
            client: end,
            server: end,
        };
        ListingSeen {
            audience: Audience {
                auth: None,
                client: None,
            },
            names: BTreeSet::new(),
            clients: BTreeSet::from([addr]),
            seen: Span::at(at),
            mark: Mark {
                at,
                flow,
                session: None,
            },
        }
    }

    #[test]
    fn a_listing_is_held_against_the_same_clients() {
        let earlier = [listing(1, 1), listing(2, 2), listing(1, 3), listing(2, 4)];
        assert_eq!(predecessor(&earlier, &listing(1, 5)), earlier.get(2));
        assert_eq!(predecessor(&earlier, &listing(3, 5)), earlier.last());
        assert_eq!(predecessor(&[], &listing(3, 5)), None);
    }

    #[test]
    fn sensitive_parameters() {
        for name in [
            "api_key",
            "apiKey",
            "conversationHistory",
            "system-prompt",
            "sidenote",
            "authToken",
        ] {
            assert!(is_sensitive(name), "{name}");
        }
        for name in [
            "environment",
            "inventory",
            "keyboard",
            "contextual",
            "city",
            "primary_key",
            "page_token",
            "maxTokens",
            "context",
            "nextPageToken",
            "history",
        ] {
            assert!(!is_sensitive(name), "{name}");
        }
    }
}
