//! How command lines start packages, and what a program over stdio is called when it is an MCP server
//! (`signatures/launchers.toml`).

use std::sync::LazyLock;

use serde::Deserialize;

/// Ends of file names that say nothing about a program.
const ENDS: [&str; 5] = [".cjs", ".cmd", ".exe", ".js", ".py"];
/// Programs that run another one that their first argument names.
const INTERPRETERS: [&str; 9] = ["bash", "bun", "deno", "node", "poetry", "python", "python3", "sh", "uv"];

/// What stands between an interpreter and what it runs.
const RUN_WORDS: [&str; 2] = ["run", "exec"];

/// See the module.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Launchers {
    #[expect(dead_code, reason = "the form of the file, for whoever reads it")]
    schema: u32,
    launcher: Vec<Launcher>,
    stdio: Stdio,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Launcher {
    programs: Vec<String>,
    #[serde(default)]
    words: Vec<Vec<String>>,
    ecosystem: String,
    pin: String,
    #[serde(default)]
    pins: Vec<String>,
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    package: Vec<String>,
    #[serde(default)]
    digests: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stdio {
    names: Vec<String>,
    clients: Vec<String>,
}

/// A package that a command line starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Started<'a> {
    pub(crate) ecosystem: &'a str,
    /// Name without a version.
    pub(crate) name: String,
    /// It is one version, whatever is published.
    pub(crate) pinned: bool,
}

impl Launchers {
    /// Those that are built in.
    pub(crate) fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Launchers> = LazyLock::new(|| {
            let text = include_str!("../../../signatures/launchers.toml");
            // Held by a test.
            toml::from_str(text).unwrap_or_else(|_| Launchers {
                schema: 0,
                launcher: Vec::new(),
                stdio: Stdio {
                    names: Vec::new(),
                    clients: Vec::new(),
                },
            })
        });
        &BUILTIN
    }

    /// The package that a command line starts, if it starts one.
    pub(crate) fn started(&self, arguments: &[String]) -> Option<Started<'_>> {
        let words = split(arguments);
        // `node /usr/bin/npx ...` is npx.
        let at = usize::from(words.first().is_some_and(|word| INTERPRETERS.contains(&bare(word))));
        [at, 0].into_iter().find_map(|at| {
            let (program, rest) = words.get(at..)?.split_first()?;
            let launchers = self.launcher.iter();
            launchers
                .filter(|launcher| launcher.programs.iter().any(|name| name == bare(program)))
                .find_map(|launcher| launcher.started(rest))
        })
    }

    /// Whether a program says by its name, or by that of what it runs, that it is an MCP server.
    pub(crate) fn is_server(&self, arguments: &[String]) -> bool {
        let words = split(arguments);
        let named = |word: &&str, among: &[String]| {
            let parts = word.split(|c: char| !c.is_ascii_alphanumeric());
            parts
                .into_iter()
                .any(|part| among.iter().any(|name| part.eq_ignore_ascii_case(name)))
        };
        // The program, or what an interpreter runs: of `python -m name` and `node file` the name.
        let mut plain = words
            .iter()
            .filter(|word| !word.starts_with('-') && !RUN_WORDS.contains(word));
        let program = plain.next().copied().unwrap_or_default();
        let run = INTERPRETERS.contains(&bare(program)).then(|| plain.next()).flatten();
        // Of a path only the last parts are a name: a folder may be called anything.
        let names = [program, run.copied().unwrap_or_default()].map(last_parts);
        names.iter().any(|word| named(word, &self.stdio.names))
            && !names.iter().any(|word| named(word, &self.stdio.clients))
    }
}

impl Launcher {
    fn started(&self, rest: &[&str]) -> Option<Started<'_>> {
        let rest = if self.words.is_empty() {
            rest
        } else {
            let fits = |words: &&Vec<String>| rest.iter().take(words.len()).eq(words.iter());
            rest.get(self.words.iter().find(fits)?.len()..)?
        };
        let mut named = None;
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            let (option, value) = word
                .split_once('=')
                .map_or((*word, None), |(option, value)| (option, Some(value)));
            if *word == "--" {
                named = named.or_else(|| words.next().copied());
                break;
            }
            if !word.starts_with('-') {
                named = named.or(Some(*word));
                break;
            }
            let is = |list: &[String]| list.iter().any(|name| name == option);
            if is(&self.package) {
                named = named.or(value).or_else(|| words.next().copied());
            } else if is(&self.values) && value.is_none() {
                words.next();
            }
        }
        self.package(named?)
    }

    /// A name, and what is behind the pin.
    fn package(&self, text: &str) -> Option<Started<'_>> {
        // A folder, an address or an archive is no package of a registry.
        if text.is_empty() || text.starts_with(['.', '/', '~']) || text.contains("://") || text.contains("git+") {
            return None;
        }
        let (text, digest) = match text.split_once('@') {
            Some((name, _)) if self.digests => (name, true),
            _ => (text, false),
        };
        let pins = std::iter::once(&self.pin).chain(&self.pins);
        let split = pins.filter_map(|pin| {
            // The scope of a name begins with what stands before a version, and a registry may have a port.
            let from = usize::from(text.starts_with('@')).max(text.rfind('/').map_or(0, |at| at.saturating_add(1)));
            let at = text.get(from..)?.find(pin.as_str())?.saturating_add(from);
            Some((text.get(..at)?, text.get(at.saturating_add(pin.len())..)?))
        });
        let (name, version) = split.min_by_key(|(name, _)| name.len()).unwrap_or((text, ""));
        let name = name.split(['[', '<', '>', '~', '!', '=']).next().unwrap_or_default();
        (!name.is_empty()).then(|| Started {
            ecosystem: &self.ecosystem,
            name: name.to_ascii_lowercase(),
            pinned: digest || is_one_version(version),
        })
    }
}

/// Whether it is one version and no tag or range. A prefix (`1`, `1.2`) moves as well.
fn is_one_version(version: &str) -> bool {
    let version = version.trim_start_matches(['v', '=']);
    let parts: Vec<&str> = version.split('.').collect();
    let exact = parts.len() >= 3 || version.len() >= 8;
    exact && version.starts_with(|c: char| c.is_ascii_digit()) && !version.contains(['*', 'x', '|', ' '])
}

/// Programs such as npm write their whole command line into the first argument.
fn split(arguments: &[String]) -> Vec<&str> {
    match arguments {
        [one] => one.split_ascii_whitespace().collect(),
        all => all.iter().map(String::as_str).collect(),
    }
}

/// A program's name without path and end.
fn bare(word: &str) -> &str {
    let name = word.rsplit(['/', '\\']).next().unwrap_or_default();
    let end = ENDS.iter().find_map(|end| name.strip_suffix(end));
    let name = end.unwrap_or(name);
    // `npx-cli.js` is what npx runs.
    name.strip_suffix("-cli").unwrap_or(name)
}

/// What a path calls a program: its last part, or the package that it is in.
fn last_parts(word: &str) -> &str {
    const PACKAGES: &str = "node_modules/";
    let after = |at: usize| word.get(at..).unwrap_or_default();
    if let Some(at) = word.rfind(PACKAGES) {
        let package = after(at.saturating_add(PACKAGES.len()));
        let parts = if package.starts_with(['@', '.']) { 2 } else { 1 };
        let end = package
            .match_indices('/')
            .nth(parts - 1)
            .map_or(package.len(), |(end, _)| end);
        return package.get(..end).unwrap_or_default();
    }
    after(word.rfind('/').map_or(0, |at| at.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn command_lines_name_their_packages() {
        let launchers = Launchers::builtin();
        assert!(launchers.launcher.len() > 5, "the built-in file is read");
        for (line, expect) in [
            (
                "npx -y @modelcontextprotocol/server-memory",
                Some("npm @modelcontextprotocol/server-memory -"),
            ),
            (
                "npx -y @modelcontextprotocol/server-memory@latest",
                Some("npm @modelcontextprotocol/server-memory -"),
            ),
            ("npx some-mcp@1.2.3 --port 8000", Some("npm some-mcp =")),
            ("npx some-mcp@^1.2.3", Some("npm some-mcp -")),
            ("npx some-mcp@1", Some("npm some-mcp -")),
            (
                "/usr/bin/node /usr/bin/npx --yes --package=@x/mcp mcp-start",
                Some("npm @x/mcp -"),
            ),
            (
                "node /usr/lib/node_modules/npm/bin/npx-cli.js -y foo-mcp",
                Some("npm foo-mcp -"),
            ),
            ("npm exec -- foo-mcp@2.0.0-rc.1", Some("npm foo-mcp =")),
            ("pnpm dlx foo-mcp", Some("npm foo-mcp -")),
            ("npm install foo-mcp", None),
            ("uvx --python 3.12 mcp-server-time", Some("pypi mcp-server-time -")),
            (
                "uvx --from mcp-server-time==0.6.2 mcp-server-time",
                Some("pypi mcp-server-time ="),
            ),
            ("uvx mcp-server-time@latest", Some("pypi mcp-server-time -")),
            ("uvx mcp-server-time@0.6.2", Some("pypi mcp-server-time =")),
            ("uv tool uvx mcp-server-git[all]>=1", Some("pypi mcp-server-git -")),
            (
                "python3 /usr/bin/pipx run --spec mcp-x==1.0.0 mcp-x",
                Some("pypi mcp-x ="),
            ),
            ("docker run -i --rm -e TOKEN=x mcp/time", Some("oci mcp/time -")),
            (
                "docker run --rm registry.test:5000/mcp/time:latest",
                Some("oci registry.test:5000/mcp/time -"),
            ),
            ("docker run mcp/time:1.2.3", Some("oci mcp/time =")),
            ("docker run mcp/time@sha256:abc", Some("oci mcp/time =")),
            ("docker ps", None),
            ("npx ./local", None),
            ("uvx git+https://example.test/x", None),
            ("cargo run", None),
            ("npx", None),
        ] {
            let started = launchers.started(&words(line));
            let shown = started.map(|it| format!("{} {} {}", it.ecosystem, it.name, if it.pinned { "=" } else { "-" }));
            assert_eq!(shown.as_deref(), expect, "{line}");
        }
        // npm's own title of its process.
        let title = ["npm exec foo-mcp --stdio".to_owned()];
        assert_eq!(launchers.started(&title).map(|it| it.name).as_deref(), Some("foo-mcp"));
    }

    #[test]
    fn programs_that_look_like_servers() {
        let is = |line: &str| Launchers::builtin().is_server(&words(line));
        for line in [
            "node /home/u/.npm/_npx/1/node_modules/.bin/mcp-server-memory",
            "/home/u/.cache/uv/x/bin/python /home/u/.cache/uv/x/bin/mcp-server-time",
            "python -m weather_mcp",
            "node /x/node_modules/@acme-mcp/server/index.js",
            "/usr/local/bin/github-mcp-server stdio",
        ] {
            assert!(is(line), "{line}");
        }
        for line in [
            "node /srv/mcp/web/index.js",
            "/usr/bin/mcphost",
            "node mcp-inspector",
            "vim notes --cmd mcp",
            "sh notes mcp",
            "bash",
            "",
        ] {
            assert!(!is(line), "{line}");
        }
    }
}
