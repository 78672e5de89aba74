//! What rules are in force and where they stand, and what their authors should know: for `shadowtap signatures`.

use std::path::Path;

use crate::detect::signature::compile::Signatures;
use crate::detect::signature::secrets::Place;
use crate::model::defect::Defect;
use crate::model::finding::Severity;

/// Bytes that the windows of one rule may cover in ordinary text, in parts of a thousand: an expression reads some 150
/// bytes in a microsecond, so that it costs 2 ms for a megabyte at most.
const MAX_COVERED_PER_MILLE: usize = 300;

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed<'s> {
    /// Id.
    pub id: &'s str,
    /// Table of its file: `secret`, `pii`, `poison`, …
    pub table: &'static str,
    /// File and line where it stands.
    pub file: &'s Path,
    /// From 1.
    pub line: usize,
    /// What it finds; may be empty.
    pub title: &'s str,
    /// Where the rule has one of its own.
    pub severity: Option<Severity>,
    /// 0 to 1.
    pub confidence: Option<f32>,
}

/// A place in a text that a rule knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    /// Line and column (in bytes) of the text, from 1.
    pub line: usize,
    /// As above.
    pub column: usize,
    /// Rule.
    pub rule: String,
    /// Its title.
    pub title: String,
    /// What may be shown.
    pub sample: Option<String>,
}

impl Signatures {
    /// Every rule in force, in the order of its files.
    pub fn listed(&self) -> Vec<Listed<'_>> {
        self.examples
            .iter()
            .map(|rule| {
                let value = self.secrets.rules().iter().find(|known| *known.id == *rule.id);
                let name = self.names.rules().iter().find(|known| *known.id == *rule.id);
                let poison = self.poison.rules().find(|known| *known.id == *rule.id);
                let title = value.map(|rule| rule.title.as_str());
                let title = title.or_else(|| name.map(|rule| rule.product.as_str()));
                Listed {
                    id: &rule.id,
                    table: rule.table,
                    file: &rule.source.file,
                    line: rule.source.line,
                    title: title
                        .or_else(|| poison.map(|rule| rule.title.as_str()))
                        .unwrap_or_default(),
                    severity: value.map(|rule| rule.severity),
                    confidence: value
                        .map(|rule| rule.confidence)
                        .or_else(|| name.map(|rule| rule.confidence)),
                }
            })
            .collect()
    }

    /// What works and yet should be mended: rules whose anchors are everyday words.
    pub fn warnings(&self) -> Vec<Defect> {
        let text = ordinary();
        let covered = self.secrets.covered(text.as_bytes());
        let rules = self.secrets.rules().iter().zip(covered);
        rules
            .filter(|(_, covered)| covered * 1_000 > text.len() * MAX_COVERED_PER_MILLE)
            .filter_map(|(rule, covered)| {
                let known = self.examples.iter().find(|known| *known.id == *rule.id)?;
                let percent = covered * 100 / text.len();
                let what = format!(
                    "rule {} is slow: its expression reads {percent} % of ordinary text",
                    rule.id
                );
                Some(known.source.defect(what, "choose rarer anchors, or a smaller window"))
            })
            .collect()
    }

    /// Everything that rules for credentials, personal data and wording know in a text, in its order.
    pub fn matches_in(&self, text: &str) -> Vec<Match> {
        let plain = super::Plain::of(text);
        let mut found = Vec::new();
        let place_of = |offset: usize| {
            let head = text.as_bytes().get(..offset).unwrap_or_default();
            let start = memchr::memrchr(b'\n', head).map_or(0, |at| at + 1);
            (memchr::memchr_iter(b'\n', head).count() + 1, offset - start + 1)
        };
        for (place, _) in Place::ALL {
            self.secrets.scan(plain.text(), place, &mut |hit| {
                let (line, column) = place_of(plain.origin(&hit.value).start);
                found.push(Match {
                    line,
                    column,
                    rule: hit.rule.id.to_string(),
                    title: hit.rule.title.clone(),
                    sample: crate::detect::redact::sample(hit).map(|sample| sample.as_str().to_owned()),
                });
            });
        }
        for rule in self.poison.rules().filter(|rule| self.poison.holds(&rule.id, text)) {
            found.push(Match {
                line: 1,
                column: 1,
                rule: rule.id.to_string(),
                title: rule.title.clone(),
                sample: None,
            });
        }
        found.sort();
        found.dedup();
        found
    }
}

/// Text as messages hold it, without anything to find.
fn ordinary() -> String {
    let tool = r#"{"name":"search_issues","description":"Search for issues and pull requests across all repositories that the user can see. Returns title, state, labels, assignees and the number of comments; use page and per_page to walk through the results, and the token of the next page where there is one.","inputSchema":{"type":"object","properties":{"query":{"type":"string","description":"Words to look for, with the usual operators"},"page":{"type":"integer"},"path":{"type":"string","description":"Only below this path"}},"required":["query"]}},"#;
    let record = r#"{"id":"0af7651916cd43dd","order":4821739,"at":"2026-11-20T10:00:00.123Z","sha":"9f2c1e7ab04d5588","note":"Delivered to the customer on Monday, as agreed; the rest follows.","url":"https://shop.corp.test/orders/4821739?view=full&lang=en"},"#;
    [tool, record].concat().repeat(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_listed() {
        let signatures = Signatures::builtin();
        let listed = signatures.listed();
        let of = |id: &str| listed.iter().find(|rule| rule.id == id).unwrap();
        let rule = of("sec-github-classic");
        assert_eq!((rule.table, rule.severity), ("secret", Some(Severity::Critical)));
        assert!(rule.line > 1 && rule.file.ends_with("secrets.toml"));
        assert_eq!(of("pii-iban").table, "pii");
        assert!(
            listed
                .iter()
                .any(|rule| rule.table == "endpoint" && rule.confidence.is_some())
        );
    }

    #[test]
    fn no_rule_of_ours_is_slow() {
        let warnings = Signatures::builtin().warnings();
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn matches_have_places() {
        let token = ["glpat", "-Zx81mQpT0aLw93KdYeRb"].concat();
        let found = Signatures::builtin().matches_in(&format!("one\n  {{\"k\":\"{token}\"}}\n"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].line, found[0].column, &*found[0].rule),
            (2, 9, "sec-gitlab-pat")
        );
        assert_eq!(found[0].sample.as_deref(), Some("glpat-…"));
    }
}
