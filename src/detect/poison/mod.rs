//! `tool-poisoning` and `injection-in-result`: texts that steer a model, in what a server says of itself and in what its
//! tools give.
//!
//! Lists are repeated by every client: what was judged once is remembered by its hash, so that the cost stays with the
//! distinct texts. Results are sifted (`signature/poison/sift.rs`) and lose points, since web pages and tickets hold such
//! text daily; errors are the server's own words and lose none.

pub mod texts;

use std::collections::BTreeMap;
use std::sync::Arc;

use dashmap::DashMap;
use foldhash::fast::RandomState;
use sha2::{Digest as _, Sha256};

use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::signature::poison::{ALARM_SCORE, LOUD_SCORE, Score};
use crate::detect::{Detector, FactMask, Findings, about, redact};
use crate::mcp::{lenient, scan};
use crate::model::finding::{Evidence, Finding, FindingKey, Kind, Severity};
use crate::model::mcp::{JsonRpc, RpcKind};
use crate::model::net::Direction;
use crate::model::observation::{Fact, Mcp, Observation};
use crate::model::stamp::Span;
use texts::Verdict;

/// Verdicts that are remembered; one more, and all are forgotten. They are judged anew, and nothing is lost.
const MAX_KNOWN: usize = 16_384;
/// Definitions of one list that are judged.
const MAX_DEFINITIONS: usize = 4_096;
/// Longest definition that is judged, in bytes.
const DEFINITION_MAX_BYTES: usize = 1 << 20;
/// Longest name in a finding.
const MAX_NAME_CHARS: usize = 128;
/// Lists of a result, and what one entry is.
const LISTS: [(&str, &str); 4] = [
    ("prompts", "Prompt"),
    ("resourceTemplates", "Resource template"),
    ("resources", "Resource"),
    ("tools", "Tool"),
];

/// The detector.
#[derive(Debug)]
pub struct PoisonScan {
    signatures: Arc<Signatures>,
    /// By hash of the text.
    known: DashMap<[u8; 32], Arc<Verdict>, RandomState>,
}

impl PoisonScan {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
            known: DashMap::default(),
        })
    }

    fn recall(&self, raw: &str, judge: impl FnOnce() -> Verdict) -> Arc<Verdict> {
        let hash: [u8; 32] = Sha256::digest(raw).into();
        if let Some(known) = self.known.get(&hash) {
            return Arc::clone(&known);
        }
        let verdict = Arc::new(judge());
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(hash, Arc::clone(&verdict));
        verdict
    }

    /// The lists of a result, entry by entry.
    fn lists(&self, result: &str, report: &mut Report<'_, '_>) {
        for list in scan::items(result) {
            let Some((_, what)) = LISTS.iter().find(|(key, _)| *key == list.key) else {
                continue;
            };
            for (number, entry) in scan::items(list.value).take(MAX_DEFINITIONS).enumerate() {
                if !entry.whole || entry.value.len() > DEFINITION_MAX_BYTES {
                    continue;
                }
                let verdict = self.recall(entry.value, || match lenient::value(entry.value) {
                    Some(value) => texts::of_definition(&value, &self.signatures.poison),
                    None => Verdict::default(),
                });
                if verdict.score.score < ALARM_SCORE {
                    continue;
                }
                let member = |key| scan::items(entry.value).find(key).and_then(scan::text);
                let name = member("name").or_else(|| member("uri"));
                let place = format!("result.{}[{number}].{}", list.key, verdict.place);
                report.metadata(what, name.as_deref(), place, &verdict);
            }
        }
    }
}

impl Detector for PoisonScan {
    fn wants(&self) -> FactMask {
        FactMask::MCP
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        let Fact::Mcp(mcp) = &seen.fact else { return };
        let Some(rpc) = mcp.rpc.as_ref().filter(|_| mcp.dir == Direction::ToClient) else {
            return;
        };
        let mut report = Report {
            signatures: &self.signatures,
            seen,
            mcp,
            out,
        };
        if is_metadata(mcp) {
            if let Some(text) = &mcp.instructions {
                let verdict = self.recall(text, || Verdict {
                    score: texts::of_text(text, &self.signatures.poison),
                    ..Verdict::default()
                });
                report.metadata("Server", None, "result.instructions".to_owned(), &verdict);
            }
            if let Some(result) = rpc.result {
                self.lists(result, &mut report);
            }
        } else {
            report.given(rpc);
        }
    }
}

/// Whether an answer tells what the server and its tools are.
fn is_metadata(mcp: &Mcp<'_>) -> bool {
    match mcp.call.map(|call| call.method) {
        Some(method) => method.ends_with("/list") || matches!(method, "initialize" | "server/discover"),
        None => mcp.listing.is_some() || mcp.instructions.is_some() || !mcp.offers.is_empty(),
    }
}

/// Findings of one observation while they are made.
struct Report<'r, 'a> {
    signatures: &'r Signatures,
    seen: &'r Observation<'a>,
    mcp: &'r Mcp<'a>,
    out: &'r mut Findings,
}

impl Report<'_, '_> {
    fn metadata(&mut self, what: &str, name: Option<&str>, place: String, verdict: &Verdict) {
        let name = name.map(|name| self.name(name));
        let subject = name
            .as_ref()
            .map_or_else(|| what.to_owned(), |name| format!("{what} {name}"));
        let title = format!("{subject} steers the model: {}", verdict.score.title);
        self.add(Kind::ToolPoisoning, &verdict.score, name, place, title);
    }

    /// Results, errors, and what a server asks of its client.
    fn given(&mut self, rpc: &JsonRpc<'_>) {
        let failed = rpc.kind == RpcKind::Error || !self.mcp.success;
        for (json, prefix, failed) in [
            (rpc.result, "result", failed),
            (rpc.error, "error", true),
            (rpc.params, "params", false),
        ] {
            let Some(json) = json else { continue };
            let verdict = texts::of_result(json, prefix, failed, &self.signatures.poison);
            let tool = self.mcp.call.and_then(|call| call.name).map(|name| self.name(name));
            let from = match (&tool, rpc.method) {
                (Some(tool), _) => format!("What {tool} returned"),
                (None, "") => "What a server returned".to_owned(),
                (None, method) => format!("What a server sent with {}", self.name(method)),
            };
            let title = format!("{from} steers the model: {}", verdict.score.title);
            self.add(
                Kind::InjectionInResult,
                &verdict.score,
                tool,
                verdict.place.clone(),
                title,
            );
        }
    }

    fn name(&self, raw: &str) -> String {
        let clipped: String = raw.chars().take(MAX_NAME_CHARS).collect();
        redact::blank_hits(&clipped, self.signatures)
    }

    fn add(&mut self, kind: Kind, score: &Score, tool: Option<String>, place: String, title: String) {
        if score.score < ALARM_SCORE {
            return;
        }
        let tuple = self.seen.flow.tuple;
        let loud = score.score >= LOUD_SCORE;
        let mut detail = BTreeMap::from([
            ("score".to_owned(), score.score.to_string()),
            ("groups".to_owned(), words(score)),
            ("rules".to_owned(), join(score.rules.iter().map(|rule| &**rule))),
        ]);
        if !score.hidden.is_empty() {
            detail.insert("hidden".to_owned(), join(score.hidden.iter().copied()));
        }
        self.out.findings.push(Finding {
            key: FindingKey {
                kind,
                rule: score.rules.first().cloned().unwrap_or_else(|| Arc::from(kind.word())),
                site: Some(about::site_seen(&self.mcp.site, self.signatures)),
                // A definition is the same for everybody; a result is what one client got.
                client: (kind == Kind::InjectionInResult).then_some(tuple.client.addr),
                tool,
                direction: Some(Direction::ToClient),
                place: Some(redact::blank_hits(&place, self.signatures)),
                subject: None,
            },
            severity: if loud { Severity::High } else { Severity::Medium },
            confidence: confidence(score.score),
            title,
            references: score.references.clone(),
            count: 1,
            seen: Span::at(self.seen.at),
            evidence: Evidence {
                sample: None,
                session: self.mcp.session,
                flow: Some(tuple),
            },
            detail,
        });
    }
}

/// 0.6 at the alarm, 0.95 at twice the loud score: of real descriptions one in thousands alarms, and nobody has counted
/// how many of those are poisoned.
fn confidence(score: u32) -> f32 {
    let above = score.saturating_sub(ALARM_SCORE).min(85);
    let above = u16::try_from(above).map_or(0.0, f32::from);
    ((0.6 + above * 0.35 / 85.0) * 100.0).round() / 100.0
}

/// The groups, the heaviest first.
fn words(score: &Score) -> String {
    let mut groups: Vec<(&String, &u32)> = score.groups.iter().collect();
    groups.sort_by_key(|(_, points)| std::cmp::Reverse(**points));
    join(groups.into_iter().map(|(group, _)| group.as_str()))
}

fn join<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for word in words {
        if !seen.contains(&word) {
            seen.push(word);
        }
    }
    seen.join(", ")
}
