//! `[[allow]]`: which tools of a server a client may call.
//!
//! Read like a firewall: the first section that covers both server and client decides. A server that no section names is
//! not restricted; of one that is named, who is covered by none of its sections may call nothing.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::server::Server;
use crate::model::stamp::Timestamp;
use crate::policy::criteria::{Clients, Pattern, Servers};

/// One `[[allow]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allow {
    pub(super) rule: Arc<str>,
    pub(super) servers: Servers,
    pub(super) clients: Clients,
    /// `None`: every tool.
    pub(super) tools: Option<Vec<Pattern>>,
    pub(super) except: Vec<Pattern>,
    pub(super) read_only: bool,
    pub(super) until: Option<Timestamp>,
}

/// What the policy says about the use of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usage {
    /// A section allows it, or none names the server.
    Allowed,
    /// The section that covers server and client, or the last that names the server, does not.
    Forbidden {
        /// `allow #1: support — may only read`.
        rule: Arc<str>,
        /// Why, as the end of a sentence.
        why: &'static str,
    },
}

/// Words that begin or end a tool's name and say that it changes something.
const WRITING: [&str; 34] = [
    "add", "append", "archive", "assign", "cancel", "clear", "commit", "create", "delete", "deploy", "destroy", "drop",
    "edit", "erase", "execute", "insert", "kill", "merge", "modify", "move", "patch", "publish", "purge", "push",
    "put", "remove", "rename", "replace", "send", "truncate", "update", "upload", "wipe", "write",
];

/// Those of them that no honest server declares read-only.
const DESTROYING: [&str; 8] = [
    "delete", "destroy", "drop", "erase", "purge", "remove", "truncate", "wipe",
];

/// What a tool's definition says about whether it changes something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// `annotations.readOnlyHint`.
    pub read_only: Option<bool>,
    /// `annotations.destructiveHint`.
    pub destructive: Option<bool>,
}

/// Whether a tool surely changes something: its annotations say so (MCP 2025-03-26 and later, `ToolAnnotations`), or its
/// name does and they do not deny it. A server's own hint is a claim: a tool that is called `delete` is not believed to
/// be read-only. What neither tells is not held against it.
pub fn is_writing(name: &str, hints: Hints) -> bool {
    let first = first_word(name);
    match (hints.read_only, hints.destructive) {
        (Some(false), _) | (_, Some(true)) if hints.read_only != Some(true) => true,
        (Some(true), _) => DESTROYING.contains(&first.as_str()),
        _ => WRITING.contains(&first.as_str()),
    }
}

/// The first word of `snake_case`, `kebab-case`, `dotted.case` and `camelCase`, in lower case.
fn first_word(name: &str) -> String {
    let mut word = String::new();
    let mut lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (lower && c.is_uppercase()) {
            break;
        }
        lower = c.is_lowercase();
        word.extend(c.to_lowercase());
    }
    word
}

impl Allow {
    fn counts_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Why not, or `None`.
    fn refuses(&self, tool: &str, hints: Hints) -> Option<&'static str> {
        let named = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(tool));
        if self.tools.as_deref().is_some_and(|tools| !named(tools)) {
            return Some("is not among the tools that it allows");
        }
        if named(&self.except) {
            return Some("is excepted by it");
        }
        (self.read_only && is_writing(tool, hints)).then_some("changes something, and it allows reading only")
    }
}

/// Whether a client may call a tool.
pub(super) fn may_call(
    allows: &[Allow],
    (server, client, now): (&Server, IpAddr, Timestamp),
    (tool, hints): (&str, Hints),
) -> Usage {
    let mut last = None;
    for allow in allows {
        if !allow.counts_at(now) || !allow.servers.matches(server) {
            continue;
        }
        last = Some(allow);
        if allow.clients.holds(client) {
            return match allow.refuses(tool, hints) {
                None => Usage::Allowed,
                Some(why) => forbidden(allow, why),
            };
        }
    }
    last.map_or(Usage::Allowed, |allow| {
        forbidden(
            allow,
            "is not allowed to this client by any section that names the server",
        )
    })
}

/// Whether a server may offer a tool: a section allows it to anyone.
pub(super) fn may_offer(allows: &[Allow], server: &Server, now: Timestamp, (tool, hints): (&str, Hints)) -> Usage {
    let mut refused = None;
    for allow in allows {
        if !allow.counts_at(now) || !allow.servers.matches(server) {
            continue;
        }
        match allow.refuses(tool, hints) {
            None => return Usage::Allowed,
            Some(why) => refused = Some((allow, why)),
        }
    }
    refused.map_or(Usage::Allowed, |(allow, why)| forbidden(allow, why))
}

fn forbidden(allow: &Allow, why: &'static str) -> Usage {
    Usage::Forbidden {
        rule: Arc::clone(&allow.rule),
        why,
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = |patterns: &[Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let mut words = self.servers.words();
        words.extend(self.clients.words());
        words.extend(self.tools.as_ref().map(|tools| format!("tools {}", patterns(tools))));
        words.extend((!self.except.is_empty()).then(|| format!("except {}", patterns(&self.except))));
        words.extend(self.read_only.then(|| "read only".to_owned()));
        words.extend(self.until.map(|until| format!("until {until}")));
        write!(f, "{} [{}]", self.rule, words.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something() {
        let hints = |read_only, destructive| Hints { read_only, destructive };
        for (name, hints, writing) in [
            ("get_user", Hints::default(), false),
            ("delete_user", Hints::default(), true),
            ("deleteUser", Hints::default(), true),
            ("update-page", Hints::default(), true),
            ("updates_list", Hints::default(), false),
            ("address_book", Hints::default(), false),
            ("browse", Hints::default(), false),
            ("browse", hints(Some(false), None), true),
            ("browse", hints(None, Some(true)), true),
            ("browse", hints(None, Some(false)), false),
            // Meaningful only where something is changed at all.
            ("browse", hints(Some(true), Some(true)), false),
            ("create_report", hints(Some(true), None), false),
            ("drop_table", hints(Some(true), None), true),
            ("", Hints::default(), false),
        ] {
            assert_eq!(is_writing(name, hints), writing, "{name} {hints:?}");
        }
    }
}
