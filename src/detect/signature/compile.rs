//! Rules as written → rules that run.
//!
//! Load order: built-in, then the files of each directory in name order; a later rule with the same id replaces the
//! earlier one, `enabled = false` switches it off. One bad rule rejects the whole load, so that a reload keeps the last
//! good set.

mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{self, AnyRule, Example, Placed};
use super::known_bad::{BadRule, KnownBad};
use super::names::{NameRule, Named, Names};
use super::poison::{self, Poison, PoisonRule, Words};
use super::resolvers::{Resolver, Resolvers};
use super::secrets::Secrets;
use crate::model::defect::Defect;

/// Files that are compiled in.
const BUILTIN: [(&str, &str); 7] = [
    (
        "signatures/endpoints.toml",
        include_str!("../../../signatures/endpoints.toml"),
    ),
    (
        "signatures/gateways.toml",
        include_str!("../../../signatures/gateways.toml"),
    ),
    (
        "signatures/known_bad.toml",
        include_str!("../../../signatures/known_bad.toml"),
    ),
    (
        "signatures/poisoning.toml",
        include_str!("../../../signatures/poisoning.toml"),
    ),
    (
        "signatures/registries.toml",
        include_str!("../../../signatures/registries.toml"),
    ),
    (
        "signatures/resolvers.toml",
        include_str!("../../../signatures/resolvers.toml"),
    ),
    (
        "signatures/secrets.toml",
        include_str!("../../../signatures/secrets.toml"),
    ),
];
/// All signatures in force.
#[derive(Debug)]
pub struct Signatures {
    /// Names of registries, servers, gateways, tunnels.
    pub names: Names,
    /// Resolvers that take DNS encrypted.
    pub resolvers: Resolvers,
    /// What is known to be bad.
    pub known_bad: KnownBad,
    /// Credentials and personal data.
    pub secrets: Secrets,
    /// Wording and characters that steer a model.
    pub poison: Poison,
    pub(super) examples: Vec<RuleExamples>,
}

/// Examples of one rule, for `signatures check`.
#[derive(Debug)]
pub(super) struct RuleExamples {
    pub(super) id: String,
    pub(super) table: &'static str,
    pub(super) source: Source,
    pub(super) examples: Vec<Example>,
}

/// Where a rule stands.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) file: Arc<Path>,
    pub(super) line: usize,
}

impl Source {
    pub(super) fn defect(&self, what: String, cure: &str) -> Defect {
        Defect {
            file: self.file.to_path_buf(),
            line: Some(self.line),
            what,
            cure: cure.to_owned(),
        }
    }
}

impl Signatures {
    /// The signatures that are compiled in.
    ///
    /// # Panics
    /// Never in a released program: a test holds that the files compile.
    pub fn builtin() -> Self {
        Self::load(&[]).unwrap_or_else(|defects| panic!("built-in signatures: {}", defects[0]))
    }

    /// Built-in signatures with the `*.toml` files of some directories on top, each in name order.
    ///
    /// # Errors
    /// Every mistake that was found.
    pub fn load(dirs: &[PathBuf]) -> Result<Self, Vec<Defect>> {
        let mut set = Set::default();
        for (name, text) in BUILTIN {
            set.add(Path::new(name), text);
        }
        for dir in dirs {
            for file in set.files_of(dir) {
                match std::fs::read_to_string(&file) {
                    Ok(text) => set.add(&file, &text),
                    Err(error) => set.unreadable(&file, &error),
                }
            }
        }
        set.compile(dirs.is_empty())
    }
}

/// Whether the table of one credential rule compiles.
pub(super) fn accepts(table: &str) -> Result<(), String> {
    let text = format!("schema = 1\n[meta]\nname = \"\"\nversion = \"\"\n{table}");
    let rules = file::parse(Path::new(""), &text).map_err(|defect| defect.what)?;
    rules.rules.into_iter().try_for_each(|placed| match placed.rule {
        AnyRule::Secret(rule) => values::secret(rule, false).map(|_| ()),
        _ => Err("it is no rule for credentials".to_owned()),
    })
}

/// Rules while they are collected.
#[derive(Default)]
struct Set {
    /// In order of first appearance.
    rules: Vec<(Source, AnyRule)>,
    /// Index of each id.
    known: std::collections::HashMap<String, usize>,
    stop: Vec<String>,
    defects: Vec<Defect>,
}

impl Set {
    fn unreadable(&mut self, file: &Path, error: &std::io::Error) {
        let cure = "check the path and its permissions".to_owned();
        self.defects.push(Defect {
            file: file.to_owned(),
            line: None,
            what: error.to_string(),
            cure,
        });
    }

    fn files_of(&mut self, dir: &Path) -> Vec<PathBuf> {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => {
                self.unreadable(dir, &error);
                return Vec::new();
            }
        };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ending| ending == "toml") && !path.is_dir())
            .collect();
        files.sort();
        files
    }

    fn add(&mut self, file: &Path, text: &str) {
        let rules = match file::parse(file, text) {
            Ok(rules) => rules,
            Err(defect) => return self.defects.push(defect),
        };
        let file: Arc<Path> = file.into();
        self.stop
            .extend(rules.stop.into_iter().map(|fragment| fragment.to_ascii_lowercase()));
        for Placed { line, rule } in rules.rules {
            let source = Source {
                file: file.clone(),
                line,
            };
            match self.known.get(rule.id()) {
                Some(&at) if *self.rules[at].0.file == *file => {
                    let what = format!("rule {} stands there twice", rule.id());
                    self.defects
                        .push(source.defect(what, "give each rule an id of its own"));
                }
                Some(&at) => self.rules[at] = (source, rule),
                None => {
                    self.known.insert(rule.id().to_owned(), self.rules.len());
                    self.rules.push((source, rule));
                }
            }
        }
    }

    /// `trusted`: only built-in files, whose expressions a test compiles.
    fn compile(mut self, trusted: bool) -> Result<Signatures, Vec<Defect>> {
        let (mut named, mut resolvers, mut examples) = (Vec::new(), Vec::new(), Vec::new());
        let (mut secrets, mut poison, mut words) = (Vec::new(), Vec::new(), Vec::new());
        let mut poison_sources = Vec::new();
        let mut bad = Vec::new();
        for (source, rule) in std::mem::take(&mut self.rules)
            .into_iter()
            .filter(|(_, rule)| rule.enabled())
        {
            let id = rule.id().to_owned();
            let table = rule.table();
            let tests = match &rule {
                AnyRule::Bad(rule) => rule.test.clone(),
                AnyRule::Secret(rule) => rule.test.clone(),
                AnyRule::Pii(rule) => rule.test.clone(),
                AnyRule::Poison(rule) => rule.test.clone(),
                _ => Vec::new(),
            };
            let done = match rule {
                AnyRule::Bad(rule) => BadRule::compile(rule).map(|rule| bad.push(rule)),
                AnyRule::Registry(rule) => registry(rule).map(|rule| named.push(rule)),
                AnyRule::Endpoint(rule) => endpoint(rule).map(|rule| named.push(rule)),
                AnyRule::Gateway(rule) => gateway(rule).map(|rule| named.push(rule)),
                AnyRule::Resolver(rule) => resolver(rule).map(|rule| resolvers.push(rule)),
                AnyRule::Secret(rule) => values::secret(rule, trusted).map(|rule| secrets.push(rule)),
                AnyRule::Pii(rule) => values::personal(rule).map(|rule| secrets.push(rule)),
                AnyRule::Lexicon(rule) => {
                    words.push(Words {
                        concept: rule.concept,
                        lang: rule.lang,
                        words: rule.words,
                        rare: rule.rare,
                    });
                    Ok(())
                }
                AnyRule::Poison(rule) => poisoned(rule, trusted).map(|rule| {
                    poison_sources.push(source.clone());
                    poison.push(rule);
                }),
            };
            match done {
                Ok(()) => examples.push(RuleExamples {
                    id,
                    table,
                    source,
                    examples: tests,
                }),
                Err(what) => self
                    .defects
                    .push(source.defect(format!("rule {id}: {what}"), "mend the rule or take it out")),
            }
        }
        if !self.defects.is_empty() {
            return Err(self.defects);
        }
        let secrets = Secrets::new(secrets, &self.stop).map_err(|what| {
            let cure = "use fewer or shorter anchors".to_owned();
            vec![Defect {
                file: PathBuf::from("signatures"),
                line: None,
                what,
                cure,
            }]
        })?;
        let poison = Poison::new(poison, &words).map_err(|(number, what)| {
            let cure = "mend the rule or take it out";
            let unknown = || Defect {
                file: PathBuf::from("signatures"),
                line: None,
                what: what.clone(),
                cure: cure.to_owned(),
            };
            let source = number.and_then(|number| poison_sources.get(number));
            vec![source.map_or_else(unknown, |source| source.defect(what.clone(), cure))]
        })?;
        Ok(Signatures {
            names: Names::new(named),
            resolvers: Resolvers::new(resolvers),
            known_bad: KnownBad::new(bad),
            secrets,
            poison,
            examples,
        })
    }
}

fn share(confidence: f32) -> Result<f32, String> {
    (0.0..=1.0)
        .contains(&confidence)
        .then_some(confidence)
        .ok_or_else(|| format!("confidence {confidence} is not within 0 and 1"))
}

/// Names as they are looked up: lower case, labels of letters, digits, hyphens.
fn hosts(domains: file::Domains) -> Result<Vec<String>, String> {
    let names: Vec<String> = domains
        .into_vec()
        .into_iter()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    let good = |name: &String| {
        name.contains('.')
            && name.split('.').all(|label| {
                !label.is_empty()
                    && label.len() < 64
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            })
    };
    match names.iter().find(|name| !good(name)) {
        Some(name) => Err(format!("{name:?} is no domain name")),
        None if names.is_empty() => Err("no name".to_owned()),
        None => Ok(names),
    }
}

fn only(word: &str) -> Result<bool, String> {
    match word {
        "exact" => Ok(true),
        "suffix" => Ok(false),
        other => Err(format!("match = {other:?}; it is \"exact\" or \"suffix\"")),
    }
}

fn registry(rule: file::Registry) -> Result<Named, String> {
    if !(1..=4).contains(&rule.tier) {
        return Err(format!("tier {} is not within 1 and 4", rule.tier));
    }
    Ok(Named {
        names: hosts(rule.domain)?,
        exact: only(&rule.r#match)?,
        rule: NameRule {
            id: rule.id.into(),
            category: "registry",
            product: rule.title,
            tier: Some(rule.tier),
            shared_host: rule.tier >= 3,
            agent: false,
            paths: rule.paths,
            confidence: share(rule.confidence)?,
            references: rule.refs,
        },
    })
}

fn resolver(rule: file::Resolver) -> Result<Resolver, String> {
    let address = |text: &String| text.parse().map_err(|_| format!("{text:?} is no address"));
    Ok(Resolver {
        addresses: rule.address.iter().map(address).collect::<Result<_, _>>()?,
        named: Named {
            names: hosts(rule.domain)?,
            exact: only(&rule.r#match)?,
            rule: NameRule {
                id: rule.id.into(),
                category: "resolver",
                product: rule.title,
                tier: None,
                shared_host: false,
                agent: false,
                paths: Vec::new(),
                confidence: 0.0,
                references: Vec::new(),
            },
        },
    })
}

fn endpoint(rule: file::Endpoint) -> Result<Named, String> {
    Ok(Named {
        names: hosts(rule.host)?,
        exact: only(&rule.r#match)?,
        rule: NameRule {
            id: rule.id.into(),
            category: "endpoint",
            product: rule.vendor,
            tier: None,
            shared_host: rule.shared_host,
            agent: false,
            paths: rule.paths,
            confidence: share(rule.confidence)?,
            references: rule.refs,
        },
    })
}

fn gateway(rule: file::Gateway) -> Result<Named, String> {
    let category = match rule.role.as_str() {
        "gateway" | "host" => "gateway",
        "cloudpattern" | "tunnel" => "tunnel",
        other => return Err(format!("role = {other:?}; it is gateway, host, tunnel or cloudpattern")),
    };
    Ok(Named {
        names: hosts(rule.domain)?,
        exact: only(&rule.r#match)?,
        rule: NameRule {
            id: rule.id.into(),
            category,
            product: rule.product,
            tier: None,
            shared_host: rule.shared_host,
            agent: rule.agent,
            paths: rule.paths,
            confidence: share(rule.confidence)?,
            references: rule.refs,
        },
    })
}

fn poisoned(rule: file::Poison, trusted: bool) -> Result<PoisonRule, String> {
    if !trusted && !rule.pattern.is_empty() {
        poison::expression(&rule.pattern)?;
    }
    Ok(PoisonRule {
        id: rule.id.into(),
        title: rule.title,
        group: rule.group,
        weight: rule.weight,
        scope: rule.scope,
        pattern: rule.pattern,
        raw: rule.raw,
        anchors: rule.anchors,
        near: rule.near,
        within: rule.within,
        any_order: rule.any_order,
        across: rule.across,
        unless: rule.unless,
        references: rule.refs,
    })
}
