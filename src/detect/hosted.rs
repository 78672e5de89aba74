//! What the processes of the own machine say: which package is started without a version, which program looks like an MCP
//! server over stdio; and a command line as it may be shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::signature::launchers::Launchers;
use crate::detect::{Detector, Findings, redact};
use crate::mcp::site::is_opaque;
use crate::model::finding::{Evidence, Finding, FindingKey, Kind, Severity};
use crate::model::process::{HostView, Process, Unpinned};
use crate::model::server::View;
use crate::model::stamp::{Span, Stamp, Timestamp};

/// Longest command line that is shown, in characters.
const SHOWN_MAX: usize = 256;
/// Arguments that are looked at.
const ARGUMENTS_MAX: usize = 64;
/// What stands in place of a value.
const BLANK: &str = "{secret}";
/// Words of options and variables whose value is a secret.
const SECRET_WORDS: [&str; 10] = [
    "apikey",
    "auth",
    "bearer",
    "credential",
    "key",
    "passwd",
    "password",
    "pat",
    "secret",
    "token",
];

/// What a process shows of itself, as the host tells it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its command line by argument.
    pub arguments: &'a [String],
    /// Another program talks to it over its standard input.
    pub piped: bool,
    /// It has a socket that listens.
    pub listens: bool,
}

/// Adds what a process shows at a moment.
pub fn note(view: &mut HostView, now: Timestamp, seen: Seen<'_>, process: impl Fn() -> Process) {
    let launchers = Launchers::builtin();
    let started = launchers.started(seen.arguments);
    let mcp = started.as_ref().is_some_and(|started| is_mcp(&started.name));
    if let Some(started) = started.filter(|started| mcp && !started.pinned) {
        view.unpinned.push(Unpinned {
            ecosystem: started.ecosystem.to_owned(),
            package: started.name,
            process: process(),
            seen: Span::at(Stamp {
                time: now,
                ..Stamp::default()
            }),
        });
    }
    if seen.piped && !seen.listens && (mcp || launchers.is_server(seen.arguments)) {
        view.stdio.push(process());
    }
}

/// Whether a package's name says that it is about MCP.
fn is_mcp(name: &str) -> bool {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| matches!(word, "mcp" | "modelcontextprotocol"))
}

/// A command line on one line, without what is or may be a secret.
pub fn command(arguments: &[String], signatures: &Signatures) -> String {
    let mut shown = Vec::new();
    let mut blank = false;
    for argument in arguments.iter().take(ARGUMENTS_MAX) {
        if std::mem::take(&mut blank) && !argument.starts_with("--") {
            shown.push(BLANK.to_owned());
            continue;
        }
        let (text, next) = clean(argument, signatures);
        blank = next;
        shown.push(text);
    }
    // A value may stand in two arguments, and a title in one.
    let line = redact::blank_hits(&shown.join(" "), signatures);
    let mut cut: String = line.chars().take(SHOWN_MAX).collect();
    if cut.len() < line.len() {
        cut.push('…');
    }
    cut
}

/// An argument without a secret, and whether the next one is the value of this one.
fn clean(argument: &str, signatures: &Signatures) -> (String, bool) {
    let secret = |name: &str| {
        let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| SECRET_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known)))
    };
    // A title of a process holds several words.
    if argument.contains(' ') {
        let words: Vec<String> = argument.split(' ').map(str::to_owned).collect();
        return (command(&words, signatures), false);
    }
    let pair = argument.split_once('=').filter(|(name, _)| !name.contains("://"));
    if let Some((name, value)) = pair {
        let value = if secret(name) { BLANK.to_owned() } else { opaque(value) };
        return (redact::blank_hits(&format!("{name}={value}"), signatures), false);
    }
    let option = argument.starts_with('-') && secret(argument);
    // `Authorization:` of a header.
    let header = argument.ends_with(':') && secret(argument.trim_end_matches(':'));
    let bearer = ["Basic", "Bearer"]
        .iter()
        .any(|word| argument.eq_ignore_ascii_case(word));
    (
        redact::blank_hits(&opaque(argument), signatures),
        option || header || bearer,
    )
}

/// Without the parts that are ids or secrets rather than words, and without what a URL brings along.
fn opaque(argument: &str) -> String {
    let (address, query) = argument
        .split_once('?')
        .map_or((argument, false), |(address, _)| (address, true));
    let address = match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{BLANK}@{host}"),
        _ => address.to_owned(),
    };
    let parts = address.split('/').map(|part| {
        let number = part.bytes().all(|byte| byte.is_ascii_digit());
        if is_opaque(part) && !number { BLANK } else { part }
    });
    let shown = parts.collect::<Vec<_>>().join("/");
    if query { format!("{shown}?{BLANK}") } else { shown }
}

/// See the module.
pub struct HostScan;

impl HostScan {
    /// For [`super::DETECTORS`].
    pub fn build(_: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self)
    }
}

impl Detector for HostScan {
    fn review_all(&self, all: &View, out: &mut Findings) {
        let Some(host) = &all.host else { return };
        out.findings.extend(host.unpinned.iter().map(finding));
    }
}

/// One for each package: several processes may start it, and one process is a chain of them.
fn finding(unpinned: &Unpinned) -> Finding {
    let Unpinned {
        ecosystem,
        package,
        process,
        seen,
    } = unpinned;
    let mut detail = BTreeMap::from([
        ("command".to_owned(), process.command.clone()),
        ("name".to_owned(), package.clone()),
        ("pid".to_owned(), process.pid.to_string()),
        ("user".to_owned(), process.user.clone()),
    ]);
    detail.extend(process.unit.clone().map(|unit| ("unit".to_owned(), unit)));
    Finding {
        key: FindingKey {
            kind: Kind::UnpinnedPackage,
            rule: Arc::from("started-unpinned"),
            site: None,
            client: None,
            tool: None,
            direction: None,
            place: None,
            subject: Some(format!("{ecosystem} {package}")),
        },
        severity: Severity::Low,
        confidence: 0.9,
        title: format!("This machine starts {ecosystem} package {package} in whatever version is newest"),
        references: vec!["OWASP-MCP04".to_owned()],
        count: 1,
        seen: *seen,
        evidence: Evidence::default(),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_command_lines_are_never_shown() {
        let signatures = Signatures::builtin();
        let aws = ["AKIA", "QX7RT2MNLW5ZJ3KP"].concat();
        let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        for (line, expect) in [
            ("node server.js --port 8000", "node server.js --port 8000".to_owned()),
            (
                "x --token hunter2-is-long --verbose",
                format!("x --token {BLANK} --verbose"),
            ),
            ("x --api-key=abc", format!("x --api-key={BLANK}")),
            (
                "docker run -e GITHUB_TOKEN=abc mcp/x",
                format!("docker run -e GITHUB_TOKEN={BLANK} mcp/x"),
            ),
            (
                "x --header Authorization: Bearer abc",
                format!("x --header Authorization: {BLANK} {BLANK}"),
            ),
            (
                "npx mcp-remote https://u:p@h.test/mcp?key=abc",
                format!("npx mcp-remote https://{BLANK}@h.test/mcp?{BLANK}"),
            ),
            (&format!("x {aws}"), format!("x {BLANK}")),
            (&format!("x /srv/{hex}/y"), format!("x /srv/{BLANK}/y")),
            (
                "npm exec x --password hunter2",
                format!("npm exec x --password {BLANK}"),
            ),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let shown = command(&words, &signatures);
            assert!(
                !shown.contains("hunter2") && !shown.contains("abc") && !shown.contains(&aws),
                "{shown}"
            );
            if !line.contains("Bearer") {
                assert_eq!(shown, expect, "{line}");
            }
            let title = command(&[line.to_owned()], &signatures);
            assert!(
                !title.contains("hunter2") && !title.contains("abc") && !title.contains(hex),
                "{title}"
            );
        }
        let long = command(&vec!["word".to_owned(); 500], &signatures);
        assert_eq!(long.chars().count(), SHOWN_MAX + 1);
    }

    #[test]
    fn what_looks_like_a_server_is_noted() {
        let mut view = HostView::default();
        let process = || Process {
            pid: 1,
            exe: None,
            user: "u".to_owned(),
            command: "c".to_owned(),
            unit: None,
        };
        for (line, piped, listens) in [
            ("npx -y some-mcp", true, false),
            ("uvx mcp-server-time==0.6.2", true, false),
            ("python -m weather_mcp", true, true),
            ("python -m weather_mcp", false, false),
            ("npx -y left-pad", true, false),
        ] {
            let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let seen = Seen {
                arguments: &arguments,
                piped,
                listens,
            };
            note(&mut view, Timestamp::MIN, seen, process);
        }
        let packages: Vec<&str> = view.unpinned.iter().map(|it| &*it.package).collect();
        assert_eq!((packages, view.stdio.len()), (vec!["some-mcp"], 2));
    }
}
