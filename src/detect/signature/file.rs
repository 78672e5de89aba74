//! Signature files as written: TOML with one table per rule.
//!
//! Parsing only: unknown keys are errors, and every rule remembers its line, so that what `compile.rs` finds wrong with
//! it is told with file and line.

mod any;

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

pub(super) use any::AnyRule;

use crate::model::defect::Defect;

/// The only version of the format so far.
const SCHEMA: u32 = 1;
/// Most rules of one file.
const MAX_RULES: usize = 10_000;

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: Spanned<u32>,
    #[serde(rename = "meta")]
    _meta: Meta,
    #[serde(default)]
    stop: Stop,
    #[serde(default)]
    registry: Vec<Spanned<Registry>>,
    #[serde(default)]
    endpoint: Vec<Spanned<Endpoint>>,
    #[serde(default)]
    gateway: Vec<Spanned<Gateway>>,
    #[serde(default)]
    secret: Vec<Spanned<Secret>>,
    #[serde(default)]
    pii: Vec<Spanned<Pii>>,
    #[serde(default)]
    lexicon: Vec<Spanned<Lexicon>>,
    #[serde(default)]
    poison: Vec<Spanned<Poison>>,
    #[serde(default)]
    resolver: Vec<Spanned<Resolver>>,
    #[serde(default)]
    bad: Vec<Spanned<Bad>>,
}

/// What the file is: for its readers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "version")]
    _version: String,
    #[serde(rename = "license")]
    _license: Option<String>,
}

/// Texts that make a value a placeholder.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    #[serde(default)]
    fragments: Vec<String>,
}

/// One name or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Domains {
    One(String),
    Many(Vec<String>),
}

impl Domains {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::Many(names) => names,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Registry {
    pub(super) id: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    pub(super) domain: Domains,
    #[serde(default = "suffix")]
    pub(super) r#match: String,
    pub(super) tier: u8,
    #[serde(default)]
    pub(super) paths: Vec<String>,
    #[serde(default = "likely")]
    pub(super) confidence: f32,
    #[serde(default)]
    pub(super) refs: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoint {
    pub(super) id: String,
    #[serde(default)]
    pub(super) vendor: String,
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    pub(super) host: Domains,
    #[serde(default = "exact")]
    pub(super) r#match: String,
    #[serde(default)]
    pub(super) paths: Vec<String>,
    #[serde(default)]
    pub(super) shared_host: bool,
    #[serde(default, rename = "auth")]
    pub(super) _auth: String,
    #[serde(default, rename = "last_seen")]
    pub(super) _last_seen: Option<toml::value::Datetime>,
    #[serde(default = "likely")]
    pub(super) confidence: f32,
    #[serde(default)]
    pub(super) refs: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gateway {
    pub(super) id: String,
    #[serde(default)]
    pub(super) product: String,
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    pub(super) domain: Domains,
    #[serde(default = "suffix")]
    pub(super) r#match: String,
    pub(super) role: String,
    #[serde(default)]
    pub(super) agent: bool,
    #[serde(default)]
    pub(super) paths: Vec<String>,
    #[serde(default)]
    pub(super) shared_host: bool,
    #[serde(default = "likely")]
    pub(super) confidence: f32,
    #[serde(default)]
    pub(super) refs: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resolver {
    pub(super) id: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    pub(super) domain: Domains,
    #[serde(default = "suffix")]
    pub(super) r#match: String,
    #[serde(default)]
    pub(super) address: Vec<String>,
    #[serde(default, rename = "source")]
    pub(super) _source: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    pub(super) id: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    /// Found by class instead of by anchors and an expression.
    #[serde(default)]
    pub(super) class: Option<String>,
    #[serde(default)]
    pub(super) anchors: Vec<String>,
    #[serde(default)]
    pub(super) fold: bool,
    #[serde(default)]
    pub(super) pattern: String,
    #[serde(default)]
    pub(super) before: usize,
    #[serde(default = "window")]
    pub(super) after: usize,
    #[serde(default)]
    pub(super) check: Vec<String>,
    #[serde(default)]
    pub(super) generic: bool,
    #[serde(default = "edges")]
    pub(super) sample: String,
    /// Starts of values that everybody knows, where they are not the anchors.
    #[serde(default)]
    pub(super) public: Vec<String>,
    #[serde(default)]
    pub(super) scope: Vec<String>,
    #[serde(default)]
    pub(super) severity: String,
    #[serde(default = "likely")]
    pub(super) confidence: f32,
    #[serde(default)]
    pub(super) refs: Vec<String>,
    #[serde(default)]
    pub(super) test: Vec<Example>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pii {
    pub(super) id: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    #[serde(default)]
    pub(super) class: String,
    #[serde(default)]
    pub(super) scope: Vec<String>,
    #[serde(default)]
    pub(super) severity: String,
    #[serde(default = "likely")]
    pub(super) confidence: f32,
    #[serde(default)]
    pub(super) refs: Vec<String>,
    #[serde(default)]
    pub(super) test: Vec<Example>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Poison {
    pub(super) id: String,
    pub(super) title: String,
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    pub(super) group: String,
    pub(super) weight: u8,
    #[serde(default)]
    pub(super) pattern: String,
    /// The expression sees the text as sent.
    #[serde(default)]
    pub(super) raw: bool,
    #[serde(default)]
    pub(super) anchors: Vec<String>,
    #[serde(default)]
    pub(super) near: Vec<String>,
    #[serde(default = "reach")]
    pub(super) within: usize,
    #[serde(default)]
    pub(super) any_order: bool,
    #[serde(default)]
    pub(super) across: bool,
    #[serde(default)]
    pub(super) unless: Vec<String>,
    #[serde(default)]
    pub(super) scope: Vec<String>,
    #[serde(default)]
    pub(super) refs: Vec<String>,
    #[serde(default)]
    pub(super) test: Vec<Example>,
}

/// Words of one concept in one language.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lexicon {
    pub(super) id: String,
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    pub(super) concept: String,
    pub(super) lang: String,
    pub(super) words: Vec<String>,
    /// Rare enough to be looked for in long texts.
    #[serde(default)]
    pub(super) rare: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bad {
    pub(super) id: String,
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    pub(super) kind: String,
    pub(super) names: Vec<String>,
    pub(super) ecosystem: Option<String>,
    #[serde(default)]
    pub(super) versions: Vec<String>,
    pub(super) seen_in: Vec<String>,
    pub(super) pattern: Option<String>,
    #[serde(default = "product")]
    pub(super) version_trust: String,
    pub(super) severity: String,
    #[serde(default = "likely")]
    pub(super) confidence: f32,
    #[serde(default)]
    pub(super) refs: Vec<String>,
    #[serde(default)]
    pub(super) test: Vec<Example>,
}

/// A text that a rule must or must not match; one of `text` and `generate`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Example {
    pub(super) text: Option<String>,
    pub(super) generate: Option<String>,
    pub(super) r#match: bool,
}

const fn yes() -> bool {
    true
}
const fn likely() -> f32 {
    0.5
}
const fn window() -> usize {
    512
}
const fn reach() -> usize {
    40
}
fn product() -> String {
    "product".to_owned()
}
fn suffix() -> String {
    "suffix".to_owned()
}
fn exact() -> String {
    "exact".to_owned()
}
fn edges() -> String {
    "edges".to_owned()
}

/// A rule with its line, from 1.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) line: usize,
    pub(super) rule: AnyRule,
}

/// The rules of one file, in order.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) rules: Vec<Placed>,
    pub(super) stop: Vec<String>,
}

/// Reads one file.
pub(super) fn parse(file: &Path, text: &str) -> Result<Rules, Defect> {
    let document: Document =
        toml::from_str(text).map_err(|error| Defect::from_toml(file, text, &error, "mend the rule or take it out"))?;
    let defect = |offset: usize, what: String, cure: &str| Defect {
        file: file.to_owned(),
        line: Some(Defect::line_of(text, offset)),
        what,
        cure: cure.to_owned(),
    };
    if *document.schema.get_ref() != SCHEMA {
        let what = format!("schema {} is not known", document.schema.get_ref());
        return Err(defect(document.schema.span().start, what, "write schema = 1"));
    }
    let mut rules = Vec::new();
    place(text, document.registry, AnyRule::Registry, &mut rules);
    place(text, document.endpoint, AnyRule::Endpoint, &mut rules);
    place(text, document.gateway, AnyRule::Gateway, &mut rules);
    place(text, document.secret, AnyRule::Secret, &mut rules);
    place(text, document.pii, AnyRule::Pii, &mut rules);
    place(text, document.lexicon, AnyRule::Lexicon, &mut rules);
    place(text, document.poison, AnyRule::Poison, &mut rules);
    place(text, document.resolver, AnyRule::Resolver, &mut rules);
    place(text, document.bad, AnyRule::Bad, &mut rules);
    if rules.len() > MAX_RULES {
        return Err(defect(
            0,
            format!("{} rules in one file", rules.len()),
            "split the file: at most 10,000 rules each",
        ));
    }
    Ok(Rules {
        rules,
        stop: document.stop.fragments,
    })
}

/// Rules with their lines. Within a table lines ascend, so one pass over the text counts them all.
fn place<T>(text: &str, table: Vec<Spanned<T>>, wrap: fn(T) -> AnyRule, out: &mut Vec<Placed>) {
    let (mut line, mut at) = (1, 0);
    for rule in table {
        let start = rule.span().start;
        line += text
            .get(at..start)
            .unwrap_or_default()
            .bytes()
            .filter(|byte| *byte == b'\n')
            .count();
        at = at.max(start);
        out.push(Placed {
            line,
            rule: wrap(rule.into_inner()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "schema = 1\n[meta]\nname = \"t\"\nversion = \"1\"\n";

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (body, line, word) in [
            (
                "[[registry]]\nid = \"a\"\ndomain = \"a.test\"\ntier = 1\ncolour = 3\n",
                9,
                "colour",
            ),
            ("[[registry]]\nid = \"a\"\ndomain = \"a.test\"\n", 5, "tier"),
            ("[[registries]]\nid = \"a\"\n", 5, "registries"),
            ("x = = 1\n", 5, ""),
        ] {
            let text = format!("{HEAD}{body}");
            let defect = parse(Path::new("f.toml"), &text).unwrap_err();
            assert_eq!(defect.line, Some(line), "{defect}");
            assert!(defect.what.contains(word), "{defect}");
        }
        assert_eq!(
            parse(Path::new("f"), "schema = 2\n[meta]\nname=\"\"\nversion=\"\"")
                .unwrap_err()
                .line,
            Some(1)
        );
    }

    #[test]
    fn rules_remember_their_lines() {
        let text = format!(
            "{HEAD}[[registry]]\nid = \"a\"\ndomain = \"a.test\"\ntier = 1\n\n[[registry]]\nid = \"b\"\ndomain = [\"b.test\"]\ntier = 2\n"
        );
        let rules = parse(Path::new("f"), &text).unwrap().rules;
        assert_eq!(
            rules
                .iter()
                .map(|placed| (placed.rule.id(), placed.line))
                .collect::<Vec<_>>(),
            [("a", 5), ("b", 10)]
        );
    }
}
