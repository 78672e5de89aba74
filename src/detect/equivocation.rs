//! `tool-equivocation`: one server gives different definitions of a tool to different clients at the same time.
//!
//! A rollout is none: there every client moves once, in one direction, and a server whose versions overlap is one of
//! several behind a name. What counts is interleaved: who gets the one definition gets it still, or again, after others
//! got the other. Clients are compared within one class of credential, because a role may see its own text; where there
//! are credentials at all, a difference that brings nothing suspicious is medium.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::detect::drift::{self, Change};
use crate::detect::panel::Ruleset;
use crate::detect::suspicion::Suspicion;
use crate::detect::{Detector, Findings, about};
use crate::model::finding::{Kind, Severity};
use crate::model::mcp::Auth;
use crate::model::server::{Definition, Server, Tool, View};
use crate::model::stamp::Span;

/// Definitions of one tool that are compared with each other, the latest: a text that changes with every answer is drift.
pub(super) const DEFINITIONS_MAX: usize = 16;

/// See the module.
pub struct Equivocation {
    suspicion: Suspicion,
}

impl Equivocation {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            suspicion: Suspicion::new(&rules.signatures),
        })
    }
}

impl Detector for Equivocation {
    fn review(&self, server: &Server, _all: &View, out: &mut Findings) {
        for tool in server.tools.iter().filter(|tool| !tool.earlier.is_empty()) {
            let definitions = definitions(tool);
            for (at, one) in definitions.iter().enumerate() {
                for other in definitions.iter().skip(at + 1) {
                    if let Some(auth) = interleaved(server, one, other) {
                        self.tell(server, tool, (one, other, auth), out);
                    }
                }
            }
        }
    }
}

impl Equivocation {
    fn tell(
        &self,
        server: &Server,
        tool: &Tool,
        (one, other, auth): (&Definition, &Definition, Auth),
        out: &mut Findings,
    ) {
        let change = Change::between(&one.definition, &other.definition, &self.suspicion);
        let back = Change::between(&other.definition, &one.definition, &self.suspicion);
        let alarming = [change.why(), back.why()].into_iter().find(|why| !why.is_empty());
        let severity = if auth == Auth::None || alarming.is_some() {
            Severity::High
        } else {
            Severity::Medium
        };
        let title = format!(
            "{} gives different clients different definitions of tool {} at the same time: {}",
            about::server_name(server),
            tool.name,
            change.what()
        );
        let mut finding = about::marked(Kind::ToolEquivocation, server, severity, title, Some(other.mark));
        finding.seen = Span {
            first: other.mark.at,
            last: one.seen.last.max(other.seen.last),
        };
        finding.references = vec!["OWASP-MCP03".to_owned()];
        finding.key.tool = Some(tool.name.clone());
        finding.key.place = Some("result.tools".to_owned());
        finding.key.subject = Some(format!("{} and {}", drift::hex(&one.sha256), drift::hex(&other.sha256)));
        drift::tell_change(&mut finding, &change, (&one.sha256, &other.sha256));
        drift::tell_clients(&mut finding, server, &tool.name, (&one.given, &other.given));
        finding.detail.insert("auth".to_owned(), auth.word().to_owned());
        finding.detail.extend(alarming.map(|why| ("alarming".to_owned(), why)));
        out.findings.push(finding);
    }
}

/// Definitions of a tool, oldest first.
fn definitions(tool: &Tool) -> Vec<Definition> {
    let mut all: Vec<Definition> = tool.earlier.iter().cloned().chain([tool.present()]).collect();
    all.sort_by_key(|definition| (definition.seen.first, definition.seen.last, definition.sha256));
    all.drain(..all.len().saturating_sub(DEFINITIONS_MAX));
    all
}

/// The class of credential within which two definitions, the earlier first, were given by turns; the first of several.
pub(super) fn interleaved(server: &Server, one: &Definition, other: &Definition) -> Option<Auth> {
    if one.seen.last <= other.seen.first || several_versions(server) {
        return None;
    }
    let classes = [Auth::None, Auth::Other, Auth::Basic, Auth::ApiKey, Auth::Bearer];
    classes.into_iter().find(|auth| {
        let (ones, others) = (receivers(one, *auth), receivers(other, *auth));
        let only = |mine: &BTreeMap<IpAddr, Span>, its: &BTreeMap<IpAddr, Span>| {
            let spans = mine.iter().filter(|(client, _)| !its.contains_key(client));
            spans.map(|(_, span)| *span).reduce(joined)
        };
        match (only(&ones, &others), only(&others, &ones)) {
            // Each has clients of its own: one more turn after the change is enough.
            (Some(mine), Some(its)) => within(mine, its) || within(its, mine),
            // All who got the second moved to it: then who stayed with the first must have got it between two of theirs.
            (Some(mine), None) => moved(&ones, &others).is_some_and(|its| meets_inside(mine, its)),
            (None, Some(its)) => moved(&others, &ones).is_some_and(|mine| meets_inside(its, mine)),
            (None, None) => false,
        }
    })
}

/// Who was given a definition under one class of credential.
fn receivers(definition: &Definition, auth: Auth) -> BTreeMap<IpAddr, Span> {
    let given = definition.given.iter().filter(|((class, _), _)| *class == Some(auth));
    given.map(|((_, client), span)| (*client, *span)).collect()
}

/// When those got the second who had got the first before, and never after; `None` when one went back.
fn moved(first: &BTreeMap<IpAddr, Span>, second: &BTreeMap<IpAddr, Span>) -> Option<Span> {
    let mut all = None;
    for (client, span) in second {
        let before = first.get(client)?;
        if before.last >= span.first {
            return None;
        }
        all = Some(all.map_or(*span, |known| joined(known, *span)));
    }
    all
}

fn joined(mut one: Span, other: Span) -> Span {
    one.join(other);
    one
}

/// Whether one span begins before a moment of the other and ends after it.
fn within(outer: Span, inner: Span) -> bool {
    let holds = |moment| outer.first < moment && moment < outer.last;
    holds(inner.first) || holds(inner.last)
}

/// Whether the first or last moment of one lies inside the other.
fn meets_inside(one: Span, outer: Span) -> bool {
    within(outer, one)
}

/// Whether the server told several versions of itself by turns: these are several servers behind one name.
fn several_versions(server: &Server) -> bool {
    let all = &server.identities;
    all.iter().enumerate().any(|(at, one)| {
        let mut later = all.iter().skip(at + 1);
        later.any(|other| one.version != other.version && one.seen.last > other.seen.first)
    })
}
