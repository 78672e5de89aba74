//! What is known to be bad: packages, hosts and addresses of attackers, releases with a published vulnerability.
//!
//! Names are found by one look-up each; the few expressions run over what clients call themselves alone, once for each
//! name that a flow shows.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use regex::Regex;

use super::file;
use super::version::Ranges;
use crate::model::finding::{Kind, Severity};

/// Compiled size of one expression.
const MAX_PATTERN_BYTES: usize = 64 * 1024;

/// Longest host name, in bytes (RFC 1035, section 2.3.4).
const NAME_MAX_BYTES: usize = 255;

/// Where a rule looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeenIn {
    /// An address and port.
    Address,
    /// `clientInfo`.
    ClientInfo,
    /// A host name and what lies below it.
    Domain,
    /// The name of a package that is asked for.
    Package,
    /// `serverInfo`.
    ServerInfo,
    /// `User-Agent`.
    UserAgent,
}

const PLACES: [(&str, SeenIn); 6] = [
    ("address", SeenIn::Address),
    ("client_info", SeenIn::ClientInfo),
    ("domain", SeenIn::Domain),
    ("package", SeenIn::Package),
    ("server_info", SeenIn::ServerInfo),
    ("user_agent", SeenIn::UserAgent),
];

/// A rule.
#[derive(Clone, Debug)]
pub struct BadRule {
    /// Id.
    pub id: Arc<str>,
    /// `known-malicious` or `known-vulnerable`.
    pub kind: Kind,
    /// Package source; `None` where it does not matter.
    pub ecosystem: Option<String>,
    /// Severity where more than a version speaks for it.
    pub severity: Severity,
    /// 0 to 1.
    pub confidence: f32,
    /// References.
    pub references: Vec<String>,
    names: Vec<String>,
    versions: Ranges,
    seen_in: Vec<SeenIn>,
    pattern: Option<Regex>,
}

impl BadRule {
    pub(super) fn compile(rule: file::Bad) -> Result<Self, String> {
        let kind = match rule.kind.as_str() {
            "compromised" | "indicator" | "malicious" => Kind::KnownMalicious,
            "vulnerable" => Kind::KnownVulnerable,
            other => {
                return Err(format!(
                    "kind = {other:?}; it is malicious, compromised, indicator or vulnerable"
                ));
            }
        };
        let place = |word: &String| {
            let known = PLACES.iter().find(|(known, _)| known == word);
            known.map(|(_, place)| *place).ok_or_else(|| {
                let words = PLACES.map(|(word, _)| word).join(", ");
                format!("seen_in {word:?} is not known; it is one of {words}")
            })
        };
        let seen_in: Vec<SeenIn> = rule.seen_in.iter().map(place).collect::<Result<_, _>>()?;
        if rule.names.is_empty() || seen_in.is_empty() {
            return Err("names and seen_in must be given".to_owned());
        }
        let pattern = rule.pattern.as_deref().map(|pattern| {
            let mut builder = regex::RegexBuilder::new(pattern);
            builder
                .size_limit(MAX_PATTERN_BYTES)
                .build()
                .map_err(|error| error.to_string())
        });
        if !matches!(rule.version_trust.as_str(), "fixed" | "product" | "sdk") {
            return Err(format!(
                "version_trust = {:?}; it is product, sdk or fixed",
                rule.version_trust
            ));
        }
        if rule.version_trust == "fixed" && !rule.versions.is_empty() {
            return Err("versions mean nothing where version_trust is fixed".to_owned());
        }
        if !(0.0..=1.0).contains(&rule.confidence) {
            return Err(format!("confidence {} is not within 0 and 1", rule.confidence));
        }
        Ok(Self {
            id: rule.id.into(),
            kind,
            ecosystem: rule.ecosystem,
            severity: Severity::parse(&rule.severity)
                .ok_or_else(|| format!("severity {:?} is not known", rule.severity))?,
            confidence: rule.confidence,
            references: rule.refs,
            names: rule.names.iter().map(|name| name.to_lowercase()).collect(),
            versions: Ranges::parse(&rule.versions)?,
            seen_in,
            pattern: pattern.transpose()?,
        })
    }

    /// What it is about: a package, product, host or address.
    pub fn subject(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// Whether it speaks of some versions only.
    pub const fn has_versions(&self) -> bool {
        !self.versions.is_all()
    }

    /// Whether an example of the rule's file matches: a host, an address, a name and a version, or what a client says.
    pub(super) fn matches(&self, text: &str) -> bool {
        if let Some(pattern) = &self.pattern {
            return self.version_in(pattern, text).is_some();
        }
        if self.seen_in.contains(&SeenIn::Address) {
            return self.names.iter().any(|name| name == text);
        }
        if self.seen_in.contains(&SeenIn::Domain) {
            let host = text.trim_end_matches('.').to_lowercase();
            return self.names.iter().any(|name| below(&host, name));
        }
        let (name, version) = text.rsplit_once(' ').unwrap_or((text, ""));
        self.names.contains(&name.to_lowercase()) && self.versions.has(version)
    }

    /// The version that an expression finds, when it is one of the rule's.
    fn version_in<'t>(&self, pattern: &Regex, text: &'t str) -> Option<&'t str> {
        let version = pattern.captures(text)?.get(1)?.as_str();
        self.versions.has(version).then_some(version)
    }
}

/// Whether a host is `name` or lies below it.
fn below(host: &str, name: &str) -> bool {
    host.strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// All rules.
#[derive(Debug, Default)]
pub struct KnownBad {
    rules: Vec<BadRule>,
    /// Host names, lower case.
    hosts: HashMap<Box<str>, usize, FixedState>,
    /// Names of rules without an expression, lower case, by where they are seen.
    names: HashMap<(SeenIn, String), Vec<usize>, FixedState>,
    addresses: HashMap<SocketAddr, usize, FixedState>,
    /// Rules with an expression.
    patterns: Vec<usize>,
}

impl KnownBad {
    pub(super) fn new(rules: Vec<BadRule>) -> Self {
        let mut all = Self::default();
        for (at, rule) in rules.iter().enumerate() {
            if rule.pattern.is_some() {
                all.patterns.push(at);
            }
            for name in &rule.names {
                if let Ok(address) = name.parse() {
                    all.addresses.insert(address, at);
                }
                for place in &rule.seen_in {
                    if *place == SeenIn::Domain {
                        all.hosts.insert(name.as_str().into(), at);
                        continue;
                    }
                    // Packages have plain names even where a client's name needs an expression.
                    if rule.pattern.is_none() || *place == SeenIn::Package {
                        all.names.entry((*place, name.clone())).or_default().push(at);
                    }
                }
            }
        }
        all.rules = rules;
        all
    }

    /// The rule of that id.
    pub(super) fn rule(&self, id: &str) -> Option<&BadRule> {
        self.rules.iter().find(|rule| *rule.id == *id)
    }

    /// The rule about a host or a domain above it. Any letter case; a trailing dot is ignored. Allocates nothing: it is
    /// asked for every DNS question.
    pub fn host(&self, name: &str) -> Option<&BadRule> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let mut buffer = [0_u8; NAME_MAX_BYTES];
        let lower = buffer.get_mut(..name.len())?;
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        let mut rest = std::str::from_utf8(lower).ok()?;
        loop {
            if let Some(at) = self.hosts.get(rest) {
                return self.rules.get(*at);
            }
            (_, rest) = rest.split_once('.')?;
        }
    }

    /// The rule about an address.
    pub fn address(&self, address: SocketAddr) -> Option<&BadRule> {
        self.addresses.get(&address).and_then(|at| self.rules.get(*at))
    }

    /// Rules about a package. Without a version only those that speak of all.
    pub fn package(&self, ecosystem: &str, name: &str, version: Option<&str>) -> impl Iterator<Item = &BadRule> {
        let named = self.names.get(&(SeenIn::Package, name.to_lowercase()));
        let rules = named.into_iter().flatten().filter_map(|at| self.rules.get(*at));
        rules.filter(move |rule| {
            let source = rule.ecosystem.as_deref().is_none_or(|known| known == ecosystem);
            source && version.map_or_else(|| !rule.has_versions(), |version| rule.versions.has(version))
        })
    }

    /// Rules about what a peer calls itself, with the version that speaks for each.
    pub fn identity<'b>(
        &'b self,
        place: SeenIn,
        name: &'b str,
        version: &'b str,
    ) -> impl Iterator<Item = (&'b BadRule, &'b str)> {
        let named = self.names.get(&(place, name.to_lowercase()));
        let plain = named
            .into_iter()
            .flatten()
            .filter_map(|at| self.rules.get(*at))
            .filter(move |rule| rule.versions.has(version))
            .map(move |rule| (rule, version));
        let fitting = self.patterns.iter().filter_map(|at| self.rules.get(*at));
        let found = fitting
            .filter(move |rule| rule.seen_in.contains(&place))
            .filter_map(move |rule| Some((rule, rule.version_in(rule.pattern.as_ref()?, name)?)));
        plain.chain(found)
    }
}
