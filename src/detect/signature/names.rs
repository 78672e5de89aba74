//! Names of registries, remote servers, gateways and tunnels.
//!
//! Runs for every DNS question and every new SNI or `Host`: one hash look-up per label, no allocation, no expression.
//! A name is matched at label boundaries only. What a match is worth is [`NameRule::proves`]; finding out is not done
//! here.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::detect::signature::reads;
use crate::model::suspect::Grade;

/// Longest name in bytes (RFC 1035, section 2.3.4).
const MAX_NAME_BYTES: usize = 255;

/// A known name.
#[derive(Clone, Debug)]
pub struct NameRule {
    /// Id of the rule.
    pub id: Arc<str>,
    /// `registry`, `endpoint`, `gateway` or `tunnel`.
    pub category: &'static str,
    /// Product or vendor; may be empty.
    pub product: String,
    /// Registries only: 1 an API, 2 a catalogue, 3 a shared platform, 4 a package source.
    pub tier: Option<u8>,
    /// Mostly serves other things: its name alone says nothing.
    pub shared_host: bool,
    /// Tunnels only: who goes there publishes a server, and does not visit one.
    pub agent: bool,
    /// Paths that are MCP there.
    pub paths: Vec<String>,
    /// 0 to 1.
    pub confidence: f32,
    /// References.
    pub references: Vec<String>,
}

impl NameRule {
    /// Whether seeing this name, with the path of a request where one was read, is worth a finding.
    pub fn proves(&self, path: Option<&str>) -> bool {
        if self.category == "tunnel" || self.tier == Some(4) {
            return false;
        }
        !self.shared_host || path.is_some_and(|path| self.paths.iter().any(|known| leads_to(known, path)))
    }

    /// Whether a use of this name is recorded at all: hosts of everybody's web pages are not.
    pub fn recorded(&self) -> bool {
        !(self.category == "tunnel" && self.shared_host)
    }

    /// Which of two rules of the same length is asked first.
    fn rank(&self) -> usize {
        ["endpoint", "gateway", "registry", "tunnel"]
            .iter()
            .position(|word| *word == self.category)
            .unwrap_or(4)
    }
}

/// Whether `path` is `known` or lies below it. The root leads nowhere: everybody asks for it.
fn leads_to(known: &str, path: &str) -> bool {
    let known = known.trim_end_matches('/');
    !known.is_empty()
        && path
            .strip_prefix(known)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A rule with the names that it is about.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) names: Vec<String>,
    /// Only the name itself, not what lies below it.
    pub(super) exact: bool,
    pub(super) rule: NameRule,
}

/// All known names.
#[derive(Debug, Default)]
pub struct Names {
    rules: Vec<NameRule>,
    /// Lower-case name to (index of the rule, whether exact), best rank first.
    keys: HashMap<Box<str>, Vec<(usize, bool)>, FixedState>,
}

impl Names {
    pub(super) fn new(named: Vec<Named>) -> Self {
        let mut names = Self::default();
        names.keys.reserve(named.len());
        for (index, entry) in named.into_iter().enumerate() {
            for name in entry.names {
                names
                    .keys
                    .entry(name.into_boxed_str())
                    .or_default()
                    .push((index, entry.exact));
            }
            names.rules.push(entry.rule);
        }
        for list in names.keys.values_mut() {
            list.sort_by_key(|(index, exact)| (names.rules[*index].rank(), !exact, *index));
        }
        names
    }

    /// The best rule: the longest name wins; at the same length endpoint, gateway, registry, tunnel.
    pub fn find(&self, name: &str) -> Option<&NameRule> {
        self.find_where(name, |_| true)
    }

    /// The best rule that is accepted. Any letter case; a trailing dot is ignored.
    pub fn find_where(&self, name: &str, mut accept: impl FnMut(&NameRule) -> bool) -> Option<&NameRule> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let mut buffer = [0_u8; MAX_NAME_BYTES];
        let lower = buffer.get_mut(..name.len())?;
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        let mut rest = std::str::from_utf8(lower).ok()?;
        let mut whole = true;
        loop {
            for (index, exact) in self.keys.get(rest).map_or(&[][..], Vec::as_slice) {
                if (whole || !exact) && accept(&self.rules[*index]) {
                    return Some(&self.rules[*index]);
                }
            }
            (_, rest) = rest.split_once('.')?;
            whole = false;
        }
    }

    /// How likely an encrypted connection is one to an MCP server, by the name that led there and by that alone: a known
    /// host that serves nothing else, a known host that serves other things too, or a name that only reads like one. A
    /// registry serves pages; what it is worth is not said here.
    pub fn suspicion(&self, name: &str) -> Option<Grade> {
        match self.find_where(name, |rule| rule.category != "tunnel") {
            Some(rule) if matches!(rule.category, "endpoint" | "gateway") => {
                Some(if rule.shared_host { Grade::Shared } else { Grade::Listed })
            }
            Some(_) => None,
            None => reads::like_mcp(name).then_some(Grade::Resembles),
        }
    }

    /// Every rule, in the order of the files.
    pub fn rules(&self) -> &[NameRule] {
        &self.rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str, name: &str, exact: bool, category: &'static str, shared: bool) -> Named {
        let rule = NameRule {
            id: id.into(),
            category,
            product: String::new(),
            tier: None,
            shared_host: shared,
            agent: false,
            paths: vec!["/mcp".into(), "/".into()],
            confidence: 0.5,
            references: Vec::new(),
        };
        Named {
            names: vec![name.into()],
            exact,
            rule,
        }
    }

    fn names() -> Names {
        Names::new(vec![
            named("reg", "a.test", false, "registry", false),
            named("gw", "gw.a.test", false, "gateway", false),
            named("reg2", "gw.a.test", true, "registry", false),
            named("ep", "gw.a.test", true, "endpoint", true),
            named("one", "b.test", true, "endpoint", false),
        ])
    }

    #[test]
    fn matches_at_labels() {
        let names = names();
        for (name, id) in [
            ("a.test", Some("reg")),
            ("A.TEST.", Some("reg")),
            ("x.y.a.test", Some("reg")),
            ("xa.test", None),
            ("a.test.evil", None),
            ("gw.a.test", Some("ep")),
            ("x.gw.a.test", Some("gw")),
            ("b.test", Some("one")),
            ("x.b.test", None),
            ("", None),
            (".", None),
            ("test", None),
            ("..a.test", Some("reg")),
        ] {
            assert_eq!(names.find(name).map(|rule| &*rule.id), id, "{name}");
        }
        assert!(names.find(&"a".repeat(300)).is_none());
        assert_eq!(
            names
                .find_where("gw.a.test", |rule| !rule.shared_host)
                .map(|rule| &*rule.id),
            Some("gw")
        );
    }

    #[test]
    fn a_name_alone_is_a_suspicion() {
        let names = Names::new(vec![
            named("reg", "a.test", false, "registry", false),
            named("gw", "gw.a.test", false, "gateway", false),
            named("ep", "b.test", true, "endpoint", true),
            named("tunnel", "mcp.tunnel.test", false, "tunnel", false),
        ]);
        for (name, grade) in [
            ("gw.a.test", Some(Grade::Listed)),
            ("x.gw.a.test.", Some(Grade::Listed)),
            ("b.test", Some(Grade::Shared)),
            ("a.test", None),
            ("mcp.a.test", None),
            ("mcp.c.test", Some(Grade::Resembles)),
            ("MCP-eu.c.test", Some(Grade::Resembles)),
            ("x.my-mcp.c.test", Some(Grade::Resembles)),
            ("x.mcp.tunnel.test", Some(Grade::Resembles)),
            ("mcpx.c.test", None),
            ("c.mcp", None),
            ("mcp", None),
            ("", None),
        ] {
            assert_eq!(names.suspicion(name), grade, "{name}");
        }
    }

    #[test]
    fn shared_hosts_need_a_path() {
        let names = names();
        let rule = names.find("gw.a.test").unwrap();
        for (path, proves) in [
            (None, false),
            (Some("/"), false),
            (Some("/mcp"), true),
            (Some("/mcp/x"), true),
            (Some("/mcpx"), false),
        ] {
            assert_eq!(rule.proves(path), proves, "{path:?}");
        }
    }
}
