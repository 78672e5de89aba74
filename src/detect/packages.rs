//! Requests to package sources, as far as they are read: which package, and which version of it.

use std::borrow::Cow;

use crate::detect::signature::Signatures;
use crate::model::message::{HttpMethod, Request};

/// Endings of bundles that install an MCP server.
const BUNDLES: [&str; 2] = [".dxt", ".mcpb"];
/// Paths of the registry's interface that tell where servers are.
const REGISTRY: [&str; 2] = ["/v0/servers", "/v0.1/servers"];
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
    /// What a GET asks a package source for, by the forms of its paths: npm's `/name`, `/name/version`,
    /// `/name/-/name-version.tgz`, and PyPI's `/simple/name/`, `/pypi/name/json`, `/pypi/name/version/json`.
    pub(super) fn of(request: &Request, host: &str, signatures: &Signatures) -> Option<Self> {
        if request.method != HttpMethod::Get {
            return None;
        }
        let rule = signatures.names.find_where(host, |rule| rule.tier == Some(4))?;
        let path = decoded(request.path());
        let path = path.trim_matches('/').to_ascii_lowercase();
        let id = rule.id.to_ascii_lowercase();
        if id.contains("npm") || id.contains("yarn") {
            npm(&path)
        } else if id.contains("pypi") || id.contains("python") {
            pypi(&path)
        } else {
            None
        }
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

fn npm(path: &str) -> Option<Package> {
    let mut parts = path.split('/');
    let first = parts.next().filter(|part| !part.is_empty() && !part.starts_with('-'))?;
    let name = if first.starts_with('@') {
        format!("{first}/{}", parts.next()?)
    } else {
        first.to_owned()
    };
    let version = match (parts.next(), parts.next()) {
        (Some("-"), Some(file)) => {
            let bare = name.rsplit('/').next().unwrap_or_default();
            let rest = file.strip_prefix(bare)?.strip_prefix('-')?;
            Some(rest.strip_suffix(".tgz")?.to_owned())
        }
        (version, None) => version.map(str::to_owned),
        _ => return None,
    };
    package("npm", name, version)
}

fn pypi(path: &str) -> Option<Package> {
    let parts: Vec<&str> = path.split('/').take(6).collect();
    match parts.as_slice() {
        ["simple", name] | ["pypi", name, "json"] => package("pypi", normal(name), None),
        ["pypi", name, version, "json"] => package("pypi", normal(name), Some((*version).to_owned())),
        _ => None,
    }
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
        for (path, expect) in [
            ("postmark-mcp", Some("postmark-mcp *")),
            (
                "@modelcontextprotocol/server-memory/latest",
                Some("@modelcontextprotocol/server-memory latest"),
            ),
            ("postmark-mcp/-/postmark-mcp-1.0.16.tgz", Some("postmark-mcp 1.0.16")),
            ("@a/mcp-x/-/mcp-x-2.0.0-rc.1.tgz", Some("@a/mcp-x 2.0.0-rc.1")),
            ("-/v1/search", None),
            ("", None),
            ("@a", None),
        ] {
            assert_eq!(show(npm(path)).as_deref(), expect, "{path}");
        }
        assert_eq!(
            show(pypi("simple/mcp_server.fetch")).as_deref(),
            Some("mcp-server-fetch *")
        );
        assert_eq!(show(pypi("pypi/groq-mcp/1.0/json")).as_deref(), Some("groq-mcp 1.0"));
        let named = |name: &str| package("npm", name.to_owned(), None).is_some_and(|it| it.is_mcp());
        assert!(
            named("mcp-remote") && named("@x/mcp") && named("a_mcp_b") && !named("mcpherson") && !named("left-pad")
        );
    }
}
