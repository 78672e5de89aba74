//! `shadowtap report [WORD]`: asks a store and shows the answer.
//!
//! Reads only, also while a sensor writes. Without a word it gives an overview: how much is known, which servers nobody
//! approved, and the worst findings. It does not render: `report/` does.

mod cases;
pub(super) mod names;
mod overview;
mod times;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::setup::Asked;
use crate::config::load::Loaded;
use crate::model::asset::Assets;
use crate::model::finding::{Kind, Severity};
use crate::model::stamp::Timestamp;
use crate::report::grid::{DEFAULT_WIDTH, Style};
use crate::report::{drift, html, owners, rows};
use crate::store::{Filter, Question, Rows, State, Store, StoreError, Word, default_path};

pub use times::moment;

/// Asks the store: servers, clients, tools, findings, lookups, sessions, messages, usage, timeline or drift.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// What to show: servers, clients, tools, findings, lookups, sessions, messages (latest first), usage (by the hour),
    /// timeline, drift or captures; or `session ID` (one conversation as a story), `impact SERVER` (what to revoke, who
    /// used it, what was called), `diff A B` (two spans of time: 14d..7d 7d..now), `weekly`; without it, an overview
    #[arg(value_parser = subject, value_name = "WORD")]
    pub subject: Option<Subject>,
    /// What `session`, `impact` and `diff` are about; the first digits of an id will do
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Only what was last seen at this time or later: 2026-11-20, 2026-11-20T10:00:00Z, or 30m, 24h, 7d, 2w ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Timestamp>,
    /// Only what was first seen before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Timestamp>,
    /// Only this severity and worse: info, low, medium, high or critical
    #[arg(long, value_parser = severity)]
    pub severity: Option<Severity>,
    /// Only findings of this kind
    #[arg(long, value_parser = kind)]
    pub kind: Option<Kind>,
    /// Only what concerns this server: address, address:port, hostname, name or id
    #[arg(long)]
    pub server: Option<String>,
    /// Only what concerns this client address
    #[arg(long, value_name = "ADDR")]
    pub client: Option<String>,
    /// Only what belongs to this session, by its id
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Only what concerns this tool, prompt or resource
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// Only what concerns servers that no approval covers
    #[arg(long)]
    pub unapproved: bool,
    /// Only findings in this state: open, acknowledged, closed or muted
    #[arg(long, value_parser = state)]
    pub state: Option<State>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Configuration file, which may name the store [default: shadowtap.toml, else /etc/shadowtap/shadowtap.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The store to ask: a file, http(s)://HOST:PORT of a ClickHouse server, or `clickhouse` for the configured one [default: as configured, else $SHADOWTAP_STORE, else /var/lib/shadowtap, else the user's state directory]
    #[arg(long, value_name = "PATH")]
    pub store: Option<PathBuf>,
    /// At most so many rows
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Two spans of time beside each other.
    Diff,
    /// What it means that a server is bad.
    Impact,
    /// One session as a story.
    Session,
    /// The last week.
    Weekly,
    /// The rows of a word.
    Word(Word),
}

impl Subject {
    const CASES: [(&'static str, Self); 4] = [
        ("diff", Self::Diff),
        ("impact", Self::Impact),
        ("session", Self::Session),
        ("weekly", Self::Weekly),
    ];
}

/// How an answer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One JSON object
    Json,
    /// One JSON object per row
    Ndjson,
    /// RFC 4180
    Csv,
    /// One file with charts, to be sent or printed
    Html,
    /// A table for a ticket or a chat
    Markdown,
}

/// Exit codes of the contract.
const DONE: u8 = 0;
const WRONG_USAGE: u8 = 2;
const UNREADABLE: u8 = 3;

/// Messages of a table that nobody limited: the latest.
const TABLE_MESSAGES: u64 = 100;

/// Runs the command and gives its exit code. What is wrong is told on standard error, with its cure.
///
/// # Errors
/// When standard output cannot be written, other than by a reader that has seen enough.
pub fn run(args: &ReportArgs) -> anyhow::Result<u8> {
    let asked = Loaded::load(args.config.as_deref()).and_then(|loaded| {
        let path = args.store.clone().or_else(|| loaded.store_file());
        Ok((
            Asked::of(&path.unwrap_or_else(default_path), &loaded)?,
            loaded.assets()?,
        ))
    });
    let (asked, assets) = match asked {
        Ok(asked) => asked,
        Err(defect) => {
            let _ = writeln!(io::stderr(), "{defect}");
            return Ok(WRONG_USAGE);
        }
    };
    if args.format == Format::Html && !is_whole(args) {
        let _ = writeln!(
            io::stderr(),
            "shadowtap: --format html is the whole report: only --since, --until and --store apply to it"
        );
        return Ok(WRONG_USAGE);
    }
    let mut text = Vec::new();
    if let Err(error) = asked
        .open()
        .and_then(|store| answer(&*store, args, &assets, terminal_style(), &mut text))
    {
        let _ = writeln!(io::stderr(), "shadowtap: {error}");
        return Ok(if matches!(error, StoreError::Filter { .. } | StoreError::Named(_)) {
            WRONG_USAGE
        } else {
            UNREADABLE
        });
    }
    match io::stdout().lock().write_all(&text).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(DONE),
    }
}

/// Whether nothing is asked for but the time.
fn is_whole(args: &ReportArgs) -> bool {
    let only = Filter {
        since: args.since,
        until: args.until,
        ..Filter::default()
    };
    args.subject.is_none() && filter(args) == only
}

fn filter(args: &ReportArgs) -> Filter {
    Filter {
        id: None,
        since: args.since,
        until: args.until,
        severity: args.severity,
        kind: args.kind,
        server: args.server.clone(),
        client: args.client.clone(),
        session: args.session.clone(),
        tool: args.tool.clone(),
        unapproved: args.unapproved,
        state: args.state,
        limit: args.limit,
    }
}

/// Writes the answer to what was asked.
///
/// # Errors
/// Those of the store, and names that stand for nothing or for several.
pub fn answer(
    store: &dyn Store,
    args: &ReportArgs,
    assets: &Assets,
    style: Style,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let mut filter = filter(args);
    match args.subject {
        _ if args.format == Format::Html => {
            out.extend_from_slice(html::file::render(store, args.since, args.until)?.as_bytes());
        }
        Some(Subject::Word(word)) if args.names.is_empty() => {
            whole_ids(store, word, &mut filter)?;
            let few = word == Word::Messages && args.format == Format::Table && filter.limit.is_none();
            if few {
                filter.limit = Some(TABLE_MESSAGES);
            }
            let answer = owners::rows(store.ask(&Question { word, filter })?, assets);
            show(out, word, &answer, args.format, style);
            if few && answer.rows.len() as u64 == TABLE_MESSAGES {
                out.extend_from_slice(b"\nthe latest; --limit N shows more, --format ndjson all\n");
            }
        }
        Some(subject) => cases::write(store, subject, args, assets, style, out)?,
        None if args.format == Format::Table => overview::write(out, store, &filter, assets, style)?,
        // For a program the overview is what there is to do something about.
        None => show(
            out,
            Word::Findings,
            &owners::rows(
                store.ask(&Question {
                    word: Word::Findings,
                    filter,
                })?,
                assets,
            ),
            args.format,
            style,
        ),
    }
    Ok(())
}

fn show(out: &mut Vec<u8>, word: Word, answer: &Rows, format: Format, style: Style) {
    let written = match format {
        Format::Csv => rows::csv(out, answer),
        Format::Html => Ok(()),
        Format::Json => rows::json(out, word, answer),
        Format::Markdown => out.write_all(rows::markdown(answer).as_bytes()),
        Format::Ndjson => rows::ndjson(out, answer),
        Format::Table if word == Word::Drift => out.write_all(drift::table(answer, style).as_bytes()),
        Format::Table => out.write_all(rows::table(answer, style).as_bytes()),
    };
    debug_assert!(written.is_ok(), "memory takes everything");
}

/// Ids that were given by their first digits become whole. What is no id stays a name.
fn whole_ids(store: &dyn Store, word: Word, filter: &mut Filter) -> Result<(), StoreError> {
    let digits = |name: &&str| name.len() < 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    // Clients are kept with the addresses of their servers alone.
    let server = filter
        .server
        .as_deref()
        .filter(digits)
        .filter(|_| word != Word::Clients);
    if let Some(names::Found::One(id)) = server.map(|name| names::server(store, name)).transpose()? {
        filter.server = Some(id);
    }
    let session = filter.session.as_deref().filter(digits);
    if let Some(name) = session {
        let id = names::by_id(store, Word::Sessions, name)?.one("session", name);
        filter.session = Some(id.map_err(StoreError::Named)?);
    }
    Ok(())
}

/// Width and colour of standard output; `NO_COLOR` and `CLICOLOR` are heeded.
pub fn terminal_style() -> Style {
    let stdout = io::stdout();
    let columns = terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
    Style {
        width: columns.unwrap_or(DEFAULT_WIDTH),
        color: stdout.is_terminal() && anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
    }
}

fn subject(text: &str) -> Result<Subject, String> {
    let case = Subject::CASES.into_iter().find(|(name, _)| *name == text);
    let found = case
        .map(|(_, case)| case)
        .or_else(|| Word::parse(text).map(Subject::Word));
    found.ok_or_else(|| {
        let words = Word::ALL.map(Word::name).into_iter();
        let all: Vec<&str> = words.chain(Subject::CASES.map(|(name, _)| name)).collect();
        format!("must be one of {}", all.join(", "))
    })
}

pub(crate) fn severity(text: &str) -> Result<Severity, String> {
    Severity::parse(text).ok_or_else(|| one_of(Severity::ALL.map(Severity::word)))
}

fn state(text: &str) -> Result<State, String> {
    State::parse(text).ok_or_else(|| one_of(State::ALL.map(State::word)))
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::parse(text).ok_or_else(|| one_of(Kind::ALL.map(|(_, word)| word)))
}

fn one_of<const N: usize>(words: [&str; N]) -> String {
    format!("must be one of {}", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    use clap::Parser;

    use crate::sink::Sink as _;
    use crate::store::fixture;
    use crate::store::memory::Memory;
    use crate::store::sqlite::Writer;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ReportArgs,
    }

    fn args(line: &str) -> ReportArgs {
        Line::try_parse_from(["report"].into_iter().chain(line.split_whitespace()))
            .unwrap()
            .args
    }

    fn shown(line: &str) -> String {
        let view = fixture::view();
        let mut out = Vec::new();
        answer(
            &Memory::new(&view),
            &args(line),
            &Assets::default(),
            Style {
                width: 120,
                color: false,
            },
            &mut out,
        )
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn words_filters_and_formats() {
        assert!(shown("servers --unapproved").contains("10.0.0.5:8000"));
        assert!(!shown("servers --unapproved").contains("fd88::4"));
        assert_eq!(shown("findings --severity medium --format csv").lines().count(), 3);
        assert_eq!(shown("lookups --format ndjson --limit 1").lines().count(), 1);
        let json: serde_json::Value = serde_json::from_str(&shown("tools --server weather --format json")).unwrap();
        assert_eq!(
            (json["word"].as_str(), json["rows"].as_array().map(Vec::len)),
            (Some("tools"), Some(2))
        );
        assert_eq!(shown("findings --kind token-in-url"), "nothing found\n");
    }

    #[test]
    fn an_overview_says_what_matters() {
        let text = shown("");
        for part in [
            "servers: 2, clients: 3, tools: 2, findings: 3, lookups: 2, sessions: 1, drift: 2",
            "captures: 1, packets: 100, flows: 7; not seen: 3 encrypted flows",
            "UNAPPROVED  10.0.0.5:8000",
            "secret-in-transit",
        ] {
            assert!(text.contains(part), "{part:?} is missing from\n{text}");
        }
    }

    #[test]
    fn wrong_words_are_named() {
        for line in [
            "nonsense",
            "findings --severity awful",
            "findings --kind nonsense",
            "findings --since soon",
        ] {
            let error = Line::try_parse_from(["report"].into_iter().chain(line.split_whitespace()))
                .err()
                .unwrap();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn exit_codes_are_the_contract_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let code = |line: &str| {
            run(&ReportArgs {
                store: Some(path.clone()),
                ..args(line)
            })
            .unwrap()
        };
        assert_eq!(code("servers"), UNREADABLE);
        Writer::open(&path, "run")
            .unwrap()
            .write(&fixture::events(&fixture::view()))
            .unwrap();
        assert_eq!(code("servers --format csv"), DONE);
        assert_eq!(code("lookups --severity high"), WRONG_USAGE);
    }
}
