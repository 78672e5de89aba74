//! The lock file: what was observed of servers and their tools when somebody looked at them and was content.
//!
//! Read by [`Pins::parse`], written by [`Pins::render`]; opens no file. Definitions stand in it as they are kept: without
//! credentials and personal data. Hashes of their parts are over what stands there; `sha256` is that of the definition
//! as it was sent.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::Spanned;

use crate::model::defect::Defect;
use crate::model::server::Server;
use crate::policy::hex;

/// Version of the form.
const SCHEMA: i64 = 1;

/// What every message about a wrong value ends with.
const CURE: &str = "do not edit it: run `shadowtap pin` again";

/// First lines of the file.
const HEAD: &str = "\
# What shadowtap observed of MCP servers and their tools; whatever differs from it is a finding.
# Written by `shadowtap pin`. Look through it, keep it under version control, and do not edit it.
";

/// Every server that is pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    servers: Vec<PinnedServer>,
}

/// A server as it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedServer {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Name that led there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Path template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `serverInfo.name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// `serverInfo.version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// Of its instructions, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions_sha256: Option<String>,
    /// By name.
    #[serde(default, rename = "tool")]
    pub tools: Vec<PinnedTool>,
}

/// A tool as it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedTool {
    /// Name.
    pub name: String,
    /// Of the canonical definition as it was sent, hex.
    pub sha256: String,
    /// Of `description` as it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description_sha256: Option<String>,
    /// Of `inputSchema` and `outputSchema`, canonical.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_sha256: Option<String>,
    /// Of `annotations`, canonical.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations_sha256: Option<String>,
    /// Canonical JSON as it is kept; empty where it was over a bound.
    pub definition: String,
}

impl PinnedTool {
    /// From what was observed: the hash of what was sent, and the kept definition.
    pub fn of(name: &str, sha256: &str, definition: &str) -> Self {
        let tool: serde_json::Value = serde_json::from_str(definition).unwrap_or_default();
        let part = |names: &[&str]| {
            let parts: Vec<String> = names
                .iter()
                .filter_map(|name| tool.get(name))
                .map(ToString::to_string)
                .collect();
            (!parts.is_empty()).then(|| hex(&Sha256::digest(parts.join("\n"))))
        };
        Self {
            name: name.to_owned(),
            sha256: sha256.to_owned(),
            description_sha256: part(&["description"]),
            schema_sha256: part(&["inputSchema", "outputSchema"]),
            annotations_sha256: part(&["annotations"]),
            definition: definition.to_owned(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    schema: Spanned<i64>,
    #[serde(default)]
    server: Vec<Spanned<PinnedServer>>,
}

#[derive(Serialize)]
struct Rendered<'p> {
    schema: i64,
    server: &'p [PinnedServer],
}

impl Pins {
    /// Reads the text of a lock file; `file` is for the messages.
    ///
    /// # Errors
    /// Every mistake, in the order of the file.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Defect>> {
        let written: Written =
            toml::from_str(text).map_err(|error| vec![Defect::from_toml(file, text, &error, CURE)])?;
        let mut found = Vec::new();
        let mut tell = |offset: usize, what: String, cure: &str| {
            found.push(Defect {
                file: file.to_owned(),
                line: Some(Defect::line_of(text, offset)),
                what,
                cure: cure.to_owned(),
            });
        };
        let schema = *written.schema.get_ref();
        if schema != SCHEMA {
            let cure = "use the shadowtap that wrote it, or run `shadowtap pin` again";
            tell(
                written.schema.span().start,
                format!("schema {schema} is not known, only {SCHEMA}"),
                cure,
            );
        }
        for (at, server) in written.server.iter().enumerate() {
            let (start, server) = (server.span().start, server.get_ref());
            let mut earlier = written.server.iter().take(at).map(Spanned::get_ref);
            if earlier.any(|other| other.place() == server.place()) {
                tell(
                    start,
                    format!("a second entry for {}", server.shown()),
                    "remove one of them",
                );
            }
            for what in server.mistakes() {
                tell(start, what, CURE);
            }
        }
        if found.is_empty() {
            let servers = written.server.into_iter().map(Spanned::into_inner).collect();
            return Ok(Self { servers });
        }
        found.sort_by_key(|defect| defect.line);
        Err(found)
    }

    /// As a file. The same pins give the same text.
    pub fn render(&self) -> String {
        let rendered = Rendered {
            schema: SCHEMA,
            server: &self.servers,
        };
        // Plain structs with string keys always serialise.
        let text = toml::to_string(&rendered).unwrap_or_default();
        format!("{HEAD}{text}")
    }

    /// Pins a server, in place of what was pinned at the same place.
    pub fn pin(&mut self, mut server: PinnedServer) {
        server.tools.sort();
        server.tools.dedup_by(|a, b| a.name == b.name);
        self.servers.retain(|other| other.place() != server.place());
        self.servers.push(server);
        self.servers.sort();
    }

    /// How many servers and tools.
    pub fn count(&self) -> (usize, usize) {
        (
            self.servers.len(),
            self.servers.iter().map(|server| server.tools.len()).sum(),
        )
    }

    /// What is pinned of a server: at the same place; else of the same host, port and path, wherever its name leads
    /// today; else at the same address where one of the two was seen without a name.
    pub fn of(&self, server: &Server) -> Option<&PinnedServer> {
        let (hostname, path) = (server.hostname.as_deref(), server.path.as_deref());
        let at = |pinned: &&PinnedServer| pinned.port == server.endpoint.port && pinned.path.as_deref() == path;
        let here = |pinned: &&PinnedServer| pinned.address == server.endpoint.addr;
        let named = |pinned: &&PinnedServer| pinned.hostname.as_deref() == hostname;
        let all = || self.servers.iter().filter(at);
        all()
            .find(|pinned| here(pinned) && named(pinned))
            .or_else(|| all().find(|pinned| hostname.is_some() && named(pinned)))
            .or_else(|| all().find(|pinned| here(pinned) && (hostname.is_none() || pinned.hostname.is_none())))
    }
}

impl PinnedServer {
    fn place(&self) -> (IpAddr, u16, Option<&str>, Option<&str>) {
        (self.address, self.port, self.hostname.as_deref(), self.path.as_deref())
    }

    fn shown(&self) -> String {
        let mut text = std::net::SocketAddr::new(self.address, self.port).to_string();
        for part in [&self.hostname, &self.path].into_iter().flatten() {
            // Writing to a String cannot fail.
            let _ = write!(text, " {part}");
        }
        text
    }

    /// The tool of this name.
    pub fn tool(&self, name: &str) -> Option<&PinnedTool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.instructions_sha256.as_deref().is_some_and(|hash| !is_hash(hash)) {
            found.push(format!("instructions_sha256 of {} is no SHA-256", self.shown()));
        }
        for (at, tool) in self.tools.iter().enumerate() {
            if !is_hash(&tool.sha256) {
                found.push(format!("sha256 of tool {} is no SHA-256", tool.name));
            } else if PinnedTool::of(&tool.name, &tool.sha256, &tool.definition) != *tool {
                found.push(format!("the hashes of tool {} do not fit its definition", tool.name));
            }
            if self.tools.iter().take(at).any(|other| other.name == tool.name) {
                found.push(format!("a second tool {}", tool.name));
            }
        }
        found
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins() -> Pins {
        let definition = r#"{"annotations":{"readOnlyHint":true},"description":"Adds \"it\"\n up.","inputSchema":{"type":"object"},"name":"sum"}"#;
        let mut pins = Pins::default();
        for port in [8000, 80] {
            pins.pin(PinnedServer {
                address: "10.0.0.5".parse().unwrap(),
                port,
                hostname: None,
                path: Some("/mcp".to_owned()),
                server_name: Some("weather".to_owned()),
                server_version: Some("1.2.0".to_owned()),
                instructions_sha256: Some("0".repeat(64)),
                tools: vec![
                    PinnedTool::of("sum", &"a".repeat(64), definition),
                    PinnedTool::of("big", &"b".repeat(64), ""),
                ],
            });
        }
        pins
    }

    #[test]
    fn what_is_written_is_read() {
        let pins = pins();
        let text = pins.render();
        assert_eq!(Pins::parse(Path::new("l"), &text), Ok(pins.clone()), "{text}");
        assert_eq!(pins.count(), (2, 4));
        let mut again = pins.clone();
        again.pin(pins.servers[0].clone());
        assert_eq!(again, pins);
        let sum = pins.servers[0].tool("sum").unwrap();
        assert!(sum.description_sha256.is_some() && sum.schema_sha256.is_some() && sum.annotations_sha256.is_some());
    }

    #[test]
    fn mistakes_have_line_and_cure() {
        let text = pins().render();
        for (what, with, told) in [
            (
                "schema = 1",
                "schema = 2",
                "l:3: schema 2 is not known, only 1; use the shadowtap that wrote it, or run `shadowtap pin` again",
            ),
            (
                "port = 8000",
                "port = 80",
                "l:26: a second entry for 10.0.0.5:80 /mcp; remove one of them",
            ),
            (
                "Adds",
                "Subs",
                "l:5: the hashes of tool sum do not fit its definition; do not edit it: run `shadowtap pin` again",
            ),
            (
                &"a".repeat(64),
                "abc",
                "l:5: sha256 of tool sum is no SHA-256; do not edit it: run `shadowtap pin` again",
            ),
            (
                "server_name",
                "servername",
                "l:9: unknown key `servername`; did you mean `server_name`?",
            ),
        ] {
            let defects = Pins::parse(Path::new("l"), &text.replacen(what, with, 1)).unwrap_err();
            assert_eq!(defects[0].to_string(), told, "{text}");
        }
    }
}
