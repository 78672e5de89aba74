//! Requests to package sources, as far as they are read: which package, and which version of it.

use std::borrow::Cow;

use crate::detect::signature::Signatures;
use crate::model::message::{Field, HttpMethod, Request};

/// Endings of bundles that install an MCP server.
const BUNDLES: [&str; 2] = [".dxt", ".mcpb"];
/// Paths of the registry's interface that tell where servers are.
const REGISTRY: [&str; 2] = ["/v0/servers", "/v0.1/servers"];
/// What ids of rules about package sources have in them, built-in ones and those of operators.
const NPM: [&str; 2] = ["npm", "yarn"];
const PYPI: [&str; 2] = ["pypi", "pythonhosted"];
/// Programs that fetch packages, as their `User-Agent` begins.
const NPM_PROGRAMS: [&str; 5] = ["bun", "npm", "npx", "pnpm", "yarn"];
const PYPI_PROGRAMS: [&str; 4] = ["pip", "pipx", "poetry", "uv"];
/// Parts of a path that are read.
const PARTS_MAX: usize = 16;
/// Longest name of a package, in bytes: that of npm.
const NAME_MAX_BYTES: usize = 214;

/// A package that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    /// `npm` or `pypi`.
    pub(super) ecosystem: &'static str,
    /// Name, lower case; of npm with its scope.
    pub(super) name: String,
    /// Version, or the tag that stands for one; `None` when the request is about all of them.
    pub(super) version: Option<String>,
}

impl Package {
    /// What a GET asks a package source for, or a mirror of one, by the forms of its paths: npm's `/name`, `/name/version`,
    /// `/name/-/name-version.tgz`, and PyPI's `/simple/name/`, `/pypi/name/json`, `/pypi/name/version/json`.
    pub(super) fn of(request: &Request, host: &str, signatures: &Signatures) -> Option<Self> {
        if request.method != HttpMethod::Get {
            return None;
        }
        let npm_like = match signatures.names.find_where(host, |rule| rule.tier == Some(4)) {
            Some(rule) => either(
                NPM.iter().any(|word| rule.id.contains(word)),
                PYPI.iter().any(|word| rule.id.contains(word)),
            )?,
            // A mirror of one's own has any name; the program that asks it says who it is.
            None => {
                let agent = request.headers.text(Field::UserAgent)?;
                let program = agent.split('/').next().unwrap_or_default();
                let is_one = |programs: &[&str]| programs.iter().any(|known| known.eq_ignore_ascii_case(program));
                either(is_one(&NPM_PROGRAMS), is_one(&PYPI_PROGRAMS))?
            }
        };
        let path = decoded(request.path());
        let path = path.trim_matches('/').to_ascii_lowercase();
        let parts: Vec<&str> = path.split('/').take(PARTS_MAX).collect();
        if npm_like { npm(&parts) } else { pypi(&parts) }
    }

    /// Whether the name says that the package is about MCP.
    pub(super) fn is_mcp(&self) -> bool {
        self.name.split(['@', '/', '-', '_', '.']).any(|word| word == "mcp")
    }
}

/// Whether a request asks for something that installs an MCP server.
pub(super) fn is_install(request: &Request, host: &str, signatures: &Signatures) -> bool {
    let path = request.path();
    let lower = path.to_ascii_lowercase();
    BUNDLES.iter().any(|end| lower.ends_with(end))
        || REGISTRY.iter().any(|start| lower.starts_with(start))
        || Package::of(request, host, signatures).is_some_and(|package| package.is_mcp())
}

/// `%2f` of a scoped name; other escapes are left alone, for they are in no name.
fn decoded(path: &str) -> Cow<'_, str> {
    if path.contains('%') {
        Cow::Owned(path.replace("%2f", "/").replace("%2F", "/").replace("%40", "@"))
    } else {
        Cow::Borrowed(path)
    }
}

/// Which of two holds, when one does.
const fn either(one: bool, other: bool) -> Option<bool> {
    match (one, other) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}

/// What stands before the name belongs to a mirror.
fn npm(parts: &[&str]) -> Option<Package> {
    let scoped = |at: usize| {
        let name = *parts.get(at)?;
        let scope = at.checked_sub(1).and_then(|before| parts.get(before));
        Some(match scope.filter(|scope| scope.starts_with('@')) {
            Some(scope) => format!("{scope}/{name}"),
            None => name.to_owned(),
        })
    };
    if let Some(dash) = parts.iter().position(|part| *part == "-") {
        let name = scoped(dash.checked_sub(1)?)?;
        let file = parts.get(dash.saturating_add(1))?;
        let bare = name.rsplit('/').next().unwrap_or_default();
        let version = file.strip_prefix(bare)?.strip_prefix('-')?.strip_suffix(".tgz")?;
        return package("npm", name, Some(version.to_owned()));
    }
    let last = parts.len().checked_sub(1)?;
    let word = parts.get(last)?;
    let version = last > 0 && (*word == "latest" || word.starts_with(|c: char| c.is_ascii_digit()));
    if version {
        package("npm", scoped(last.checked_sub(1)?)?, Some((*word).to_owned()))
    } else {
        package("npm", scoped(last)?, None)
    }
}

fn pypi(parts: &[&str]) -> Option<Package> {
    let behind = |word: &str| {
        let at = parts.iter().position(|part| *part == word)?;
        parts.get(at.saturating_add(1)..)
    };
    if let Some([name, ..]) = behind("simple") {
        return package("pypi", normal(name), None);
    }
    match behind("pypi") {
        Some([name, "json"]) => package("pypi", normal(name), None),
        Some([name, version, "json"]) => package("pypi", normal(name), Some((*version).to_owned())),
        _ => pypi_file(parts.last()?),
    }
}

/// `name-version.tar.gz`, or `name-version-tags.whl`.
fn pypi_file(file: &str) -> Option<Package> {
    let wheel = file.strip_suffix(".whl");
    let (name, version) = match wheel {
        Some(stem) => {
            let mut parts = stem.split('-');
            (parts.next()?, parts.next()?)
        }
        None => file.strip_suffix(".tar.gz")?.rsplit_once('-')?,
    };
    package("pypi", normal(name), Some(version.to_owned()))
}

/// PyPI takes dashes, dots and underlines for the same (PEP 503).
fn normal(name: &str) -> String {
    name.replace(['_', '.'], "-")
}

fn package(ecosystem: &'static str, name: String, version: Option<String>) -> Option<Package> {
    let fits = |text: &str| {
        let word = |b: u8| b.is_ascii_alphanumeric() || b"@/._-+~".contains(&b);
        !text.is_empty() && text.len() <= NAME_MAX_BYTES && text.bytes().all(word)
    };
    (fits(&name) && version.as_deref().is_none_or(fits)).then_some(Package {
        ecosystem,
        name,
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_sources() {
        let show = |package: Option<Package>| {
            package.map(|it| format!("{} {}", it.name, it.version.unwrap_or_else(|| "*".into())))
        };
        let parts = |path: &'static str| -> Vec<&'static str> { path.split('/').collect() };
        for (path, expect) in [
            ("postmark-mcp", Some("postmark-mcp *")),
            (
                "@modelcontextprotocol/server-memory/latest",
                Some("@modelcontextprotocol/server-memory latest"),
            ),
            ("postmark-mcp/-/postmark-mcp-1.0.16.tgz", Some("postmark-mcp 1.0.16")),
            (
                "repository/npm/@a/mcp-x/-/mcp-x-2.0.0-rc.1.tgz",
                Some("@a/mcp-x 2.0.0-rc.1"),
            ),
            ("repository/npm/@a/mcp-x", Some("@a/mcp-x *")),
            ("-/v1/search", None),
            ("", None),
        ] {
            assert_eq!(show(npm(&parts(path))).as_deref(), expect, "{path}");
        }
        for (path, expect) in [
            ("simple/mcp_server.fetch", Some("mcp-server-fetch *")),
            ("root/pypi/simple/groq-mcp", Some("groq-mcp *")),
            ("pypi/groq-mcp/1.0/json", Some("groq-mcp 1.0")),
            ("packages/ab/cd/groq_mcp-1.0-py3-none-any.whl", Some("groq-mcp 1.0")),
            ("packages/groq-mcp-1.0.tar.gz", Some("groq-mcp 1.0")),
            ("index.html", None),
        ] {
            assert_eq!(show(pypi(&parts(path))).as_deref(), expect, "{path}");
        }
        let named = |name: &str| package("npm", name.to_owned(), None).is_some_and(|it| it.is_mcp());
        assert!(
            named("mcp-remote") && named("@x/mcp") && named("a_mcp_b") && !named("mcpherson") && !named("left-pad")
        );
    }
}
